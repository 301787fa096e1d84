"""The product of an extraction: a table with units, the place of the aperture, and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.spectra.aperture import centre

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    from gwcs import WCS

    from stpipe.models import (
        MultiSpecModel,
        Part,
        TSOMultiSpecModel,
    )
    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.science.arrays import Doubles
    from stpipe.science.spectra.aperture import Limits
    from stpipe.science.spectra.box_extraction import Extraction
    from stpipe.science.spectra.slits import Slits

__all__ = [
    "Place",
    "Scale",
    "Spectrum",
    "columns_of",
    "source_type",
    "spectra_of",
    "spectral_wcs",
    "table_of",
]

JANSKY = 1e6  # Jy of 1 MJy
_TIMES = {
    f"{system}-{when}": f"int_{name}_{column}"
    for system, column, middle in (("MJD", "MJD_UTC", "AVG"), ("TDB", "BJD_TDB", "MID"))
    for when, name in (("BEG", "start"), (middle, "mid"), ("END", "end"))
}


@dataclass(frozen=True)
class Scale:
    """From sums of pixels to fluxes, to means of surface brightness and background, and their units."""

    flux: float
    brightness: float
    background: float
    flux_unit: str
    brightness_unit: str

    @classmethod
    def of(cls, meta: FlatMetadata, step: str) -> Scale:
        """Jy and MJy/sr after photom, count rates without."""
        if meta.get("meta.cal_step.photom") != "COMPLETE":
            return cls(1.0, 1.0, 1.0, "DN/s", "DN/s")
        area = meta.get("meta.photometry.pixelarea_steradians")
        if area is None:
            raise InputError(
                f"{step}: {meta.get('meta.filename')} has no PIXAR_SR, the solid angle of a pixel, "
                "and so no flux. Run photom with a reference that has it."
            )
        if meta.get("meta.bunit_data") == "MJy":  # a point source, which has no surface brightness
            return cls(JANSKY, 0.0, 1 / area, "Jy", "MJy/sr")
        return cls(area * JANSKY, 1.0, 1.0, "Jy", "MJy/sr")

    def units(self) -> dict[str, str]:
        """The unit of each column that has one."""
        units = {"WAVELENGTH": "um", **dict.fromkeys(_TIMES, "d")}
        for names, unit in ((("FLUX",), self.flux_unit), (_BRIGHTNESS, self.brightness_unit)):
            units |= {n: _SQUARED[unit] if "_VAR_" in n else unit for n in _NAMES if _of(n, names)}
        return units


_SQUARED = {"Jy": "Jy^2", "MJy/sr": "MJy^2 / sr^2", "DN/s": "DN^2 / s^2"}
_BRIGHTNESS = ("SURF_BRIGHT", "SB", "BACKGROUND", "BKGD")
_NAMES = tuple(
    name
    for group, value in (("FLUX", "FLUX"), ("SB", "SURF_BRIGHT"), ("BKGD", "BACKGROUND"))
    for name in (
        value,
        f"{group}_ERROR",
        *(f"{group}_VAR_{n}" for n in ("POISSON", "RNOISE", "FLAT")),
    )
)


def _of(name: str, groups: tuple[str, ...]) -> bool:
    return any(name == group or name.startswith(f"{group}_") for group in groups)


@dataclass(frozen=True)
class Place:
    """Where the aperture is: on the sky in degrees, and its limits in pixels, from 1."""

    ra: float | None
    dec: float | None
    limits: dict[str, float]
    direction: int

    @classmethod
    def of(cls, wcs: WCS, weights: Doubles, across: Limits, direction: int) -> Self:
        """The place of an aperture with weights (rows, columns) and limits across the dispersion."""
        row, column = centre(weights)
        ra, dec, _ = (float(value) for value in wcs(column, row))
        used = np.flatnonzero(weights.sum(axis=direction - 1))
        along = (float(used[0]), float(used[-1]))
        names = ("x", "y") if direction == HORIZONTAL else ("y", "x")
        limits: dict[str, float] = {}
        for axis, ends in zip(names, (along, (across.first, across.last)), strict=True):
            limits |= {f"{axis}start": ends[0] + 1, f"{axis}stop": ends[1] + 1}
        on_sky = np.isfinite([ra, dec]).all()
        return cls(ra if on_sky else None, dec if on_sky else None, limits, direction)


def columns_of(found: Extraction, scale: Scale) -> dict[str, Doubles]:
    """Columns of the table (..., along), in the units of `scale`."""
    count = np.where(found.npixels > 0, found.npixels, 1.0)
    table: dict[str, Any] = {}
    for group, value, variance, factor in (
        ("FLUX", ("FLUX", found.flux), found.variance, scale.flux),
        ("SB", ("SURF_BRIGHT", found.flux), found.variance, scale.brightness / count),
        (
            "BKGD",
            ("BACKGROUND", found.background),
            found.background_variance,
            scale.background / count,
        ),
    ):
        table[value[0]] = value[1] * factor if np.any(factor) else np.zeros_like(value[1])
        table[f"{group}_ERROR"] = np.sqrt(sum(variance.values())) * factor
        table |= {f"{group}_VAR_{n.upper()}": v * factor**2 for n, v in variance.items()}
    table["DQ"] = np.where(np.isnan(found.flux), dqflags.DO_NOT_USE, dqflags.GOOD)
    return {**table, "NPIXELS": found.npixels}


def times_of(exposure: Slits, count: int) -> dict[str, npt.NDArray[Any]]:
    """Number and times of each integration; NaN where INT_TIMES does not have the integrations."""
    meta = exposure.meta.exposure
    times: dict[str, npt.NDArray[Any]] = {name: np.full(count, np.nan) for name in _TIMES}
    times["INT_NUM"] = (meta.integration_start or 1) + np.arange(count)
    times["SEGMENT"] = np.full(count, meta.segment_number or 1)
    known = exposure.int_times
    if known is not None and len(known):
        rows = np.searchsorted(known["integration_number"], times["INT_NUM"])
        rows = np.minimum(rows, len(known) - 1)
        if np.array_equal(known["integration_number"][rows], times["INT_NUM"]):
            times |= {name: known[column][rows] for name, column in _TIMES.items()}
    return times


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of a slit, or those of its integrations.

    `meta` are the slit's metadata by dotted name over those of the exposure, `wavelength` is in um at
    each pixel along the dispersion, and `table` has the other columns (..., along).
    """

    meta: FlatMetadata
    wavelength: Doubles
    table: dict[str, Doubles]
    place: Place
    units: Mapping[str, str]


