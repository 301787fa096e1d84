"""Subtract correlated noise with the interleaved reference pixels and the reference output of IRS2.

Moseley et al. 2010, SPIE 7742, 77421B; Rauscher et al. 2012, SPIE 8453, 84531F.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stpipe.engine.array_store import ArrayStore
from stpipe.engine.chain import hold
from stpipe.errors import ReferenceMissing
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.ramps.irs2_frames import OUTPUTS, SIZE, Interleaving
from stpipe.steps.stage1.refpix.clipping import clipped_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from stpipe.models import RampModel
    from stpipe.models.protocols import Table
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats

    Indices = npt.NDArray[np.intp]
    Spectrum = npt.NDArray[np.complex64]

__all__ = [
    "InterleavedRules",
    "ReadSequence",
    "Weights",
    "correct_interleaved",
    "find_bad_samples",
    "flag_bad_samples",
    "listed_as_bad",
    "replace_bad_samples",
    "replace_known",
    "subtract_edges",
    "subtract_reference",
]

log = logging.getLogger(__name__)

PAUSE = 8  # samples that could have been read while the next row is addressed
EDGE_ROWS = np.r_[0:4, SIZE - 4 : SIZE]  # reference pixels of the detector, which see no light
SMOOTHING = 31  # samples of the first guess between known ones
FILTER_ROUNDS = 3
TAPER = 110_000  # samples, of all kinds, over which the filter falls off


@dataclass(frozen=True)
class InterleavedRules:
    """How interleaved reference samples are used."""

    ovr_corr_mitigation_ftr: float  # sigma at which they are too far from the others
    preserve_irs2_refpix: bool  # keep them in the product
    irs2_mean_subtraction: bool  # subtract the mean of the rows at the edges of the detector first
    odd_even_columns: bool  # odd and even samples by themselves
    siglimit: float  # sigma at which samples at the edges are clipped


def correct_interleaved(ramp: RampModel, reference: CutReference, rules: InterleavedRules) -> None:
    """Give a ramp its science pixels without the noise that reference samples show.

    One integration is in memory at a time.
    """
    layout = Interleaving.of(ramp.meta)
    pixeldq = flag_bad_samples(ramp, layout, rules.ovr_corr_mitigation_ftr)
    weights = Weights.of(reference.irs2_table, ReadSequence(layout))
    listed = reference.dq_table if reference.has("dq_table") else ()
    kept = np.full(ramp.shape[-2], rules.preserve_irs2_refpix) | layout.science_rows
    store = ArrayStore()
    store.make("data", (*ramp.shape[:2], int(kept.sum()), ramp.shape[-1]), np.dtype(np.float32))
    for i in range(ramp.shape[0]):
        data = np.array(ramp.read("data", (i, ...)))
        if rules.irs2_mean_subtraction:
            subtract_edges(data, pixeldq, layout, rules)
        replace_known(data, bad_reference_rows(pixeldq, layout), listed, layout)
        turned = layout.to_detector(data)
        clean = subtract_reference(
            turned, weights, layout, preserve_irs2_refpix=rules.preserve_irs2_refpix
        )
        whole = slice(None), slice(0, int(kept.sum())), slice(0, data.shape[-1])
        store.fill("data", (i, *whole), layout.to_science(clean))
    groupdq = ramp.groupdq[..., kept, :]
    hold(ramp, "data", store.finished()["data"])
    ramp.groupdq, ramp.pixeldq = groupdq, pixeldq[kept]


def flag_bad_samples(ramp: RampModel, layout: Interleaving, ovr_corr_mitigation_ftr: float) -> Bits:
    """PIXELDQ with BAD_REF_PIXEL and DO_NOT_USE in rows of bad reference samples."""
    known = bad_reference_rows(ramp.pixeldq, layout)
    found = [
        find_bad_samples(ramp.read("data", (i, ...)), known, layout, ovr_corr_mitigation_ftr)
        for i in range(ramp.shape[0])
    ]
    bad = np.logical_or.reduce(found)
    log.info("%d rows of reference samples are bad", np.count_nonzero(bad))
    pixeldq: Bits = ramp.pixeldq.copy()
    pixeldq[bad] |= dqflags.BAD_REF_PIXEL | dqflags.DO_NOT_USE
    return pixeldq


def bad_reference_rows(pixeldq: Bits, layout: Interleaving) -> Booleans:
    """Rows of the science frame, none of science pixels, that hold a BAD_REF_PIXEL."""
    flagged = np.logical_or.reduce(has(pixeldq, dqflags.BAD_REF_PIXEL), axis=1)
    found: Booleans = flagged & ~layout.science_rows
    return found


def replace_known(
    data: Floats, bad: Booleans, listed: Iterable[np.void], layout: Interleaving
) -> None:
    """Replace in place the samples of rows that are flagged, then those the reference file lists.

    `data` is (groups, rows, columns).
    """
    replace_bad_samples(np.swapaxes(data, -2, -1), bad, np.flatnonzero(bad), layout)
    turned, flags = layout.to_detector(data), bad[::-1].copy() if layout.flipped else bad.copy()
    for row in listed:
        more = [sample for sample in listed_as_bad(row, layout) if not flags[sample]]
        flags[more] = True
        replace_bad_samples(turned, flags, np.array(more, dtype=np.intp), layout)


def subtract_edges(
    data: Floats, pixeldq: Bits, layout: Interleaving, rules: InterleavedRules
) -> None:
    """Subtract from each output, in place, the clipped means of the rows that see no light."""
    good = layout.to_detector(~has(pixeldq, dqflags.DO_NOT_USE))
    for frame in layout.to_detector(data):
        for output in np.split(np.arange(frame.shape[-1]), OUTPUTS + 1):
            parts = [output]
            if rules.odd_even_columns:
                odd = _odd_samples(layout)[output]
                parts = [output[odd], output[~odd]]
            signals = [_signal_at_edges(frame[:, p], good[:, p], rules.siglimit) for p in parts]
            if None not in signals:
                for part, signal in zip(parts, signals, strict=True):
                    frame[:, part] -= np.float64(signal or 0)


def _odd_samples(layout: Interleaving) -> Booleans:
    """Odd samples: of the science pixels every other, of four reference pixels the first two."""
    place = np.arange(len(layout.science))
    odd: Booleans = np.where(interleaved_rows(layout), place % 4 < 2, place % 2 == 0)  # noqa: PLR2004 - two of four
    return odd


def _signal_at_edges(samples: Floats, good: Booleans, siglimit: float) -> float | None:
    """Mean of top and bottom, or of whichever has good samples."""
    means = [
        clipped_mean(samples[rows][good[rows]], siglimit) for rows in (EDGE_ROWS[:4], EDGE_ROWS[4:])
    ]
    known = [mean for mean in means if mean is not None]
    return sum(known) / len(known) if known else None


# --- bad reference samples ------------------------------------------------------------------------


def interleaved_rows(layout: Interleaving) -> Booleans:
    """Reference samples among the samples of a row, those of the reference output by position."""
    return np.tile(~layout.science_of_output, OUTPUTS + 1)


def find_bad_samples(data: Floats, known: Booleans, layout: Interleaving, sigma: float) -> Booleans:
    """Rows of the science frame whose reference samples are unlike the others, or known to be bad.

    `data` is (groups, rows, columns) in DN of one integration. Pairs of samples of an output are
    compared by the difference between the two, by their mean, and by their spread.
    """
    bad = known.copy()
    for output in range(OUTPUTS + 1):
        pairs = _pairs(output, layout)
        pairs = pairs[~(known[pairs] | known[pairs + 1])]
        for measure in _measures(data, pairs):
            found = pairs[_far_above(measure, sigma)]
            bad[found] = bad[found + 1] = True
    return bad


def _pairs(output: int, layout: Interleaving) -> Indices:
    """First samples of all pairs of reference samples of an output."""
    starts = np.arange(layout.normal // 2, layout.width, layout.period)
    return (starts[:, None] + np.arange(0, layout.reference, 2)).ravel() + output * layout.width


def _measures(data: Floats, pairs: Indices) -> tuple[Floats, Floats, Floats]:
    measures = np.empty((3, len(pairs)), dtype=np.float32)
    for i, first in enumerate(pairs):
        pair = data[:, first : first + 2]
        measures[:, i] = np.abs(pair[:, 1] - pair[:, 0]).mean(), pair.mean(), pair.std()
    return measures[0], measures[1], measures[2]


def _far_above(values: Floats, sigma: float) -> Booleans:
    from astropy.stats import sigma_clipped_stats

    if len(values) == 0:
        return np.zeros(0, dtype=bool)
    mean, _, spread = sigma_clipped_stats(values, sigma=sigma)
    above: Booleans = (values - mean) > sigma * spread
    return above


def listed_as_bad(row: np.void, layout: Interleaving) -> Indices:
    """Places, in the order of the detector, of samples that a row of the reference file calls bad.

    It names an output, odd or even pairs, and a bit for each of 32 pairs.
    """
    output, parity, mask = int(row["OUTPUT"]), int(row["ODD_EVEN"]), int(row["MASK"])
    pair = 2 - parity if output % 2 == 0 else parity - 1  # even outputs are read backwards
    numbers = np.array([n for n in range(32) if mask >> n & 1], dtype=np.intp)
    starts = output * layout.width + layout.normal // 2 + numbers * layout.period + 2 * pair
    return (starts[:, None] + np.arange(2)).ravel()


def replace_bad_samples(data: Floats, bad: Booleans, wanted: Indices, layout: Interleaving) -> None:
    """Replace `wanted` bad samples (of the last axis) in place by their good neighbours in time.

    The mean of the same sample one period before and after, or whichever is good; else a sample
    of the other parity beside it; else 0, which is interpolated later.
    """
    interleaved = interleaved_rows(layout)
    for sample in wanted:
        start = sample // layout.width * layout.width
        inside = range(start, start + layout.width)
        around = [sample - layout.period, sample + layout.period]
        beside = [sample - 2, sample + 2]
        good = [n for n in around if n in inside and not bad[n]]
        good = good or [n for n in beside if n in inside and interleaved[n] and not bad[n]][:1]
        data[..., sample] = np.mean([data[..., n] for n in good], axis=0) if good else 0


# --- noise that the outputs share -----------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """What the noise of each output is made of, as spectra of a frame in the order of time.

    Attributes
    ----------
    output, reference
        Factors (outputs, frequencies) on the reference output and on the reference pixels; half of
        the spectrum, as that of real samples.
    """

    output: Spectrum
    reference: Spectrum

    @classmethod
    def of(cls, table: Table, sequence: ReadSequence) -> Weights:
        """Weights of a reference file, in which real and imaginary parts alternate.

        Raises
        ------
        ReferenceMissing
            When the table is not made for this readout.
        """
        expected = 2 * sequence.row * SIZE
        if len(table) != expected:
            raise ReferenceMissing(
                f"refpix: the table of the reference file has {len(table)} rows, allowed: {expected} "
                "for this readout. Give the file of another readout with --override_refpix."
            )
        output, reference = (
            np.stack([_half(table[f"{name}_{n}"]) for n in range(OUTPUTS)])
            for name in ("alpha", "beta")
        )
        return cls(output, reference)


def _half(column: Doubles) -> Spectrum:
    """The first half of what of a spectrum turns real samples into real ones."""
    spectrum: Spectrum = np.ascontiguousarray(column, dtype=np.float32).view(np.complex64)
    size = len(spectrum)
    half = np.arange(size // 2 + 1)
    kept: Spectrum = (spectrum[half] + spectrum[-half % size].conj()) / 2
    return kept


@dataclass(frozen=True)
class ReadSequence:
    """When the samples of a row are read, counted in the time that one takes."""

    layout: Interleaving

    @property
    def row(self) -> int:
        """Time of a row: samples, one for stepping out and back, and the pause at its end."""
        return (self.layout.period + 2) * self.periods + PAUSE

    @property
    def periods(self) -> int:
        """Times that an output steps out to the reference pixels."""
        return SIZE // OUTPUTS // self.layout.normal

    @cached_property
    def science(self) -> Indices:
        """Times of the science pixels."""
        return self.samples[self.layout.science_of_output]

    @cached_property
    def samples(self) -> Indices:
        """Times of all samples: the output steps out before, and back after its reference pixels."""
        place = np.arange(self.layout.width)
        turn, phase = np.divmod(place + self.layout.normal // 2, self.layout.period)
        times: Indices = place + 2 * turn + (phase >= self.layout.normal)
        return times

    @cached_property
    def spread(self) -> tuple[Indices, Indices]:
        """Times of a row that reference pixels stand for, and the times at which those are read.

        Each pair of reference pixels serves the samples around it, too, so that the reference
        pixels and what they stand for are equally long.
        """
        n, r = self.layout.normal, self.layout.reference
        first = n // 2 + 1
        order = np.arange(r).reshape(2, r // 2).T
        sources = first + np.concatenate([order, order], axis=1).ravel()
        if r % 4 == 2:  # noqa: PLR2004 - pairs of pairs come out the wrong way round
            sources = sources.reshape(-1, 2)[:, ::-1].ravel()
        targets = np.arange(first - r // 2, first + r + r // 2)
        starts = np.arange(self.periods)[:, None] * (self.layout.period + 2)
        return (starts + targets).ravel(), (starts + sources).ravel()

    @cached_property
    def low_pass(self) -> Floats:
        """Filter that interpolates the reference output: 1, falling to 0, and 1 again at the end."""
        size, period = SIZE * self.row, self.layout.period + 2
        taper = TAPER // period
        flat = self.row // period * SIZE // 2 - taper // 2
        fall = (np.cos(np.arange(taper) * np.pi / taper) + 1) / 2
        half = np.zeros(size // 2 + 1, dtype=np.float32)
        half[:flat] = half[size // 2 - flat :] = 1
        half[flat : flat + taper] = fall
        half[size // 2 - flat - taper : size // 2 - flat] = fall[::-1]
        return half


def subtract_reference(
    data: Floats, weights: Weights, layout: Interleaving, *, preserve_irs2_refpix: bool = False
) -> Floats:
    """Science pixels (groups, rows, columns) of an integration without the noise, in DN.

    `data` is (groups, rows, samples) in the frame of the detector. With `preserve_irs2_refpix` the
    result has all samples, for making reference files.
    """
    sequence = ReadSequence(layout)
    mean = data.mean(axis=0, dtype=np.float64)
    groups = [
        _clean(
            group.astype(np.float32), weights, sequence, preserve_irs2_refpix=preserve_irs2_refpix
        )
        for group in (data[k] - mean for k in range(len(data)))
    ]
    kept = np.ones(len(layout.science), dtype=bool) if preserve_irs2_refpix else layout.science
    # The mean of reference pixels is noise, that of the reference output is kept with it.
    known = layout.science | (np.arange(len(kept)) < layout.width)
    return np.stack([group + np.where(known, mean, 0)[:, kept] for group in groups]).astype("f4")


def _clean(
    frame: Floats, weights: Weights, sequence: ReadSequence, *, preserve_irs2_refpix: bool
) -> Floats:
    """A frame (rows, samples) minus its mean over the integration, without the noise."""
    from scipy.fft import irfft, rfft

    timed = _in_order_of_time(frame, sequence)
    timed -= np.stack([_trend(samples) for samples in timed])
    timed[0] += _interpolated(timed[0]) * (timed[0] == 0)
    timed[0] = _filtered(timed[0], sequence)
    shared = rfft(timed[0].ravel())
    targets, sources = sequence.spread
    times = sequence.samples if preserve_irs2_refpix else sequence.science
    for output, samples in enumerate(timed[1:]):
        pixels = np.zeros_like(samples)
        pixels[:, targets] = samples[:, sources]
        spectrum = rfft(pixels.ravel()) * weights.reference[output]
        spectrum += weights.output[output] * shared
        noise = irfft(spectrum, samples.size).reshape(samples.shape)
        samples[:, times] -= noise[:, times]
    return _in_order_of_place(timed[:, :, times], keep_output=preserve_irs2_refpix)


def _in_order_of_time(frame: Floats, sequence: ReadSequence) -> Floats:
    """Samples (outputs, rows, times); 0 where none is taken."""
    rows, samples = frame.shape
    outputs = frame.reshape(rows, OUTPUTS + 1, samples // (OUTPUTS + 1)).transpose(1, 0, 2)
    timed = np.zeros((OUTPUTS + 1, rows, sequence.row), dtype=np.float32)
    timed[0::2, :, sequence.samples] = outputs[0::2, :, ::-1]
    timed[1::2, :, sequence.samples] = outputs[1::2]
    return timed


def _in_order_of_place(timed: Floats, *, keep_output: bool) -> Floats:
    outputs = timed.copy()
    outputs[0::2] = timed[0::2, :, ::-1]
    kept = outputs if keep_output else outputs[1:]
    frame: Floats = kept.transpose(1, 0, 2).reshape(timed.shape[1], -1)
    return frame


def _trend(samples: Floats) -> Floats:
    """The line in time through the samples of the first and last rows, where there are samples."""
    times = np.arange(samples.size, dtype=np.float64).reshape(samples.shape)
    times -= times.mean()
    edge, known = samples[EDGE_ROWS].astype(np.float64), samples[EDGE_ROWS] != 0
    if not known.any():
        return np.zeros_like(samples)
    at, values = times[EDGE_ROWS][known], edge[known]
    deviation = at - at.mean()
    slope = np.sum(deviation * values) / np.sum(deviation**2)
    line = values.mean() + slope * (times - at.mean())
    return np.where(samples != 0, line, 0).astype(np.float32)


def _interpolated(samples: Floats) -> Floats:
    """Running mean of the samples that there are (not 0), weighted by half a sine wave."""
    from scipy.ndimage import convolve1d

    weights = np.sin(np.arange(1, SMOOTHING + 1) / (SMOOTHING + 1) * np.pi)
    flat = samples.ravel()
    total = convolve1d(flat, weights, mode="wrap")
    weight = convolve1d((flat != 0).astype(np.float32), weights, mode="wrap")
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(weight == 0, 0, total / weight)
    return mean.reshape(samples.shape)


def _filtered(samples: Floats, sequence: ReadSequence) -> Floats:
    """Samples of the reference output, with what is between the pixels' times filled in smoothly."""
    from scipy.fft import irfft, rfft

    known = np.zeros(sequence.row, dtype=bool)
    known[sequence.science] = True
    filled = samples
    for _ in range(FILTER_ROUNDS):
        smooth = irfft(rfft(filled.ravel()) * sequence.low_pass, samples.size)
        filled = np.where(known, samples, smooth.reshape(samples.shape)).astype(np.float32)
    return filled
