"""Pictures of a product's pixels: stretched brightness, and a map of data-quality flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stpipe.project.report import png

__all__ = ["BACKGROUND", "BLANK", "COLOURS", "Flag", "brightness", "flag_map", "shrunk"]

_LOW, _HIGH = 1.0, 99.5  # percentiles that become black and white
_SOFTENING = 4.0  # the larger, the more is seen of faint structure beside bright sources
_SAMPLE = 1_000_000  # pixels that percentiles are taken from
_BAND = 4_000_000  # pixels that are averaged at once

_WHITE = 254  # the brightest grey; one number is left for blanks
BLANK: png.Colour = (58, 72, 120)
BACKGROUND: png.Colour = (244, 244, 240)
# Distinct for colour-blind eyes (Okabe and Ito 2008), then darker versions of the same.
COLOURS: tuple[png.Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (86, 180, 233),
    (100, 100, 100),
    (148, 103, 0),
    (0, 70, 110),
    (0, 95, 70),
    (130, 55, 0),
    (120, 60, 95),
)

Image = npt.NDArray[Any]


@dataclass(frozen=True)
class Flag:
    """A data-quality bit in an image: its name, the pixels that have it, and its colour."""

    name: str
    count: int
    share: float
    colour: png.Colour


def shrunk(image: Image, longest: int) -> npt.NDArray[np.float64]:
    """Means of blocks of pixels, so that no side has more than `longest` blocks; blanks left out."""
    y, x = (-(-n // longest) for n in image.shape)
    if (y, x) == (1, 1):
        return image.astype(np.float64)
    rows = max(1, _BAND // (image.shape[1] * y)) * y
    bands = [_means(image[i : i + rows], y, x) for i in range(0, image.shape[0], rows)]
    return np.concatenate(bands)


def _means(band: Image, y: int, x: int) -> npt.NDArray[np.float64]:
    values = _filled_up(band.astype(np.float64), y, x, np.nan)
    blocks = values.reshape(values.shape[0] // y, y, values.shape[1] // x, x)
    good = np.isfinite(blocks)
    counts = good.sum((1, 3))
    sums = np.where(good, blocks, 0.0).sum((1, 3))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _filled_up(band: Image, y: int, x: int, value: float) -> Image:
    """Whole blocks: the last ones are filled up with `value`."""
    rows, columns = band.shape
    return np.pad(band, ((0, -rows % y), (0, -columns % x)), constant_values=value)


def brightness(image: Image, longest: int) -> bytes:
    """A PNG between the 1st and the 99.5th percentile, faint structure lifted by an arcsinh.

    Row 0 is at the bottom, as astronomers draw it; pixels without a value have a colour of their own.
    """
    small = shrunk(image, longest)
    good = np.isfinite(small)
    sample = small[good][:: max(1, good.sum() // _SAMPLE)]
    low, high = np.percentile(sample, (_LOW, _HIGH)) if sample.size else (0.0, 1.0)
    scaled = np.clip((np.where(good, small, low) - low) / ((high - low) or 1.0), 0.0, 1.0)
    soft = np.arcsinh(_SOFTENING * scaled) / np.arcsinh(_SOFTENING)
    numbers = np.where(good, np.round(_WHITE * soft), _WHITE + 1).astype(np.uint8)
    return png.indexed(numbers[::-1], [*((i, i, i) for i in range(_WHITE + 1)), BLANK])


def flag_map(flags: Image, names: Mapping[str, int], longest: int) -> tuple[bytes, list[Flag]]:
    """A PNG in which each block has the colour of its rarest flag, and its legend, rarest last."""
    found = sorted(_counted(flags, names), key=lambda each: -each[1])
    legend = [
        Flag(name, count, count / flags.size, COLOURS[i % len(COLOURS)])
        for i, (name, count) in enumerate(found)
    ]
    numbers = np.zeros(flags.shape, np.uint8)
    for number, flag in enumerate(legend, start=1):
        numbers[flags & names[flag.name] != 0] = number
    y, x = (-(-n // longest) for n in flags.shape)
    whole = _filled_up(numbers, y, x, 0)
    blocks = whole.reshape(whole.shape[0] // y, y, whole.shape[1] // x, x).max((1, 3))
    colours = [BACKGROUND, *(flag.colour for flag in legend)]
    return png.indexed(blocks[::-1], colours), legend


def _counted(flags: Image, names: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    for name, bit in names.items():
        if bit and (count := int(np.count_nonzero(flags & bit))):
            yield name, count
