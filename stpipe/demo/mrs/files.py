"""The reference files that calibrate the simulated exposures, without their headers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe import models
from stpipe.demo.mrs import light
from stpipe.demo.mrs.scene import observed, width
from stpipe.demo.mrs.slices import BAND, CHANNELS, SCALE, SHAPE, labels, to_v2v3
from stpipe.demo.optics import ARCSEC2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stpipe.demo.mrs.slices import Doubles

__all__ = ["ASDF", "MAKERS", "OWN", "SPAXEL", "STEP"]

SPAXEL: Final = (0.13, 0.17)
"""Of a cube of each channel, arcsec."""
STEP: Final = (0.0008, 0.0013)
"""From plane to plane, um."""
RADIUS: Final = 0.9
"""Of the aperture, arcsec."""
ANNULUS: Final = (1.1, 1.5)
"""With the background, arcsec."""
NEIGHBOURS: Final = "abc"
"""Letters of the bands in the tables of scattered light."""


def _distortion() -> Any:
    reference: Any = models.DistortionMRSModel()
    transforms = [c.models(place) for c in CHANNELS for place in range(c.slices)]
    reference.slices = [number for channel in CHANNELS for number in channel.numbers]
    for name in ("alpha", "beta", "x", "y"):
        reference.set(f"{name}_model", [each[name] for each in transforms])
    names = [channel.name for channel in CHANNELS]
    reference.bzero = {"channel_band": names, "beta_zero": [c.lowest for c in CHANNELS]}
    reference.bdel = {"channel_band": names, "delta_beta": [c.step for c in CHANNELS]}
    reference.abv2v3_model = {"channel_band": names, "model": [to_v2v3() for _ in CHANNELS]}
    return reference


def _specwcs() -> Any:
    reference: Any = models.SpecwcsModel()
    reference.slices = [number for channel in CHANNELS for number in channel.numbers]
    reference.model = [c.models(place)["wavelength"] for c in CHANNELS for place in range(c.slices)]
    return reference


def _regions() -> Any:
    reference: Any = models.RegionsModel()
    reference.regions = np.stack([labels()] * 9)
    return reference


def _wavelengthrange() -> Any:
    reference: Any = models.WavelengthrangeModel()
    reference.waverange_selector = [channel.name for channel in CHANNELS]
    reference.wavelengthrange = [[float(end) for end in observed_ends(c.limits)] for c in CHANNELS]
    return reference


def observed_ends(limits: tuple[float, float]) -> Doubles:
    """Limits at the barycentre with room to either side, um."""
    found: Doubles = observed(np.array(limits)) + np.array([-0.01, 0.01])
    return found


def _mrsxartcorr() -> Any:
    reference: Any = models.MirMrsXArtCorrModel()
    height, full = light.SCATTERED
    for channel in CHANNELS:
        name = f"ch{channel.number}{NEIGHBOURS[0]}_table"
        table = np.zeros(SHAPE[0], reference.schema.arrays[name].dtype)
        table["yrow"] = np.arange(SHAPE[0])
        table["lor_scale"], table["lor_fwhm"], table["gau_fwhm"] = height, full, 1.8
        reference.set(name, table)
    return reference


def _fringe() -> Any:
    reference: Any = models.FringeModel()
    reference.data = light.fringes(light.wavelengths()).astype(np.float32)
    reference.err = np.zeros(SHAPE, np.float32)
    reference.dq = np.zeros(SHAPE, np.uint32)
    return reference


def _photom() -> Any:
    reference: Any = models.MirMrsPhotomModel()
    waves = light.wavelengths()
    reference.data = light.conversion(waves).astype(np.float32)
    reference.err = np.zeros(SHAPE, np.float32)
    reference.dq = np.zeros(SHAPE, np.uint32)
    reference.pixsiz = np.zeros(SHAPE, np.float32)
    for channel, left, half in zip(CHANNELS, light.LOST, light.HALVES, strict=True):
        reference.pixsiz[:, half] = light.pixel_area(channel)
        name = f"timecoeff_powerlaw_ch{channel.number}"
        table = np.zeros(2, reference.schema.arrays[name].dtype)
        table["binwave"], table["year1value"] = channel.limits, left
        table["tsoft"], table["t0"] = 1.0, light.EPOCH
        reference.set(name, table)
    area = light.pixel_area(CHANNELS[0])
    reference.meta.photometry.conversion_megajanskys = float(np.nanmean(reference.data))
    reference.meta.photometry.pixelarea_arcsecsq = area
    reference.meta.photometry.pixelarea_steradians = area * ARCSEC2
    return reference


def _cubepar() -> Any:
    reference: Any = models.MiriIFUCubeParsModel()
    sizes = list(zip(CHANNELS, SPAXEL, STEP, strict=True))
    tables = {
        "table": [
            {"spaxelsize": size, "spectralstep": step, "wavemin": low, "wavemax": high}
            for channel, size, step in sizes
            for low, high in [observed(np.array(channel.limits))]
        ],
        "msm_table": [
            {"roispatial": 1.5 * size, "roispectral": 2 * step, "power": 2, "softrad": 0.01}
            for _, size, step in sizes
        ],
        "emsm_table": [
            {"roispatial": 2 * size, "roispectral": 2 * step, "scalerad": 0.4 * size}
            for _, size, step in sizes
        ],
    }
    for kind, rows in tables.items():
        name = f"ifucubepars_{kind}"
        table = np.zeros(len(rows), reference.schema.arrays[name].dtype)
        table["channel"] = [str(channel.number) for channel in CHANNELS]
        table["band"] = BAND
        for column in rows[0]:
            table[column] = [row[column] for row in rows]
        reference.set(name, table)
    _add_planes(reference)
    return reference


def _add_planes(reference: Any) -> None:
    """The wavelengths of a cube of several channels, and what counts in its planes."""
    low, high = _ends()
    waves = np.arange(low, high, STEP[0])
    known = {
        "roispatial": 2 * SPAXEL[1],
        "roispectral": 2 * STEP[1],
        "power": 2,
        "softrad": 0.01,
        "scalerad": 0.4 * SPAXEL[1],
    }
    for kind in ("msm", "emsm", "driz"):
        name = f"ifucubepars_multichannel_{kind}_wavetable"
        table = np.zeros(waves.size, reference.schema.arrays[name].dtype)
        table["wavelength"] = waves
        for column in known.keys() & set(table.dtype.names or ()):
            table[column] = known[column]
        reference.set(name, table)


def _extract1d() -> Any:
    reference: Any = models.Extract1dIFUModel()
    how = {"region_type": "target", "method": "subpixel", "subpixels": 10}
    for name, value in {**how, "subtract_background": True}.items():
        reference.set(f"meta.{name}", value)
    waves = _ends()
    same = np.ones(waves.size, np.float32)
    lengths = {"radius": RADIUS, "inner_bkg": ANNULUS[0], "outer_bkg": ANNULUS[1]}
    reference.data = {
        "wavelength": waves,
        "wavelength_units": "micron",
        **{name: length * same for name, length in lengths.items()},
        **{f"{name}_units": "arcsec" for name in lengths},
        "axis_ratio": same,
        "axis_pa": 0 * same,
        "axis_pa_units": "degree",
    }
    return reference


def _apcorr() -> Any:
    reference: Any = models.MirMrsApcorrModel()
    low, high = _ends()
    waves = np.linspace(low, high, 60)
    radius = np.array([0.7, 0.8, 0.9, 1.0, 1.1], np.float32)[:, np.newaxis] * np.ones(waves.size)
    factor = 1 / (1 - np.exp(-0.5 * radius**2 / variance(waves)))
    reference.apcorr_table = {
        "channel": "ANY",
        "band": "ANY",
        "wavelength": waves.astype(np.float32),
        "wavelength_units": "micron",
        "radius": radius.astype(np.float32),
        "radius_units": "arcsec",
        "apcorr": factor.astype(np.float32),
        "apcorr_err": np.zeros_like(factor, np.float32),
    }
    return reference


def variance(wavelength: Doubles) -> Doubles:
    """Of the star in a cube along an axis, arcsec2: pixels, slices and spaxels add a twelfth each."""
    found = np.zeros_like(wavelength)
    for channel, spaxel in zip(CHANNELS, SPAXEL, strict=True):
        blur = (
            SCALE**2 + channel.step**2
        ) / 2 * 2 + spaxel**2  # as seen, and as they are laid down
        inside = (wavelength >= channel.limits[0] - 1) & (wavelength <= channel.limits[1] + 1)
        found[inside] = width(wavelength[inside]) ** 2 + blur / 12
    return found


def _ends() -> Doubles:
    return np.array([4.5, 9.0], np.float32)


MAKERS: Final[Mapping[str, Callable[[], Any]]] = MappingProxyType(
    {
        "distortion": _distortion,
        "specwcs": _specwcs,
        "regions": _regions,
        "wavelengthrange": _wavelengthrange,
        "mrsxartcorr": _mrsxartcorr,
        "fringe": _fringe,
        "photom": _photom,
        "cubepar": _cubepar,
        "extract1d": _extract1d,
        "apcorr": _apcorr,
        "filteroffset": lambda: None,
    }
)
"""How each type is made."""
OWN: Final = ("regions", "mrsxartcorr", "fringe", "cubepar")
"""Types that no other mode has."""
ASDF: Final = frozenset({"specwcs", "regions", "extract1d", "apcorr"})
"""Types that are files in ASDF here."""
