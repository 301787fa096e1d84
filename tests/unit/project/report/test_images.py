"""Pictures of a report: exact pixels, honest maps, and sizes that do not grow with the image."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from stpipe.project.report import build, images, png
from stpipe.project.report.histogram import histogram
from stpipe.system import package_data

NAMES = {"GOOD": 0, "DO_NOT_USE": 1, "SATURATED": 2, "JUMP_DET": 4}


def decoded(content: bytes) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Pixels and palette of a PNG with filter "up", checksums checked."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        name, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack(">I", content[place + 8 + length : place + 12 + length])
        assert zlib.crc32(name + data) == checksum
        chunks[name] = data
        place += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 2).all()
    palette = chunks[b"PLTE"]
    colours = [tuple(palette[i : i + 3]) for i in range(0, len(palette), 3)]
    return np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8), colours


@given(some.arrays(np.uint8, some.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_a_png_holds_the_pixels(pixels: np.ndarray) -> None:
    colours = [(i, 0, 255 - i) for i in range(256)]

    found, palette = decoded(png.indexed(pixels, colours))

    np.testing.assert_array_equal(found, pixels)
    assert colours == palette


def test_brightness_rises_and_blanks_have_a_colour_of_their_own() -> None:
    """Row 0 is at the bottom."""
    image = np.arange(100.0).reshape(10, 10)
    image[3, 4] = np.nan

    pixels, palette = decoded(images.brightness(image, 512))

    assert images.BLANK == palette[pixels[::-1][3, 4]]
    greys = pixels[::-1].ravel()[np.isfinite(image).ravel()].astype(int)
    assert (np.diff(greys) >= 0).all()
    assert (0, 254) == (greys.min(), greys.max())


@pytest.mark.parametrize(
    "image", [np.full((4, 4), np.nan), np.ones((4, 4)), np.full((4, 4), np.inf)]
)
def test_an_image_without_structure_is_drawn(image: np.ndarray) -> None:
    decoded(images.brightness(image, 512))
    assert "<p>" in histogram(image, "DN/s")


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 20))
def test_shrinking_takes_means_of_blocks(height: int, width: int, longest: int) -> None:
    """Whatever the shape: the mean stays, and no side is longer than asked for."""
    image = np.random.default_rng(1).normal(size=(height, width))
    image[0, 0] = np.nan

    small = images.shrunk(image, longest)

    assert max(small.shape) <= max(longest, 1)
    y, x = (-(-n // longest) for n in image.shape)
    corner = image[:y, :x]
    if np.isfinite(corner).any():
        assert np.nanmean(corner) == pytest.approx(small[0, 0])
    else:
        assert np.isnan(small[0, 0])


def test_the_rarest_flag_of_a_block_is_shown() -> None:
    """A single jump is seen in a map of few pixels, and everything is counted."""
    flags = np.ones((100, 100), np.uint32)
    flags[10:20] |= 2
    flags[15, 15] |= 4

    content, legend = images.flag_map(flags, NAMES, 10)

    pixels, palette = decoded(content)
    assert [("DO_NOT_USE", 10_000), ("SATURATED", 1000), ("JUMP_DET", 1)] == [
        (flag.name, flag.count) for flag in legend
    ]
    assert legend[2].colour == palette[pixels[::-1][1, 1]]
    assert legend[1].colour == palette[pixels[::-1][1, 5]]
    assert legend[0].colour == palette[pixels[::-1][5, 5]]


def test_an_image_of_ten_thousand_pixels_makes_a_small_picture() -> None:
    image = np.random.default_rng(2).normal(size=(1500, 10_000)).astype(np.float32)

    pixels, _ = decoded(content := images.brightness(image, 512))

    assert max(pixels.shape) <= 512
    assert len(content) < 300_000


@pytest.mark.parametrize("count", [1, 10, 100, 1000, 2000])
def test_the_page_keeps_to_its_budget(count: int) -> None:
    """Noise does not compress: a byte for each pixel, four thirds of it in base64, two pictures."""
    assert 2 * count * build._size(count) ** 2 * 4 / 3 < 45e6


def test_colours_of_the_page_have_contrast() -> None:
    """At least 4.5 to 1 for text, in the light and in the dark (WCAG 2.2, 1.4.3)."""
    text = (Path(package_data.folder("workflow")) / "report/page.css").read_text()
    for theme in re.findall(r":root \{(.*?)\}", text, re.DOTALL):
        colour = dict(re.findall(r"--(\w+): (#\w+)", theme))
        for front in ("text", "dim", "accent", "bad"):
            for back in ("page", "card"):
                assert contrast(colour[front], colour[back]) >= 4.5, (front, back, theme)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
