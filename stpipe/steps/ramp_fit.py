"""Fit straight lines to ramps: count rates with their uncertainties."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import NoProduct
from stpipe.models import dqflags
from stpipe.step import Output, Step
from stpipe.steps import _ramp_fit
from stpipe.steps._arrays import has

if TYPE_CHECKING:
    from stpipe.references import References
    from stpipe.steps._arrays import Bits, Floats, GroupBits

__all__ = [
    "FitTimes",
    "RampFitStep",
    "Ramps",
    "Rates",
    "Segments",
    "describe_segments",
    "fit_ramps",
    "is_integral_field",
    "select_groups",
    "suppress_single_groups",
    "trim_groups",
]

log = logging.getLogger(__name__)

DN_PER_SECOND = "DN/s"
FEWEST_MIRI_GROUPS = 2
INTEGRAL_FIELD_TYPES = ("MIR_MRS", "NRS_IFU")
LAMP_TYPES = ("NRS_AUTOWAVE", "NRS_LAMP")


class RampFitStep(Step):
    """Fit straight lines to ramps: count rates with their uncertainties.

    Every ramp is cut at its jumps and flagged groups into segments, each fitted by weighted least
    squares (Fixsen et al. 2000, PASP 112, 1350; variances of Robberto 2009, JWST-STScI-001853).
    Segments are averaged by their read noise alone, over an integration (`rateints`) and over the
    exposure (`rate`).

    Ramps of a single good group are dropped by `suppress_one_group`; otherwise the first group, or
    the zero frame, gives a rate on its own. `firstgroup` and `lastgroup` (from 0) limit the groups
    that are used. Charge migration (CHARGELOSS) does not count for the read noise.

    Caveats kept from jwst 3.0.0: the error of `rate` is the root of its two variances, that of
    `rateints` the weighted sum over segments; the average dark current, documented in e-/s, is
    added to DN/s; a ramp of jumps alone gets the rate 0 without a flag; of two groups, a jump and a
    good one, `suppress_one_group` sees a single good group.

    Raises `NoProduct` when all first groups are saturated, or MIRI has fewer than two usable ones.
    """

    alias = "ramp_fit"
    suffix = "rate"
    status = "ramp_fit"
    input_models = ("RampModel",)
    reference_types = ("readnoise", "gain")
    prerequisites = (
        "meta.exposure.nframes",
        "meta.exposure.groupgap",
        "meta.exposure.frame_time",
        "meta.exposure.group_time",
    )
    outputs = (
        Output("rate", "ImageModel", suffix="rate"),
        Output("rateints", "CubeModel", suffix="rateints"),
    )
    spec = """
        save_opt = boolean(default=False)  # Save the segments of every ramp as _fitopt
        suppress_one_group = boolean(default=True)  # Drop ramps with a single good group
        firstgroup = integer(default=None)  # First group to use, from 0
        lastgroup = integer(default=None)  # Last group to use, from 0
    """
    save_opt: bool
    suppress_one_group: bool
    firstgroup: int | None
    lastgroup: int | None

    def process(self, ramp: Any) -> tuple[Any, Any]:
        """Rates of the exposure and of each integration."""
        from stpipe import models

        times = FitTimes.of(ramp.meta.exposure)
        ramps = self._prepared(ramp, self.references)
        keep_single = not self._suppress(ramp.groupdq)
        rate, rateints = fit_ramps(ramps, times, keep_single=keep_single)
        if self.save_opt:
            segments = models.RampFitOutputModel()
            segments.update(ramp)
            _assign(segments, describe_segments(ramps, times, keep_single=keep_single))
            self.save(segments, "fitopt")
        gain_factor = self.references["gain"].meta.exposure.gain_factor
        image = models.IFUImageModel if is_integral_field(ramp.meta) else models.ImageModel
        products = image(), models.CubeModel()
        for product, rates in zip(products, (rate, rateints), strict=True):
            product.update(ramp)
            _assign(product, rates)
            product.meta.bunit_data = product.meta.bunit_err = DN_PER_SECOND
            if gain_factor is not None:
                product.meta.exposure.gain_factor = gain_factor
        if ramp.has("int_times"):
            products[1].int_times = ramp.int_times
        return products

    def _suppress(self, groupdq: GroupBits) -> bool:
        return self.suppress_one_group and groupdq.shape[1] > 1

    def _prepared(self, ramp: Any, references: References) -> Ramps:
        """Arrays to fit, with groups left out as the parameters and the instrument demand."""
        selected = select_groups(ramp.groupdq, self.firstgroup, self.lastgroup)
        groupdq = suppress_single_groups(selected) if self._suppress(selected) else selected
        dark = ramp.average_dark_current
        ramps = Ramps(
            data=ramp.data,
            groupdq=groupdq,
            original=selected,
            pixeldq=ramp.pixeldq,
            gain=references["gain"].data,
            readnoise=references["readnoise"].data,
            dark=np.zeros(ramp.pixeldq.shape, dtype=np.float32) if dark is None else dark,
            zeroframe=ramp.zeroframe,
        )
        if ramp.meta.instrument.name == "MIRI" and groupdq.shape[1] > 1:
            ramps = trim_groups(ramps)
        if (ramps.groupdq[:, 0] & dqflags.SATURATED).all():
            raise NoProduct("all pixels are saturated from the first group on")
        return ramps


@dataclass(frozen=True)
class Ramps:
    """What is fitted. Arrays are (integrations, groups, rows, columns) or (rows, columns)."""

    data: Floats  # DN
    groupdq: GroupBits
    original: GroupBits  # the same before single groups were suppressed
    pixeldq: Bits
    gain: Floats  # e-/DN
    readnoise: Floats  # of a difference of two reads, DN
    dark: Floats  # average dark current
    zeroframe: Floats | None  # (integrations, rows, columns), DN


@dataclass(frozen=True)
class FitTimes:
    """Times in seconds, and how frames make up groups."""

    group_time: float
    frame_time: float
    nframes: int
    groupgap: int
    dropped: int  # frames dropped before the first group

    @classmethod
    def of(cls, exposure: Any) -> FitTimes:
        """Times from an exposure's metadata."""
        return cls(
            exposure.group_time,
            exposure.frame_time,
            exposure.nframes,
            exposure.groupgap,
            exposure.drop_frames1 or 0,
        )

    def members(self) -> dict[str, float]:
        """Members of the kernel's `Timing`, in single precision as the peer uses them."""
        group, frame = float(np.float32(self.group_time)), float(np.float32(self.frame_time))
        middle = (self.nframes + 1) / 2
        return {
            "group": group,
            "frame": frame,
            "first_group": middle * frame,
            "pedestal": (middle + self.dropped) / (self.nframes + self.groupgap),
            "nframes": self.nframes,
        }


