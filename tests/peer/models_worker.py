"""Runs in the peer's environment: tell what its data models make of files, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import asdf
import numpy as np
from stdatamodels import schema as merging
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels.util import read_metadata


def summarise(folder: str, *paths: str) -> dict[str, Any]:
    """Class, metadata and sums of the arrays of every file; each is saved again in `folder`."""
    Path(folder).mkdir()
    found = {}
    for path in paths:
        try:
            found[path] = _summary(path, Path(folder) / Path(path).name)
        except Exception as error:  # noqa: BLE001 - the test shows it
            found[path] = f"{type(error).__name__}: {error}"
    return found


def _summary(path: str, copy: Path) -> list[Any]:
    with datamodels.open(path) as model:
        model.validate()
        found = [type(model).__name__, _metadata(model), _arrays(model)]
        model.save(str(copy))
    return found


def metadata(path: str) -> dict[str, Any]:
    """What the peer reads from the headers alone."""
    return {key: value for key, value in read_metadata(path).items() if _is_plain(value)}


def keywords(*names: str) -> dict[str, Any]:
    """Keyword and extension of every attribute, by model."""
    return {name: dict(_keywords(_schema(name), ())) for name in names}


def _schema(name: str) -> dict[str, Any]:
    url = getattr(datamodels, name).schema_url
    return merging.merge_property_trees(asdf.schema.load_schema(url, resolve_references=True))


def _keywords(node: dict[str, Any], path: tuple[str, ...]) -> Any:
    items = node.get("items", {})
    if isinstance(items, dict) and items:
        yield from _keywords(merging.merge_property_trees(items), (*path, "0"))
    for name, child in node.get("properties", {}).items():
        yield from _keywords(child, (*path, name))
    if "fits_keyword" in node or ("fits_hdu" in node and path):
        yield ".".join(path), [node.get("fits_keyword"), node.get("fits_hdu") or "PRIMARY"]


def _metadata(model: Any) -> dict[str, Any]:
    flat = model.to_flat_dict(include_arrays=False)
    flat = {key: value for key, value in flat.items() if _is_plain(value)}
    times = model.meta.instance.get("exposure", {}).get("read_times")
    return flat | ({"meta.exposure.read_times": [list(t) for t in times]} if times else {})


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, bool, int, float))


def _arrays(model: Any) -> dict[str, Any]:
    return dict(_sums(model.instance, ""))


def _sums(node: Any, path: str) -> Any:
    """Shape and sum of bytes of every array in a tree, by column for tables."""
    children = enumerate(node) if isinstance(node, list) else getattr(node, "items", tuple)()
    for name, value in children:
        array = np.asarray(value) if hasattr(value, "dtype") else None
        if array is not None and array.ndim:
            native = array.astype(array.dtype.newbyteorder("="))
            columns = [_column(value, native, c) for c in native.dtype.names or ()] or [native]
            yield f"{path}{name}", [[list(c.shape), _sum(c)] for c in columns]
        elif isinstance(value, (dict, list)):
            yield from _sums(value, f"{path}{name}.")


def _column(value: Any, native: Any, name: str) -> Any:
    """A column; truth values are the letters T and F in a table that was read from FITS."""
    return np.asarray(value[name]) if native.dtype[name] == np.int8 else native[name]


def _sum(column: Any) -> int:
    data = np.ascontiguousarray(column).tobytes()
    return int(np.frombuffer(data, np.uint8).sum(dtype=np.int64))


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](*sys.argv[2:]), sys.stdout)
