"""Fit straight lines to ramps: count rates with their uncertainties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stpipe.core.step import Output, Step
from stpipe.engine import Chain
from stpipe.engine.array_store import CUBE_IN_MEMORY_BYTES, IN_MEMORY_BYTES
from stpipe.engine.chain import chain_to_fit, filling
from stpipe.science.ramps.fitting import (
    Fit,
    FitRules,
    fit_of,
    is_likely,
    rate_models,
    segments_model,
)
from stpipe.science.ramps.likelihood import FEWEST_GROUPS, read_times

if TYPE_CHECKING:
    from stpipe.models import CubeModel, ImageModel, RampModel

__all__ = [
    "RampFitStep",
]


class RampFitStep(Step):
    """Fit straight lines to ramps: count rates with their uncertainties.

    Every ramp is cut at its jumps and flagged groups into segments, each fitted by weighted least
    squares (Fixsen et al. 2000, PASP 112, 1350; variances of Robberto 2009, JWST-STScI-001853).
    Segments are averaged by their read noise alone, over an integration (`rateints`) and over the
    exposure (`rate`).

    Ramps of a single good group are dropped by `suppress_one_group`; otherwise the first group, or
    the zero frame, gives a rate on its own. `firstgroup` and `lastgroup` (from 0) limit the groups
    that are used. Charge migration (CHARGELOSS) does not count for the read noise.

    The algorithm LIKELY maximizes the likelihood with the covariance of photon and read noise
    (Brandt 2024, PASP 136, 045004) and drops differences that spoil the fit (045005). Groups with
    any flag are left out, the zero frame is one more resultant, `suppress_one_group` has no effect.
    It needs four groups and is replaced by OLS_C where there are fewer; exposures that list the
    times of their reads are always fitted by it. With `save_opt` chi squared is saved.

    Caveats kept from jwst 3.0.0: the error of `rate` is the root of its two variances, that of
    `rateints` the weighted sum over segments; the average dark current, documented in e-/s, is
    added to DN/s; a ramp of jumps alone gets the rate 0 without a flag; of two groups, a jump and a
    good one, `suppress_one_group` sees a single good group. LIKELY takes a 0 of the zero frame for
    a sample, a NaN for one of all groups of its ramp, and gives ramps without good groups an
    infinite error.

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
        Output("fitopt", "RampFitOutputModel", "fitopt", when="save_opt", file="opt_name"),
        Output("likely_chisq", "ImageModel", "likely_chisq", when="save_opt", file="opt_name"),
    )
    spec = """
        algorithm = option('OLS_C', 'LIKELY', default='OLS_C')  # Least squares, or likelihood
        save_opt = boolean(default=False)  # Save _fitopt (segments) or _likely_chisq
        opt_name = string(default=None)  # File name of what save_opt saves
        suppress_one_group = boolean(default=True)  # Drop ramps with a single good group
        firstgroup = integer(default=None)  # First group to use, from 0
        lastgroup = integer(default=None)  # Last group to use, from 0
    """
    algorithm: str
    save_opt: bool
    opt_name: str | None
    suppress_one_group: bool
    firstgroup: int | None
    lastgroup: int | None

    def memory_mb(self, shape: tuple[int, ...], file_mb: float) -> float:
        """Five images and five cubes, those that are small enough to be held, and a band."""
        del file_mb
        nints, _, rows, columns = shape
        image, cube = 4 * rows * columns, 4 * nints * rows * columns
        held = image * (image <= IN_MEMORY_BYTES) + cube * (cube <= CUBE_IN_MEMORY_BYTES)
        return 5e-6 * held + 25 * filling(shape)

    def process(self, ramp: RampModel) -> tuple[ImageModel, CubeModel]:
        """Rates of the exposure and of each integration."""
        exposure = chain_to_fit(ramp)
        rules = self._rules()
        self._tell_of_likelihood(exposure, rules)
        fit = fit_of(exposure, self.references, rules)
        rate, rateints, *chisq = rate_models(ramp, exposure, fit)
        if self.save_opt and isinstance(fit, Fit):
            self.add_product("fitopt", segments_model(ramp, exposure, fit))
        elif self.save_opt:
            self.add_product("likely_chisq", chisq[0])
        return rate, rateints

    def side_outputs(self, meta: Mapping[str, Any]) -> tuple[Output, ...]:
        """What the fit makes that this exposure gets."""
        times, ngroups = meta.get("meta.exposure.read_times"), meta.get("meta.exposure.ngroups")
        likely = is_likely(times, ngroups, self._rules())
        name = "likely_chisq" if likely else "fitopt"
        return tuple(output for output in super().side_outputs(meta) if output.name == name)

    def _rules(self) -> FitRules:
        return FitRules(self.algorithm, self.suppress_one_group, self.firstgroup, self.lastgroup)

    def _tell_of_likelihood(self, exposure: Chain, rules: FitRules) -> None:
        """Warn of what the fit by likelihood cannot do with this exposure."""
        ngroups = exposure.shape[1]
        if is_likely(exposure.meta.exposure.read_times, ngroups, rules):
            first = read_times(exposure.meta.exposure, ngroups)[0]
            if exposure.ramp.has("zeroframe") and len(first) == 1:
                self.log.warning("The zero frame is the first group and is not used")
        elif rules.algorithm == "LIKELY" or exposure.meta.exposure.read_times:
            self.log.warning(
                "LIKELY needs %d groups, there are %d: OLS_C is used", FEWEST_GROUPS, ngroups
            )
