"""Histogram: how the values of an image are distributed, as an SVG drawing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["histogram"]

_BINS = 64
_RANGE = (0.5, 99.0)  # percentiles between which values are counted
_SAMPLE = 1_000_000
_WIDTH, _HEIGHT, _MARGIN = 320, 120, 18


def histogram(image: npt.NDArray[Any], unit: str) -> str:
    """Bars of the logarithm of counts between two percentiles, with the median marked."""
    sample = image.ravel()[:: max(1, image.size // _SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return "<p>No pixel has a value.</p>"
    low, median, high = np.percentile(sample, (_RANGE[0], 50.0, _RANGE[1]))
    if low == high:
        return f"<p>Nearly all pixels are {low:.6g} {unit}.</p>"
    counts, _ = np.histogram(sample, _BINS, (low, high))
    heights = np.log10(1 + counts) / np.log10(1 + counts.max())
    text = f"Histogram of {sample.size} values from {low:.4g} to {high:.4g}, median {median:.4g}"
    drawing = "".join(
        (
            f'<svg class="histogram" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT + _MARGIN}">',
            f"<title>{text} {unit}</title>",
            f'<path class="bars" d="{_outline(heights)}"/>',
            f'<path class="median" d="M{_WIDTH * (median - low) / (high - low):.1f} 0V{_HEIGHT}"/>',
            _label(0, "start", low),
            _label(_WIDTH, "end", high),
            "</svg>",
        )
    )
    return f"<figure>{drawing}<figcaption>{_caption(low, median, high, unit)}</figcaption></figure>"


def _caption(low: float, median: float, high: float, unit: str) -> str:
    return (
        f"Median {median:.4g} {unit} (line); from the {_RANGE[0]:g}th percentile {low:.4g} to the "
        f"{_RANGE[1]:g}th {high:.4g}, logarithm of counts"
    )


def _outline(heights: npt.NDArray[np.float64]) -> str:
    """The bars as one closed path."""
    width = _WIDTH / len(heights)
    tops = (_HEIGHT * (1 - h) for h in heights)
    steps = "".join(f"V{top:.1f}H{width * (i + 1):.1f}" for i, top in enumerate(tops))
    return f"M0 {_HEIGHT}{steps}V{_HEIGHT}Z"


def _label(x: float, anchor: str, value: float) -> str:
    return (
        f'<text x="{x:.1f}" y="{_HEIGHT + _MARGIN - 4}" text-anchor="{anchor}">{value:.4g}</text>'
    )
