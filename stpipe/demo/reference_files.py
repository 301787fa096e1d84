"""The reference files that calibrate the demo detectors, made from the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from stpipe import models
from stpipe.demo import lrs
from stpipe.demo.detectors import FULL, Detector, Subarray
from stpipe.demo.electronics import (
    GROUPS_TO_SKIP,
    RESET_GROUPS,
    ipc_kernel,
    reset_anomaly,
    saturation_level,
)
from stpipe.demo.geometry import is_reference, science_positions
from stpipe.demo.headers import optics
from stpipe.demo.json_reference import JsonReference
from stpipe.demo.lrs import Slit
from stpipe.demo.mrs import files as mrs
from stpipe.demo.mrs.scene import Dither
from stpipe.demo.nirspec import files as nirspec
from stpipe.demo.nirspec.response import spectrograph
from stpipe.demo.nirspec.response_files import FLAT_ERROR as SLIT_FLAT_ERROR
from stpipe.demo.nirspec.response_files import fast_variation
from stpipe.demo.nirspec.settings import Setting
from stpipe.demo.observation import Observation
from stpipe.demo.optics import APERTURES, ARCSEC2, distortion_model, megajansky
from stpipe.demo.pixels import Pixels, dark_charge, make_pixels
from stpipe.demo.scene import SIGMA
from stpipe.models import dqflags

Reference = models.DataModel | JsonReference
_Model = TypeVar("_Model", bound=models.DataModel)

__all__ = ["REFERENCE_TYPES", "USEAFTER", "Setup", "make_reference", "setups"]

USEAFTER: Final = "2020-01-01T00:00:00"
MARGIN: Final = 8
"""References of type gain and readnoise reach this far beyond the subarray, to be cut to it."""

FLAT_ERROR: Final = 0.002
ENERGIES: Final = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
"""Parts of a star's light that circles of the APCORR references hold."""
MOSAIC_SIGMA: Final = float(np.sqrt(SIGMA**2 + 3 / 12))
"""Width of a star in a mosaic, pixels: of pixels of the image, of the mosaic, and those in circles,
each adds 1/12 to the variance."""
ANNULUS: Final = (6.0, 9.0)
"""Radii in pixels between which APCORR references have the background."""
PRISM_SUBARRAYS: Final = (FULL, "SLITLESSPRISM")
DETECTOR_WIDE: Final = frozenset(
    {
        *("ipc", "rscd", "distortion", "filteroffset", "photom", "specwcs", "apcorr"),
        *nirspec.MAKERS,
        *mrs.OWN,
    }
)
"""Types whose files are for all subarrays of a detector."""

_MASK_BITS: Final = ("DO_NOT_USE", "REFERENCE_PIXEL", "DEAD", "HOT", "BAD_REF_PIXEL")
_DQ_DEF: Final = np.dtype(
    [("BIT", np.int32), ("VALUE", np.uint32), ("NAME", "S40"), ("DESCRIPTION", "S80")]
)
_RSCD: Final = np.dtype(
    [
        ("subarray", "S17"),
        ("readpatt", "S12"),
        ("group_skip1", np.int32),
        ("group_skip", np.int32),
    ]
)


@dataclass(frozen=True)
class Setup:
    """What a set of reference files is for: a subarray and how long it is exposed, in frames."""

    detector: Detector
    subarray: Subarray
    frames: int
    spectrum: Slit | Setting | Dither | None = None

    @property
    def exposure_type(self) -> str:
        """EXP_TYPE of the exposures."""
        return optics(self.detector, self.spectrum)["meta.exposure.type"]

    @cached_property
    def pixels(self) -> Pixels:
        """The pixels of the subarray."""
        return make_pixels(self.detector, self.subarray)

    @cached_property
    def wider(self) -> Setup:
        """The same with MARGIN more pixels on each side, as far as the detector goes."""
        area, frame = self.subarray, self.detector.frame
        left, bottom = min(MARGIN, area.xstart - 1), min(MARGIN, area.ystart - 1)
        right = min(MARGIN, frame.xsize - area.xstart - area.xsize + 1)
        top = min(MARGIN, frame.ysize - area.ystart - area.ysize + 1)
        wide = replace(
            area,
            xstart=area.xstart - left,
            ystart=area.ystart - bottom,
            xsize=area.xsize + left + right,
            ysize=area.ysize + bottom + top,
        )
        return replace(self, subarray=wide)


def setups(observations: Iterable[Observation]) -> list[Setup]:
    """The setups that a set of exposures needs, each once and long enough for all of them."""
    longest: dict[tuple[str, str, str], Setup] = {}
    for observation in observations:
        setup = Setup(
            observation.detector, observation.subarray, observation.frames, observation.spectrum
        )
        key = (setup.detector.name, setup.subarray.name, setup.exposure_type)
        known = longest.setdefault(key, setup)
        longest[key] = max(known, setup, key=lambda each: each.frames)
    return list(longest.values())


