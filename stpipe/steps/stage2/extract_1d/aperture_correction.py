"""How much of a point source's light an aperture misses, from an APCORR reference file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.errors import ReferenceMissing

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Booleans, Doubles

__all__ = ["aperture_correction", "beyond_table", "find_entry"]

_KEYS = {
    "subarray": "meta.subarray.name",
    "filter": "meta.instrument.filter",
    "pupil": "meta.instrument.pupil",
    "grating": "meta.instrument.grating",
    "slit": "name",
}
PHASE = 0.5  # where in a pixel the source is, in tables that ask


def find_entry(reference: CutReference, meta: FlatMetadata) -> np.void:
    """The row of an APCORR table for a spectrum: by subarray, filter, pupil, grating, slit.

    Raises
    ------
    ReferenceMissing
        When there is none, or there are several.
    """
    table = reference.apcorr_table
    asked = {n: str(meta.get(path)).upper() for n, path in _KEYS.items() if n in table.dtype.names}
    known = {n: np.char.upper(np.char.strip(table[n].astype(str))) for n in asked}
    fits = [known[name] == value for name, value in asked.items()]
    found = np.flatnonzero(np.logical_and.reduce(fits))
    if len(found) != 1:
        wanted = ", ".join(f"{name} {value}" for name, value in asked.items())
        rows = "; ".join(" ".join(row) for row in zip(*known.values(), strict=True))
        raise ReferenceMissing(
            f"the apcorr reference has {len(found)} rows for {wanted}, allowed: 1. It has {rows}. "
            "Give another override_apcorr, or apply_apcorr=False."
        )
    entry: np.void = table[found[0]]
    return entry


def aperture_correction(entry: np.void, size: Doubles, wavelength: Doubles) -> Doubles:
    """The factor from the light in apertures to all light of a point source.

    Linear between the sizes and wavelengths of the table, and constant beyond them; tables of NIRSpec
    have none beyond their wavelengths, where the factor is 1.

    Parameters
    ----------
    entry
        A row with `size` (of which `nelem_size` count), `wavelength` (`nelem_wl`, um) and
        `apcorr` (wavelength, size); of NIRSpec `size` (size, wavelength), `pixphase`, and `apcorr`
        (size, wavelength, phase).
    size, wavelength
        Of each aperture, the size in the unit of the table; arrays of one shape.
    """
    from scipy.interpolate import RectBivariateSpline

    if "pixphase" in (entry.dtype.names or ()):
        return _by_phase(entry, size, wavelength)
    waves, sizes = int(entry["nelem_wl"]), int(entry["nelem_size"])
    known = np.asarray(entry["wavelength"][:waves], dtype=np.float64)
    order = np.argsort(known)
    factors = np.asarray(entry["apcorr"][:waves, :sizes], dtype=np.float64)[order].T
    rows = np.asarray(entry["size"][:sizes], dtype=np.float64)
    surface = RectBivariateSpline(rows, known[order], factors, kx=1, ky=1)
    found: Doubles = surface.ev(size, wavelength)
    return found


def beyond_table(entry: np.void, wavelength: Doubles) -> Booleans:
    """Where a table of NIRSpec has no correction; nowhere of other tables."""
    if "pixphase" not in (entry.dtype.names or ()):
        return np.zeros(np.shape(wavelength), dtype=bool)
    known: Doubles = np.asarray(entry["wavelength"][: int(entry["nelem_wl"])], dtype=np.float64)
    beyond: Booleans = (wavelength < known.min()) | (wavelength > known.max())
    return beyond


def _by_phase(entry: np.void, size: Doubles, wavelength: Doubles) -> Doubles:
    """The same by a table of NIRSpec, whose sizes may depend on the wavelength; 1 beyond it."""
    waves, sizes = int(entry["nelem_wl"]), int(entry["nelem_size"])
    known = np.asarray(entry["wavelength"][:waves], dtype=np.float64)
    order = np.argsort(known)
    phases = np.asarray(entry["pixphase"], dtype=np.float64)
    factors = np.asarray(entry["apcorr"], dtype=np.float64)[:sizes, :waves][:, order]
    limits = np.asarray(entry["size"], dtype=np.float64)[:sizes, :waves][:, order]
    at_phase = np.apply_along_axis(lambda f: np.interp(PHASE, phases, f), 2, factors)
    rows, asked = known[order], np.clip(wavelength, known.min(), known.max())
    low = np.clip(np.searchsorted(rows, asked) - 1, 0, max(waves - 2, 0))
    high = np.minimum(low + 1, waves - 1)
    part = (asked - rows[low]) / np.where(high > low, rows[high] - rows[low], 1.0)
    here = [t[:, low] + part * (t[:, high] - t[:, low]) for t in (limits, at_phase)]
    found = _interpolated(size, here[0], here[1])
    return np.where(beyond_table(entry, wavelength), 1.0, found)


def _interpolated(asked: Doubles, at: Doubles, values: Doubles) -> Doubles:
    """Linear between points (points, ...), each of `asked` (...) between its own; ends beyond."""
    low = np.clip((at <= asked).sum(axis=0) - 1, 0, max(len(at) - 2, 0))[np.newaxis]
    high = np.minimum(low + 1, len(at) - 1)
    ends = [np.take_along_axis(t, k, 0)[0] for t in (at, values) for k in (low, high)]
    width = np.where(ends[1] > ends[0], ends[1] - ends[0], 1.0)
    part = np.clip((asked - ends[0]) / width, 0.0, 1.0)
    found: Doubles = ends[2] + part * (ends[3] - ends[2])
    return found
