"""What the engine asks of a step that corrects ramps, and of its reference files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from stpipe.engine.rectangle import Rectangle
    from stpipe.models.protocols import Meta

__all__ = ["Correction", "Divisible"]


class Divisible(Protocol):
    """Reference files that can be cut to a part."""

    def part(self, place: Rectangle) -> Mapping[str, Any]:
        """The same reference files, for a rectangle of the exposure."""
        ...


class Correction(Protocol):
    """A step that corrects ramps in bands of rows; `RampStep` says what each member is for."""

    makes: ClassVar[tuple[str, ...]]
    flags: ClassVar[int]
    local: ClassVar[bool]
    compares_integrations: ClassVar[bool]
    log: logging.Logger

    @property
    def qualified_name(self) -> str:
        """The name that logs and progress bars show."""
        ...

    @property
    def threads(self) -> int:
        """Threads that may work at bands side by side."""
        ...

    def reach(self, references: Any) -> int:
        """Pixels of neighbours that `correct` needs."""
        ...

    def prepare(self, exposure: Any, references: Any) -> Any:
        """Look at the whole exposure before any band is corrected."""
        ...

    def correct(self, ramp: Any, references: Mapping[str, Any]) -> None:
        """Assign corrected arrays to a band."""
        ...

    def flags_everywhere(self, bits: int, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Groups (integrations, groups) in which one of `bits` is set in all pixels."""
        ...

    def finish(self, meta: Meta, totals: Mapping[str, int], known: Any) -> None:
        """Write into metadata what was counted in all bands."""
        ...
