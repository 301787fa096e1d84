"""Count rates of ramps: what is fitted, band by band, and what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from stpipe.engine import Band
from stpipe.engine.array_store import ArrayStore
from stpipe.engine.chain import Chain, chain_to_fit, hold
from stpipe.engine.series import SeriesStore
from stpipe.errors import NoProduct
from stpipe.models import dqflags
from stpipe.science.arrays import rows_of
from stpipe.science.ramps import _fitting
from stpipe.science.ramps.likelihood import (
    FEWEST_GROUPS,
    LikelyRates,
    Resultants,
    combine_integrations,
    fit_likely_integrations,
    fit_likely_ramps,
    read_times,
)
from stpipe.science.ramps.samples import Ramps

if TYPE_CHECKING:
    from stpipe.engine.array_store import FinishedArray
    from stpipe.engine.band import Array
    from stpipe.engine.portion import Portion
    from stpipe.engine.series import Series
    from stpipe.models import CubeModel, DataModel, ImageModel, RampFitOutputModel, RampModel
    from stpipe.models.protocols import Meta
    from stpipe.references.opened import References
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats, GroupBits

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
    "combine_series",
    "count_segments",
    "describe_segments",
    "draft_rates",
    "empty_rates",
    "fit_of",
    "fit_ramps",
    "groups_outside",
    "is_integral_field",
    "is_likely",
    "ramps_of",
    "rate_models",
    "segments_model",
    "segments_of",
    "suppress_single_groups",
    "trim_groups",
    "usable_groups",
]


FEWEST_MIRI_GROUPS = 2


COMBINED_BYTES = 1_000_000  # of rates of integrations that are combined at once, by likelihood


# Arrays in which integrations of a long exposure add up, as the kernel wants them.
TOTALS = {
    "inv_p": np.float64,
    "inv_r": np.float64,
    "slope": np.float64,
    "inv_r_kept": np.float64,
    "dq": np.uint32,
    "unusable": np.int32,
    "saturated": np.int32,
    "partly_saturated": np.uint8,
    "chargeloss": np.uint8,
}


Fitted: TypeAlias = "Rates | LikelyRates | ChiSquared | Segments"  # what `assemble` puts together


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
    fit = Fit(references, FitTimes.of(meta.exposure), outside, kept, suppress, gain_factor)
    return replace(fit, median_rates=fit.find_median_rates(exposure)) if exposure.is_long else fit


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
    if exposure.is_long:
        made = fit.rates_of_long(exposure)
    else:
        made = assemble(exposure.map(fit.rates), exposure.shape)
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
    assign(segments, *assemble(described, exposure.shape))
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
    exposure = chain_to_fit(copy)
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
    median_rates: Doubles | None = None  # (rows, columns) of long exposures, DN/s

    def find_median_rates(self, exposure: Chain) -> Doubles:
        """Means over integrations of their median count rates, for the Poisson noise.

        Parameters
        ----------
        exposure : Chain

        Returns
        -------
        (rows, columns) float64, DN/s
        """
        totals = np.zeros(exposure.frame)

        def add(band: Band) -> None:
            _fitting.add_rates(self._inputs(band), totals[band.own.section])

        exposure.visit(add)
        return totals / exposure.shape[0]

    def rates_of_long(self, exposure: Chain) -> list[dict[str, FinishedArray]]:
        """Rates of a long exposure, and of its integrations, of which a few are in memory at a time.

        Parameters
        ----------
        exposure : Chain

        Returns
        -------
        list of dict
            As `assemble` returns them for `rates`.
        """
        totals = {name: np.zeros(exposure.frame, dtype) for name, dtype in TOTALS.items()}

        def fit(band: Band) -> tuple[Rates]:
            here = {name: total[band.own.section] for name, total in totals.items()}
            rates = empty_rates(band.data.shape[0], band.own.shape)
            _fitting.fit_part(self._inputs(band), _kernel_rates(rates), _fitting.Totals(here))
            return (rates,)

        integrations = assemble(exposure.map(fit), exposure.shape)
        whole = empty_rates(1, exposure.frame)
        nints = exposure.shape[0]
        _fitting.combine_totals(_fitting.Totals(totals), nints, _kernel_rates(whole))
        return [{name: array[0] for name, array in vars(whole).items()}, *integrations]

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
        segments, jumps = _fitting.count(self._inputs(band))
        return segments, jumps

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
        return segments_of(self._inputs(band), band.data.shape, room)

    def _inputs(self, band: Band) -> _fitting.Inputs:
        """What the kernels are given of a band."""
        rates = None if self.median_rates is None else self.median_rates[band.own.section]
        suppress = self.suppress_one_group
        return _inputs(self._ramps(band), self.times, suppress_one_group=suppress, rates=rates)

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

    def rates_of_long(self, exposure: Chain) -> list[dict[str, FinishedArray]]:
        """Rates of a long exposure, and of its integrations, of which a few are in memory at a time.

        Parameters
        ----------
        exposure : Chain

        Returns
        -------
        list of dict
            As `assemble` returns them for `rates`.
        """
        nints, _, rows, columns = exposure.shape
        store = SeriesStore((nints, 1, rows, columns), COMBINED_BYTES)

        def fit(band: Band) -> tuple[LikelyRates]:
            ramps = ramps_of(band, self.references, self.outside)
            return (fit_likely_integrations(ramps, self.resultants),)

        (each,) = assemble(exposure.map(fit), exposure.shape, lambda: store)
        whole = combine_series(cast("dict[str, Series]", each), exposure.frame)
        chisq: dict[str, FinishedArray] = {"data": whole.pop("chisq")}
        return [whole, {name: array for name, array in each.items() if name != "chisq"}, chisq]

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


def combine_series(each: Mapping[str, Series], frame: tuple[int, int]) -> dict[str, FinishedArray]:
    """Rates of an exposure from those of its integrations, some pixels after the other.

    Parameters
    ----------
    each : mapping of Series
        The attributes of `LikelyRates`, (integrations, rows, columns).
    frame : (int, int)
        Rows and columns.

    Returns
    -------
    dict of array
        The same, (rows, columns).
    """
    whole = {name: np.empty(frame, array.dtype) for name, array in each.items()}
    for tiles in zip(*(array.tiles() for array in each.values()), strict=True):
        pixels = tiles[0][0]
        here = {name: part[:, None] for name, (_, part) in zip(each, tiles, strict=True)}
        for name, array in vars(combine_integrations(LikelyRates(**here))).items():
            whole[name].reshape(-1)[pixels] = array[0]
    return dict(whole)


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
    parts: Iterable[tuple[Portion, Sequence[Fitted]]],
    shape: tuple[int, ...],
    store: Callable[[], ArrayStore] = ArrayStore,
) -> list[dict[str, FinishedArray]]:
    """Whole arrays by name from bands, one dictionary for each result of a band.

    Parameters
    ----------
    parts : iterable of (Portion, sequence)
        Where each band lies, and its results: dataclasses of arrays ([integrations, ...,] rows,
        columns).
    shape : (int, int, int, int)
        Integrations, groups, rows and columns of the exposure.
    store : callable
        Makes what a result is put together in.

    Returns
    -------
    list of dict
        Arrays of the whole exposure, in memory or in scratch files.
    """
    stores: list[ArrayStore] = []
    for portion, results in parts:
        stores = stores or [store() for _ in results]
        for each, result in zip(stores, results, strict=True):
            for array in fields(result):
                _insert(each, array.name, getattr(result, array.name), (portion, shape))
    return [each.finished() for each in stores]


def _insert(store: ArrayStore, name: str, part: Array, at: tuple[Portion, tuple[int, ...]]) -> None:
    portion, (nints, _, *frame) = at
    if store.shape(name) is None:
        leading = (nints, *part.shape[1:-2]) if part.ndim > len(frame) else ()
        store.make(name, (*leading, *frame), part.dtype)
    store.fill(name, portion.section(part.ndim), part)


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
    rates = empty_rates(nints + 1, (rows, columns))
    inputs = _inputs(ramps, times, suppress_one_group=suppress_one_group)
    _fitting.fit(inputs, _kernel_rates(rates))
    arrays = vars(rates).values()
    return Rates(*(a[-1] for a in arrays)), Rates(*(a[:-1] for a in arrays))


def empty_rates(planes: int, frame: tuple[int, int]) -> Rates:
    """Arrays (planes, rows, columns) for rates, not filled.

    Parameters
    ----------
    planes : int
    frame : (int, int)
        Rows and columns.

    Returns
    -------
    Rates
    """
    slope, *others = (np.empty((planes, *frame), dtype=np.float32) for _ in range(4))
    return Rates(slope, np.empty((planes, *frame), dtype=np.uint32), *others)


def _kernel_rates(rates: Rates) -> _fitting.Rates:
    return _fitting.Rates(*vars(rates).values())


def _inputs(
    ramps: Ramps, times: FitTimes, *, suppress_one_group: bool, rates: Doubles | None = None
) -> _fitting.Inputs:
    arrays = {name: a if a is None else rows_of(a) for name, a in vars(ramps).items()}
    return _fitting.Inputs(arrays, times.members(), suppress_one_group, rates)


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
    inputs = _inputs(ramps, times, suppress_one_group=suppress_one_group)
    return segments_of(inputs, ramps.data.shape, room or _fitting.count(inputs))


def segments_of(inputs: _fitting.Inputs, shape: tuple[int, ...], room: tuple[int, int]) -> Segments:
    """The segments of ramps.

    Parameters
    ----------
    inputs : Inputs
        Of the kernels.
    shape : (int, int, int, int)
        Integrations, groups, rows and columns of the ramps.
    room : (int, int)
        So many segments and jumps.

    Returns
    -------
    Segments
    """
    nints, _, rows, columns = shape
    nsegments, njumps = room
    segments = np.zeros((7, nints, nsegments, rows, columns), dtype=np.float32)
    pedestal = np.zeros((nints, rows, columns), dtype=np.float32)
    crmag = np.zeros((nints, njumps, rows, columns), dtype=np.float32)
    _fitting.describe(inputs, segments, pedestal, crmag)
    slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights = segments
    return Segments(
        slope, sigslope, var_poisson, var_rnoise, yint, sigyint, weights, pedestal, crmag
    )
