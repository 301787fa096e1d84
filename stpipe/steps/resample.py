"""Combine exposures into a mosaic without distortion."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError, ParameterError
from stpipe.library_step import LibraryStep
from stpipe.models import dqflags
from stpipe.step import Output
from stpipe.steps._arrays import has
from stpipe.steps._invalid import match_invalid, values_of
from stpipe.steps.assign_wcs import replaced_keywords
from stpipe.steps.blending import blended, header_of, header_table
from stpipe.steps.sky_grid import Grid, Wishes, from_file, grid_for, pixel_map

if TYPE_CHECKING:
    from stpipe.models import ImageModel, ModelLibrary
    from stpipe.steps._arrays import Bits, Doubles, Floats

__all__ = ["Drizzling", "Exposure", "Mosaic", "ResampleStep", "weights"]

BAD = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE
VARIANCES = ("var_rnoise", "var_poisson", "var_flat")
ARCSEC2 = float(np.deg2rad(1 / 3600)) ** 2  # sr
# What tells of the detector and not of the sky, and of a sky that is subtracted now.
_OF_THE_DETECTOR = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")
NOT_OF_A_MOSAIC = (
    *(f"meta.wcsinfo.{name}" for name in _OF_THE_DETECTOR),
    "meta.background.level",
    "meta.background.subtracted",
)


class ResampleStep(LibraryStep):
    """Combine exposures into a mosaic without distortion, by drizzling (Fruchter & Hook 2002).

    Pixels are spread over those of a tangential projection that holds all exposures, oriented as the
    first of them. WHT is the sum of weights, CON has a bit for each exposure that contributed (in
    planes of 32). A sky level that was measured (BKGLEVEL) and not subtracted is subtracted. Errors
    are propagated from the variances; neighbouring pixels of the mosaic are correlated. The kernels
    `gaussian` and `lanczos` do not conserve flux.

    One exposure at a time is in memory, besides the mosaic and the sums of its variances.

    With `blendheaders` times, detectors and optical elements in the header are those of all exposures,
    and the table HDRTAB has a row of keywords for each; else the header is that of the first, with its
    times summed.

    Not implemented: `single` and spectra.
    """

    alias = "resample"
    suffix = "i2d"
    status = "resample"
    input_models = ("ImageModel",)
    member_types = ("science",)
    outputs = (Output("mosaic", "ImageModel", "i2d"),)
    prerequisites = ("meta.wcsinfo.s_region",)
    spec = """
        pixfrac = float(min=0, max=1, default=1.0)  # Shrink pixels to this before they are spread
        kernel = option(square, gaussian, point, turbo, lanczos2, lanczos3, default=square)  # Spread
        fillval = string(default="NAN")  # Value of pixels that nothing falls on
        weight_type = option("ivm", "exptime", "none", default="ivm")  # Weights: 1/VAR_RNOISE, time, 1
        output_shape = int_list(min=2, max=2, default=None)  # Columns and rows of the mosaic
        crpix = float_list(min=2, max=2, default=None)  # Pixel x, y from 0 of the reference point
        crval = float_list(min=2, max=2, default=None)  # Right ascension, declination of it, degrees
        rotation = float(default=None)  # Position angle of the y axis, degrees
        pixel_scale_ratio = float(min=0.001, default=1.0)  # Width of pixels over that of the inputs
        pixel_scale = float(min=0.000001, default=None)  # Width of pixels, arcsec
        output_wcs = string(default=None)  # ASDF file with a gwcs, in place of the seven before
        enable_ctx = boolean(default=True)  # Make CON
        enable_err = boolean(default=True)  # Make ERR and variances
        report_var = boolean(default=True)  # Keep the variances
        blendheaders = boolean(default=True)  # Combine the headers, and keep them in a table
        propagate_dq = boolean(default=False)  # Make DQ: the flags of all pixels that contributed
    """
    pixfrac: float
    kernel: str
    fillval: str
    weight_type: str
    output_shape: list[int] | None
    crpix: list[float] | None
    crval: list[float] | None
    rotation: float | None
    pixel_scale_ratio: float
    pixel_scale: float | None
    output_wcs: str | None
    enable_ctx: bool
    enable_err: bool
    report_var: bool
    blendheaders: bool
    propagate_dq: bool

    def process(self, library: ModelLibrary) -> Any:
        """Drizzle the science members, one after the other."""
        members = library.of_type("science")
        mosaic = Mosaic(self.grid(library, members), self.drizzling(), len(members))
        headers = {}
        for number in members:
            with library[number] as member:
                mosaic.add(exposure_of(member))
                headers[number] = header_of(member)
        self.log.info("%d exposures, %d x %d pixels", len(members), *mosaic.grid.shape)
        return self._described(library, headers, mosaic)

    def drizzling(self) -> Drizzling:
        """How pixels are spread and weighted."""
        extras = (self.enable_ctx, self.enable_err, self.propagate_dq)
        return Drizzling(
            self.kernel, self.pixfrac, _number(self.fillval), self.weight_type, *extras
        )

    def grid(self, library: ModelLibrary, members: Sequence[int]) -> Grid:
        """The pixels of the mosaic."""
        if not members:
            raise InputError(f"{self.qualified_name}: the association has no science members.")
        regions = [library.metadata(n).get("meta.wcsinfo.s_region") for n in members]
        shape = None if self.output_shape is None else (self.output_shape[1], self.output_shape[0])
        with library[members[0]] as first:
            wcs = first.meta.wcs
            if wcs is None:
                raise InputError(
                    f"{self.qualified_name}: {library.path(members[0])} has no gwcs. Run assign_wcs."
                )
            if self.output_wcs is not None:
                return from_file(self.output_wcs, wcs, shape)
            wishes = Wishes(
                shape,
                _pair(self.crpix),
                _pair(self.crval),
                self.rotation,
                self.pixel_scale,
                self.pixel_scale_ratio,
            )
            return grid_for(first.to_flat_dict(), wcs, regions, wishes)

    def _described(
        self, library: ModelLibrary, headers: Mapping[int, Mapping[str, Any]], mosaic: Mosaic
    ) -> ImageModel:
        """The mosaic with its header, made of the headers of members by their numbers."""
        from stpipe import models

        image = models.ImageModel()
        members = list(headers)
        with library[members[0]] as first:
            image.update(first)
        for name, array in mosaic.arrays().items():
            if self.report_var or name not in VARIANCES:
                setattr(image, name, array)
        image.meta.wcs = mosaic.grid.wcs
        values = replaced_keywords(image.to_flat_dict(), {})
        if self.blendheaders and len(members) > 1:
            image.hdrtab = header_table(list(headers.values()), image.schema.metadata)
            values |= blended(list(headers.values()))
        leaders = _leaders(library, members)
        values |= combined_times([headers[number] for number in leaders])
        values |= dict.fromkeys(NOT_OF_A_MOSAIC) | grid_keywords(mosaic.grid)
        values |= self._described_drizzling(mosaic.grid.ratio, len(leaders))
        for path, value in values.items():
            if path in image.schema.metadata:
                image.set(path, value)
        image.meta.wcsinfo.s_region = outline(mosaic.grid)
        return image

    def _described_drizzling(self, ratio: float, pointings: int) -> dict[str, Any]:
        names = ("pixfrac", "kernel", "fillval", "weight_type")
        found = {name: getattr(self, name) for name in names}
        found |= {"pixel_scale_ratio": ratio, "pointings": pointings}
        return {f"meta.resample.{name}": value for name, value in found.items()}


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def _number(fillval: str) -> str:
    if fillval.upper() in ("NAN", "INDEF"):
        return "NAN"
    try:
        return str(float(fillval))
    except ValueError:
        raise ParameterError(f"fillval: found {fillval!r}, allowed: a number or NAN.") from None


# --- one exposure ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exposure:
    """What is drizzled of an exposure: values (rows, columns), flags, coordinates, seconds, sky."""

    values: Mapping[str, Floats]
    dq: Bits
    wcs: Any
    seconds: float
    sky: float | None = None  # what is still in the values and is to be subtracted


def exposure_of(member: Any) -> Exposure:
    """The parts of a calibrated image; its sky is what was measured and not subtracted."""
    exposure = member.meta.exposure
    values, dq = match_invalid(values_of(member), member.dq)
    seconds = exposure.measurement_time or exposure.exposure_time
    background = member.meta.background
    known = background.level is not None and not background.subtracted
    return Exposure(values, dq, member.meta.wcs, seconds, background.level if known else None)


def weights(exposure: Exposure, kind: str, bad: int = BAD) -> Floats:
    """Weight of each pixel (rows, columns): 1/VAR_RNOISE, the time, or 1; 0 where a bit is bad."""
    good = ~has(exposure.dq, bad)
    if kind == "exptime":
        return good * np.float32(exposure.seconds)
    variance = exposure.values.get("var_rnoise")
    if kind == "none" or variance is None:
        return good.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / variance
    return np.where(good & np.isfinite(inverse), inverse, np.float32(0)).astype(np.float32)


# --- the mosaic -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drizzling:
    """How pixels are spread and weighted, and what is made besides data and weights."""

    kernel: str = "square"
    pixfrac: float = 1.0
    fillval: str = "NAN"
    weight_type: str = "ivm"
    context: bool = True
    errors: bool = True
    flags: bool = False
    bad: int = BAD  # bits of pixels that do not contribute


@dataclass(frozen=True)
class Window:
    """The rectangle of a mosaic that an exposure falls on."""

    rows: slice
    columns: slice

    @classmethod
    def of(cls, places: Doubles, shape: tuple[int, int]) -> Window:
        """The window around places (rows, columns, 2: x, y), within a mosaic of `shape`."""
        limits = []
        for axis, size in ((1, shape[0]), (0, shape[1])):
            low, high = np.nanmin(places[..., axis]), np.nanmax(places[..., axis])
            first = min(max(0, int(low) - 3), size - 1)  # the widest kernel reaches 3 pixels far
            limits.append(slice(first, max(first + 1, min(size, int(high) + 5))))
        return cls(*limits)

    @classmethod
    def of_weights(cls, wht: Floats) -> Window:
        """The window around pixels that have a weight."""
        rows, columns = (np.flatnonzero((wht != 0).any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return cls(slice(0, 1), slice(0, 1))
        return cls(slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))

    @property
    def section(self) -> tuple[slice, slice]:
        """The window as an index."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


