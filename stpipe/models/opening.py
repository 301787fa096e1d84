"""Open files as the model that they hold."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.models.base import REGISTRY, DataModel, Init, check_readable
from stpipe.models.formats.fits_hdus import Hdu, scan
from stpipe.models.io.content import Content, blaming, lookup
from stpipe.models.metadata import Metadata
from stpipe.models.schema import validation
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Array, Source
from stpipe.models.user_models import known_class
from stpipe.naming import EXTENSIONS, TABLES

if TYPE_CHECKING:
    from stpipe.models.io.ecsv import Table

__all__ = ["File", "content_for", "inspect", "open_metadata", "open_model"]

log = logging.getLogger(__name__)

# Reference types whose model has another name.
_ALIASES = {"area": "pixelarea", "emicorr": "emi", "persat": "persistencesat"}
# Models of arrays that do not say what they are, by number of dimensions.
_BY_DIMENSIONS = {2: "ImageModel", 3: "CubeModel", 4: "RampModel"}


@dataclass(frozen=True)
class File:
    """A file before it is known which model to read it as."""

    source: Source
    units: list[Hdu]
    tree: dict[str, Any]
    table: Table | None = None  # of ECSV

    @property
    def model_type(self) -> str:
        """What DATAMODL says, or nothing."""
        if self.units and (named := self.units[0].header.get("DATAMODL")):
            return str(named)
        return str(lookup(self.tree or self._tree_in_fits, "meta.model_type") or "")

    @functools.cached_property
    def _tree_in_fits(self) -> dict[str, Any]:
        """The tree that names the model, when its schema has no keyword for that."""
        from stpipe.models.io.fits_reader import tree_of

        with blaming(self.source.path):
            return tree_of(self.units, "meta.model_type")

    def content(self, schema: Schema) -> Content:
        """The content as ``schema`` sees it."""
        with blaming(self.source.path):
            if self.units:
                from stpipe.models.io.fits_reader import read_fits

                return read_fits(self.source, self.units, schema)
            from stpipe.models.io.asdf_reader import sort_tree

            content = sort_tree(self.source, self.tree, schema)
            if self.table is not None:
                from stpipe.models.io.ecsv import put_table

                put_table(content, schema, self.table)
            return content

    def guess(self) -> type[DataModel]:
        """The class for a file that does not say: from REFTYPE, else from the array's shape."""
        if self.table is not None:
            return _model_of_table(self.table)
        if self.units:
            reftype = str(self.units[0].header.get("REFTYPE") or "").lower()
            shape = next((unit.shape for unit in self.units if unit.name == "SCI"), ())
        else:
            reftype = str(lookup(self.tree, "meta.reftype") or "").lower()
            shape = tuple((lookup(self.tree, "data") or {}).get("shape", ()))
        if reftype:
            return _reference_class(reftype, len(shape))
        return REGISTRY.get(_BY_DIMENSIONS.get(len(shape), ""), DataModel)


def open_model(init: Init) -> DataModel:
    """A model of the class that fits ``init``: a path, an array, a dictionary or a model.

    The class of a file is the one that its keyword DATAMODL names; without it, the class follows
    from REFTYPE or the number of dimensions, and the log says so.

    Raises
    ------
    InputError
        When the file is missing or damaged, or an array has no model.
    """
    if isinstance(init, DataModel):
        return type(init)(init)
    if isinstance(init, (str, os.PathLike)):
        file = inspect(Path(init))
        with blaming(file.source.path):
            model = _class_of(file)
        return model(init)
    if isinstance(init, Mapping):
        name = str(lookup(init, "meta.model_type") or "")
        fits = init.get("data", init.get("dq"))
        return (known_class(name) or _class_for_array(fits))(init)
    return _class_for_array(init)(init)


def open_metadata(path: str | os.PathLike[str]) -> Metadata:
    """Metadata and array shapes of a file, from its headers alone.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    """
    file = inspect(Path(path))
    with blaming(file.source.path):
        model = _class_of(file)
    schema = model.load_schema()
    return Metadata(file.content(schema), schema, file.model_type or model.__name__)


def content_for(model: type[DataModel], path: Path) -> Content:
    """What the file holds, as ``model`` sees it.

    Raises
    ------
    InputError
        When the file holds another model, or arrays of other dimensions.
    """
    file = inspect(path)
    check_readable(model, file.model_type, str(path))
    schema = model.load_schema()
    content = file.content(schema)
    for name, array in content.arrays.items():
        if problem := validation.array_problem(schema.arrays[name], array):
            raise InputError(f"{path} is no {model.__name__}: {problem}")
    return content


def inspect(path: Path) -> File:
    """The file at ``path``, its headers or tree read.

    Raises
    ------
    InputError
        When it is missing, damaged, or neither FITS, ASDF nor ECSV.
    """
    source = Source.of(path)
    with source.open() as stream:
        start = stream.read(9)
    if start.startswith(b"SIMPLE  ="):
        return File(source, scan(source), {})
    if start.startswith(b"#ASDF"):
        from stpipe.models.io.asdf_reader import read_tree

        return File(source, [], read_tree(source))
    if start.startswith(b"# %ECSV"):
        from stpipe.models.io.ecsv import read_ecsv

        return File(source, [], *read_ecsv(source))
    found = "is empty" if not source.size else f"starts with {start!r}"
    raise InputError(
        f"{path} is neither FITS, ASDF nor ECSV: it {found}; give a file with one of the endings "
        f"{', '.join(EXTENSIONS)}."
    )


def _class_of(file: File) -> type[DataModel]:
    known = known_class(file.model_type)
    if known is not None:
        return known
    guess = file.guess()
    reason = f"its model {file.model_type} is unknown" if file.model_type else "it names no model"
    log.info("%s is opened as %s: %s", file.source.path, guess.__name__, reason)
    return guess


def _reference_class(reftype: str, ndim: int) -> type[DataModel]:
    named = {name.removesuffix("Model").lower(): model for name, model in REGISTRY.items()}
    if reftype == "dark" and ndim == 4:  # noqa: PLR2004 - MIRI's darks have integrations
        reftype = "darkmiri"
    return named.get(_ALIASES.get(reftype, reftype), REGISTRY.get("ReferenceFileModel", DataModel))


def _model_of_table(table: Table) -> type[DataModel]:
    """The model of tables in text whose columns there are."""
    there = set(table.values.dtype.names or ())
    for model in REGISTRY.values():
        if model.extension in TABLES:
            known = model.load_schema().arrays[model.primary].dtype
            if known is not None and there.issuperset(known.names or ()):
                return model
    return DataModel


def _class_for_array(array: Array | Any) -> type[DataModel]:
    if array is None:
        return DataModel
    ndim = np.ndim(array)
    if ndim not in _BY_DIMENSIONS:
        raise InputError(f"No model holds an array of {ndim} dimensions; 2, 3 and 4 are known.")
    return REGISTRY[_BY_DIMENSIONS[ndim]]
