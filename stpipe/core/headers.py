"""Headers that arithmetic relies on: values that physics allows, counts that the arrays have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stpipe.models.metadata import HasMetadata

__all__ = ["named", "problems"]


@dataclass(frozen=True)
class Bounds:
    """The values that a keyword may have."""

    low: float
    high: float
    above: bool = False  # whether `low` itself is too low
    unit: str = ""
    whole: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if self.whole and value != int(value):
            return False
        return self.low < value <= self.high if self.above else self.low <= value <= self.high

    def __str__(self) -> str:
        start = f"more than {self.low:g}" if self.above else f"{self.low:g}"
        kind = "whole numbers, " if self.whole else ""
        return f"{kind}{start} to {self.high:g}{self.unit}"


_TIME = Bounds(0, 1e5, above=True, unit=" s")  # the longest exposure took a day and a half
_COUNT = Bounds(1, 65535, whole=True)
_NUMBER = Bounds(0, 65535, whole=True)
_ANGLE = Bounds(-360, 360, unit=" degrees")

# How a ramp was read out.
READOUT: Mapping[str, Bounds] = {
    "meta.exposure.group_time": _TIME,
    "meta.exposure.frame_time": _TIME,
    "meta.exposure.integration_time": _TIME,
    "meta.exposure.nframes": _COUNT,
    "meta.exposure.groupgap": _NUMBER,
    "meta.exposure.frame_divisor": _COUNT,
    "meta.exposure.drop_frames1": _NUMBER,
    "meta.exposure.nsamples": _COUNT,
    "meta.exposure.ngroups": _COUNT,
    "meta.exposure.nints": _COUNT,
    "meta.exposure.integration_start": _COUNT,
    "meta.exposure.integration_end": _COUNT,
}
# Where it was on the detector and on the sky.
PLACE: Mapping[str, Bounds] = {
    "meta.subarray.xstart": Bounds(1, 4096, whole=True),
    "meta.subarray.ystart": Bounds(1, 4096, whole=True),
    "meta.subarray.fastaxis": Bounds(-2, 2, whole=True),
    "meta.subarray.slowaxis": Bounds(-2, 2, whole=True),
    "meta.wcsinfo.roll_ref": _ANGLE,
    "meta.wcsinfo.ra_ref": _ANGLE,
    "meta.wcsinfo.dec_ref": Bounds(-90, 90, unit=" degrees"),
    "meta.wcsinfo.v3yangle": _ANGLE,
}
_RAMP = 4  # dimensions: integrations, groups, rows, columns


def problems(model: HasMetadata, shape: Sequence[int], needed: Sequence[str]) -> Iterator[str]:
    """What is wrong in the header of a model of this shape, for a step that needs `needed`.

    Of a ramp everything that says how it was read out is looked at, of other models what is needed.
    """
    names = dict.fromkeys(n for n in needed if n in READOUT or n in PLACE)
    if len(shape) == _RAMP:
        names |= dict.fromkeys(READOUT)
    for name in names:
        bounds, value = READOUT.get(name) or PLACE[name], model.get(name)
        if value is not None and value not in bounds:
            yield f"{named(model, name)} is {value}, allowed: {bounds}"
    if len(shape) == _RAMP:
        yield from _counts(model, shape)


def _counts(model: HasMetadata, shape: Sequence[int]) -> Iterator[str]:
    """Counts that are not those of the array: a file that was cut, or a header of another file."""
    integrations, groups = shape[:2]
    said = model.get("meta.exposure.ngroups")
    if said is not None and said != groups:
        yield f"{named(model, 'meta.exposure.ngroups')} is {said}, but the array has {groups} groups"
    name = "meta.exposure.nints"
    if (model.get("meta.exposure.segment_total") or 1) > 1:
        # A part of the exposure: NINTS counts those of all parts.
        first, last = (model.get(f"meta.exposure.integration_{end}") for end in ("start", "end"))
        name, said = "meta.exposure.integration_end", None
        if first is not None and last is not None:
            said = last - first + 1
    else:
        said = model.get(name)
    if said is not None and said != integrations:
        yield (
            f"{named(model, name)} tells of {said} integrations, but the array has {integrations}"
        )


def named(model: HasMetadata, path: str) -> str:
    """An attribute with its keyword."""
    keyword: Any = getattr(model.schema.fields.get(path), "keyword", None)
    return f"{keyword} ({path})" if keyword else path
