"""The row of a PHOTOM reference for an exposure or slit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.exposure_types import WFSS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.opened import CutReference

__all__ = ["coefficients_of", "described", "find_row", "matching", "unit_of"]

SLITLESS_UNIT = "MJy micron s / (DN sr)"
_KEYS = {
    "filter": "meta.instrument.filter",
    "pupil": "meta.instrument.pupil",
    "grating": "meta.instrument.grating",
    "subarray": "meta.subarray.name",
    "slit": "name",
    "order": "meta.wcsinfo.spectral_order",
}


def described(meta: FlatMetadata) -> str:
    """What a PHOTOM reference is searched for."""
    found = ((name, meta.get(path)) for name, path in _KEYS.items())
    return ", ".join(f"{name} {value}" for name, value in found if value is not None)


def find_row(table: Table, meta: FlatMetadata) -> int | None:
    """Number of the row of a PHOTOM table for an exposure or slit; None without one.

    A table with neither filters nor pupils has one row for all. Subarrays that MIRI's tables do not
    list go by the name GENERIC.
    """
    names = table.dtype.names or ()
    asked = {name: meta.get(path) for name, path in _KEYS.items() if name in names}
    found = matching(table, asked)
    if not len(found) and "subarray" in asked and "pupil" not in asked:
        found = matching(table, {**asked, "subarray": "GENERIC"})
    return int(found[0]) if len(found) else None


def matching(table: Table, asked: Mapping[str, object]) -> npt.NDArray[np.intp]:
    """Numbers of the rows of a table that have what is asked, by column."""
    fits = np.ones(len(table), dtype=bool)
    for name, value in asked.items():
        column = table[name]
        text = column.dtype.kind in "SU"
        fits &= (np.char.strip(column.astype(str)) == str(value)) if text else (column == value)
    return np.flatnonzero(fits)


def coefficients_of(photom: CutReference, row: int) -> dict[str, np.void]:
    """The row's coefficients of each law by which sensitivity is lost that the reference has."""
    laws = ("linear", "exponential", "powerlaw")
    tables = {law: getattr(photom, f"timecoeff_{law}", None) for law in laws}
    return {law: table[row] for law, table in tables.items() if table is not None}


def unit_of(photom: CutReference, meta: FlatMetadata) -> float:
    """What a reference's unit of the conversion is in the one that slitless spectra take."""
    given = getattr(photom, "phot_unit", None)
    if given is None or meta["meta.exposure.type"] not in WFSS:
        return 1.0
    from astropy import units

    return float(units.Unit(given).to(units.Unit(SLITLESS_UNIT)))
