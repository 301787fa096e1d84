"""Where the spectra of NIRISS SOSS lie, which depends on how far the pupil wheel was turned.

Traces of a reference file (`pastasoss`), turned by the angle between the wheel's position and the one
that it was sent to (Baines et al. 2023). They are in rows of the largest subarray.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import ReferenceMissing, Skip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.science.arrays import Booleans, Doubles

__all__ = ["Trace", "mask_of_traces", "polynomial", "traces_of"]

HALF_WIDTH = 16  # rows of a trace to each side of its middle
LAST_ROW = 255.0  # of the largest subarray
OFFSETS = {"SUBSTRIP96": 10}  # rows below a smaller one


@dataclass(frozen=True)
class Trace:
    """The middle of the spectrum of an order: columns, and rows there."""

    columns: Doubles
    rows: Doubles

    def rows_at(self, columns: Doubles) -> Doubles:
        """Rows at other columns; those of the ends beyond them."""
        order = np.argsort(self.columns)
        found: Doubles = np.interp(columns, self.columns[order], self.rows[order])
        return found


def mask_of_traces(traces: Sequence[Trace], shape: tuple[int, int]) -> Booleans:
    """Pixels (rows, columns) within 16 rows of a trace."""
    mask = np.zeros(shape, dtype=bool)
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1], dtype=np.float64)
    for trace in traces:
        middle = trace.rows_at(x)
        mask |= (y >= np.floor(middle - HALF_WIDTH)) & (y <= np.ceil(middle + HALF_WIDTH))
    return mask


def traces_of(path: Path, position: float, subarray: str) -> list[Trace]:
    """Traces of all orders in a subarray, with the pupil wheel at `position` (degrees).

    Raises
    ------
    ReferenceMissing
        When the file is no reference file of this type.
    Skip
        When the position is outside what the file is for.
    """
    import asdf

    try:
        with asdf.open(path, memmap=False, lazy_load=False) as file:
            meta: Any = file.tree["meta"]
            low, high = meta["pwcpos_bounds"]
            if not low <= position <= high:
                raise Skip(
                    f"the pupil wheel is at {position}, traces are known from {low} to {high}"
                )
            turned = position - meta["pwcpos_cmd"]
            first_row = meta["subarray_ymin"] if subarray == "FULL" else 0
            known = zip(file.tree["traces"], file.tree["wavecal_models"], strict=True)
            grid = np.linspace(*(meta[f"wavemap_{n}"] for n in ("wlmin", "wlmax", "nwl")))
            offset = OFFSETS.get(subarray, 0)
            traces = [_trace(*one, grid, (turned, offset)) for one in known]
            return [Trace(trace.columns, trace.rows + first_row) for trace in traces]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReferenceMissing(
            f"{path} is no pastasoss reference file: {error!r}. Give an ASDF file with traces and "
            "wavecal_models."
        ) from None


def _trace(
    known: Mapping[str, Any],
    model: Mapping[str, Any],
    wavelengths: Doubles,
    place: tuple[float, float],
) -> Trace:
    """The trace of an order at `wavelengths`, turned and moved to a subarray."""
    turned, offset = place
    x, y = np.asarray(known["trace"], dtype=np.float64).T
    x, y = _turned(x, y - offset, turned, (known["pivot_x"], known["pivot_y"]))
    at = _wavelengths(model, x, turned)
    return Trace(_extended(wavelengths, at, x), _extended(wavelengths, at, y))


def _turned(
    x: Doubles, y: Doubles, degrees: float, pivot: tuple[float, float]
) -> tuple[Doubles, Doubles]:
    """A trace turned around a pivot, at the columns that it had, as far as it is in the subarray."""
    angle = np.radians(degrees)
    from_pivot = (x - pivot[0]) + 1j * (y - pivot[1])
    moved = from_pivot * np.exp(1j * angle)
    rows = _extended(x, moved.real + pivot[0], moved.imag + pivot[1])
    inside = rows <= LAST_ROW
    return x[inside], rows[inside]


def _wavelengths(model: Mapping[str, Any], x: Doubles, turned: float) -> Doubles:
    """Wavelengths at columns: a polynomial of column and angle, both scaled to what it was made of."""
    (x0, angle0), (x1, angle1) = model["scale_extents"]
    scaled = (x - x0) / (x1 - x0)
    return polynomial(
        np.asarray(model["coefficients"]), scaled, (turned - angle0) / (angle1 - angle0)
    )


def polynomial(coefficients: Doubles, x: Doubles, y: float) -> Doubles:
    """Sum of c x^(n-m) y^m, with the terms of each degree n in the order of m."""
    total = np.zeros_like(x)
    degree, power = 0, 0
    for coefficient in coefficients:
        total += coefficient * x ** (degree - power) * y**power
        degree, power = (degree + 1, 0) if power == degree else (degree, power + 1)
    return total


def _extended(at: Doubles, known: Doubles, values: Doubles) -> Doubles:
    """Values at other places: interpolated, and beyond the ends on the line through the last two."""
    order = np.argsort(known)
    known, values = known[order], values[order]
    inside = np.interp(at, known, values)
    left = values[0] + (at - known[0]) * (values[1] - values[0]) / (known[1] - known[0])
    right = values[-1] + (at - known[-1]) * (values[-1] - values[-2]) / (known[-1] - known[-2])
    found: Doubles = np.where(at < known[0], left, np.where(at > known[-1], right, inside))
    return found
