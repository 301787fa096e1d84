"""Headers that arithmetic relies on: values that physics allows, counts that the arrays have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stpipe.models.flat import FlatDict
from stpipe.models.metadata import HasMetadata

__all__ = ["named", "problems", "with_counts"]


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


@dataclass(frozen=True)
class OneOf:
    """The few values that a keyword may have."""

    values: tuple[int, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


_TIME = Bounds(1e-4, 1e5, unit=" s")  # frames take more than 1 ms, exposures a day and a half
_COUNT = Bounds(1, 65535, whole=True)
_NUMBER = Bounds(0, 65535, whole=True)
_ANGLE = Bounds(-360, 360, unit=" degrees")

# How a ramp was read out.
READOUT: Mapping[str, Bounds | OneOf] = {
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
_AXIS = OneOf((-2, -1, 1, 2))
_ARCSEC = Bounds(-3600, 3600, unit=" arcsec")  # the field of view is half a degree wide
_DATE = Bounds(30000, 100000, unit=" (MJD)")
# Where it was on the detector and on the sky, when, and how fast the telescope moved.
PLACE: Mapping[str, Bounds | OneOf] = {
    "meta.subarray.xstart": Bounds(1, 4096, whole=True),
    "meta.subarray.ystart": Bounds(1, 4096, whole=True),
    "meta.subarray.fastaxis": _AXIS,
    "meta.subarray.slowaxis": _AXIS,
    "meta.wcsinfo.roll_ref": _ANGLE,
    "meta.wcsinfo.ra_ref": _ANGLE,
    "meta.wcsinfo.dec_ref": Bounds(-90, 90, unit=" degrees"),
    "meta.wcsinfo.v2_ref": _ARCSEC,
    "meta.wcsinfo.v3_ref": _ARCSEC,
    "meta.wcsinfo.v3yangle": _ANGLE,
    "meta.wcsinfo.vparity": OneOf((-1, 1)),
    "meta.wcsinfo.velosys": Bounds(-1e6, 1e6, unit=" m/s"),
    "meta.velocity_aberration.scale_factor": Bounds(0.99, 1.01),
    "meta.dither.x_offset": _ARCSEC,
    "meta.dither.y_offset": _ARCSEC,
    "meta.instrument.filter_position": _ANGLE,
    "meta.exposure.start_time": _DATE,
    "meta.exposure.mid_time": _DATE,
    "meta.exposure.end_time": _DATE,
    "meta.exposure.exposure_time": Bounds(0, 1e7, unit=" s"),
    "meta.exposure.measurement_time": Bounds(0, 1e7, unit=" s"),
    "meta.photometry.pixelarea_steradians": Bounds(0, 1, above=True, unit=" sr"),
    "meta.photometry.pixelarea_arcsecsq": Bounds(0, 1e10, above=True, unit=" arcsec2"),
}
_RAMP = 4  # dimensions: integrations, groups, rows, columns


def problems(model: HasMetadata, shape: Sequence[int], used: Sequence[str]) -> Iterator[str]:
    """What is wrong in the header of a model of this shape, for a step that uses the metadata `used`.

    Of a ramp everything that says how it was read out is looked at, of other models what is used.
    """
    names = dict.fromkeys(n for n in used if n in READOUT or n in PLACE)
    if len(shape) == _RAMP:
        names |= dict.fromkeys(READOUT)
    for name in names:
        bounds, value = READOUT.get(name) or PLACE[name], model.get(name)
        if value is not None and value not in bounds:
            yield f"{named(model, name)} is {value}, allowed: {bounds}"
    if len(shape) == _RAMP:
        yield from _counts(model, shape)


def with_counts(meta: FlatDict, shape: Sequence[int]) -> FlatDict:
    """Metadata by dotted name, with the counts of a ramp's array where the header lacks them.

    Steps decide by them whether there are enough groups.
    """
    if len(shape) != _RAMP:
        return meta
    return meta.over({"meta.exposure.nints": shape[0], "meta.exposure.ngroups": shape[1]})


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
