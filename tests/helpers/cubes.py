"""Cubes with a star on a background, and the references of their extraction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
from reference_headers import described

from stpipe import models

__all__ = [
    "AREA",
    "BACKGROUND",
    "SPAXEL",
    "WIDTH",
    "apcorr",
    "cube",
    "extract1d",
    "flux_of",
    "sky_of",
    "wcs",
]

SPAXEL = 0.2  # arcsec
AREA = (SPAXEL / 206264.80625) ** 2  # sr
SHAPE = (24, 25, 31)  # planes, rows, columns
SKY = (30.0, -20.0)  # of the middle, degrees
BACKGROUND = 3.0  # MJy/sr
WIDTH = 1.3  # sigma of the star, spaxels
EDGE = 3  # spaxels that see nothing, on the left


def sky_of(x: float, y: float) -> tuple[float, float]:
    """Right ascension and declination of a spaxel."""
    ra, dec, _ = wcs(5.0, 0.01)(x, y, 0.0)
    return float(ra), float(dec)


def flux_of(waves: Any) -> Any:
    """Flux of the star, Jy."""
    return 0.02 * (1 + 0.3 * (waves - waves[0]))


def cube(
    kind: str = "MIR_MRS",
    source: tuple[float, float] = (17.3, 11.6),
    noise: float = 0.0,
    start: float = 5.0,
    planes: int = SHAPE[0],
) -> Any:
    """A cube of one band of MIRI or NIRSpec, in MJy/sr."""
    shape = (planes, *SHAPE[1:])
    rng = np.random.default_rng(4)
    waves = start + 0.01 * np.arange(planes)
    y, x = np.indices(shape[1:])
    star = np.exp(-0.5 * ((x - source[0]) ** 2 + (y - source[1]) ** 2) / WIDTH**2)
    star /= 2 * np.pi * WIDTH**2
    model: Any = models.IFUCubeModel()
    data = BACKGROUND + flux_of(waves)[:, None, None] * star / (AREA * 1e6)
    model.data = (data + rng.normal(0, noise, shape)).astype(np.float32)
    model.err = rng.uniform(0.1, 0.2, shape).astype(np.float32)
    model.weightmap = rng.integers(1, 5, shape).astype(np.float32)
    model.weightmap[:, :, :EDGE] = 0
    model.dq = np.where(model.weightmap > 0, 0, 513).astype(np.uint32)
    model.data[model.weightmap == 0] = model.err[model.weightmap == 0] = np.nan
    for name, value in _header(kind, sky_of(*source)).items():
        model.set(f"meta.{name}", value)
    model.meta.wcs = wcs(start, 0.01)
    return model


def _header(kind: str, target: tuple[float, float]) -> dict[str, Any]:
    miri = kind == "MIR_MRS"
    own = {
        "instrument.name": "MIRI" if miri else "NIRSPEC",
        "instrument.detector": "MIRIFUSHORT" if miri else "NRS1",
        "target.source_type": "POINT",
        "target.ra": target[0],
        "target.dec": target[1],
    }
    if miri:
        own |= {"instrument.channel": "1", "instrument.band": "SHORT"}
    else:
        own |= {"instrument.grating": "G140M", "instrument.filter": "F100LP"}
    return own | {
        "telescope": "JWST",
        "filename": "jw01_s3d.fits",
        "exposure.type": kind,
        "observation.date": "2026-01-01",
        "observation.time": "08:00:00",
        "aperture.position_angle": 12.0,
        "cal_step.photom": "COMPLETE",
        "photometry.pixelarea_steradians": AREA,
        "photometry.pixelarea_arcsecsq": SPAXEL**2,
        "wcsinfo.crval1": SKY[0],
        "wcsinfo.crval2": SKY[1],
        "wcsinfo.dispersion_direction": 2,
        "bunit_data": "MJy/sr",
    }


def wcs(start: float, step: float, spectral: Any = None) -> Any:
    """From pixels to the sky and the wavelength, as the archive's cubes have it."""
    from astropy import units
    from astropy.coordinates import ICRS
    from astropy.modeling.models import Pix2Sky_Gnomonic, RotateNative2Celestial, Scale, Shift
    from gwcs import WCS
    from gwcs.coordinate_frames import (
        CelestialFrame,
        CompositeFrame,
        CoordinateFrame,
        SpectralFrame,
    )

    middle = (SHAPE[2] // 2, SHAPE[1] // 2)
    degrees = SPAXEL / 3600
    sky = Shift(-middle[0]) & Shift(-middle[1]) | Scale(-degrees) & Scale(degrees)
    sky = sky | Pix2Sky_Gnomonic() | RotateNative2Celestial(*SKY, 180.0)
    detector = CoordinateFrame(
        3, ("SPATIAL",) * 3, (0, 1, 2), unit=(units.pix,) * 3, name="detector"
    )
    world = CompositeFrame(
        [
            CelestialFrame(name="sky", axes_order=(0, 1), reference_frame=ICRS()),
            SpectralFrame(name="spectral", axes_order=(2,), unit=(units.um,)),
        ],
        name="world",
    )
    linear = Scale(step) | Shift(start)
    return WCS([(detector, sky & (linear if spectral is None else spectral)), (world, None)])


def extract1d(path: Path, *, rings: bool = True, scale: float = 1.0, **changes: Any) -> str:
    """Circles and rings that grow with the wavelength (arcsec)."""
    model: Any = models.Extract1dIFUModel()
    waves = np.linspace(4.8, 6.2, 8)
    radius = scale * (0.5 + 0.1 * (waves - 4.8))
    inner, outer = (factor * radius * rings for factor in (2, 3))
    table = {"wavelength": waves, "radius": radius, "inner_bkg": inner, "outer_bkg": outer}
    model.data = {name: values.astype(np.float32) for name, values in table.items()}
    meta = {
        "subtract_background": True,
        "method": "subpixel",
        "subpixels": 10,
        "region_type": "target",
    }
    for name, value in (meta | changes).items():
        model.set(f"meta.{name}", value)
    return _saved(described(model, "extract1d", "MIRI", "MIRIFUSHORT"), path)


def apcorr(path: Path, kind: str = "MIR_MRS") -> str:
    """Factors that fall with the radius."""
    name = "MirMrsApcorrModel" if kind == "MIR_MRS" else "NrsIfuApcorrModel"
    model: Any = getattr(models, name)()
    waves = np.linspace(4.8, 6.2, 5)
    radius = np.array([0.3, 0.6, 1.2])[:, None] * (1 + 0.1 * (waves - 4.8))
    factor = 1 + 0.1 / radius
    model.apcorr_table = {
        "wavelength": waves.astype(np.float32),
        "radius": radius.astype(np.float32),
        "radius_units": "arcsec",
        "apcorr": factor.astype(np.float32),
    }
    return _saved(described(model, "apcorr", "MIRI", "MIRIFUSHORT"), path)


def _saved(model: Any, path: Path) -> str:
    """The peer reads arrays within the text alone."""
    model.save(path)
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        asdf.AsdfFile(file.tree).write_to(path, all_array_storage="inline")
    return str(path)
