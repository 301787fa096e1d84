"""Catalogues of stars that users bring: places in pixels of an exposure, or on the sky."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stpipe.science.arrays import Doubles

__all__ = ["listed_catalogs", "pixels_of", "sky_of"]


def listed_catalogs(catfile: Path) -> dict[str, Path]:
    """Catalogues by the name of the exposure, from lines of both names; without one: none is used.

    Paths are relative to the folder of `catfile`; lines that begin with ``#`` are comments.

    Raises
    ------
    InputError
        When the file is not there, or a line has more than two words.
    """
    try:
        text = catfile.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"catfile: {catfile} cannot be read: {error.strerror}.") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) > 2:  # noqa: PLR2004 - an exposure and its catalogue
            raise InputError(
                f"{catfile}:{number}: found {len(words)} words, allowed: an exposure and a catalogue."
            )
        if words[1:]:
            found[words[0]] = catfile.parent / words[1]
    return found


def pixels_of(path: Path) -> Doubles:
    """Places (n, 2: x, y, from 0) in a catalogue with the columns x and y, or xcentroid and ycentroid.

    Raises
    ------
    InputError
        When it cannot be read or has neither.
    """
    columns = _read(path)
    for pattern in ("{}", "{}centroid", "{}_centroid"):
        names = [pattern.format(axis) for axis in "xy"]
        if all(name in columns for name in names):
            return np.column_stack([columns[name] for name in names])
    raise _lacks(path, columns, "x and y, or xcentroid and ycentroid")


def sky_of(path: Path) -> Doubles:
    """Places (n, 2: right ascension, declination, degrees) in a catalogue, in the same way.

    The columns are ra and dec, or sky_centroid as jwst writes it.
    """
    columns = _read(path)
    for names in (("ra", "dec"), ("sky_centroid.ra", "sky_centroid.dec")):
        if all(name in columns for name in names):
            return np.column_stack([columns[name] for name in names])
    raise _lacks(path, columns, "ra and dec, or sky_centroid")


def _lacks(path: Path, columns: Iterable[str], wanted: str) -> InputError:
    return InputError(f"{path} has the columns {', '.join(columns)}; it needs {wanted}.")


def _read(path: Path) -> dict[str, Doubles]:
    """Columns of numbers by lower-case name; coordinates are two of them."""
    from astropy.table import Table

    if not path.is_file():
        raise InputError(f"There is no catalogue {path}; check the name and the folder.")
    try:
        table = Table.read(path)
    except Exception as error:  # noqa: BLE001 - each of the many readers has errors of its own
        raise InputError(f"{path} is no table that can be read: {error}") from None
    found: dict[str, Any] = {}
    for name in table.colnames:
        column = table[name]
        if hasattr(column, "ra"):
            parts = {f"{name}.{axis}": getattr(column, axis).deg for axis in ("ra", "dec")}
        else:
            parts = {name: np.asarray(column)}
        found |= {key.lower(): np.asarray(values) for key, values in parts.items()}
    return {n: v.astype(np.float64) for n, v in found.items() if v.dtype.kind in "iuf"}