@dataclass(frozen=True)
class Rates:
    """Fitted arrays, ([integrations,] rows, columns), in DN/s and their squares."""

    data: Floats
    dq: Bits
    var_poisson: Floats
    var_rnoise: Floats
    err: Floats


@dataclass(frozen=True)
class Segments:
    """What the fit did, (integrations, segments, rows, columns), with 0 where there is none."""

    slope: Floats  # DN/s
    sigslope: Floats
    var_poisson: Floats
    var_rnoise: Floats
    yint: Floats  # DN, with groups counted from the start of the integration
    sigyint: Floats
    weights: Floats
    pedestal: Floats  # signal at reset in DN, (integrations, rows, columns)
    crmag: Floats  # heights of jumps in DN, (integrations, jumps, rows, columns)


def _assign(product: Any, arrays: Rates | Segments) -> None:
    for field in fields(arrays):
        setattr(product, field.name, getattr(arrays, field.name))


def is_integral_field(meta: Any) -> bool:
    """Was the exposure taken with an integral-field unit, or a lamp through one?"""
    lamp = meta.exposure.type in LAMP_TYPES and meta.instrument.lamp_mode == "IFU"
    return lamp or meta.exposure.type in INTEGRAL_FIELD_TYPES


def select_groups(groupdq: GroupBits, first: int | None, last: int | None) -> GroupBits:
    """Flags with DO_NOT_USE in the groups before `first` and after `last` (from 0).

    An empty selection is ignored, with a warning.
    """
    ngroups = groupdq.shape[1]
    start, end = max(first or 0, 0), ngroups - 1 if last is None else last
    if start >= end:
        if first is not None or last is not None:
            log.warning(
                "firstgroup = %s, lastgroup = %s select nothing: all groups used", first, last
            )
        return groupdq
    if start == 0 and end >= ngroups - 1:
        return groupdq
    outside = np.ones(ngroups, dtype=np.uint8) * np.uint8(dqflags.DO_NOT_USE)
    outside[start : end + 1] = 0
    flags: GroupBits = groupdq | outside[:, None, None]
    return flags


