"""Drizzle exposures onto the pixels of a mosaic (Fruchter & Hook 2002), with their variances."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import ParameterError
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.invalid_pixels import match_invalid, values_of

if TYPE_CHECKING:
    from drizzle.resample import Drizzle
    from gwcs import WCS

    from stpipe.models import DataModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Bits, Doubles, Floats
    from stpipe.science.mosaics.sky_grid import Grid

__all__ = [
    "VARIANCES",
    "Drizzling",
    "Exposure",
    "Mosaic",
    "Window",
    "exposure_of",
    "fill_value",
    "weights",
]

BAD = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE
VARIANCES = ("var_rnoise", "var_poisson", "var_flat")


# --- one exposure ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exposure:
    """What is drizzled of an exposure: values (rows, columns), flags, coordinates, seconds, sky."""

    values: Mapping[str, Floats]
    dq: Bits
    wcs: WCS
    seconds: float
    sky: float | None = None  # what is still in the values and is to be subtracted


def exposure_of(member: DataModel, meta: FlatMetadata | None = None) -> Exposure:
    """The parts of a calibrated image; its sky is what was measured and not subtracted.

    Parameters
    ----------
    member : DataModel
        An image or a slit (rows, columns) with a gwcs.
    meta : mapping, optional
        Its metadata by dotted name, of slits together with those of their exposure.

    Returns
    -------
    Exposure
    """
    meta = member.to_flat_dict() if meta is None else meta
    values, dq = match_invalid(values_of(member), member.dq)
    times = ("measurement_time", "exposure_time")
    seconds = next((t for t in (meta.get(f"meta.exposure.{name}") for name in times) if t), 0.0)
    level = meta.get("meta.background.level")
    known = level is not None and not meta.get("meta.background.subtracted")
    return Exposure(values, dq, member.meta.wcs, seconds, level if known else None)


def weights(exposure: Exposure, kind: str, bad: int = BAD) -> Floats:
    """Weight of each pixel: 1/VAR_RNOISE, the time, or 1; 0 where a bit is bad.

    Parameters
    ----------
    exposure : Exposure
    kind : {"ivm", "exptime", "none"}
        `ivm` is 1 everywhere in exposures without VAR_RNOISE.
    bad : int
        Bits of pixels that do not count.

    Returns
    -------
    (rows, columns) float32
        In s for `exptime`, in the inverse square of the data's unit for `ivm`.
    """
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


def fill_value(fillval: str) -> str:
    """The value of pixels that nothing falls on, as the library `drizzle` takes it.

    Parameters
    ----------
    fillval : str
        A number, NAN, or INDEF, which is the same.

    Returns
    -------
    str
        A number, or NAN.

    Raises
    ------
    ParameterError
        When it is none of these.
    """
    if fillval.upper() in ("NAN", "INDEF"):
        return "NAN"
    try:
        return str(float(fillval))
    except ValueError:
        raise ParameterError(f"fillval: found {fillval!r}, allowed: a number or NAN.") from None


@dataclass(frozen=True)
class Drizzling:
    """How pixels are spread and weighted, and what is made besides data and weights."""

    kernel: str = "square"
    pixfrac: float = 1.0
    fillval: str = "NAN"
    weight_type: str = "ivm"
    enable_ctx: bool = True
    enable_err: bool = True
    propagate_dq: bool = False
    bad: int = BAD  # bits of pixels that do not contribute
    mean_err: bool = False  # make the weighted mean of errors, instead of errors of the mean

    def keywords(self, ratio: float, pointings: int) -> dict[str, Any]:
        """How a product was drizzled, with the ratio of its grid and the number of pointings.

        Parameters
        ----------
        ratio : float
            Of the grid.
        pointings : int

        Returns
        -------
        dict
            Metadata by dotted name.
        """
        names = ("pixfrac", "kernel", "fillval", "weight_type")
        found = {name: getattr(self, name) for name in names}
        found |= {"pixel_scale_ratio": ratio, "pointings": pointings}
        return {f"meta.resample.{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class Window:
    """The rectangle of a mosaic that an exposure falls on."""

    rows: slice
    columns: slice

    @classmethod
    def of(cls, places: Doubles, shape: tuple[int, int]) -> Window:
        """The window around places, within a mosaic of `shape`.

        Parameters
        ----------
        places : (rows, columns, 2: x, y) float64, pixels of the mosaic from 0
            Where pixels of an exposure fall; NaN: nowhere.
        shape : (int, int)
            Rows and columns of the mosaic.

        Returns
        -------
        Window
            With a margin for the widest kernel.
        """
        limits = []
        for axis, size in ((1, shape[0]), (0, shape[1])):
            low, high = np.nanmin(places[..., axis]), np.nanmax(places[..., axis])
            first = min(max(0, int(low) - 3), size - 1)  # the widest kernel reaches 3 pixels far
            limits.append(slice(first, max(first + 1, min(size, int(high) + 5))))
        return cls(*limits)

    @classmethod
    def of_weights(cls, wht: Floats) -> Window:
        """The window around pixels that have a weight.

        Parameters
        ----------
        wht : (rows, columns) float32

        Returns
        -------
        Window
            One pixel where there are none.
        """
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
            disable_ctx=not drizzling.enable_ctx,
            out_dq=np.zeros(grid.shape, np.uint32) if drizzling.propagate_dq else None,
        )
        self._errors = self._empty(grid.shape) if drizzling.mean_err else None
        self._sums: dict[str, Floats] = {}
        self._weights: dict[str, Floats] = {}

    def _empty(self, shape: tuple[int, int]) -> Drizzle:
        """Pixels for errors that are drizzled as the data are."""
        from drizzle.resample import Drizzle

        kernel = self.drizzling.kernel
        return Drizzle(kernel=kernel, fillval="NAN", out_shape=shape, disable_ctx=True)

    def add(self, exposure: Exposure) -> None:
        """Drizzle an exposure.

        Parameters
        ----------
        exposure : Exposure
        """
        data = exposure.values["data"] - np.float32(exposure.sky or 0)
        places = self.grid.places(exposure.wcs, data.shape)
        with warnings.catch_warnings():
            # The documentation says which kernels do not conserve flux.
            warnings.filterwarnings("ignore", message="Kernel .* is not a flux-conserving kernel")
            self._add(exposure, data, places)

    def _add(self, exposure: Exposure, data: Floats, places: Doubles) -> None:
        how = self._arguments(exposure, places)
        flags = {"dq": exposure.dq} if self.drizzling.propagate_dq else {}
        self._drizzle.add_image(data, **how, **flags)
        if self._errors is not None:
            self._errors.add_image(exposure.values["err"], **how)
        elif self.drizzling.enable_err:
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

    def _add_variances(self, exposure: Exposure, how: Mapping[str, object], window: Window) -> None:
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

    def _spread(self, deviation: Floats, how: Mapping[str, object], window: Window) -> Floats:
        """The square of a standard deviation that is drizzled alone."""
        alone = self._empty(window.shape)
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
        """The mosaic by the names of an image's arrays.

        Returns
        -------
        dict of (rows, columns) float32
            `data`, `err`, variances and `wht`; `con` is (planes, rows, columns) int32, `dq` is uint32.
            Sums of variances are used up: call it once.
        """
        made = {"data": self._drizzle.out_img, "wht": self._drizzle.out_wht}
        if self.drizzling.enable_ctx:
            made["con"] = self._drizzle.out_ctx
        if self.drizzling.propagate_dq:
            made["dq"] = self._drizzle.out_dq
        if self._errors is not None:
            made["err"] = self._errors.out_img
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
                variance *= np.float32(self.grid.variance_scale)
                variance /= weight
                variance /= weight
            known = ~np.isnan(variance)
            total[known] += variance[known]
            nothing &= ~known
            found[name] = variance
        total[nothing] = np.nan
        return {**found, "err": np.sqrt(total)}