def make_reference(reftype: str, setup: Setup) -> Reference | None:
    """Make the reference file of a type; None where the instrument has none ("N/A")."""
    spectrum = setup.spectrum
    if isinstance(spectrum, Dither) and reftype in mrs.MAKERS:
        made = mrs.MAKERS[reftype]()
        return None if made is None else _describe(made, reftype, setup)
    if isinstance(spectrum, Setting) and reftype in nirspec.MAKERS:
        reference: Reference | None = nirspec.MAKERS[reftype](spectrum)
        if reference is None or isinstance(reference, JsonReference):
            return reference
        return _describe(reference, reftype, setup)
    return _MAKERS[reftype](setup) if reftype in _MAKERS else None


def _mask(setup: Setup) -> models.DataModel:
    reference = _describe(models.MaskModel(), "mask", setup)
    reference.dq = setup.pixels.dq
    if setup.detector.is_miri:
        # The file gets bits in an order of its own, and a table that says which is which.
        rows = [(bit, 1 << bit, name, "") for bit, name in enumerate(_MASK_BITS)]
        reference.dq_def = np.array(rows, _DQ_DEF)
    return reference


def _saturation(setup: Setup) -> models.DataModel:
    pixels = setup.pixels
    reference = _describe(models.SaturationModel(), "saturation", setup)
    reference.data = saturation_level(setup.detector, pixels)
    reference.dq = _flag_reference_pixels(setup, dqflags.NO_SAT_CHECK)
    return reference


def _superbias(setup: Setup) -> models.DataModel | None:
    if setup.detector.is_miri:
        return None
    reference = _describe(models.SuperBiasModel(), "superbias", setup)
    reference.data = setup.pixels.offset
    reference.dq = _good(setup)
    reference.meta.exposure.readpatt = "ANY"
    return reference


def _reset(setup: Setup) -> models.DataModel | None:
    if not setup.detector.is_miri:
        return None
    reference = _describe(models.ResetModel(), "reset", setup)
    shape = setup.subarray.shape
    reference.data = np.array(
        [[reset_anomaly(shape, i, k) for k in range(RESET_GROUPS)] for i in range(2)]
    )
    reference.meta.exposure.readpatt = setup.detector.patterns[0].name
    reference.dq = _good(setup)
    reference.meta.exposure.nints, reference.meta.exposure.ngroups = 2, RESET_GROUPS
    return reference


def _rscd(setup: Setup) -> models.DataModel | None:
    if not setup.detector.is_miri:
        return None
    reference = _describe(models.RSCDModel(), "rscd", replace(setup, subarray=setup.detector.frame))
    rows = [
        (subarray.name, pattern.name, *GROUPS_TO_SKIP)
        for subarray in setup.detector.subarrays
        for pattern in setup.detector.patterns
    ]
    reference.rscd_group_skip_table = np.array(rows, _RSCD)
    return reference


def _ipc(setup: Setup) -> models.DataModel | None:
    if not setup.detector.ipc:
        return None
    reference = _describe(models.IPCModel(), "ipc", setup)
    reference.data = ipc_kernel(setup.detector)
    return reference


def _linearity(setup: Setup) -> models.DataModel:
    pixels = setup.pixels
    reference = _describe(models.LinearityModel(), "linearity", setup)
    zero, one = np.zeros_like(pixels.quadratic), np.ones_like(pixels.quadratic)
    reference.coeffs = np.stack([zero, one, pixels.quadratic, pixels.cubic])
    reference.dq = _flag_reference_pixels(setup, dqflags.NO_LIN_CORR)
    return reference


def _dark(setup: Setup) -> models.DataModel:
    """One group per frame: the pipeline averages them as the exposure's own groups were."""
    pixels = setup.pixels
    data = np.stack([dark_charge(pixels, n + 1) / pixels.gain for n in range(setup.frames)])
    dq = _good(setup)
    reference: models.DataModel
    if setup.detector.is_miri:
        reference = _describe(models.DarkMIRIModel(), "dark", setup)
        reference.data, reference.dq = data[np.newaxis], dq[np.newaxis, np.newaxis]
        reference.meta.exposure.nints = 1
    else:
        reference = _describe(models.DarkModel(), "dark", setup)
        reference.data, reference.dq = data, dq
    exposure = reference.meta.exposure
    exposure.readpatt = setup.detector.patterns[0].name
    exposure.nframes, exposure.groupgap, exposure.ngroups = 1, 0, setup.frames
    return reference


def _gain(setup: Setup) -> models.DataModel:
    wide = setup.wider
    reference = _describe(models.GainModel(), "gain", wide)
    reference.data = wide.pixels.gain
    if setup.subarray.name != FULL:
        reference.meta.exposure.gain_factor = setup.detector.gain_factor
    return reference


