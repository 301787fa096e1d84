"""Run one step on arrays in memory, whole or in bands; for tests of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.engine.band import PLANES, Array
from stpipe.engine.chain import Chain, Stage
from stpipe.engine.rectangle import Rectangle
from stpipe.models.storage.arrays import Stored

if TYPE_CHECKING:
    from stpipe.models.protocols import Ramp, Section

__all__ = ["apply"]


def apply(
    step: RampStep, ramp: Ramp, references: Mapping[str, object], height: int | None = None
) -> None:
    """Correct `ramp` in place.

    Parameters
    ----------
    step : RampStep
    ramp : Ramp
        Any object with the arrays of a ramp and `meta`.
    references : mapping
        Any objects with arrays, by reference type; those that span the exposure are cut to bands.
    height : int, optional
        Rows of a band; by default there is one band.
    """
    exposure = _Arrays(ramp)
    given = _References(references, exposure.shape[-2:])
    chain = Chain(cast("Any", exposure), height=height or exposure.shape[-2])
    known = step.prepare(chain, cast("Any", given))
    stages = (Stage(step, cast("Any", given), known),)
    whole = Chain(cast("Any", exposure), stages, height=chain.height)
    for name, array in whole.materialize().items():
        setattr(ramp, name, array.read() if isinstance(array, Stored) else array)
    whole.finish(ramp.meta)


class _Arrays:
    """An object with arrays, as the engine reads a model."""

    def __init__(self, ramp: Ramp) -> None:
        self._planes = {n: getattr(ramp, n, None) for n in PLANES}
        self.meta = ramp.meta
        self.shape = ramp.data.shape

    def has(self, name: str) -> bool:
        return self._planes[name] is not None

    def read(self, name: str, section: Section) -> Array:
        part: Array = np.asarray(self._planes[name])[section]
        return part


class _References(Mapping[str, object]):
    """Objects with arrays, as steps see reference files."""

    def __init__(self, references: Mapping[str, object], frame: tuple[int, ...]) -> None:
        self._references = references
        self._frame = frame

    def __getitem__(self, reference_type: str) -> object:
        return self._references[reference_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def part(self, place: Rectangle) -> dict[str, object]:
        """The references for a rectangle of the exposure."""
        return {name: self._cut(reference, place) for name, reference in self.items()}

    def _cut(self, reference: object, place: Rectangle) -> object:
        attributes = {n: v for n, v in vars(reference).items() if not n.startswith("_")}
        for name, value in attributes.items():
            if isinstance(value, np.ndarray) and value.shape[-2:] == tuple(self._frame):
                attributes[name] = value[place.section]
        attributes.setdefault("has", lambda name: attributes.get(name) is not None)
        return SimpleNamespace(**attributes)
