"""Subtract the drift of the readout electronics, measured by the reference pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.engine.band import Band
from stpipe.engine.chain import compute, edges
from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.science.arrays import has, rows_of
from stpipe.science.ramps import _pointwise
from stpipe.science.ramps.irs2_frames import is_interleaved
from stpipe.steps.stage1.refpix.clipping import clipped_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy.typing as npt

    from stpipe.engine.chain import Chain
    from stpipe.models import RampModel
    from stpipe.models.protocols import FlatMetadata, Meta
    from stpipe.references.opened import CutReference, References
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats, Item
    from stpipe.steps.stage1.refpix.sirs import Filters

__all__ = [
    "Drift",
    "MiriDrift",
    "OutputDrift",
    "RefPixRules",
    "RefPixStep",
    "Window",
    "measure_miri",
    "measure_one_output",
    "measure_outputs",
    "reference_borders",
    "running_median",
    "subtract_drift",
    "subtract_miri_drift",
]

SIZE = 2048  # rows and columns of a near-infrared detector
BORDER = 4  # reference pixels on each side
OUTPUTS = 4
SURVEYED_GROUPS = 64  # of which the reference pixels are in memory at once
MIRI_COLUMNS = 1032
MIRI_ROWS = 1024
# NIRSpec subarrays away from all edges: columns at both sides stand in for reference pixels.
WITHOUT_EDGES = ("SUB512", "SUB512S", "SUB32")


class RefPixStep(RampStep):
    """Subtract the drift of the readout electronics, measured by the reference pixels.

    Near-infrared detectors read by four outputs: for each output and column parity, the clipped
    mean of the reference rows above and below; then, row by row, the running median of the
    reference columns on both sides. Subarrays read by one output: the clipped mean of all their
    reference pixels, for each column parity. MIRI full frame: for each output and row parity the
    clipped mean of the reference columns on both sides, relative to the first group.

    With `refpix_algorithm=sirs`, full frames take the drift of rows from a filter of the reference
    file `sirskernel`, made for each output, instead of running medians; without a filter for the
    detector, and in subarrays, medians are used all the same.

    MIRI subarrays and subarrays without reference pixels are skipped. The zero frame is corrected
    like a group; 0 means no data and stays.

    NIRSpec's IRS2 readout interleaves reference pixels and has a reference output: both, weighted
    by frequency as the reference file `refpix` says, tell the noise. Bad samples are replaced by
    neighbours first (`ovr_corr_mitigation_ftr`). The product has the science pixels alone.

    Differences from jwst 3.0.0: all groups are corrected in double precision, where jwst treats the
    first one in single precision (about 1e-4 DN in 1000 DN); a correction for which there were no
    reference pixels is SKIPPED instead of COMPLETE; a parity without reference pixels leaves its
    output alone in subarrays of one output, too, instead of failing; an even smoothing length is
    rounded up, where jwst says so but takes the median of a lopsided window.
    """

    alias = "refpix"
    suffix = "refpix"
    status = "refpix"
    halo = 0
    local = True

    def memory_mb(self, shape: tuple[int, ...], file_mb: float) -> float:
        """Interleaved frames (IRS2), which are longer than a detector, are corrected as a whole."""
        _, ngroups, rows, columns = shape
        whole = 4e-6 * ngroups * rows * columns if max(rows, columns) > SIZE else 0.0
        return max(whole, super().memory_mb(shape, file_mb))

    flags = 0
    optional_reference_types = ("refpix", "sirskernel")
    prerequisites = (
        "meta.subarray.xstart",
        "meta.subarray.ystart",
        "meta.subarray.fastaxis",
        "meta.subarray.slowaxis",
    )
    spec = """
        odd_even_columns = boolean(default=True)  # Correct odd and even columns by themselves
        use_side_ref_pixels = boolean(default=True)  # Use the reference columns at the sides
        side_smoothing_length = integer(min=1, default=11)  # Rows of the median at the sides
        side_gain = float(default=1.0)  # Factor on what the sides measure
        odd_even_rows = boolean(default=True)  # MIRI: correct odd and even rows by themselves
        siglimit = float(min=0, default=3.0)  # Sigma at which reference pixels are clipped
        ovr_corr_mitigation_ftr = float(min=0, default=3.0)  # IRS2: sigma of bad reference samples
        preserve_irs2_refpix = boolean(default=False)  # IRS2: keep the reference samples
        irs2_mean_subtraction = boolean(default=False)  # IRS2: subtract means of the edges first
        refpix_algorithm = option('median', 'sirs', default='median')  # Smoothing of the sides
        sigreject = float(min=0, default=4.0)  # sirs: deviations at which samples are left out
        gaussmooth = float(min=0.01, default=1.0)  # sirs: width in rows that smoothes the filter
        halfwidth = integer(min=1, default=30)  # sirs: rows of the filter to each side
    """
    odd_even_columns: bool
    use_side_ref_pixels: bool
    side_smoothing_length: int
    side_gain: float
    odd_even_rows: bool
    siglimit: float
    ovr_corr_mitigation_ftr: float
    preserve_irs2_refpix: bool
    irs2_mean_subtraction: bool
    refpix_algorithm: str
    sigreject: float
    gaussmooth: float
    halfwidth: int

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """The weights of IRS2 readouts, or the filters of sirs for full frames."""
        if "IRS2" in (meta.get("meta.exposure.readpatt") or ""):
            return ("refpix",)
        full = "FULL" in (meta.get("meta.subarray.name") or "")
        infrared = meta.get("meta.instrument.name") != "MIRI"
        return ("sirskernel",) if self.refpix_algorithm == "sirs" and full and infrared else ()

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Not for subarrays of MIRI."""
        del selected
        size = meta.get("meta.subarray.ysize"), meta.get("meta.subarray.xsize")
        subarray = meta.get("meta.instrument.name") == "MIRI" and size != (MIRI_ROWS, MIRI_COLUMNS)
        return "subarrays of MIRI have no correction" if subarray else ""

    def process(self, ramp: RampModel) -> RampModel:
        """Subtract the drift; of IRS2 readouts as a whole, which changes the shape."""
        if not is_interleaved(ramp.shape):
            return super().process(ramp)
        from stpipe.steps.stage1.refpix.irs2 import InterleavedRules, correct_interleaved

        if "refpix" not in self.references:
            raise Skip("no refpix reference applies (N/A)")
        rules = InterleavedRules(
            self.ovr_corr_mitigation_ftr,
            self.preserve_irs2_refpix,
            self.irs2_mean_subtraction,
            self.odd_even_columns,
            self.siglimit,
        )
        compute(ramp)
        correct_interleaved(ramp, self.references["refpix"], rules)
        return ramp

    def prepare(self, exposure: Chain, references: References) -> Drifts:
        """Measure the drift with the reference pixels, of a few integrations after the other."""
        del references
        miri = exposure.meta.instrument.name == "MIRI"
        survey = self._survey_miri if miri else self._survey_infrared
        nints, ngroups = exposure.shape[:2]
        # Reference pixels of one output are those of its own window, which are few.
        few = max(SURVEYED_GROUPS // ngroups, 1) if miri or by_outputs(exposure) else nints
        parts = edges(nints, few)
        return cast("Drifts", joined([survey(exposure.block(first, end)) for first, end in parts]))

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Subtract the drift."""
        del references
        rows, columns = ramp.place.section[1:]
        if isinstance(ramp.known, MiriDrift):
            ramp.data = subtract_miri_drift(ramp.data, ramp.known, ramp.place.y0)
            return
        drift, frame_drift = ramp.known
        ramp.data = subtract_drift(ramp.data, drift.part(rows, columns))
        if ramp.zeroframe is not None and frame_drift is not None:
            frame = ramp.zeroframe[:, None]
            corrected = subtract_drift(frame, frame_drift.part(rows, columns))
            ramp.zeroframe = np.where(frame == 0, frame, corrected)[:, 0]

    def _survey_miri(self, exposure: Chain) -> MiriDrift:
        left = exposure.part(slice(None), slice(BORDER))
        right = exposure.part(slice(None), slice(-BORDER, None))
        data = np.concatenate([left.data, right.data], axis=-1)
        dq = np.concatenate([left.pixeldq, right.pixeldq], axis=-1)
        drift = measure_miri(data, dq, self.siglimit, odd_even_rows=self.odd_even_rows)
        if drift is None:
            raise Skip("an output has no good reference pixels, or there is one group only")
        return drift

    def _survey_infrared(self, exposure: Chain) -> tuple[Drift, Drift | None]:
        """Drift of the groups, and of the zero frame if there is one."""
        subarray = exposure.meta.subarray
        window = Window.of(subarray, exposure.frame)
        measure = self._measure_outputs if by_outputs(exposure) else self._measure_one_output
        drift = measure(exposure, window, lambda band: band.data)
        if drift is None:
            raise Skip("there are no good reference pixels")
        if not exposure.ramp.has("zeroframe"):
            return drift, None
        # The zero frame is a ramp of one group.
        return drift, measure(
            exposure, window, lambda band: cast("Floats", band.zeroframe)[:, None]
        )

    def _measure_outputs(self, exposure: Chain, window: Window, samples: Samples) -> Drift | None:
        def pixels(rows: slice, columns: slice) -> tuple[Floats, Bits]:
            band = exposure.part(rows, columns)
            return samples(band), band.pixeldq

        filters = self._filters(exposure.meta) if window.full else None
        borders = reference_borders(pixels, window)
        return measure_outputs(borders, window, replace(self._rules(), filters=filters))

    def _filters(self, meta: Meta) -> Filters | None:
        """Filters for the sides, if they are asked for and known."""
        if self.refpix_algorithm != "sirs":
            return None
        from stpipe.steps.stage1.refpix.sirs import Smoothing, filters_of

        path, detector = self.selected["sirskernel"].path, meta.instrument.detector
        smoothing = Smoothing(self.halfwidth, self.gaussmooth, self.sigreject)
        filters = None if path is None else filters_of(path, detector, smoothing)
        if filters is None:
            self.log.warning("No filter is known for %s: running medians are used", detector)
        return filters

    def _measure_one_output(
        self, exposure: Chain, window: Window, samples: Samples
    ) -> Drift | None:
        columns = window.columns_of_pixels()
        standing_in = reference_columns(window.shape, exposure.meta.subarray.name)
        found = []
        for place in exposure.rectangles():
            band = exposure.part(*place.section[1:])
            dq = band.pixeldq | standing_in[place.section]
            bits = dqflags.REFERENCE_PIXEL | dqflags.DO_NOT_USE
            good = (dq & bits) == dqflags.REFERENCE_PIXEL
            found.append((samples(band)[..., good], columns[place.section][good]))
        values, places = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
        by_parity = measure_one_output(
            values, places, self.siglimit, odd_even_columns=self.odd_even_columns
        )
        if by_parity is None:
            return None
        read_rows, read_columns = window.detector_slices()
        read = np.arange(read_columns.start, read_columns.stop)
        nothing = np.zeros((*values.shape[:2], read_rows.stop - read_rows.start))
        return window.turned(nothing, by_parity[..., read % by_parity.shape[-1]])

    def _rules(self) -> RefPixRules:
        return RefPixRules(
            siglimit=self.siglimit,
            odd_even_columns=self.odd_even_columns,
            # A window of even length has no middle.
            side_smoothing_length=self.side_smoothing_length + (self.side_smoothing_length + 1) % 2,
            side_gain=self.side_gain if self.use_side_ref_pixels else 0.0,
        )


Samples = Callable[[Band], "Floats"]
Drifts: TypeAlias = "MiriDrift | tuple[Drift, Drift | None]"  # of groups and of the zero frame


def by_outputs(exposure: Chain) -> bool:
    """Is an exposure of a near-infrared detector read by all of its outputs?"""
    return exposure.frame == (SIZE, SIZE) or exposure.meta.exposure.noutputs == OUTPUTS


def reference_columns(shape: tuple[int, int], subarray: str | None) -> Bits:
    """REFERENCE_PIXEL in the columns of an exposure that stand in for reference pixels, 0 elsewhere."""
    bits = np.zeros(shape, dtype=np.uint32)
    if subarray in WITHOUT_EDGES:
        bits[:, :BORDER] = bits[:, -BORDER:] = dqflags.REFERENCE_PIXEL
    return bits


@dataclass(frozen=True)
class RefPixRules:
    """How reference pixels of detectors with four outputs are combined."""

    siglimit: float  # sigma at which they are clipped
    odd_even_columns: bool  # by themselves
    side_smoothing_length: int  # rows of the running median at the sides, odd
    side_gain: float  # factor on what the sides measure; 0 leaves them out
    filters: Filters | None = None  # instead of medians at the sides; without `side_gain`


@dataclass(frozen=True)
class Window:
    """Where an exposure lies on its near-infrared detector, and how it is turned.

    In the detector frame rows are read one after the other, from the first column on.
    """

    x0: int  # first column (from 0) in the science frame
    y0: int
    fastaxis: int
    slowaxis: int
    shape: tuple[int, int]  # rows and columns in the science frame

    @classmethod
    def of(cls, subarray: Meta, shape: tuple[int, int]) -> Window:
        """Window of an exposure of `shape`.

        Raises
        ------
        Skip
            When the window is not on the detector.
        """
        x0, y0 = subarray.xstart - 1, subarray.ystart - 1
        if x0 < 0 or y0 < 0 or x0 + shape[1] > SIZE or y0 + shape[0] > SIZE:
            raise Skip(f"the subarray at ({x0 + 1}, {y0 + 1}) of {shape} is not on the detector")
        return cls(x0, y0, subarray.fastaxis, subarray.slowaxis, shape)

    @property
    def full(self) -> bool:
        """Is it the whole detector?"""
        return self.shape == (SIZE, SIZE)

    def to_detector(self, array: npt.NDArray[Item]) -> npt.NDArray[Item]:
        """View of an array (..., rows, columns) in the detector frame."""
        fast, slow = np.sign(self.fastaxis), np.sign(self.slowaxis)
        if abs(self.fastaxis) == 1:
            return array[..., ::slow, ::fast]
        return np.swapaxes(array[..., ::fast, ::slow], -2, -1)

    def detector_slices(self) -> tuple[slice, slice]:
        """Rows and columns of the detector that are read."""
        y, x = self._flipped(self.y0, 0), self._flipped(self.x0, 1)
        return (y, x) if abs(self.fastaxis) == 1 else (x, y)

    def columns_of_pixels(self) -> npt.NDArray[np.intp]:
        """Column of the detector of each pixel (rows, columns) of the exposure."""
        _, columns = self.detector_slices()
        found = np.empty(self.shape, dtype=np.intp)
        self.to_detector(found)[...] = np.arange(columns.start, columns.stop)
        return found

    def from_detector(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """Rows and columns of the exposure of a part of the window, counted in its own frame."""
        slow_first = abs(self.fastaxis) == 1
        along_y, along_x = (rows, columns) if slow_first else (columns, rows)
        sign_y, sign_x = (
            (self.slowaxis, self.fastaxis) if slow_first else (self.fastaxis, self.slowaxis)
        )
        return _mirrored(along_y, sign_y, self.shape[0]), _mirrored(along_x, sign_x, self.shape[1])

    def _flipped(self, start: int, axis: int) -> slice:
        """Range along an axis of the science frame as the detector counts it."""
        along_fast = (axis == 1) == (abs(self.fastaxis) == 1)
        sign = self.fastaxis if along_fast else self.slowaxis
        stop = start + self.shape[axis]
        return slice(start, stop) if sign > 0 else slice(SIZE - stop, SIZE - start)

    def to_science(self, by_row: Doubles, by_column: Doubles) -> Drift:
        """Drift from what detector rows and columns (integrations, groups, detector) have."""
        rows, columns = self.detector_slices()
        return self.turned(by_row[..., rows], by_column[..., columns])

    def turned(self, by_row: Doubles, by_column: Doubles) -> Drift:
        """Drift from what those rows and columns of the detector have that the window reads."""
        slow = by_row[..., :: np.sign(self.slowaxis)]
        fast = by_column[..., :: np.sign(self.fastaxis)]
        return Drift(slow, fast) if abs(self.fastaxis) == 1 else Drift(fast, slow)

    def outputs_to_science(self, values: Doubles) -> OutputDrift:
        """Drift of the rows of a full frame (integrations, groups, outputs, detector rows)."""
        slow = values[..., :: np.sign(self.slowaxis)]
        outputs = np.arange(SIZE)[:: np.sign(self.fastaxis)] // (SIZE // OUTPUTS)
        return OutputDrift(slow, outputs, upright=abs(self.fastaxis) == 1)


def _mirrored(part: slice, sign: int, size: int) -> slice:
    return part if sign > 0 else slice(size - part.stop, size - part.start)


@dataclass(frozen=True)
class Drift:
    """What to subtract from a sample, in DN: a value for its row plus one for its column."""

    rows: Doubles  # (integrations, groups, rows)
    columns: Doubles  # (integrations, groups, columns)
    by_output: OutputDrift | None = None

    def part(self, rows: slice, columns: slice) -> Drift:
        """Drift of a rectangle of the exposure."""
        by_output = self.by_output and self.by_output.part(rows, columns)
        return Drift(self.rows[..., rows], self.columns[..., columns], by_output)


@dataclass(frozen=True)
class OutputDrift:
    """Drift of rows of the detector, in DN, that differs from output to output."""

    values: Doubles  # (integrations, groups, outputs, pixels along the slow axis)
    outputs: npt.NDArray[np.intp]  # of the pixels along the fast axis
    upright: bool  # the slow axis is that of rows in the science frame

    def part(self, rows: slice, columns: slice) -> OutputDrift:
        """Drift of a rectangle of the exposure."""
        slow, fast = (rows, columns) if self.upright else (columns, rows)
        return OutputDrift(self.values[..., slow], self.outputs[fast], self.upright)

    def plane(self, index: tuple[int, ...]) -> Doubles:
        """Drift (rows, columns) of a group."""
        plane: Doubles = self.values[index][self.outputs]
        return plane.T if self.upright else plane


def joined(parts: Sequence[Any]) -> Any:
    """What was measured of some integrations after the other, of all of them: arrays end to end."""
    first = parts[0]
    if len(parts) == 1 or first is None:
        return first
    if isinstance(first, tuple):
        return tuple(joined(each) for each in zip(*parts, strict=True))
    if isinstance(first, MiriDrift):
        return MiriDrift(np.concatenate([part.outputs for part in parts]))
    if isinstance(first, OutputDrift):
        return replace(first, values=np.concatenate([part.values for part in parts]))
    return Drift(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.columns for part in parts]),
        joined([part.by_output for part in parts]),
    )


@dataclass(frozen=True)
class Borders:
    """Samples at the borders of the detector, in its own frame; those not read are bad."""

    bottom: Floats  # (integrations, groups, 4, columns of the detector), DN
    top: Floats
    left: Floats  # (integrations, groups, rows of the detector, 4), DN
    right: Floats
    good_bottom: Booleans  # (4, columns of the detector)
    good_top: Booleans
    good_left: Booleans  # (rows of the detector, 4)
    good_right: Booleans

    def any_good(self, *, sides: bool) -> bool:
        """Is there a good reference pixel above or below, or at the sides if they are used?"""
        parts = [self.good_bottom, self.good_top]
        parts += [self.good_left, self.good_right] if sides else []
        return any(bool(part.any()) for part in parts)


def subtract_drift(data: Floats, drift: Drift) -> Floats:
    """Data (integrations, groups, rows, columns) in DN minus the drift."""
    out = np.empty(data.shape, np.float32)
    if drift.by_output is None:
        columns = np.ascontiguousarray(drift.columns)
        _pointwise.subtract_drift(rows_of(data), drift.rows, columns, out)
        return out
    for index in np.ndindex(data.shape[:2]):
        corrected = data[index] - drift.columns[index]
        corrected -= drift.rows[index][:, None]
        out[index] = corrected - drift.by_output.plane(index)
    return out


Pixels = Callable[[slice, slice], "tuple[Floats, Bits]"]


# --- near-infrared detectors with four outputs ---------------------------------------------------


def reference_borders(pixels: Pixels, window: Window) -> Borders:
    """The few samples that the correction is measured with.

    `pixels` gives data (integrations, groups, rows, columns) in DN and flags (rows, columns) of a
    part of the exposure.
    """
    near, far, whole = slice(BORDER), slice(SIZE - BORDER, SIZE), slice(SIZE)
    bottom, good_bottom = _strip(pixels, window, (near, whole))
    top, good_top = _strip(pixels, window, (far, whole))
    left, good_left = _strip(pixels, window, (whole, near))
    right, good_right = _strip(pixels, window, (whole, far))
    return Borders(bottom, top, left, right, good_bottom, good_top, good_left, good_right)


def _strip(pixels: Pixels, window: Window, region: tuple[slice, slice]) -> tuple[Floats, Booleans]:
    """A region of the detector, filled from the window in which data were read."""
    rows, columns = (range(SIZE)[part] for part in region)
    at = window.detector_slices()
    y, x = _overlap(rows, at[0]), _overlap(columns, at[1])
    inside = window.from_detector(_shifted(y, at[0].start), _shifted(x, at[1].start))
    data, dq = pixels(*(inside if y and x else (slice(0, 1), slice(0, 1))))
    samples = np.zeros((*data.shape[:2], len(rows), len(columns)), dtype=np.float32)
    usable = np.zeros((len(rows), len(columns)), dtype=bool)
    if y and x:
        target = _shifted(y, rows.start), _shifted(x, columns.start)
        samples[..., *target] = window.to_detector(data)
        usable[target] = window.to_detector(~has(dq, dqflags.DO_NOT_USE))
    return samples, usable


def _overlap(wanted: range, read: slice) -> range:
    return range(max(wanted.start, read.start), min(wanted.stop, read.stop))


def _shifted(part: range, start: int) -> slice:
    return slice(part.start - start, part.stop - start)


def measure_outputs(borders: Borders, window: Window, rules: RefPixRules) -> Drift | None:
    """Drift of all groups from the borders of a detector with four outputs; None without any."""
    if not borders.any_good(sides=rules.side_gain != 0):
        return None
    nints, ngroups = borders.top.shape[:2]
    by_column = np.zeros((nints, ngroups, SIZE))
    by_row = np.zeros((nints, ngroups, SIZE))
    if rules.side_gain and rules.filters:
        return _measure_filtered(borders, window, rules)
    for index in np.ndindex(nints, ngroups):
        by_column[index] = _drift_of_columns(borders, index, rules)
        if rules.side_gain:
            by_row[index] = rules.side_gain * _drift_of_rows(
                borders, index, by_column[index], rules
            )
    return window.to_science(by_row, by_column)


def _measure_filtered(borders: Borders, window: Window, rules: RefPixRules) -> Drift:
    """Drift with that of rows from filters, for each output by itself."""
    from stpipe.steps.stage1.refpix.sirs import filtered_drift

    nints, ngroups = borders.top.shape[:2]
    by_column = np.zeros((nints, ngroups, SIZE))
    by_output = np.zeros((nints, ngroups, OUTPUTS, SIZE))
    for index in np.ndindex(nints, ngroups):
        by_column[index] = drift = _drift_of_columns(borders, index, rules)
        left, right = borders.left[index] - drift[:BORDER], borders.right[index] - drift[-BORDER:]
        by_output[index] = filtered_drift(left, right, cast("Filters", rules.filters))
    level = window.to_science(np.zeros_like(by_column), by_column)
    return replace(level, by_output=window.outputs_to_science(by_output))


def _drift_of_columns(borders: Borders, index: tuple[int, ...], rules: RefPixRules) -> Doubles:
    """Mean of the rows above and below, for each output and parity."""
    drift = np.zeros(SIZE)
    width = SIZE // OUTPUTS
    for start in range(0, SIZE, width):
        band = slice(start, start + width)
        every_other = [slice(start + parity, band.stop, 2) for parity in (0, 1)]
        parts = every_other if rules.odd_even_columns else [band]
        signals = [_signal(borders, index, part, rules.siglimit) for part in parts]
        for part, signal in zip(parts, signals, strict=True):
            # An output of which one parity has no reference pixels is left alone.
            drift[part] = 0 if None in signals else signal
    return drift


def _signal(
    borders: Borders, index: tuple[int, ...], columns: slice, siglimit: float
) -> float | None:
    """Mean of top and bottom, of whichever has good pixels."""
    means = [
        clipped_mean(samples[index][:, columns][good[:, columns]], siglimit)
        for samples, good in (
            (borders.top, borders.good_top),
            (borders.bottom, borders.good_bottom),
        )
    ]
    return _average(means)


def _average(means: list[float | None]) -> float | None:
    known = [mean for mean in means if mean is not None]
    return sum(known) / len(known) if known else None


def _drift_of_rows(
    borders: Borders, index: tuple[int, ...], by_column: Doubles, rules: RefPixRules
) -> Doubles:
    """Mean of the running medians at both sides, after the correction of columns."""
    left = running_median(
        borders.left[index] - by_column[:BORDER], borders.good_left, rules.side_smoothing_length
    )
    right = running_median(
        borders.right[index] - by_column[-BORDER:], borders.good_right, rules.side_smoothing_length
    )
    both = np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
    return np.where(np.isnan(both), 0.0, both)


def running_median(values: Doubles, good: Booleans, length: int) -> Doubles:
    """Median of the good values within `length` rows around each row; NaN without any.

    Rows are mirrored at the ends, the outermost one not repeated.
    """
    reach = length // 2
    masked = np.where(good, values, np.nan)
    mirrored = np.pad(masked, ((reach, reach), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, length, axis=0)
    flat = np.sort(windows.reshape(len(values), -1), axis=1)  # NaN at the end
    known = np.count_nonzero(~np.isnan(flat), axis=1)
    rows = np.arange(len(values))
    middle = (flat[rows, np.maximum(known - 1, 0) // 2] + flat[rows, known // 2]) / 2
    return np.where(known == 0, np.nan, middle)


# --- near-infrared subarrays with one output -----------------------------------------------------


def measure_one_output(
    values: Floats, columns: npt.NDArray[np.intp], siglimit: float, *, odd_even_columns: bool
) -> Doubles | None:
    """Drift (integrations, groups, parity of columns) in DN; None without reference pixels.

    There is one parity where even and odd columns are taken together.

    `values` (integrations, groups, pixels) are the good reference pixels of a subarray, in DN, and
    `columns` the columns of the detector that they are in.
    """
    parity = columns % 2 if odd_even_columns else np.zeros_like(columns)
    wanted = [parity == p for p in ((0, 1) if odd_even_columns else (0,))]
    if not all(pixels.any() for pixels in wanted):
        return None
    by_parity = np.zeros((*values.shape[:2], len(wanted)))
    for index in np.ndindex(values.shape[:2]):
        for p, pixels in enumerate(wanted):
            by_parity[(*index, p)] = clipped_mean(values[index][pixels], siglimit)
    return by_parity


# --- MIRI -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MiriDrift:
    """Drift of MIRI since the first group, in DN."""

    outputs: Doubles  # (integrations, groups, row parities, outputs)


def measure_miri(
    data: Floats, dq: Bits, siglimit: float, *, odd_even_rows: bool
) -> MiriDrift | None:
    """Drift of all groups from the reference columns on both sides; None without any.

    `data` is (integrations, groups, rows, columns) in DN of the full frame, `dq` (rows, columns);
    only the first and last four columns are read.
    """
    good = ~has(dq, dqflags.DO_NOT_USE)
    sides = slice(None, BORDER), slice(-BORDER, None)
    if data.shape[1] == 1 or not all(_complete(good[:, side], odd_even_rows) for side in sides):
        return None
    drift = np.zeros((*data.shape[:2], 2, BORDER))
    for integration, group in np.ndindex(data.shape[0], data.shape[1] - 1):
        change = data[integration, group + 1] - data[integration, 0]
        for parity, output in np.ndindex(2, BORDER):
            rows = np.s_[parity::2] if odd_even_rows else np.s_[:]
            means = [
                clipped_mean(change[rows, side][:, output][good[rows, side][:, output]], siglimit)
                for side in sides
            ]
            drift[integration, group + 1, parity, output] = _average(means)
    return MiriDrift(drift)


def _complete(good: Booleans, odd_even_rows: bool) -> bool:
    """Has every output (and row parity) at least one good reference pixel?"""
    parts = (good[0::2], good[1::2]) if odd_even_rows else (good,)
    return all(part.any(axis=0).all() for part in parts)


def subtract_miri_drift(data: Floats, drift: MiriDrift, first_row: int = 0) -> Floats:
    """Data (integrations, groups, rows, columns) in DN, from `first_row` on, minus the drift."""
    out = np.empty(data.shape, np.float32)
    _pointwise.subtract_output_drift(rows_of(data), drift.outputs, first_row, out)
    return out