def suppress_single_groups(groupdq: GroupBits) -> GroupBits:
    """Flags with DO_NOT_USE in all groups of ramps that have exactly one good group."""
    good = (groupdq & np.uint8(0xFF ^ dqflags.PERSISTENCE)) == 0
    single = good.sum(axis=1, dtype=np.uint16) == 1
    if not single.any():
        return groupdq
    flags: GroupBits = groupdq | (single[:, None] * np.uint8(dqflags.DO_NOT_USE))
    return flags


def trim_groups(ramps: Ramps) -> Ramps:
    """Ramps without the leading groups and the last one where all pixels are DO_NOT_USE.

    The new first group, when there is one, can be no jump any more. Concerns the whole frame.

    Raises
    ------
    NoProduct
        When fewer than two groups are left.
    """
    unusable = has(np.bitwise_and.reduce(ramps.groupdq, axis=(0, 2, 3)), dqflags.DO_NOT_USE)
    first = int(np.argmin(unusable)) if not unusable.all() else len(unusable)
    end = len(unusable) - int(unusable[-1])
    if end - first < FEWEST_MIRI_GROUPS:
        raise NoProduct(f"{max(end - first, 0)} usable groups, MIRI needs {FEWEST_MIRI_GROUPS}")
    groupdq = ramps.groupdq[:, first:end]
    if first > 0:
        groupdq = groupdq.copy()
        groupdq[:, 0] &= 0xFF ^ dqflags.JUMP_DET
    return replace(
        ramps,
        data=ramps.data[:, first:end],
        groupdq=groupdq,
        original=ramps.original[:, first:end],
    )


def fit_ramps(ramps: Ramps, times: FitTimes, *, keep_single: bool) -> tuple[Rates, Rates]:
    """Rates of the exposure and of its integrations.

    With `keep_single`, ramps without two good groups use the times of the first group or frame.
    """
    nints, _, rows, columns = ramps.data.shape
    floats = [np.empty((nints + 1, rows, columns), dtype=np.float32) for _ in range(4)]
    dq = np.empty((nints + 1, rows, columns), dtype=np.uint32)
    slope, var_poisson, var_rnoise, err = floats
    inputs = _ramp_fit.Inputs(vars(ramps), times.members(), keep_single)
    _ramp_fit.fit(inputs, slope, dq, var_poisson, var_rnoise, err)
    fitted = (slope, dq, var_poisson, var_rnoise, err)
    return Rates(*(a[-1] for a in fitted)), Rates(*(a[:-1] for a in fitted))


def describe_segments(ramps: Ramps, times: FitTimes, *, keep_single: bool) -> Segments:
    """The segments that `fit_ramps` averages, with their intercepts, and the jumps between them."""
    nints, _, rows, columns = ramps.data.shape
    inputs = _ramp_fit.Inputs(vars(ramps), times.members(), keep_single)
    nsegments, njumps = _ramp_fit.count(inputs)
    segments = np.zeros((7, nints, nsegments, rows, columns), dtype=np.float32)
    pedestal = np.zeros((nints, rows, columns), dtype=np.float32)
    crmag = np.zeros((nints, njumps, rows, columns), dtype=np.float32)
    _ramp_fit.describe(inputs, segments, pedestal, crmag)
    slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights = segments
    return Segments(
        slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights, pedestal, crmag
    )