def _readnoise(setup: Setup) -> models.DataModel:
    """Noise of the difference of two reads, DN."""
    wide = setup.wider
    reference = _describe(models.ReadnoiseModel(), "readnoise", wide)
    single = wide.pixels.read_noise
    reference.data = np.sqrt(np.float32(2)) * single
    return reference


def _distortion(setup: Setup) -> models.DataModel | None:
    if setup.detector.instrument == "NIRSPEC":
        return None
    reference = _describe(models.DistortionModel(), "distortion", setup)
    reference.model = distortion_model(setup.detector)
    reference.meta.exposure.type = setup.exposure_type
    return reference


def _filteroffset(setup: Setup) -> models.DataModel | None:
    """Of the one filter that the demo has; MIRI images cannot do without."""
    if not setup.detector.is_miri:
        return None
    reference = _describe(models.FilteroffsetModel(), "filteroffset", setup)
    name = optics(setup.detector)["meta.instrument.filter"]
    reference.filters = [{"filter": name, "pupil": "N/A", "column_offset": 0.0, "row_offset": 0.0}]
    return reference


def _flat(setup: Setup) -> models.DataModel | None:
    """Response in DN: pixels with a high gain give few of them."""
    if setup.detector.instrument == "NIRSPEC":
        return None
    wide = setup.wider
    pixels = wide.pixels
    reference = _describe(models.FlatModel(), "flat", wide)
    reference.data = pixels.response * np.float32(setup.detector.gain) / pixels.gain
    reference.err = np.full(wide.subarray.shape, FLAT_ERROR, np.float32)
    unknown = is_reference(wide.detector, wide.subarray) | (pixels.dq & dqflags.DEAD > 0)
    reference.dq = np.where(unknown, dqflags.NO_FLAT_FIELD, dqflags.GOOD).astype(np.uint32)
    return reference


def _dflat(setup: Setup) -> models.DataModel | None:
    """Response of NIRSpec's pixels in DN, the same at all wavelengths."""
    if not isinstance(setup.spectrum, Setting):
        return None
    reference = _describe(models.NirspecFlatModel(), "dflat", setup)
    pixels = setup.pixels
    reference.data = (pixels.response * np.float32(setup.detector.gain) / pixels.gain)[np.newaxis]
    reference.wavelength = np.array([(1.4,)], reference.schema.arrays["wavelength"].dtype)
    _finish_flat(reference, setup)
    return reference


def _sflat(setup: Setup) -> models.DataModel | None:
    """Throughput of NIRSpec's spectrograph, from pixel to pixel."""
    if not isinstance(setup.spectrum, Setting):
        return None
    reference = _describe(models.NirspecFlatModel(), "sflat", setup)
    rows, columns = science_positions(setup.subarray)
    reference.data = spectrograph(columns.astype(float), rows.astype(float)).astype(np.float32)
    _finish_flat(reference, setup)
    return reference


def _finish_flat(reference: models.DataModel, setup: Setup) -> None:
    """Errors and flags of a flat that does not vary with the wavelength but slowly."""
    reference.err = np.full_like(reference.data, SLIT_FLAT_ERROR)
    dead = setup.pixels.dq & dqflags.DEAD > 0
    dq = np.where(dead, dqflags.NO_FLAT_FIELD, dqflags.GOOD).astype(np.uint32)
    reference.dq = np.broadcast_to(dq, reference.data.shape)
    reference.flat_table = fast_variation(reference, np.ones_like)


def _photom(setup: Setup) -> models.DataModel | None:
    instrument = setup.detector.instrument
    if instrument == "NIRSPEC":
        return None
    model = _PHOTOM[instrument] if setup.spectrum is None else models.MirLrsPhotomModel
    reference = _describe(model(), "photom", setup)
    reference.phot_table = _photom_table(reference, setup)
    area = APERTURES[instrument].scale ** 2
    reference.meta.photometry.pixelarea_arcsecsq = area
    reference.meta.photometry.pixelarea_steradians = area * ARCSEC2
    return reference


def _photom_table(reference: models.DataModel, setup: Setup) -> npt.NDArray[np.void]:
    known, factor = optics(setup.detector), megajansky(setup.detector)
    if setup.spectrum is not None:
        table: npt.NDArray[np.void] = lrs.photom_rows(reference, PRISM_SUBARRAYS, factor)
        return table
    second = "GENERIC" if setup.detector.is_miri else known["meta.instrument.pupil"]
    row = (known["meta.instrument.filter"], second, factor, 0.01)
    return np.array([row], reference.schema.arrays["phot_table"].dtype)


