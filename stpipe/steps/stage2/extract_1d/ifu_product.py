"""The product of a cube: its table, with the light beyond the aperture made up for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.models import dqflags
from stpipe.science.spectra.cube_extraction import linear
from stpipe.steps.stage2.extract_1d.product import Place, Scale, spectral_wcs, table_of

if TYPE_CHECKING:
    from stpipe.models import IFUCubeModel, MRSMultiSpecModel, MultiSpecModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles
    from stpipe.steps.stage2.extract_1d.ifu import CubeExtraction

__all__ = ["columns_of_cube", "correct_for_aperture", "is_one_band", "spectra_of_cube"]

NOISES = ("POISSON", "RNOISE", "FLAT")
FRINGED = ("FLUX", "SURF_BRIGHT", "BACKGROUND")
CORRECTED = ("FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR", "RF_FLUX", "RF_SURF_BRIGHT")


def is_one_band(meta: FlatMetadata) -> bool:
    """Whether a cube is of one channel and one band of MIRI's spectrometer."""
    channel, band = (str(meta.get(f"meta.instrument.{n}")).upper() for n in ("channel", "band"))
    return channel in ("1", "2", "3", "4") and band in ("SHORT", "MEDIUM", "LONG")


def columns_of_cube(found: CubeExtraction, scale: Scale, covariance: float) -> dict[str, Doubles]:
    """Columns of the table in the units of `scale`; errors times `covariance`.

    A cube has errors only: the columns of variances are 0.
    """
    sums = found.sums
    none = np.zeros(len(sums.flux))
    inside, beside = (np.where(n > 0, n, 1.0) for n in (sums.npixels, sums.background_pixels))
    error, background_error = (
        np.sqrt(variance) * covariance for variance in (sums.variance, sums.background_variance)
    )
    table: dict[str, Any] = {"WAVELENGTH": found.wavelength}
    for group, name, values, errors, factor in (
        ("FLUX", "FLUX", sums.flux, error, scale.flux),
        ("SB", "SURF_BRIGHT", sums.flux, error, scale.brightness / inside),
        ("BKGD", "BACKGROUND", sums.background, background_error, scale.background / beside),
    ):
        table |= {name: values * factor, f"{group}_ERROR": errors * factor}
        table |= {f"{group}_VAR_{noise}": none for noise in NOISES}
    bad = ~sums.seen | ~np.isfinite(found.wavelength)
    table["DQ"] = np.where(bad, dqflags.DO_NOT_USE, dqflags.GOOD)
    return {**table, "NPIXELS": sums.npixels}


def correct_for_aperture(
    table: dict[str, Doubles], reference: CutReference, found: CubeExtraction
) -> None:
    """Correct a point source for the light that is not in the circles.

    Factors are linear in wavelength, then in radius, also beyond the table of the reference.

    Parameters
    ----------
    table
        Columns (planes,), changed in place.
    reference
        APCORR: `radius` and `apcorr` (radii, wavelengths).
        In arcsec or spaxels.
    found
        Of a point source.
    """
    known = reference.apcorr_table
    at = np.asarray(known.wavelength, np.float64).ravel()
    radii, factors = (
        np.array([linear(table["WAVELENGTH"], at, row) for row in np.asarray(a, np.float64)])
        for a in (known.radius, known.apcorr)
    )
    in_arcsec = str(known.radius_units).lower().startswith("arcsec")
    factor = linear(found.radius * (found.width if in_arcsec else 1.0), radii, factors)
    for name in CORRECTED:
        if name in table:
            table[name] = table[name] * factor


def spectra_of_cube(
    cube: IFUCubeModel, found: CubeExtraction, table: dict[str, Doubles], scale: Scale
) -> MultiSpecModel | MRSMultiSpecModel:
    """A model with one table."""
    from stpipe import models

    model = models.MRSMultiSpecModel() if "RF_FLUX" in table else models.MultiSpecModel()
    model.update(cube)
    model.spec.append({})
    part = model.spec[-1]
    part.spec_table = table_of(table, part)
    units = {
        n: "(MJy/sr)^2" if unit == "MJy^2 / sr^2" else unit for n, unit in scale.units().items()
    }
    units |= {f"RF_{name}": units[name] for name in FRINGED}
    part.set_units("spec_table", {n: u for n, u in units.items() if n in table})
    meta = cube.to_flat_dict()
    part.set("meta.wcs", spectral_wcs(Place(*found.place, {}, 0), found.wavelength))
    values = {
        "name": meta["meta.exposure.type"],
        "source_type": found.source_type,
        "slit_ra": found.place[0],
        "slit_dec": found.place[1],
        "detector": meta.get("meta.instrument.detector"),
        "position_angle": meta.get("meta.aperture.position_angle"),
        "extraction_x": found.centre[0],
        "extraction_y": found.centre[1],
    }
    for name, value in values.items():
        if value is not None:
            part.set(name, value)
    return model