class Mosaic:
    """A mosaic that exposures are added to.

    Parameters
    ----------
    grid
        Its pixels.
    drizzling
        How pixels are spread and weighted.
    count
        How many exposures there will be.
    """

    def __init__(self, grid: Grid, drizzling: Drizzling, count: int) -> None:
        from drizzle.resample import Drizzle

        self.grid, self.drizzling = grid, drizzling
        self._drizzle = Drizzle(
            kernel=drizzling.kernel,
            fillval=drizzling.fillval,
            out_shape=grid.shape,
            max_ctx_id=max(count - 1, 0),
            disable_ctx=not drizzling.context,
            out_dq=np.zeros(grid.shape, np.uint32) if drizzling.flags else None,
        )
        self._sums: dict[str, Floats] = {}
        self._weights: dict[str, Floats] = {}

    def add(self, exposure: Exposure) -> None:
        """Drizzle an exposure."""
        data = exposure.values["data"] - np.float32(exposure.sky or 0)
        places = pixel_map(exposure.wcs, self.grid, data.shape)
        with warnings.catch_warnings():
            # The documentation says which kernels do not conserve flux.
            warnings.filterwarnings("ignore", message="Kernel .* is not a flux-conserving kernel")
            self._add(exposure, data, places)

    def _add(self, exposure: Exposure, data: Floats, places: Doubles) -> None:
        how = self._arguments(exposure, places)
        flags = {"dq": exposure.dq} if self.drizzling.flags else {}
        self._drizzle.add_image(data, **how, **flags)
        if self.drizzling.errors:
            window = Window.of(places, self.grid.shape)
            shifted = places - [window.columns.start, window.rows.start]
            self._add_variances(exposure, {**how, "pixmap": shifted}, window)

    def _arguments(self, exposure: Exposure, places: Doubles) -> dict[str, Any]:
        rows, columns = places.shape[:2]
        (x0, x1), (y0, y1) = exposure.wcs.bounding_box
        return {
            "exptime": exposure.seconds,
            "pixmap": places,
            "pixel_scale_ratio": self.grid.ratio,
            "weight_map": weights(exposure, self.drizzling.weight_type, self.drizzling.bad),
            "pixfrac": self.drizzling.pixfrac,
            "in_units": "cps",
            "xmin": max(0, int(x0 + 0.5)),
            "xmax": min(columns - 1, int(x1 + 0.5)),
            "ymin": max(0, int(y0 + 0.5)),
            "ymax": min(rows - 1, int(y1 + 0.5)),
        }

    def _add_variances(self, exposure: Exposure, how: Mapping[str, Any], window: Window) -> None:
        """Add an exposure's variances in the mosaic, times the squares of its weights there."""
        known = [name for name in VARIANCES if name in exposure.values]
        made = {name: self._spread(np.sqrt(exposure.values[name]), how, window) for name in known}
        weight = self._variance_weight(exposure, made, window)
        for name, variance in made.items():
            good = (variance >= 0) & np.isfinite(variance) & (weight > 0)
            total, sums = self._sums_of(name)
            part = np.where(good, variance * weight * weight, 0)
            sums[window.section] += part.astype(np.float32)
            total[window.section] += np.where(good, weight, 0).astype(np.float32)

    def _spread(self, deviation: Floats, how: Mapping[str, Any], window: Window) -> Floats:
        """The square of a standard deviation that is drizzled alone."""
        from drizzle.resample import Drizzle

        alone = Drizzle(
            kernel=self.drizzling.kernel, fillval="NAN", out_shape=window.shape, disable_ctx=True
        )
        alone.add_image(deviation, **how)
        squared: Floats = alone.out_img**2
        return squared

    def _variance_weight(
        self, exposure: Exposure, made: Mapping[str, Floats], window: Window
    ) -> Doubles:
        if self.drizzling.weight_type == "exptime":
            return np.full(window.shape, float(exposure.seconds))
        if self.drizzling.weight_type == "none" or "var_rnoise" not in made:
            return np.ones(window.shape)
        noise = made["var_rnoise"]
        good = (noise > 0) & np.isfinite(noise)
        return np.divide(1.0, noise, out=np.zeros(window.shape), where=good)

    def _sums_of(self, name: str) -> tuple[Floats, Floats]:
        if name not in self._sums:
            self._sums[name], self._weights[name] = np.zeros((2, *self.grid.shape), np.float32)
        return self._weights[name], self._sums[name]

    def arrays(self) -> dict[str, Any]:
        """The mosaic by the names of an image's arrays."""
        made = {"data": self._drizzle.out_img, "wht": self._drizzle.out_wht}
        if self.drizzling.context:
            made["con"] = self._drizzle.out_ctx
        if self.drizzling.flags:
            made["dq"] = self._drizzle.out_dq
        return made | (self._variances() if self._sums else {})

    def _variances(self) -> dict[str, Floats]:
        """Variances and their sum's root; NaN where no exposure contributed."""
        found: dict[str, Floats] = {}
        total = np.zeros(self.grid.shape, np.float32)
        nothing = np.ones(self.grid.shape, dtype=bool)
        for name in list(self._sums):
            weight, variance = self._weights.pop(name), self._sums.pop(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # 0/0 is NaN: nothing there
                variance /= np.float32(self.grid.ratio**2)
                variance /= weight
                variance /= weight
            known = ~np.isnan(variance)
            total[known] += variance[known]
            nothing &= ~known
            found[name] = variance
        total[nothing] = np.nan
        return {**found, "err": np.sqrt(total)}


# --- the header of the mosaic ---------------------------------------------------------------------


def _leaders(library: ModelLibrary, members: Sequence[int]) -> list[int]:
    """The first member of each exposure: detectors that saw the sky together count once."""
    chosen = set(members)
    groups = library.groups.values()
    return [min(chosen.intersection(group)) for group in groups if chosen.intersection(group)]


def combined_times(exposures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Times of a mosaic from the metadata of its exposures; what one of them lacks is not known."""
    names = ("exposure_time", "measurement_time", "duration", "start_time", "end_time")
    known = {n: [header.get(f"meta.exposure.{n}") for header in exposures] for n in names}
    rules: dict[str, Any] = {**dict.fromkeys(names, sum), "start_time": min, "end_time": max}
    found = {n: rules[n](v) for n, v in known.items() if None not in v}
    found["elapsed_exposure_time"] = found.get("duration")
    found["effective_exposure_time"] = found.get("exposure_time")
    return {f"meta.exposure.{name}": value for name, value in found.items()}


def grid_keywords(grid: Grid) -> dict[str, Any]:
    """The FITS keywords of a grid, and the area of its pixels."""
    area = grid.scale**2
    keywords: dict[str, Any] = {
        "meta.photometry.pixelarea_arcsecsq": area,
        "meta.photometry.pixelarea_steradians": area * ARCSEC2,
    }
    transform = grid.wcs.forward_transform
    if not hasattr(transform, "crpix"):
        return keywords
    for axis in (0, 1):
        keywords |= {
            f"meta.wcsinfo.crpix{axis + 1}": float(transform.crpix.value[axis]) + 1,
            f"meta.wcsinfo.crval{axis + 1}": float(transform.crval.value[axis]),
            f"meta.wcsinfo.cdelt{axis + 1}": float(transform.cdelt.value[axis]),
            f"meta.wcsinfo.ctype{axis + 1}": ("RA---TAN", "DEC--TAN")[axis],
            f"meta.wcsinfo.cunit{axis + 1}": "deg",
            f"meta.wcsinfo.pc{axis + 1}_1": float(transform.pc.value[axis][0]),
            f"meta.wcsinfo.pc{axis + 1}_2": float(transform.pc.value[axis][1]),
        }
    return keywords


def outline(grid: Grid) -> str | None:
    """The outline of the mosaic on the sky, as S_REGION has it."""
    from stpipe.steps.imaging_wcs import s_region

    return s_region(grid.wcs)
