"""Flag pixels that disagree with the median of all exposures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import ParameterError, Skip
from stpipe.models import dqflags
from stpipe.science.exposure_types import refuse_moving_target
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.mosaics.drizzle import Drizzling, Exposure, Mosaic, Window, exposure_of, weights
from stpipe.science.mosaics.sky_grid import GridOptions, common_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    from gwcs import WCS

    from stpipe.models import DataModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Floats
    from stpipe.science.mosaics.sky_grid import Grid

__all__ = ["Limits", "OutlierDetectionStep", "blot", "median_of", "outliers", "steepness"]

BAND_BYTES = 4_000_000  # of exposures on the grid of the mosaic whose median is taken at a time


class OutlierDetectionStep(LibraryStep):
    """Flag pixels that disagree with the median of all exposures: OUTLIER and DO_NOT_USE.

    Each exposure is drizzled alone onto the common grid; their median, without pixels of low weight,
    is interpolated back to the pixels of each exposure. A pixel is an outlier where it differs by
    more than `snr` errors and `scale` times the steepness of the median: by the first of both
    numbers, or by the second next to such a pixel (Gonzaga et al. 2012, DrizzlePac).

    For dithered images. One exposure and the median are in memory; drizzled exposures wait on disk.
    """

    alias = "outlier_detection"
    suffix = "crf"
    status = "outlier_detection"
    input_models = ("ImageModel",)
    member_types = ("science",)
    outputs = (Output("members", "ImageModel", "crf", many=True),)
    prerequisites = ("meta.wcsinfo.s_region",)
    uses = ("meta.exposure.exposure_time", "meta.exposure.measurement_time")
    spec = """
        weight_type = option(ivm, exptime, default=ivm)  # Weights: 1/VAR_RNOISE, or time
        pixfrac = float(min=0, max=1, default=1.0)  # Shrink pixels to this before they are spread
        kernel = option(square, point, turbo, default=square)  # Spread
        fillval = string(default="NAN")  # Value of pixels that nothing falls on
        maskpt = float(min=0, default=0.7)  # Weights below this part of their mean do not count
        snr = string(default="5.0 4.0")  # Errors that a pixel, and its neighbour, may differ by
        scale = string(default="1.2 0.7")  # Steepness that is allowed for, in the same order
        backg = float(default=0.0)  # Sky of the exposures over the median where it is not known
        resample_data = boolean(default=True)  # False: exposures are not dithered, pixels compare
        good_bits = string(default="~DO_NOT_USE")  # Flags that do not keep a pixel from counting
    """
    weight_type: str
    pixfrac: float
    kernel: str
    fillval: str
    maskpt: float
    snr: str
    scale: str
    backg: float
    resample_data: bool
    good_bits: str

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what cannot be combined, also while planning."""
        del selected
        refuse_moving_target(self.qualified_name, meta)
        return ""

    def process(self, library: ModelLibrary) -> ModelLibrary:
        """Take the median and compare every exposure with it."""
        import tempfile

        groups = self._groups(library)
        if len(groups) < 2:  # noqa: PLR2004 - one cannot be an outlier of itself
            raise Skip("there is only one exposure, nothing to compare it with")
        limits = Limits(*_two(self.snr, "snr"), *_two(self.scale, "scale"))
        with tempfile.TemporaryDirectory(prefix="stpipe-outliers-") as scratch:
            grid, layers = self._layers(library, groups, Path(scratch))
            median = median_of(layers, grid.shape if grid else layers[0].window.shape)
        total = 0
        for number in (n for numbers in groups for n in numbers):
            with library[number] as member:
                flagged = self._compare(exposure_of(member), median, grid, limits)
            library.amend_member(number, change=_flag(np.flatnonzero(flagged).astype(np.int32)))
            total += int(flagged.sum())
        self.log.info("%d outliers in %d exposures", total, len(groups))
        return library

    def _groups(self, library: ModelLibrary) -> list[list[int]]:
        chosen = set(library.of_type("science"))
        found = [sorted(chosen.intersection(numbers)) for numbers in library.groups.values()]
        return [numbers for numbers in found if numbers]

    def _layers(
        self, library: ModelLibrary, groups: Sequence[Sequence[int]], scratch: Path
    ) -> tuple[Grid | None, list[Layer]]:
        """Every exposure on the common grid, on disk."""
        if not self.resample_data:
            return None, [self._undrizzled(library, numbers, scratch) for numbers in groups]
        members = [n for numbers in groups for n in numbers]
        grid = common_grid(library, members, GridOptions())
        how = Drizzling(
            self.kernel,
            self.pixfrac,
            self.fillval,
            self.weight_type,
            enable_ctx=False,
            enable_err=False,
            bad=dqflags.excluded(self.good_bits),
        )
        return grid, [self._drizzled(library, numbers, (grid, how), scratch) for numbers in groups]

    def _drizzled(
        self,
        library: ModelLibrary,
        numbers: Sequence[int],
        target: tuple[Grid, Drizzling],
        scratch: Path,
    ) -> Layer:
        mosaic = Mosaic(*target, len(numbers))
        for number in numbers:
            with library[number] as member:
                mosaic.add(exposure_of(member))
        arrays = mosaic.arrays()
        window = Window.of_weights(arrays["wht"])
        data, wht = (arrays[name][window.section] for name in ("data", "wht"))
        return _stored(data, wht, window, self.maskpt, scratch / f"{numbers[0]}.npy")

    def _undrizzled(self, library: ModelLibrary, numbers: Sequence[int], scratch: Path) -> Layer:
        with library[numbers[0]] as member:
            exposure = exposure_of(member)
        data = exposure.values["data"] - np.float32(exposure.sky or 0)
        rows, columns = data.shape
        window = Window(slice(0, rows), slice(0, columns))
        wht = weights(exposure, self.weight_type, dqflags.excluded(self.good_bits))
        return _stored(data, wht, window, self.maskpt, scratch / f"{numbers[0]}.npy")

    def _compare(
        self, exposure: Exposure, median: Floats, grid: Grid | None, limits: Limits
    ) -> Booleans:
        data, err = exposure.values["data"], exposure.values["err"]
        if grid is None:
            flat = data - np.float32(exposure.sky or 0)
            far: Booleans = np.abs(flat - median) > limits.snr * np.nan_to_num(err)
            return far
        expected = blot(median, grid, exposure.wcs, data.shape)
        sky = np.float32(self.backg if exposure.sky is None else exposure.sky)
        return outliers(data - sky, err, expected, limits)


