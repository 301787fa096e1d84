"""Live objects in metadata, such as a gwcs in ``meta.wcs``.

They travel as nodes of an ASDF tree and become objects when they are used. Only then is
the asdf library imported, which knows the objects of astropy, gwcs and whatever else is installed.
"""

from __future__ import annotations

import copy
import hashlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stpipe.errors import InputError, ValidationError
from stpipe.models.formats import asdf_yaml
from stpipe.models.formats.asdf_yaml import Tagged, TaggedDict
from stpipe.models.io import asdf_conversion, asdf_tree
from stpipe.models.io.asdf_blocks import attach_blocks, document_end
from stpipe.models.storage.arrays import Stored, read_only
from stpipe.models.storage.source import Source

__all__ = ["comparable", "kind_of", "revived", "serialised"]

_PLAIN = (str, bool, int, float, type(None))
# The package that defines the classes of a family of tags.
_PACKAGES = {"gwcs": "gwcs", "transform": "asdf-astropy", "unit": "asdf-astropy"}
_PACKAGES |= {"astropy": "asdf-astropy", "jwst_pipeline": "stdatamodels", "time": "asdf-astropy"}


def revived(value: object, path: str, source: Source | None) -> Any:
    """``value`` with live objects in the place of tagged nodes; plain values stay as they are.

    Raises
    ------
    InputError
        When a package is missing that knows the objects, or they are damaged.
    """
    if isinstance(value, TaggedDict) and value.is_ndarray and asdf_tree.is_plain(value):
        return _array(value, source)
    tags = {node.tag for node in asdf_yaml.nodes(value) if isinstance(node, Tagged)}
    if tags and not all(tag.startswith(asdf_yaml.YAML) for tag in tags):
        return _objects(value, tags, f"{source.path}: {path}" if source else path)
    return value


