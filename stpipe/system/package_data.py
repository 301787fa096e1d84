"""Where the folders that ship with the package are: schemas, config and workflow."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from stpipe.errors import InputError

__all__ = ["PACKAGE", "folder"]

# From the package, so that this module may be anywhere in it.
PACKAGE = Path(str(sys.modules[__name__.partition(".")[0]].__file__)).resolve().parent


@functools.cache
def folder(name: str) -> Path:
    """Folder ``name`` of the installed package, or of the checkout that the package is used from.

    Raises
    ------
    InputError
        When neither has it.
    """
    places = [PACKAGE / "share" / name, PACKAGE.parent / name]
    for place in places:
        if place.is_dir():
            return place
    raise InputError(
        f'The folder "{name}" of stpipe is in neither {places[0]} nor {places[1]}; '
        "install stpipe-flow again, or work from a complete checkout."
    )
