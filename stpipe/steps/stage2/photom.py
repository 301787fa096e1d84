"""Convert count rates to surface brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.exposure_types import WFSS
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.wcs.wavelengths import wavelengths

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["PhotomStep", "find_row", "relative_response", "time_correction"]

MICROJANSKY = 23.50443  # uJy/arcsec2 of 1 MJy/sr
SLITLESS_UNIT = "MJy micron s / (DN sr)"
POWERS = {"data": 1, "err": 1, "var_poisson": 2, "var_rnoise": 2, "var_flat": 2}
YEAR = 365.0  # days


class PhotomStep(Step):
    """Convert count rates to surface brightness in MJy/sr.

    The factor is that of the PHOTOM reference for filter and pupil (MIRI: filter and subarray; FGS
    has one; slitless spectra: order), corrected for the loss of sensitivity since the reference's
    epoch. For spectra it varies with the wavelength, and for slitless ones with the dispersion;
    pixels without one get 0 and are DO_NOT_USE. Errors and variances follow. The relative area of
    the pixels of an AREA reference is attached to images; data are not multiplied by it.

    The product is `_cal`, and `_calints` for integrations. Without an entry for the exposure the
    step is skipped.
    """

    alias = "photom"
    suffix = "cal"
    status = "photom"
    input_models = ("ImageModel", "CubeModel", "SlitModel")
    prerequisites = ("meta.instrument.name",)
    reference_types = ("photom",)
    optional_reference_types = ("area",)
    spec = """
        inverse = boolean(default=False)  # From surface brightness back to count rates
        apply_time_correction = boolean(default=True)  # Correct for the loss of sensitivity
    """
    inverse: bool
    apply_time_correction: bool

    def products(self, model_type: str) -> tuple[Output, ...]:
        """Images become `_cal`, integrations `_calints`."""
        usual = "calints" if model_type == "CubeModel" else "cal"
        return (Output("product", model_type, vars(self).get("suffix") or usual),)

    def process(self, image: Spectral) -> Spectral:
        """Convert values, errors and variances, and note the conversion."""
        meta, photom = image.to_flat_dict(), self.references["photom"]
        row = find_row(photom.phot_table, meta)
        if row is None:
            raise Skip(f"the photom reference has no entry for {described(meta)}")
        factor = float(photom.phot_table["photmjsr"][row])
        if self.apply_time_correction:
            factor /= time_correction(_coefficients(photom, row), meta)
        image.meta.photometry.conversion_megajanskys = factor
        image.meta.photometry.conversion_microjanskys = factor * MICROJANSKY
        self._convert(image, factor * unit_of(photom, meta), photom.phot_table[row])
        self._describe_area(image, photom)
        unit = "DN/s" if self.inverse else "MJy/sr"
        image.meta.bunit_data = image.meta.bunit_err = unit
        return image

    def _convert(self, image: Spectral, factor: float, entry: np.void) -> None:
        conversion: float | Doubles = factor
        dq = image.dq
        if "wavelength" in (entry.dtype.names or ()):
            waves = wavelengths(image)
            response = relative_response(waves, entry)
            if image.meta.exposure.type in WFSS:
                direction = image.meta.wcsinfo.dispersion_direction
                response = response / dispersion(waves, direction)
            dq = dq | bits_where(np.isnan(response), dqflags.DO_NOT_USE)
            conversion = factor * np.nan_to_num(response)
        values = convert(values_of(image), conversion, inverse=self.inverse)
        assign(image, values, dq)

    def _describe_area(self, image: Spectral, photom: CutReference) -> None:
        """Note the nominal area of a pixel, and attach the relative areas."""
        area = self.references.get("area")
        if area is not None and type(image).__name__ != "SlitModel":
            image.area = area.data
        source = photom if area is None else area
        for name in ("pixelarea_steradians", "pixelarea_arcsecsq"):
            image.set(f"meta.photometry.{name}", getattr(source.meta.photometry, name))


def described(meta: FlatMetadata) -> str:
    """What a PHOTOM reference is searched for."""
    names = ("instrument.filter", "instrument.pupil", "subarray.name", "wcsinfo.spectral_order")
    return ", ".join(f"{name.partition('.')[2]} {meta.get(f'meta.{name}')}" for name in names)


def find_row(table: Table, meta: FlatMetadata) -> int | None:
    """Number of the row of a PHOTOM table for an exposure; None without one.

    A table with neither filters nor pupils has one row for all. Subarrays that MIRI's tables do not
    list go by the name GENERIC.
    """
    filters = {
        "filter": meta.get("meta.instrument.filter"),
        "pupil": meta.get("meta.instrument.pupil"),
        "subarray": meta.get("meta.subarray.name"),
        "order": meta.get("meta.wcsinfo.spectral_order"),
    }
    asked = {name: value for name, value in filters.items() if name in (table.dtype.names or ())}
    found = _matching(table, asked)
    if not len(found) and "subarray" in asked and "pupil" not in asked:
        found = _matching(table, {**asked, "subarray": "GENERIC"})
    return int(found[0]) if len(found) else None


def _matching(table: Table, asked: Mapping[str, object]) -> npt.NDArray[np.intp]:
    fits = np.ones(len(table), dtype=bool)
    for name, value in asked.items():
        fits &= np.char.strip(table[name].astype(str)) == str(value)
    return np.flatnonzero(fits)


# --- loss of sensitivity ---------------------------------------------------------------------------


def _coefficients(photom: CutReference, row: int) -> dict[str, np.void]:
    """The row's coefficients of each law that the reference has."""
    laws = ("linear", "exponential", "powerlaw")
    tables = {law: getattr(photom, f"timecoeff_{law}", None) for law in laws}
    return {law: table[row] for law, table in tables.items() if table is not None}


