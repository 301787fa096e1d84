"""Models of users: from a schema, a Python file, or a package's entry point.

A package announces its models in its ``pyproject.toml``::

    [project.entry-points."stpipe.models"]
    anything = "mypackage.mymodels"

Importing the module defines its classes; they are imported when a file names a model that is not
known yet. Without a package, the environment variable ``STPIPE_MODELS`` lists schemas and files of
Python, separated as in ``PATH``.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from stpipe.errors import InputError
from stpipe.models.base import REGISTRY, DataModel
from stpipe.models.schema.schema import Schema

__all__ = ["GROUP", "extension_of", "known_class", "model_class", "register"]

GROUP = "stpipe.models"
VARIABLE = "STPIPE_MODELS"


def model_class(schema: str | os.PathLike[str]) -> type[DataModel]:
    """A model class for a schema file; ``my.schema.json`` gives ``MyModel``.

    Raises
    ------
    InputError
        When the schema is missing or wrong.
    """
    return _model_class(Schema.load(Path(schema)).path)


def register(path: str | os.PathLike[str]) -> list[type[DataModel]]:
    """Register the models of a schema (``.json``) or a Python file, and return them.

    Raises
    ------
    InputError
        When the file is missing, wrong, or neither.
    """
    file = Path(path)
    if file.suffix == ".json":
        return [model_class(file)]
    if file.suffix != ".py" or not file.is_file():
        raise InputError(f"{file} is neither a schema (.json) nor a Python file (.py).")
    before = set(REGISTRY)
    _run(file.resolve())
    return [REGISTRY[name] for name in REGISTRY if name not in before]


def known_class(name: str) -> type[DataModel] | None:
    """The class called ``name``, sought among the models of users when it is not ours."""
    if name and name not in REGISTRY:
        _load_users()
    return REGISTRY.get(name)


def extension_of(name: str) -> str:
    """The extension of the files in which models of the class called ``name`` are kept."""
    return (known_class(name) or DataModel).extension


@functools.cache
def _model_class(path: Path) -> type[DataModel]:
    loaded = Schema.load(path)
    words = re.split(r"[^0-9A-Za-z]+", path.name.partition(".")[0])
    name = "".join(word[:1].upper() + word[1:] for word in words) + "Model"
    primary = next(iter(loaded.arrays), "data")
    body = {
        "schema_name": str(path),
        "primary": "data" if "data" in loaded.arrays else primary,
        "__doc__": loaded.title or f"Model of the schema {path.name}.",
    }
    return type(name, (DataModel,), body)


def _run(file: Path) -> None:
    import importlib.util
    import sys

    name = f"_stpipe_models_{file.stem}"
    if getattr(sys.modules.get(name), "__file__", None) == str(file):
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{file} cannot be imported: {type(error).__name__}: {error}.") from error


@functools.cache
def _load_users() -> None:
    """Register the models that the environment and installed packages name, once."""
    from importlib.metadata import entry_points

    for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        register(path)
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            raise InputError(
                f"The models of {point.value} (entry point {point.name} of {GROUP}) cannot be "
                f"imported: {type(error).__name__}: {error}."
            ) from error