def serialised(tree: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``tree`` with nodes in the place of live objects."""
    objects = list(_live(tree, "", set()))
    if not objects:
        bare: dict[str, Any] = _copied(tree, {})
        return bare
    nodes = _nodes([value for _, value in objects])
    known = {id(value): node for (_, value), node in zip(objects, nodes, strict=True)}
    found: dict[str, Any] = _replaced(tree, known, {})
    return found


def comparable(value: object, source: Source | None) -> Any:
    """A plain value as it is; an object as its kind and a checksum of what it holds.

    It does not depend on the file that an object is in: not on the format, the order of keys or
    where its arrays are.
    """
    node = serialised({"": value})[""]
    if not any(isinstance(each, Tagged) for each in asdf_yaml.nodes(node)):
        return node
    return f"<{kind_of(node)} md5:{_digest(node, source, {})[:12]}>"


def _digest(node: object, source: Source | None, known: dict[int, str]) -> str:
    """A checksum that is equal where objects are; nodes that are shared are summed up once.

    A node within itself, as a transform is in the inverse of its inverse, adds nothing.
    """
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, (dict, list)):
        known[id(node)] = ""
    content = _content(node, source, known)
    found = hashlib.md5(repr(content).encode(), usedforsecurity=False).hexdigest()
    if isinstance(node, (dict, list)):
        known[id(node)] = found
    return found


def _content(node: object, source: Source | None, known: dict[int, str]) -> Any:
    """What a node holds, with checksums in the place of its children."""
    if isinstance(node, TaggedDict) and node.is_ndarray and not asdf_tree.is_link(node):
        array = _array(node, source or Source(Path("memory"), (0, 0, 0), 0))
        if array is not node:
            found = np.asarray(array)
            native = found.astype(found.dtype.newbyteorder("="))
            return native.dtype.str, native.shape, native.tobytes()
    if isinstance(node, dict):
        inner: Any = sorted((name, _digest(child, source, known)) for name, child in node.items())
    elif isinstance(node, (list, tuple)):
        inner = [_digest(child, source, known) for child in node]
    else:
        inner = str(node) if isinstance(node, str) else node
    return (kind_of(node), inner) if isinstance(node, Tagged) else inner


def kind_of(node: object) -> str:
    """The tag of a node, or the type of an object, without its version."""
    tag = getattr(node, "tag", type(node).__name__)
    return str(tag).rpartition("/")[2].rpartition("-")[0] or str(tag)


def _live(node: object, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Objects below a node with their paths; each node once, since one may be within itself."""
    if isinstance(node, (dict, list, tuple)):
        if id(node) in seen:
            return
        seen.add(id(node))
        children = node.items() if isinstance(node, dict) else enumerate(node)
        for name, child in children:
            yield from _live(child, f"{path}.{name}", seen)
    elif not isinstance(node, _PLAIN):
        yield path, node


def _replaced(node: object, known: dict[int, Any], copies: dict[int, Any]) -> Any:
    """A copy with nodes in the place of objects; what is shared stays shared."""
    if id(node) in known:
        return known[id(node)]
    if type(node) is dict:
        return {name: _replaced(child, known, copies) for name, child in node.items()}
    if type(node) is list:
        return [_replaced(child, known, copies) for child in node]
    return _copied(node, copies)


def _copied(node: Any, copies: dict[int, Any]) -> Any:
    """A deep copy of a tree of nodes, which share in it what they share here."""
    if isinstance(node, str) or not isinstance(node, (dict, list)):
        return node if isinstance(node, (*_PLAIN, Tagged)) else copy.deepcopy(node, copies)
    if id(node) not in copies:
        made: Any = copy.copy(node)  # with its tag and its block
        copies[id(node)] = made
        if isinstance(node, dict):
            made.update((name, _copied(child, copies)) for name, child in node.items())
        else:
            made[:] = [_copied(child, copies) for child in node]
    return copies[id(node)]


def _nodes(objects: list[Any]) -> list[Any]:
    import asdf

    if (direct := asdf_conversion.nodes_of(objects)) is not None:
        return direct
    stream = io.BytesIO()
    file = asdf.AsdfFile()
    file["objects"] = (
        objects  # given to the constructor they would be converted twice, to check them
    )
    try:
        file.write_to(stream)
    except (TypeError, ValueError, asdf.ValidationError) as error:
        raise ValidationError(f"metadata hold an object that cannot be stored: {error}") from error
    content = stream.getvalue()
    source = Source(Path("memory"), (0, 0, 0), len(content), content)
    end = document_end(content) or len(content)
    nodes: list[Any] = asdf_tree.parse(source, content[:end], end, len(content))["objects"]
    return nodes


def _objects(value: object, tags: set[str], what: str) -> Any:
    import asdf

    if (direct := asdf_conversion.object_of(value)) is not None:
        return direct
    manager = asdf.AsdfFile().extension_manager
    unknown = sorted(
        t for t in tags if not t.startswith(asdf_yaml.YAML) and not manager.handles_tag(t)
    )
    if unknown:
        names = sorted({name for word, name in _PACKAGES.items() if word in " ".join(unknown)})
        raise InputError(
            f"{what} is an object that no installed package can read "
            f"({', '.join(unknown)}); install {' and '.join(names) or 'the package that defines it'}."
        )
    tree = {"value": copy.deepcopy(value)}
    blocks = attach_blocks(tree)
    parts = [asdf_yaml.dump(tree), *(bytes(p) for block in blocks for p in block.pieces())]
    try:
        with warnings.catch_warnings():
            # A node that cannot be converted would be left as it is, with no more than a warning.
            warnings.simplefilter("error", asdf.exceptions.AsdfConversionWarning)
            with asdf.config_context() as config:
                config.validate_on_read = (
                    False  # who converts a node checks it, too, and in less time
                )
                content = io.BytesIO(b"".join(parts))
                with asdf.open(content, lazy_load=False, memmap=False) as file:
                    return file["value"]
    except Exception as error:
        raise InputError(f"{what} is damaged: {type(error).__name__}: {error}.") from error


def _array(node: TaggedDict, source: Source | None) -> Any:
    if source is None:
        return node
    found = asdf_tree.stored_array(node, source)
    if found is None:
        return node
    return read_only(found.read() if isinstance(found, Stored) else found)
