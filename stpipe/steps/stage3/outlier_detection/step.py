"""Flag pixels that disagree with the median of all exposures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import InputError, ParameterError, Skip
from stpipe.models import dqflags
from stpipe.science.exposure_types import NIRSPEC_SLITS, SLICES, SLIT, is_moving_target
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.mosaics.drizzle import Drizzling, Exposure, Mosaic, Window, exposure_of, weights
from stpipe.science.mosaics.sky_grid import GridOptions, common_grid
from stpipe.science.mosaics.slit_members import slit_grid_of_members
from stpipe.science.spectra.sources import exposures_of
from stpipe.science.wcs.moving_target import FRAME
from stpipe.steps.stage3.outlier_detection.comparison import Limits, blot, outliers
from stpipe.steps.stage3.outlier_detection.median import Layer, median_of, stored
from stpipe.steps.stage3.outlier_detection.slices import SliceLimits, outliers_of_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from stpipe.models import DataModel, ModelLibrary, MultiExposureModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Floats
    from stpipe.science.mosaics.sky_grid import Grid

__all__ = ["OutlierDetectionStep"]

IMAGES = ("ImageModel", "IFUImageModel")
FEWEST = 2  # exposures that can be compared


class OutlierDetectionStep(LibraryStep):
    """Flag pixels that disagree with the median of all exposures: OUTLIER and DO_NOT_USE.

    Each exposure is drizzled alone onto the common grid; their median, without pixels of low weight,
    is interpolated back to the pixels of each exposure. A pixel is an outlier where it differs by
    more than `snr` errors and `scale` times the steepness of the median: by the first of both
    numbers, or by the second next to such a pixel (Gonzaga et al. 2012, DrizzlePac).

    So are exposures of slits, of one source or of the slit of MIRI's prism, on the grid of
    `resample_spec`; the errors that count are the median of all exposures' errors.

    Exposures of integral fields are not drizzled. The least difference of a pixel from its neighbours
    across the dispersion, in all exposures of a detector, over its median nearby, tells pixels that are
    bad in all of them: those above `threshold_percent` of the pixels.

    One exposure and the median are in memory; drizzled exposures wait on disk.
    """

    alias = "outlier_detection"
    suffix = "crf"
    status = "outlier_detection"
    input_models = (*IMAGES, "MultiExposureModel")
    member_types = ("science",)
    outputs = (Output("members", "", "crf", many=True),)
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
        kernel_size = string(default="7 7")  # Of integral fields: columns and rows of medians, odd
        threshold_percent = float(min=0, max=100, default=99.8)  # And the share of good pixels
        ifu_second_check = boolean(default=False)  # And flag pixels whose neighbours have no value
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
    kernel_size: str
    threshold_percent: float
    ifu_second_check: bool

    def products(self, model_type: str, meta: FlatMetadata) -> tuple[Output, ...]:
        """The exposures again, as they are."""
        del meta
        suffix = vars(self).get("suffix") or self.suffix
        return (Output("members", model_type, suffix, many=True),)

    def parts(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> list[str]:
        """The exposures of one source are one product, which needs no label."""
        del meta, selected
        return [""]

    def process(
        self, exposures: ModelLibrary | MultiExposureModel
    ) -> ModelLibrary | MultiExposureModel:
        """Take the median and compare every exposure with it."""
        from stpipe import models

        if isinstance(exposures, models.ModelLibrary):
            return self._flagged(exposures)
        members = self._flagged(exposures_of(exposures))
        for number, part in enumerate(exposures.exposures):
            with members[number] as member:
                assign(part, values_of(member), member.dq)
        return exposures

    def _flagged(self, library: ModelLibrary) -> ModelLibrary:
        kind = str(library.metadata(0).get("meta.exposure.type")).upper()
        groups = self._groups(library)
        # One cannot be an outlier of itself.
        if (len(library) if kind in SLICES else len(groups)) < FEWEST:
            raise Skip("there is only one exposure, nothing to compare it with")
        self._refuse_misaligned(library, groups[0][0])
        total = 0
        for numbers, places in self._found(library, groups, kind):
            for number in numbers:
                library.amend_member(number, change=_flag(places))
                total += places.size
        self.log.info("%d outliers in %d exposures", total, len(groups))
        return library

    def _refuse_misaligned(self, library: ModelLibrary, number: int) -> None:
        """Refuse exposures of a target that moves, whose coordinates do not follow it."""
        if not is_moving_target(library.metadata(number).to_flat_dict()):
            return
        with library[number] as member:
            wcs = member.meta.wcs
            if wcs is not None and wcs.output_frame.name != FRAME:
                raise InputError(
                    f"{self.qualified_name}: the target moves (TARGTYPE = MOVING), and coordinates of "
                    f"{library.path(number)} do not follow it. Run assign_mtwcs first."
                )

    def _found(
        self, library: ModelLibrary, groups: Sequence[Sequence[int]], kind: str
    ) -> Iterator[tuple[Sequence[int], npt.NDArray[np.int32]]]:
        """Members with the pixels (of the flattened image) that are outliers in them."""
        if kind in SLICES:
            size = _two(self.kernel_size, "kernel_size")
            limits = SliceLimits(
                (odd(size[1]), odd(size[0])), self.threshold_percent, self.ifu_second_check
            )
            yield from outliers_of_slices(library, limits)
            return
        limits_ = Limits(*_two(self.snr, "snr"), *_two(self.scale, "scale"))
        medians = self._medians(library, groups, of_slit=kind in SLIT | NIRSPEC_SLITS)
        for place, number in enumerate(n for numbers in groups for n in numbers):
            with library[number] as member:
                flagged = self._compare(exposure_of(member), place, medians, limits_)
            yield (number,), np.flatnonzero(flagged).astype(np.int32)

    def _groups(self, library: ModelLibrary) -> list[list[int]]:
        chosen = set(library.of_type("science"))
        found = [sorted(chosen.intersection(numbers)) for numbers in library.groups.values()]
        return [numbers for numbers in found if numbers]

    def _medians(
        self, library: ModelLibrary, groups: Sequence[Sequence[int]], *, of_slit: bool
    ) -> Medians:
        """The median of all exposures, of slits that of their errors, too; on the common grid."""
        import tempfile

        names = ("data", "err") if of_slit else ("data",)
        with tempfile.TemporaryDirectory(prefix="stpipe-outliers-") as scratch:
            grid, layers = self._layers(library, groups, names, Path(scratch))
            shape = grid.shape if grid else layers[0]["data"].window.shape
            found = {name: median_of([each[name] for each in layers], shape) for name in names}
        return Medians(found["data"], found.get("err"), grid)

    def _layers(
        self,
        library: ModelLibrary,
        groups: Sequence[Sequence[int]],
        names: Sequence[str],
        scratch: Path,
    ) -> tuple[Grid | None, list[dict[str, Layer]]]:
        """Every exposure on the common grid, on disk."""
        if not self.resample_data:
            undrizzled = (self._undrizzled(library, numbers) for numbers in groups)
            return None, [
                self._stored(arrays, names, scratch / f"{number}")
                for number, arrays in enumerate(undrizzled)
            ]
        members, bad = [n for numbers in groups for n in numbers], dqflags.excluded(self.good_bits)
        how = Drizzling(
            self.kernel, self.pixfrac, self.fillval, self.weight_type, enable_ctx=False, bad=bad
        )
        grid: Grid
        if "err" in names:
            grid = slit_grid_of_members(library, members, GridOptions(), bad)
            how = replace(how, mean_err=True)
        else:
            grid = common_grid(library, members, GridOptions())
            how = replace(how, enable_err=False)
        of_group = ([(members.index(n), n) for n in numbers] for numbers in groups)
        drizzled = (self._drizzled(library, numbers, (grid, how)) for numbers in of_group)
        return grid, [
            self._stored(arrays, names, scratch / f"{number}")
            for number, arrays in enumerate(drizzled)
        ]

    def _drizzled(
        self,
        library: ModelLibrary,
        numbers: Sequence[tuple[int, int]],
        target: tuple[Grid, Drizzling],
    ) -> Mapping[str, Floats]:
        """Members of one exposure, by their places among all and their numbers."""
        mosaic = Mosaic(*target, len(numbers))
        for place, number in numbers:
            with library[number] as member:
                mosaic.add(exposure_of(member), place)
        return mosaic.arrays()

    def _undrizzled(self, library: ModelLibrary, numbers: Sequence[int]) -> Mapping[str, Floats]:
        with library[numbers[0]] as member:
            exposure = exposure_of(member)
        wht = weights(exposure, self.weight_type, dqflags.excluded(self.good_bits))
        data = exposure.values["data"] - np.float32(exposure.sky or 0)
        return {"data": data, "err": exposure.values["err"], "wht": wht}

    def _stored(
        self, arrays: Mapping[str, Floats], names: Sequence[str], stem: Path
    ) -> dict[str, Layer]:
        """Some arrays of an exposure on disk, without pixels of low weight."""
        wht = arrays["wht"]
        rows, columns = wht.shape
        window = Window(slice(0, rows), slice(0, columns))
        if self.resample_data:
            window = Window.of_weights(wht)
        wht = wht[window.section]
        cut = {name: arrays[name][window.section] for name in names}
        paths = {name: stem.with_suffix(f".{name}") for name in names}
        return {n: stored(cut[n], wht, window, self.maskpt, paths[n]) for n in names}

    def _compare(
        self, exposure: Exposure, number: int, medians: Medians, limits: Limits
    ) -> Booleans:
        data, err = exposure.values["data"], exposure.values["err"]
        if medians.grid is None:
            flat = data - np.float32(exposure.sky or 0)
            noise = err if medians.err is None else medians.err
            far: Booleans = np.abs(flat - medians.data) > limits.snr * np.nan_to_num(noise)
            return far
        places = medians.grid.places(exposure.wcs, data.shape, number)
        expected = blot(medians.data, places)
        if medians.err is not None:
            err = blot(medians.err, places)
        sky = np.float32(self.backg if exposure.sky is None else exposure.sky)
        return outliers(data - sky, err, expected, limits)


@dataclass(frozen=True)
class Medians:
    """The medians of data and, of slits, of errors; without a grid at the pixels of exposures."""

    data: Floats
    err: Floats | None
    grid: Grid | None


def odd(size: float) -> int:
    """A whole number of pixels that has a middle one."""
    return int(size) + (int(size) % 2 == 0)


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
