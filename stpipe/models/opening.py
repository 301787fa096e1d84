"""Open files as the model that they hold."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.models.base import REGISTRY, DataModel, Init
from stpipe.models.io.content import blaming, lookup
from stpipe.models.io.reading import File, inspect
from stpipe.models.metadata import Metadata
from stpipe.models.storage.arrays import Array
from stpipe.models.user_models import known_class
from stpipe.naming import TABLES
from stpipe.system.text import counted

if TYPE_CHECKING:
    from stpipe.models.io.columns import Table

__all__ = ["open_metadata", "open_model"]

log = logging.getLogger(__name__)

# Reference types whose model has another name.
_ALIASES = {"area": "pixelarea", "emicorr": "emi", "persat": "persistencesat"}
# Models of arrays without a model, by number of dimensions.
_BY_DIMENSIONS = {2: "ImageModel", 3: "CubeModel", 4: "RampModel"}


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
        path = Path(init)
        file = inspect(path)
        with blaming(path):
            model = _class_of(file)
        return model._opened(file, path)  # noqa: SLF001 - ours: what was read is not read again
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


def _class_of(file: File) -> type[DataModel]:
    known = known_class(file.model_type)
    if known is not None:
        return known
    guess = _guess(file)
    reason = f"its model {file.model_type} is unknown" if file.model_type else "it names no model"
    log.info("%s is opened as %s: %s", file.source.path, guess.__name__, reason)
    return guess


def _guess(file: File) -> type[DataModel]:
    """The class for a file without DATAMODL: from REFTYPE, else from the array's shape."""
    if file.table is not None:
        return _model_of_table(file.table)
    if file.units:
        reftype = str(file.units[0].header.get("REFTYPE") or "").lower()
        shape = next((unit.shape for unit in file.units if unit.name == "SCI"), ())
    else:
        reftype = str(lookup(file.tree, "meta.reftype") or "").lower()
        shape = _shape_in_tree(lookup(file.tree, "data"))
    if reftype:
        return _reference_class(reftype, len(shape))
    return REGISTRY.get(_BY_DIMENSIONS.get(len(shape), ""), DataModel)


def _shape_in_tree(node: Any) -> tuple[int, ...]:
    """The shape of an array in a tree, as far as can be told without reading it."""
    if isinstance(node, Mapping) and "value" in node:
        node = node["value"]  # of a quantity
    if isinstance(node, Mapping) and "data" not in node:
        return tuple(node.get("shape", ()))
    inline = node["data"] if isinstance(node, Mapping) else node
    return np.shape(inline) if isinstance(inline, list) else ()


def _reference_class(reftype: str, ndim: int) -> type[DataModel]:
    named = {name.removesuffix("Model").lower(): model for name, model in REGISTRY.items()}
    if reftype == "dark" and ndim == 4:  # noqa: PLR2004 - MIRI's darks have integrations
        reftype = "darkmiri"
    return named.get(_ALIASES.get(reftype, reftype), REGISTRY.get("ReferenceFileModel", DataModel))


def _model_of_table(table: Table) -> type[DataModel]:
    """The model of tables in text that has these columns."""
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
        raise InputError(
            f"No model holds an array of {counted(ndim, 'dimension')}; allowed: 2, 3 or 4."
        )
    return REGISTRY[_BY_DIMENSIONS[ndim]]