def _two(text: str, name: str) -> tuple[float, float]:
    try:
        first, second = map(float, text.replace(",", " ").split())
    except ValueError:
        raise ParameterError(
            f'{name}: found "{text}", allowed: two numbers, such as "5.0 4.0".'
        ) from None
    return first, second


def _flag(places: npt.NDArray[np.int32]) -> Callable[[DataModel], None]:
    """A change that flags pixels (indices of the flattened image)."""

    def change(member: DataModel) -> None:
        dq = member.dq.copy()
        dq.flat[places] |= dqflags.OUTLIER | dqflags.DO_NOT_USE
        assign(member, values_of(member), dq)

    return change


# --- median -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """An exposure on the common grid, on disk: NaN where its weight is low."""

    path: Path
    window: Window

    def read(self, band: slice) -> Iterator[tuple[slice, slice, Floats]]:
        """Its part of a band of rows: rows of the band, columns, values; nothing outside."""
        rows = self.window.rows
        first, last = max(band.start, rows.start), min(band.stop, rows.stop)
        if first < last:
            width = self.window.shape[1]
            values = np.fromfile(
                self.path,
                np.float32,
                count=(last - first) * width,
                offset=(first - rows.start) * width * 4,
            )
            here = slice(first - band.start, last - band.start)
            yield here, self.window.columns, values.reshape(-1, width)


