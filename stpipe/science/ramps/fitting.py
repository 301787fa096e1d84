"""Count rates of ramps: what is fitted, band by band, and what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stpipe.engine import Band
from stpipe.engine.array_store import ArrayStore
from stpipe.engine.chain import Chain, chain_of, hold
from stpipe.engine.rectangle import Rectangle
from stpipe.errors import NoProduct
from stpipe.models import dqflags
from stpipe.science.arrays import rows_of
from stpipe.science.ramps import _fitting
from stpipe.science.ramps.likelihood import FEWEST_GROUPS, Resultants, fit_likely_ramps, read_times
from stpipe.science.ramps.samples import Ramps

if TYPE_CHECKING:
    from stpipe.engine.array_store import FinishedArray
    from stpipe.engine.band import Array
    from stpipe.models import CubeModel, DataModel, ImageModel, RampFitOutputModel, RampModel
    from stpipe.models.protocols import Meta
    from stpipe.references.opened import References
    from stpipe.science.arrays import Bits, Booleans, Floats, GroupBits
    from stpipe.science.ramps.likelihood import LikelyRates

log = logging.getLogger(__name__)

DN_PER_SECOND = "DN/s"

__all__ = [
    "FEWEST_MIRI_GROUPS",
    "INTEGRAL_FIELD_TYPES",
    "LAMP_TYPES",
    "ChiSquared",
    "Fit",
    "FitRules",
    "FitTimes",
    "LikelyFit",
    "Rates",
    "Segments",
    "assemble",
    "assign",
    "count_segments",
    "describe_segments",
    "draft_rates",
    "fit_of",
    "fit_ramps",
    "groups_outside",
    "is_integral_field",
    "is_likely",
    "ramps_of",
    "rate_models",
    "segments_model",
    "suppress_single_groups",
    "trim_groups",
    "usable_groups",
]


FEWEST_MIRI_GROUPS = 2


Fitted: TypeAlias = "Rates | ChiSquared | Segments"  # what `assemble` puts together


INTEGRAL_FIELD_TYPES = ("MIR_MRS", "NRS_IFU")


LAMP_TYPES = ("NRS_AUTOWAVE", "NRS_LAMP")


@dataclass(frozen=True)
class FitRules:
    """The parameters of the step that decide what is fitted, and how."""

    algorithm: str = "OLS_C"
    suppress_one_group: bool = True
    firstgroup: int | None = None
    lastgroup: int | None = None


def is_likely(read_times: object, ngroups: int | None, rules: FitRules) -> bool:
    """Is the likelihood asked for, or needed as reads are uneven, and can it be had?

    Parameters
    ----------
    read_times : list of list of float, or None
        Times of the reads of each group, where they are uneven.
    ngroups : int or None
        Groups of an integration.
    rules : FitRules

    Returns
    -------
    bool
    """
    wanted = rules.algorithm == "LIKELY" or bool(read_times)
    return wanted and (ngroups or 0) >= FEWEST_GROUPS


def fit_of(exposure: Chain, references: References, rules: FitRules) -> Fit | LikelyFit:
    """What holds for all bands of an exposure: which groups to use, and how.

    Parameters
    ----------
    exposure : Chain
    references : References
        GAIN and READNOISE.
    rules : FitRules

    Returns
    -------
    Fit or LikelyFit

    Raises
    ------
    NoProduct
        When all pixels are saturated from the first group on, or MIRI has too few usable groups.
    """
    gain_factor = references["gain"].meta.exposure.gain_factor
    meta, ngroups = exposure.meta, exposure.shape[1]
    outside = groups_outside(ngroups, rules.firstgroup, rules.lastgroup)
    if is_likely(meta.exposure.read_times, ngroups, rules):
        times = read_times(meta.exposure, ngroups)
        resultants = Resultants.of(times, has_zeroframe=exposure.ramp.has("zeroframe"))
        return LikelyFit(references, resultants, outside, gain_factor)
    kept = 0, ngroups
    if meta.instrument.name == "MIRI" and ngroups > 1:
        unusable = exposure.everywhere(dqflags.DO_NOT_USE).all(axis=0)
        kept = usable_groups(unusable | (outside != 0))
    if exposure.everywhere(dqflags.SATURATED)[:, kept[0]].all():
        raise NoProduct("all pixels are saturated from the first group on")
    suppress = rules.suppress_one_group and ngroups > 1
    return Fit(references, FitTimes.of(meta.exposure), outside, kept, suppress, gain_factor)


def rate_models(ramp: RampModel, exposure: Chain, fit: Fit | LikelyFit) -> list[Any]:
    """Models of the rates of an exposure and of its integrations; of LIKELY also of chi squared.

    Parameters
    ----------
    ramp : RampModel
        Gives its metadata and times of integrations.
    exposure : Chain
        The corrections that the ramp still has to go through; they run.
    fit : Fit or LikelyFit

    Returns
    -------
    list of DataModel
        ImageModel (or IFUImageModel) and CubeModel in DN/s; of LIKELY also an ImageModel of chi
        squared.
    """
    from stpipe import models

    image = models.IFUImageModel if is_integral_field(ramp.meta) else models.ImageModel
    made = assemble(exposure.map(fit.rates), exposure.frame)
    products = [kind() for kind in (image, models.CubeModel, models.ImageModel)[: len(made)]]
    for product, arrays in zip(products, made, strict=True):
        product.update(ramp)
        assign(product, arrays)
    for product in products:
        exposure.finish(product.meta)
    for product in products[:2]:
        product.meta.bunit_data = product.meta.bunit_err = DN_PER_SECOND
        if fit.gain_factor is not None:
            product.meta.exposure.gain_factor = fit.gain_factor
    if ramp.has("int_times"):
        products[1].int_times = ramp.int_times
    return products


def segments_model(ramp: RampModel, exposure: Chain, fit: Fit) -> RampFitOutputModel:
    """A model of the segments that the fit by least squares has averaged.

    Parameters
    ----------
    ramp : RampModel
        Gives its metadata.
    exposure : Chain
        The corrections that the ramp still has to go through; they run.
    fit : Fit

    Returns
    -------
    RampFitOutputModel
    """
    from stpipe import models

    segments = models.RampFitOutputModel()
    segments.update(ramp)
    # The longest ramp of any band decides how many segments all of them have room for.
    room = np.max([found for _, found in exposure.map(fit.room)], axis=0)
    described = exposure.map(lambda band: (fit.segments(band, tuple(room)),))
    assign(segments, *assemble(described, exposure.frame))
    exposure.finish(segments.meta)
    return segments


def draft_rates(ramp: RampModel, references: References) -> tuple[ImageModel, CubeModel]:
    """Rates of the exposure and of its integrations with default parameters, to see sources in.

    Parameters
    ----------
    ramp : RampModel
        Stays as it is.
    references : References
        GAIN and READNOISE.

    Returns
    -------
    rate : ImageModel
    rateints : CubeModel
        Both in DN/s.

    Raises
    ------
    NoProduct
        When the ramp has none.
    """
    copy = ramp.copy()
    exposure = chain_of(copy)
    rate, rateints, *_ = rate_models(copy, exposure, fit_of(exposure, references, FitRules()))
    return rate, rateints


@dataclass(frozen=True)
class Fit:
    """The fit of any band of an exposure."""

    references: References
    times: FitTimes
    outside: GroupBits  # DO_NOT_USE in groups (groups) that the user leaves out
    kept: tuple[int, int]  # first group and end of those that are used
    suppress_one_group: bool  # drop ramps with a single good group
    gain_factor: float | None

    def rates(self, band: Band) -> tuple[Rates, Rates]:
        """Rates of the exposure and of its integrations in a band.

        Parameters
        ----------
        band : Band

        Returns
        -------
        exposure, integrations : Rates
        """
        return fit_ramps(self._ramps(band), self.times, suppress_one_group=self.suppress_one_group)

    def room(self, band: Band) -> tuple[int, int]:
        """The most segments and jumps that a ramp of a band has.

        Parameters
        ----------
        band : Band

        Returns
        -------
        (int, int)
        """
        return count_segments(
            self._ramps(band), self.times, suppress_one_group=self.suppress_one_group
        )

    def segments(self, band: Band, room: tuple[int, int]) -> Segments:
        """Segments of the ramps of a band.

        Parameters
        ----------
        band : Band
        room : (int, int)
            How many segments and jumps there are to be.

        Returns
        -------
        Segments
        """
        suppress = self.suppress_one_group
        return describe_segments(
            self._ramps(band), self.times, suppress_one_group=suppress, room=room
        )

    def _ramps(self, band: Band) -> Ramps:
        """Arrays to fit, with groups left out as the parameters and the instrument demand."""
        ramps = ramps_of(band, self.references, self.outside)
        if self.suppress_one_group:
            ramps = replace(ramps, groupdq=suppress_single_groups(ramps.groupdq))
        return trim_groups(ramps, *self.kept)


@dataclass(frozen=True)
class LikelyFit:
    """The fit by likelihood of any band of an exposure."""

    references: References
    resultants: Resultants
    outside: GroupBits  # DO_NOT_USE in groups (groups) that the user leaves out
    gain_factor: float | None

    def rates(self, band: Band) -> tuple[Rates, Rates, ChiSquared]:
        """Rates of the exposure and of its integrations in a band, and how well they fit.

        Parameters
        ----------
        band : Band

        Returns
        -------
        exposure, integrations : Rates
        chisq : ChiSquared
        """
        ramps = ramps_of(band, self.references, self.outside)
        exposure, integrations = fit_likely_ramps(ramps, self.resultants)
        return Rates.of(exposure), Rates.of(integrations), ChiSquared(exposure.chisq)


def ramps_of(band: Band, references: References, outside: GroupBits) -> Ramps:
    """The arrays of a band that are fitted, with the flags of `outside` added.

    Parameters
    ----------
    band : Band
    references : References
        GAIN and READNOISE.
    outside : (groups,) uint8
        DO_NOT_USE in groups that are left out.

    Returns
    -------
    Ramps
    """
    parts = references.part(band.place)
    groupdq = band.groupdq | outside[:, None, None]
    dark = band.average_dark_current
    return Ramps(
        data=band.data,
        groupdq=groupdq,
        original=groupdq,
        pixeldq=band.pixeldq,
        gain=parts["gain"].data,
        readnoise=parts["readnoise"].data,
        dark=np.zeros(band.pixeldq.shape, dtype=np.float32) if dark is None else dark,
        zeroframe=band.zeroframe,
    )


@dataclass(frozen=True)
class FitTimes:
    """Times in seconds, and how frames make up groups."""

    group_time: float
    frame_time: float
    nframes: int
    groupgap: int
    dropped: int  # frames dropped before the first group

    @classmethod
    def of(cls, exposure: Meta) -> FitTimes:
        """Times from an exposure's metadata.

        Parameters
        ----------
        exposure : Meta
            `meta.exposure`.

        Returns
        -------
        FitTimes
        """
        return cls(
            exposure.group_time,
            exposure.frame_time,
            exposure.nframes,
            exposure.groupgap,
            exposure.drop_frames1 or 0,
        )

    def members(self) -> dict[str, float]:
        """Members of the kernel's `Timing`, in single precision as the peer uses them.

        Returns
        -------
        dict of float, s
            `pedestal` and `nframes` have no unit.
        """
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

    @classmethod
    def of(cls, fitted: LikelyRates) -> Rates:
        """The rates among the attributes of an object.

        Parameters
        ----------
        fitted : LikelyRates

        Returns
        -------
        Rates
        """
        return cls(**{field.name: getattr(fitted, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class ChiSquared:
    """Chi squared of the fit by likelihood, summed over integrations, (rows, columns)."""

    data: Floats


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


def assemble(
    parts: Iterable[tuple[Rectangle, Sequence[Fitted]]], frame: tuple[int, int]
) -> list[dict[str, FinishedArray]]:
    """Whole arrays by name from bands, one dictionary for each result of a band.

    Parameters
    ----------
    parts : iterable of (Rectangle, sequence)
        Where each band lies, and its results: dataclasses of arrays (..., rows, columns).
    frame : (int, int)
        Rows and columns of the exposure.

    Returns
    -------
    list of dict
        Arrays (..., rows, columns) of the whole exposure, in memory or in scratch files.
    """
    stores: list[ArrayStore] = []
    for place, results in parts:
        stores = stores or [ArrayStore() for _ in results]
        for store, result in zip(stores, results, strict=True):
            for array in fields(result):
                _insert(store, array.name, getattr(result, array.name), (place, frame))
    return [store.finished() for store in stores]


def _insert(
    store: ArrayStore, name: str, part: Array, at: tuple[Rectangle, tuple[int, int]]
) -> None:
    place, frame = at
    leading, there = part.shape[:-2], store.shape(name)
    if there is None:
        store.make(name, (*leading, *frame), part.dtype)
    store.fill(name, place.section, part)


def assign(product: DataModel, arrays: Mapping[str, FinishedArray]) -> None:
    """Give a model its arrays, which may be in scratch files.

    Parameters
    ----------
    product : DataModel
    arrays : mapping of array
        By the name of the array.
    """
    for name, array in arrays.items():
        hold(product, name, array)


def is_integral_field(meta: Meta) -> bool:
    """Was the exposure taken with an integral-field unit, or a lamp through one?

    Parameters
    ----------
    meta : Meta

    Returns
    -------
    bool
    """
    lamp = meta.exposure.type in LAMP_TYPES and meta.instrument.lamp_mode == "IFU"
    return lamp or meta.exposure.type in INTEGRAL_FIELD_TYPES


def groups_outside(ngroups: int, firstgroup: int | None, lastgroup: int | None) -> GroupBits:
    """DO_NOT_USE in the groups before `firstgroup` and after `lastgroup`, 0 in others.

    An empty selection is ignored, with a warning.

    Parameters
    ----------
    ngroups : int
    firstgroup, lastgroup : int or None
        Counted from 0; None: no limit.

    Returns
    -------
    (groups,) uint8
    """
    outside = np.zeros(ngroups, dtype=np.uint8)
    start, end = max(firstgroup or 0, 0), ngroups - 1 if lastgroup is None else lastgroup
    if start < end:
        outside[:start] = outside[end + 1 :] = dqflags.DO_NOT_USE
    elif firstgroup is not None or lastgroup is not None:
        message = "firstgroup = %s, lastgroup = %s select nothing: all groups used"
        log.warning(message, firstgroup, lastgroup)
    return outside


def suppress_single_groups(groupdq: GroupBits) -> GroupBits:
    """Flags with DO_NOT_USE in all groups of ramps that have exactly one good group.

    Parameters
    ----------
    groupdq : (integrations, groups, rows, columns) uint8
        PERSISTENCE does not keep a group from being good.

    Returns
    -------
    (integrations, groups, rows, columns) uint8
    """
    good = (groupdq & np.uint8(0xFF ^ dqflags.PERSISTENCE)) == 0
    single = good.sum(axis=1, dtype=np.uint16) == 1
    if not single.any():
        return groupdq
    flags: GroupBits = groupdq | (single[:, None] * np.uint8(dqflags.DO_NOT_USE))
    return flags


def usable_groups(unusable: Booleans) -> tuple[int, int]:
    """First group and end of those to use, without the leading ones and the last if unusable.

    Parameters
    ----------
    unusable : (groups,) bool
        Groups that are DO_NOT_USE in all pixels and integrations.

    Returns
    -------
    (int, int)
        Counted from 0; the end is not used.

    Raises
    ------
    NoProduct
        When fewer than two groups are left.
    """
    first = int(np.argmin(unusable)) if not unusable.all() else len(unusable)
    end = len(unusable) - int(unusable[-1])
    if end - first < FEWEST_MIRI_GROUPS:
        raise NoProduct(f"{max(end - first, 0)} usable groups, MIRI needs {FEWEST_MIRI_GROUPS}")
    return first, end


def trim_groups(ramps: Ramps, first: int, end: int) -> Ramps:
    """Ramps with the groups from `first` up to `end`; the new first one can be no jump any more.

    Parameters
    ----------
    ramps : Ramps
    first, end : int
        Counted from 0; `end` is not used.

    Returns
    -------
    Ramps
    """
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


def fit_ramps(ramps: Ramps, times: FitTimes, *, suppress_one_group: bool) -> tuple[Rates, Rates]:
    """Rates of the exposure and of its integrations, by weighted least squares.

    Segments between jumps are fitted one by one (Fixsen et al. 2000, PASP 112, 1350) and averaged by
    their read noise (Robberto 2009, JWST-STScI-001853).

    Parameters
    ----------
    ramps : Ramps
    times : FitTimes
    suppress_one_group : bool
        Without it, ramps without two good groups use the times of the first group or frame.

    Returns
    -------
    exposure : Rates
        (rows, columns), DN/s.
    integrations : Rates
        (integrations, rows, columns), DN/s.
    """
    nints, _, rows, columns = ramps.data.shape
    floats = [np.empty((nints + 1, rows, columns), dtype=np.float32) for _ in range(4)]
    dq = np.empty((nints + 1, rows, columns), dtype=np.uint32)
    slope, var_poisson, var_rnoise, err = floats
    inputs = _inputs(ramps, times, suppress_one_group=suppress_one_group)
    _fitting.fit(inputs, _fitting.Rates(slope, dq, var_poisson, var_rnoise, err))
    fitted = (slope, dq, var_poisson, var_rnoise, err)
    return Rates(*(a[-1] for a in fitted)), Rates(*(a[:-1] for a in fitted))


def _inputs(ramps: Ramps, times: FitTimes, *, suppress_one_group: bool) -> _fitting.Inputs:
    arrays = {name: a if a is None else rows_of(a) for name, a in vars(ramps).items()}
    return _fitting.Inputs(arrays, times.members(), suppress_one_group)


def count_segments(ramps: Ramps, times: FitTimes, *, suppress_one_group: bool) -> tuple[int, int]:
    """The most segments, and the most jumps, that any of the ramps has.

    Parameters
    ----------
    ramps : Ramps
    times : FitTimes
    suppress_one_group : bool
        As `fit_ramps` takes it.

    Returns
    -------
    (int, int)
    """
    inputs = _inputs(ramps, times, suppress_one_group=suppress_one_group)
    segments, jumps = _fitting.count(inputs)
    return segments, jumps


def describe_segments(
    ramps: Ramps, times: FitTimes, *, suppress_one_group: bool, room: tuple[int, int] | None = None
) -> Segments:
    """The segments that `fit_ramps` averages, with their intercepts, and the jumps between them.

    Parameters
    ----------
    ramps : Ramps
    times : FitTimes
    suppress_one_group : bool
        As `fit_ramps` takes it.
    room : (int, int), optional
        So many segments and jumps; by default as many as there are.

    Returns
    -------
    Segments
    """
    nints, _, rows, columns = ramps.data.shape
    inputs = _inputs(ramps, times, suppress_one_group=suppress_one_group)
    nsegments, njumps = room or _fitting.count(inputs)
    segments = np.zeros((7, nints, nsegments, rows, columns), dtype=np.float32)
    pedestal = np.zeros((nints, rows, columns), dtype=np.float32)
    crmag = np.zeros((nints, njumps, rows, columns), dtype=np.float32)
    _fitting.describe(inputs, segments, pedestal, crmag)
    slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights = segments
    return Segments(
        slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights, pedestal, crmag
    )