def time_correction(coefficients: Mapping[str, np.void], meta: FlatMetadata) -> float:
    """Sensitivity at the middle of an exposure over that at the reference's epoch.

    Parameters
    ----------
    coefficients
        Of the laws `linear`, `exponential` and `powerlaw`; several multiply.
    meta
        Metadata by dotted name; `meta.exposure.mid_time` is MJD.
    """
    if not coefficients:
        return 1.0
    correction = 1.0
    for law, values in coefficients.items():
        c = {name: float(values[name]) for name in (values.dtype.names or ()) if name in _NUMBERS}
        correction *= _LAWS[law](meta["meta.exposure.mid_time"] - c["t0"], c)
    return correction


def _linear(days: float, c: Mapping[str, float]) -> float:
    return 1 - c["lossperyear"] * days / YEAR


def _exponential(days: float, c: Mapping[str, float]) -> float:
    return float(c["amplitude"] * np.exp(-days / c["tau"]) + c["const"])


def _powerlaw(days: float, c: Mapping[str, float]) -> float:
    return float(c["year1value"] * ((days + c["tsoft"]) / (YEAR + c["tsoft"])) ** c["alpha"])


_LAWS = {"linear": _linear, "exponential": _exponential, "powerlaw": _powerlaw}
_NUMBERS = ("t0", "lossperyear", "amplitude", "tau", "const", "year1value", "tsoft", "alpha")


# --- conversion ---------------------------------------------------------------------------------


def relative_response(wavelength: Floats, entry: np.void) -> Doubles:
    """Relative conversion at the wavelength of each pixel (rows, columns); NaN outside the table.

    `entry` is a row with `wavelength` in um (or m), `relresponse`, and in `nelem` how many count.
    """
    count = int(entry["nelem"]) if "nelem" in (entry.dtype.names or ()) else None
    known, response = entry["wavelength"][:count], entry["relresponse"][:count]
    if 0 < known.max() < 1e-4:  # noqa: PLR2004 - no spectrum reaches 100 m or begins below 0.1 nm
        known = known * 1e6
    order = np.argsort(known, kind="stable")
    asked = np.where(np.isnan(wavelength), -1.0, wavelength)
    found: Doubles = np.interp(asked, known[order], response[order], left=np.nan, right=np.nan)
    return found


def dispersion(wavelength: Floats, direction: int) -> Doubles:
    """How much the wavelength (rows, columns) changes from pixel to pixel, um, without its sign."""
    along = 1 if direction == HORIZONTAL else 0
    found: Doubles = np.abs(np.gradient(wavelength.astype(np.float64), axis=along))
    return found


def unit_of(photom: CutReference, meta: FlatMetadata) -> float:
    """What a reference's unit of the conversion is in the one that slitless spectra take."""
    given = getattr(photom, "phot_unit", None)
    if given is None or meta["meta.exposure.type"] not in WFSS:
        return 1.0
    from astropy import units

    return float(units.Unit(given).to(units.Unit(SLITLESS_UNIT)))


def convert(
    values: Mapping[str, Floats], conversion: float | Doubles, *, inverse: bool = False
) -> dict[str, Floats]:
    """Values times the conversion (a number, or one for each pixel), variances times its square."""
    factors = {1: conversion, 2: conversion * conversion}
    if inverse:
        return {n: _float(a / factors[POWERS[n]]) for n, a in values.items()}
    return {n: _float(a * factors[POWERS[n]]) for n, a in values.items()}


def _float(array: Floats | Doubles) -> Floats:
    return np.asarray(array, dtype=np.float32)
