"""Write parameters to a file that repeats them, as ConfigObj text or ASDF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from configobj import ConfigObj

from stpipe import hooks
from stpipe.errors import ParameterError, StpipeError
from stpipe.parameters.readers import EXTENSIONS
from stpipe.system.atomic import replacing

if TYPE_CHECKING:
    from stpipe.parameters.declaration import Declaration
    from stpipe.parameters.settings import Parameters

__all__ = ["asdf_tree", "checked", "export", "write"]


def write(path: str | Path, cls: type[Declaration], parameters: Parameters) -> Path:
    """Write `parameters` of `cls`; the extension chooses the format.

    Raises
    ------
    ParameterError
        When the extension is neither `.cfg` nor `.asdf`, or the file cannot be written.
    """
    path = checked(path)
    if path.suffix == ".asdf":
        from stpipe.models.formats import asdf_yaml

        content = asdf_yaml.dump(asdf_tree(cls, parameters))
    else:
        content = export(cls.target(), parameters).encode()
    try:
        with replacing(path) as stream:
            stream.write(content)
    except StpipeError as error:
        raise ParameterError(f"parameter file {error}") from None
    return path


def checked(path: str | Path) -> Path:
    """The path, when its extension says in which format to write.

    Raises
    ------
    ParameterError
        When it does not.
    """
    path = Path(path)
    if path.suffix not in EXTENSIONS:
        raise ParameterError(
            f"parameter file {path}: allowed: a name that ends in {' or '.join(EXTENSIONS)}."
        )
    return path


def export(target: str, parameters: Parameters, *, only_given: bool = False) -> str:
    """Text of a parameter file that repeats `parameters` of the class `target`.

    With `only_given`, defaults are left out.
    """
    content = ConfigObj(interpolation=False, list_values=True)
    content["class"] = target
    _fill(content, parameters, only_given)
    return "\n".join(content.write()) + "\n"


def _fill(section: Any, parameters: Parameters, only_given: bool) -> None:
    for name, value in parameters.values.items():
        default = parameters.sources[name] == "default"
        # A default of None is not written; a None that was given has to be repeated.
        if not (default and (only_given or value is None)):
            section[name] = _writable(name, value)
    if parameters.steps:
        section["steps"] = {}
        for name, substep in parameters.steps.items():
            section["steps"][name] = {}
            _fill(section["steps"][name], substep, only_given)
            if only_given and not section["steps"][name]:
                del section["steps"][name]


def _writable(name: str, value: object) -> Any:
    """A value in the form that ConfigObj can write."""
    if not isinstance(value, (list, tuple)):
        return value
    items = [hooks.text(v) if callable(v) else v for v in value]
    awkward = [v for v in items if isinstance(v, str) and "'" in v and '"' in v]
    if awkward and len(items) > 1:
        raise ParameterError(
            f"{name}: a .cfg file cannot hold this list, because of an entry with both kinds of "
            f"quotes: {awkward[0]}. Put the command into a script, or save the parameters as .asdf."
        )
    return items[0] if awkward else items


def asdf_tree(cls: type[Declaration], parameters: Parameters, name: str = "") -> dict[str, Any]:
    """Class, name, parameters and, of a pipeline, steps: the tree that STScI's files have."""
    tree: dict[str, Any] = {
        "class": cls.target(),
        "name": name or cls.alias or cls.__name__,
        "parameters": {n: _plain(v) for n, v in parameters.values.items()},
    }
    if cls.step_defs:
        tree["steps"] = [
            asdf_tree(step, parameters.steps[n], n) for n, step in cls.step_defs.items()
        ]
    return tree


def _plain(value: object) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return hooks.text(value) if callable(value) else value