def _stored(data: Floats, wht: Floats, window: Window, maskpt: float, path: Path) -> Layer:
    values = np.where(wht < weight_threshold(wht, maskpt), np.float32(np.nan), data)
    values.astype(np.float32).tofile(path)
    return Layer(path, window)


def weight_threshold(wht: Floats, maskpt: float) -> float:
    """`maskpt` of the mean weight, without outliers and pixels that have none."""
    from astropy.stats import sigma_clip

    known = wht[np.isfinite(wht) & (wht != 0)]
    if not known.size:
        return 0.0
    clipped = sigma_clip(known, sigma=3, maxiters=5, masked=False, copy=False)
    return float(np.mean(clipped, dtype=np.float64) * maskpt)


def median_of(layers: Sequence[Layer], shape: tuple[int, int]) -> Floats:
    """Median (rows, columns) of layers, without NaN; a band of rows of all of them in memory.

    The more layers there are, the fewer rows a band has.
    """
    median = np.full(shape, np.nan, dtype=np.float32)
    height = max(BAND_BYTES // (4 * len(layers) * shape[1]), 1)
    for start in range(0, shape[0], height):
        band = slice(start, min(start + height, shape[0]))
        stack = np.full((len(layers), band.stop - start, shape[1]), np.nan, dtype=np.float32)
        for layer, plane in zip(layers, stack, strict=True):
            for rows, columns, values in layer.read(band):
                plane[rows, columns] = values
        median[band] = _nanmedian(stack)
    return median


def _nanmedian(stack: Floats) -> Floats:
    """Median along the first axis without NaN."""
    stack.sort(axis=0)  # NaN come last
    count = np.isfinite(stack).sum(axis=0)
    middle = np.array([np.maximum(count - 1, 0) // 2, count // 2])
    low, high = np.take_along_axis(stack, np.minimum(middle, len(stack) - 1), axis=0)
    return np.asarray((low + high) / 2, dtype=np.float32)


# --- comparison -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Errors that pixels may differ by, and steepness that is allowed for: alone, and next to one."""

    snr: float
    snr_beside: float
    scale: float
    scale_beside: float


def blot(median: Floats, grid: Grid, wcs: WCS, shape: tuple[int, int]) -> Floats:
    """The median at the pixels of an exposure, interpolated linearly; NaN outside."""
    from drizzle.resample import blot_image

    places = grid.places(wcs, shape)
    places[np.isnan(places)] = -1  # outside the mosaic
    made = np.full(shape, np.nan, dtype=np.float32)
    blot_image(
        data=median, pixmap=places, out_img=made, fillval=np.nan, iscale=1.0, interp="linear"
    )
    return made


def outliers(data: Floats, err: Floats, expected: Floats, limits: Limits) -> Booleans:
    """Pixels (rows, columns) that differ too much from what is expected."""
    from scipy.ndimage import binary_dilation

    noise, slope = np.nan_to_num(err), steepness(expected)
    difference = np.abs(data - expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN is no outlier
        far = difference > limits.scale * slope + limits.snr * noise
        near = difference > limits.scale_beside * slope + limits.snr_beside * noise
    beside: Booleans = binary_dilation(far, np.ones((3, 3), dtype=bool)) & near
    return beside


def steepness(image: Floats) -> Floats:
    """Largest difference of each pixel from its four neighbours; those that are NaN do not count."""
    steep = np.where(np.isnan(image), np.float32(np.nan), np.float32(0))
    for axis in (0, 1):
        rise = np.abs(np.diff(image, axis=axis))
        here = [slice(None)] * 2
        for part in (slice(None, -1), slice(1, None)):
            here[axis] = part
            steep[tuple(here)] = np.where(
                np.isnan(rise), steep[tuple(here)], np.maximum(steep[tuple(here)], rise)
            )
    return steep