def _specwcs(setup: Setup) -> models.DataModel | None:
    if not isinstance(setup.spectrum, Slit):
        return None
    reference = _describe(models.MiriLRSSpecwcsModel(), "specwcs", setup)
    lrs.fill_specwcs(reference)
    return reference


def _apcorr(setup: Setup) -> models.DataModel | None:
    if setup.spectrum is None:
        return _circles(setup)
    reference = _describe(models.MirLrsApcorrModel(), "apcorr", setup)
    reference.apcorr_table = lrs.apcorr_rows(reference, PRISM_SUBARRAYS)
    reference.sizeunit = "pixels"
    return reference


def _circles(setup: Setup) -> models.DataModel | None:
    """Circles in a mosaic that hold given parts of a star's light, and the annulus around them."""
    if setup.detector.instrument not in _CIRCLES:
        return None
    reference = _describe(_CIRCLES[setup.detector.instrument](), "apcorr", setup)
    known = optics(setup.detector)
    areas = [area.name for area in setup.detector.subarrays] if setup.detector.is_miri else [""]
    energies = np.tile(ENERGIES, len(areas))
    rows = np.zeros(len(energies), reference.schema.arrays["apcorr_table"].dtype)
    rows["filter"] = known["meta.instrument.filter"]
    if setup.detector.is_miri:
        rows["subarray"] = np.repeat(areas, len(ENERGIES))
    else:
        rows["pupil"] = known["meta.instrument.pupil"]
    rows["eefraction"], rows["apcorr"] = energies, 1 / energies
    rows["radius"] = MOSAIC_SIGMA * np.sqrt(-2 * np.log(1 - energies))
    rows["skyin"], rows["skyout"] = ANNULUS
    reference.apcorr_table = rows
    return reference


def _extract1d(setup: Setup) -> JsonReference | None:
    slit = setup.spectrum
    return lrs.aperture_reference(slit, setup.subarray) if isinstance(slit, Slit) else None


_CIRCLES: Final = MappingProxyType(
    {
        "NIRCAM": models.NrcImgApcorrModel,
        "NIRISS": models.NisImgApcorrModel,
        "MIRI": models.MirImgApcorrModel,
    }
)
_PHOTOM: Final = MappingProxyType(
    {
        "NIRCAM": models.NrcImgPhotomModel,
        "NIRISS": models.NisImgPhotomModel,
        "MIRI": models.MirImgPhotomModel,
    }
)

_MAKERS: Final[MappingProxyType[str, Callable[[Setup], Reference | None]]] = MappingProxyType(
    {
        "mask": _mask,
        "saturation": _saturation,
        "superbias": _superbias,
        "reset": _reset,
        "rscd": _rscd,
        "ipc": _ipc,
        "linearity": _linearity,
        "dark": _dark,
        "gain": _gain,
        "readnoise": _readnoise,
        "distortion": _distortion,
        "filteroffset": _filteroffset,
        "flat": _flat,
        "dflat": _dflat,
        "sflat": _sflat,
        "photom": _photom,
        "specwcs": _specwcs,
        "apcorr": _apcorr,
        "extract1d": _extract1d,
    }
)
REFERENCE_TYPES: Final = tuple(dict.fromkeys((*_MAKERS, *nirspec.MAKERS, *mrs.MAKERS)))


def _describe(model: _Model, reftype: str, setup: Setup) -> _Model:
    """Write into the header what the file is and which part of which detector it covers."""
    area = setup.subarray
    values: dict[str, str | int] = {
        "meta.telescope": "JWST",
        "meta.reftype": reftype.upper(),
        "meta.pedigree": "SIMULATION",
        "meta.author": "stpipe-flow demo",
        "meta.description": f"Simulated {reftype} of the demo's {setup.detector.name}",
        "meta.useafter": USEAFTER,
        "meta.instrument.name": setup.detector.instrument,
        "meta.instrument.detector": setup.detector.name,
    }
    if reftype not in DETECTOR_WIDE:
        values |= {
            "meta.subarray.name": area.name,
            "meta.subarray.xstart": area.xstart,
            "meta.subarray.ystart": area.ystart,
            "meta.subarray.xsize": area.xsize,
            "meta.subarray.ysize": area.ysize,
            "meta.subarray.fastaxis": setup.detector.fastaxis,
            "meta.subarray.slowaxis": setup.detector.slowaxis,
        }
    for attribute, value in values.items():
        model.set(attribute, value)
    return model


def _good(setup: Setup) -> npt.NDArray[np.uint32]:
    return np.zeros(setup.subarray.shape, np.uint32)


def _flag_reference_pixels(setup: Setup, flag: int) -> npt.NDArray[np.uint32]:
    chosen = is_reference(setup.detector, setup.subarray)
    return np.where(chosen, flag, dqflags.GOOD).astype(np.uint32)
