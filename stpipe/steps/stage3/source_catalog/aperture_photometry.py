"""Light of point sources in circles that hold known parts of it, from an APCORR reference file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.errors import ReferenceMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["Apertures", "Fluxes", "apertures_for", "magnitudes", "vega_offset"]

ZERO_POINT = 8.9  # AB magnitude of 1 Jy (Oke & Gunn 1983)
FAR_AWAY = -1000.0  # where a source is put that has no place: no circle reaches the image
_KEYS = {
    "filter": "meta.instrument.filter",
    "pupil": "meta.instrument.pupil",
    "subarray": "meta.subarray.name",
    "detector": "meta.instrument.detector",
}


@dataclass(frozen=True)
class Apertures:
    """Circles and the annulus of the local background; radii in pixels of the mosaic.

    `energies` are per cent of the light of a point source, `corrections` the factors to all of it.
    """

    energies: tuple[int, ...]
    radii: tuple[float, ...]
    corrections: tuple[float, ...]
    inner: float
    outer: float

    def measure(self, data: Floats, err: Floats, places: Doubles) -> Fluxes:
        """Fluxes in the circles above the local background; errors are those of the pixels.

        A circle that a pixel without a value is in has no flux.
        """
        if not len(places):
            none = np.zeros((len(self.radii), 0))
            return Fluxes(none, none, none[0], none[0])
        known = np.where(np.isfinite(places), places, FAR_AWAY)
        level, level_error = self._local_background(data, known)
        sums = np.array([_sums(data, err, known, radius) for radius in self.radii])
        areas = np.pi * np.square(self.radii)
        return Fluxes(sums[:, 0] - areas[:, None] * level, sums[:, 1], level, level_error)

    def _local_background(self, data: Floats, places: Doubles) -> tuple[Doubles, Doubles]:
        """Clipped median of each annulus, and its error: sqrt(pi / 2n) times the scatter."""
        from astropy.stats import SigmaClip
        from photutils.aperture import CircularAnnulus

        clip = SigmaClip(sigma=3.0)
        found = np.full((2, len(places)), np.nan)
        masks = CircularAnnulus(places, self.inner, self.outer).to_mask(method="center")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of annuli without a pixel that has a value: NaN
            for n, mask in enumerate(masks):
                values = clip(mask.get_values(data), masked=False)
                if values.size:
                    error = np.sqrt(np.pi / (2 * values.size)) * np.std(values)
                    found[:, n] = np.median(values), error
        return found[0], found[1]


class Fluxes(NamedTuple):
    """Fluxes and errors (circles, sources), and the background of a pixel with its error."""

    flux: Doubles
    error: Doubles
    background: Doubles
    background_error: Doubles


def _sums(data: Floats, err: Floats, places: Doubles, radius: float) -> Doubles:
    """Sums within circles and their errors (2, sources); pixels on the edge count in part.

    Their errors then count in that part, too, which releases of photutils before 3.1 do not do.
    """
    from photutils.aperture import CircularAperture

    found = np.full((2, len(places)), np.nan)
    for n, mask in enumerate(CircularAperture(places, radius).to_mask(method="exact")):
        values, errors = mask.get_values(data), mask.get_values(err)
        if values.size:
            found[:, n] = values.sum(dtype=np.float64), np.sqrt(np.square(errors).sum())
    return found


def apertures_for(
    reference: CutReference, meta: FlatMetadata, energies: Sequence[int], scale: float
) -> Apertures:
    """The circles that hold `energies` per cent of the light, from an APCORR reference.

    `scale` is the size of the mosaic's pixels over that of the detector's.

    Raises
    ------
    ReferenceMissing
        When the reference has no single row for the exposure and an encircled energy.
    """
    rows = _rows_for(reference.apcorr_table, meta, ("filter", "pupil", "subarray"), "apcorr")
    known = np.rint(rows["eefraction"] * 100).astype(int)
    if odd := [each for each in energies if np.count_nonzero(known == each) != 1]:
        raise ReferenceMissing(
            f"the apcorr reference has {np.count_nonzero(known == odd[0])} rows for the encircled "
            f"energy {odd[0]} %, allowed: 1. It has {', '.join(map(str, known))}. Give another "
            "aperture_ee or override_apcorr."
        )
    chosen = rows[[int(np.flatnonzero(known == each)[0]) for each in energies]]
    inner, outer = (np.unique(chosen[name]) for name in ("skyin", "skyout"))
    if len(inner) != 1 or len(outer) != 1:
        raise ReferenceMissing(
            "the apcorr reference has different annuli (skyin, skyout) for the encircled energies, "
            "allowed: one. Give another override_apcorr."
        )
    return Apertures(
        tuple(energies),
        tuple(float(radius) / scale for radius in chosen["radius"]),
        tuple(map(float, chosen["apcorr"])),
        float(inner[0]) / scale,
        float(outer[0]) / scale,
    )


def vega_offset(table: Table, meta: FlatMetadata) -> float:
    """AB minus Vega magnitude for the filter of an exposure, or the detector of a guider.

    Raises
    ------
    ReferenceMissing
        When the table does not have it, or has it more than once.
    """
    rows = _rows_for(table, meta, ("filter", "pupil", "detector"), "abvegaoffset")
    if len(rows) != 1:
        raise ReferenceMissing(
            f"the abvegaoffset reference has {len(rows)} rows for the exposure, allowed: 1. Give "
            "another override_abvegaoffset."
        )
    return float(rows["abvega_offset"][0])


def magnitudes(flux: Doubles, error: Doubles) -> tuple[Doubles, Doubles]:
    """AB magnitudes and errors of fluxes in Jy; NaN where a flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = -2.5 * np.log10(flux) + ZERO_POINT
        uncertainty = 2.5 * np.log10(1 + error / flux)
    return np.where(flux > 0, magnitude, np.nan), np.where(flux > 0, uncertainty, np.nan)


def _rows_for(table: Table, meta: FlatMetadata, keys: Sequence[str], kind: str) -> Table:
    """The rows for the filter and what else tells exposures apart in the table."""
    rows = np.asarray(table)
    asked = {n: str(meta.get(_KEYS[n])).upper() for n in keys if n in (rows.dtype.names or ())}
    known = {n: np.char.upper(np.char.strip(rows[n].astype(str))) for n in asked}
    fits = [known[name] == value for name, value in asked.items()]
    found = rows[np.logical_and.reduce(fits)] if fits else rows
    if not len(found):
        wanted = ", ".join(f"{name} {value}" for name, value in asked.items())
        there = "; ".join(sorted({" ".join(row) for row in zip(*known.values(), strict=True)}))
        raise ReferenceMissing(
            f"the {kind} reference has no row for {wanted}. It has {there or 'none'}. Give another "
            f"override_{kind}."
        )
    return found
