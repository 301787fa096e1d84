"""RampStep: a step that corrects ramps, whole or in bands of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from stpipe.core.step import Step
from stpipe.engine.chain import Chain, compute, defer, filling, flags_mb, series_mb
from stpipe.references.opened import References

if TYPE_CHECKING:
    from stpipe.engine.band import Band
    from stpipe.models import RampModel
    from stpipe.models.protocols import Meta
    from stpipe.references.opened import CutReference

__all__ = ["RampStep"]


class RampStep(Step):
    """A step that corrects ramps: override `correct`.

    A step that declares a `halo` is run on bands of rows (`stpipe.engine`), with the steps before and
    after it. It may then override `prepare`, to learn what it needs of the whole exposure, and
    `finish`, to write into metadata what it counted.
    """

    input_models: ClassVar[tuple[str, ...]] = ("RampModel",)
    halo: ClassVar[int | None] = None  # pixels of neighbours that `correct` needs; None: all
    makes: ClassVar[tuple[str, ...]] = ()  # arrays that `correct` adds to the ramp
    flags: ClassVar[int] = 0xFF  # bits of GROUPDQ that `correct` may change
    local: ClassVar[bool] = False  # `prepare` learns of integrations what they need themselves
    compares_integrations: ClassVar[bool] = False  # `prepare` needs all samples of a pixel
    band_mb: ClassVar[float] = 25  # memory for a full band of the engine, as measured

    def process(self, ramp: RampModel) -> RampModel:
        """Apply `correct` to the ramp."""
        if self.halo is not None and not self.takes_whole(ramp.shape):
            return defer(ramp, self, self.references)
        compute(ramp)
        self.correct(cast("Band", ramp), self.references)  # without a halo it takes any `Ramp`
        return ramp

    def reach(self, references: Mapping[str, CutReference]) -> int:
        """Pixels of neighbours that `correct` needs: `halo`, unless a reference file decides."""
        del references
        return self.halo or 0

    def takes_whole(self, shape: tuple[int, ...]) -> bool:
        """Must an exposure of `shape` be corrected as a whole, although there is a halo?"""
        del shape
        return False

    def memory_mb(self, shape: tuple[int, ...], file_mb: float) -> float:
        """The flags of an integration, or of all where bands are squares; a band; some pixels."""
        del file_mb
        pixels = series_mb(shape) if self.compares_integrations else 0.0
        return flags_mb(shape) + self.band_mb * filling(shape) + pixels

    def prepare(self, exposure: Chain, references: References) -> Any:
        """Look at the whole exposure as the steps before leave it, before any band is corrected.

        Raise `Skip` when there is nothing to do; what is returned comes back as `ramp.known`. A step
        that is `local` looks at long exposures some integrations at a time, each time before they
        are corrected. One that `compares_integrations` may ask a long exposure for its `series`.
        """
        del exposure, references
        return None

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Assign corrected arrays to `ramp`; never write into those it holds.

        Where the arrays and metadata of a ramp are enough, write `ramp: Ramp`
        (`stpipe.models.protocols`); a step without a halo has to.
        """
        raise NotImplementedError(f"{self.target()} has no correct")

    def flags_everywhere(self, bits: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Groups (integrations, groups) of `shape` in which one of `bits` is set in all pixels.

        Override it if that is known beforehand: no band has to be read to find out.
        """
        del bits
        return np.zeros(shape, dtype=bool)

    def finish(self, meta: Meta, totals: Mapping[str, int], known: Any) -> None:
        """Write into metadata what was counted in all bands; `known` is what `prepare` returned."""
        del meta, totals, known

    def log_end(self, seconds: float) -> None:
        """Log that the step has run; a deferred one is logged by its chain."""
        if self.halo is None:
            super().log_end(seconds)
