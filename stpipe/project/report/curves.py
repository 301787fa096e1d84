"""Spectra with their errors, as SVG drawings."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.models.views import Curve

    Doubles = npt.NDArray[np.float64]

__all__ = ["spectrum"]

_WIDTH, _HEIGHT, _MARGIN = 640, 180, 18
_POINTS = 640  # values that are drawn; of more, means of neighbours
_ROOM = 0.08  # of the range, above and below


def spectrum(curve: Curve) -> str:
    """A line of the values, with a band of their errors.

    Values that are flagged are left out, and counted in the caption.
    """
    known = np.isfinite(curve.value) & np.isfinite(curve.wavelength)
    good = known & ~curve.flagged
    label = escape(curve.label)
    if good.sum() < 2:  # noqa: PLR2004 - a line has two ends
        return f"<p>{label}: no wavelengths have a good value.</p>"
    order = np.argsort(curve.wavelength[good], kind="stable")
    waves, values, errors = (
        _thinned(array[good][order])
        for array in (curve.wavelength, curve.value, np.nan_to_num(curve.error))
    )
    low, high = float(values.min()), float(values.max())
    room = _ROOM * ((high - low) or abs(high) or 1.0)
    low, high = low - room, high + room
    x = _WIDTH * (waves - waves[0]) / ((waves[-1] - waves[0]) or 1.0)

    def y(flux: Doubles) -> Doubles:
        return np.asarray(np.clip(_HEIGHT * (high - flux) / (high - low), 0, _HEIGHT))

    left_out = int((known & curve.flagged).sum())
    flagged = f"; {left_out} flagged are left out" if left_out else ""
    limits = f"{waves[0]:.4g} to {waves[-1]:.4g} um, {low:.3g} to {high:.3g}"
    text = f"{label}: {limits} {escape(curve.unit)}"
    return (
        f'<figure class="wide"><svg class="spectrum" role="img" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT + _MARGIN}"><title>Spectrum, {text}</title>'
        f"{_band(x, y(values + errors), y(values - errors))}"
        f'<path class="line" d="M{_path(x, y(values))}"/>'
        f"{_label(0, 'start', waves[0])}{_label(_WIDTH, 'end', waves[-1])}</svg>"
        f"<figcaption>{text}, with errors{flagged}</figcaption></figure>"
    )


def _thinned(values: Doubles) -> Doubles:
    """Means of neighbours, so that there are not more than can be seen."""
    step = -(-values.size // _POINTS)
    if step == 1:
        return values
    whole = np.pad(values, (0, -values.size % step), mode="edge")
    found: Doubles = whole.reshape(-1, step).mean(axis=1)
    return found


def _band(x: Doubles, above: Doubles, below: Doubles) -> str:
    return f'<path class="errors" d="M{_path(x, above)}L{_path(x[::-1], below[::-1])}Z"/>'


def _path(x: Doubles, y: Doubles) -> str:
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _label(x: float, anchor: str, value: float) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT + _MARGIN - 4}" text-anchor="{anchor}">{value:.4g} um</text>'