def source_type(meta: FlatMetadata) -> str | None:
    """POINT or EXTENDED: of the slit, or of the exposure's target."""
    found = meta.get("source_type") or meta.get("meta.target.source_type")
    return None if found is None else str(found)


def spectra_of(exposure: Slits, spectra: Sequence[Spectrum]) -> MultiSpecModel | TSOMultiSpecModel:
    """A model with a table for each spectrum; of integrations, each is a row of the table."""
    from stpipe import models

    timed = spectra[0].table["FLUX"].ndim > 1
    model = models.TSOMultiSpecModel() if timed else models.MultiSpecModel()
    model.update(exposure)
    if timed:
        model.int_times = exposure.int_times
    for spectrum in spectra:
        columns: dict[str, npt.NDArray[Any]] = {
            "WAVELENGTH": np.broadcast_to(spectrum.wavelength, spectrum.table["FLUX"].shape),
            **spectrum.table,
        }
        if timed:
            count = len(spectrum.table["FLUX"])
            columns |= times_of(exposure, count)
            columns["N_ALONGDISP"] = np.full(count, spectrum.wavelength.size)
        model.spec.append({})
        spec = model.spec[-1]
        spec.spec_table = table_of(columns, spec)
        there = spec.spec_table.dtype.names
        units = {name: unit for name, unit in spectrum.units.items() if name in there}
        spec.set_units("spec_table", units)
        _describe(spec, spectrum)
    return model


def table_of(columns: Mapping[str, npt.NDArray[Any]], part: Part) -> Table:
    """Rows of a part's table; columns of arrays have as many values as they need."""
    kinds: Any = part.schema.arrays["spec_table"].dtype
    fields = [(n, kinds[n].base, np.shape(columns[n])[1:]) for n in kinds.names]
    rows = np.zeros(len(columns["WAVELENGTH"]), fields)
    for name in kinds.names:
        rows[name] = columns[name]
    return rows


def _describe(spec: Part, spectrum: Spectrum) -> None:
    """Metadata of a spectrum."""
    meta, place = spectrum.meta, spectrum.place
    spec.set("meta.wcs", spectral_wcs(place, spectrum.wavelength))
    of_slit = {n: value for n, value in meta.items() if n in spec.schema.metadata}
    values = of_slit | {
        "name": meta.get("name") or meta["meta.exposure.type"],
        "source_type": source_type(meta),
        "slit_ra": place.ra,
        "slit_dec": place.dec,
        "spectral_order": meta.get("meta.wcsinfo.spectral_order") or 1,
        "dispersion_direction": place.direction,
        "detector": meta.get("meta.instrument.detector"),
        "position_angle": meta.get("meta.aperture.position_angle"),
        **{f"extraction_{name}": value for name, value in place.limits.items()},
    }
    for name, value in values.items():
        if value is not None:
            spec.set(name, value)


def spectral_wcs(place: Place, wavelength: Doubles) -> WCS:
    """The gwcs of a spectrum: from 0-based pixels to the place of the slit and the wavelength in um."""
    from astropy import units
    from astropy.coordinates import ICRS
    from astropy.modeling.models import Const1D, Identity, Mapping, Tabular1D
    from gwcs import WCS
    from gwcs.coordinate_frames import (
        CelestialFrame,
        CompositeFrame,
        CoordinateFrame,
        SpectralFrame,
    )

    pixels = np.arange(wavelength.size, dtype=np.float64)
    nowhere = float("nan")
    sky = [Const1D(nowhere if angle is None else angle) for angle in (place.ra, place.dec)]
    to_wavelength = Tabular1D(pixels, wavelength, bounds_error=False, fill_value=None)
    transform = Mapping((0, 0, 0)) | sky[0] & sky[1] & to_wavelength
    order = np.argsort(wavelength)
    back = Tabular1D(wavelength[order], pixels[order], bounds_error=False)
    transform.inverse = Mapping((2,), n_inputs=3) | back
    detector = CoordinateFrame(1, ("SPATIAL",), (0,), unit=(units.pix,), name="pixel_frame")
    world = CompositeFrame(
        [
            CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=ICRS()),
            SpectralFrame(
                name="spectral", axes_order=(2,), unit=(units.um,), axes_names=("wavelength",)
            ),
        ],
        name="world",
    )
    # Of a single transform gwcs makes a cycle with its inverse, which cannot be saved any more.
    rows = CoordinateFrame(1, ("SPATIAL",), (0,), unit=(units.pix,), name="rows")
    return WCS([(detector, Identity(1)), (rows, transform), (world, None)])
