"""Models in a notebook: a table of what they hold, and a quick look at an image."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from stpipe.errors import InputError, StpipeError
from stpipe.models import describe, views
from stpipe.system.text import counted

if TYPE_CHECKING:
    from stpipe.models.protocols import Section
    from stpipe.models.storage.arrays import Array

__all__ = ["html", "image_of", "plot"]

_IMAGE_DIMENSIONS = 2
_STRETCH = (1.0, 99.0)
_CUBE = "IFUCubeModel"
_BRIGHTEST = "brightest"
_MOST = 10  # spectra in one plot


class Images(describe.Holder, Protocol):
    """A model whose arrays are looked at."""

    primary: ClassVar[str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array, by attribute."""
        ...

    def read(self, name: str, section: Section = ...) -> Array:
        """A section of an array."""
        ...

    def get(self, path: str, default: object = None) -> Any:
        """A metadata value."""
        ...


def html(holder: describe.Holder) -> str:
    """Arrays as a table, metadata and provenance folded away."""
    found = describe.describe(holder)
    where = escape(found["path"] or "in memory")
    parts = [f"<b>{escape(found['model'])}</b> <small>{where}</small>"]
    parts.append(_table(("array", "type", "shape", "extension"), map(_row, found["arrays"])))
    metadata = found["metadata"].items()
    parts.append(_folded(f"metadata ({len(metadata)})", _table(("attribute", "value"), metadata)))
    if records := found["provenance"]:
        steps = [(r.get("step", ""), r.get("status", ""), r.get("reason", "")) for r in records]
        table = _table(("step", "status", "reason"), steps)
        parts.append(_folded(f"provenance ({counted(len(steps), 'step')})", table))
    return "".join(parts)


def image_of(model: Images, name: str, index: int | Sequence[int] | None) -> Array:
    """A two-dimensional image: of an array with more dimensions the last plane, or that at `index`.

    Raises
    ------
    InputError
        When there is no such array, or it cannot be an image.
    """
    shape = model.shapes.get(name)
    if shape is None:
        names = ", ".join(model.shapes) or "none"
        raise InputError(f"{model!r} has no array {name}; it has: {names}.")
    planes = len(shape) - _IMAGE_DIMENSIONS
    if planes < 0 or model.schema.arrays[name].is_table:
        raise InputError(f"{name} of {model!r} is not an image: its shape is {shape}.")
    place = (-1,) * planes if index is None else _as_index(index)
    if len(place) != planes or not all(-n <= i < n for i, n in zip(place, shape, strict=False)):
        raise InputError(
            f"{name} has the shape {shape}; the index {place} is not that of an image."
        )
    return model.read(name, place) if place else model.read(name)


def _as_index(index: int | Sequence[int]) -> tuple[int, ...]:
    numbers: Any = index if isinstance(index, (tuple, list)) else [index]
    try:
        return tuple(map(operator.index, numbers))
    except TypeError:
        raise InputError(f"{index!r} is not an index; give numbers, such as (0, 4).") from None


def plot(
    model: Any, name: str | None = None, index: int | Sequence[int] | None = None, axes: Any = None
) -> Any:
    """Draw spectra, or an image between its 1st and 99th percentile; see `DataModel.plot`."""
    kind = type(model).__name__
    if name is None and (curves := views.curves_of(model)):
        return _plot_curves(model, curves, axes)
    if kind == _CUBE and name == _BRIGHTEST:
        return _plot_curves(model, [views.brightest(model, views.white_light(model))], axes)
    if kind == _CUBE and name is None and index is None:
        return _plot_image(model, views.white_light(model), "mean of all planes", axes)
    if name is None and "slits" in model.schema.lists:
        return _plot_image(model, views.slits_on_detector(model), "slits", axes)
    name = name or model.primary
    return _plot_image(model, image_of(model, name, index), name, axes)


def _axes(axes: Any) -> Any:
    try:
        from matplotlib import pyplot as plt
    except ImportError:
        raise StpipeError(
            "A plot needs matplotlib, which is not installed: pip install 'stpipe-flow[plot]'."
        ) from None
    return axes or plt.subplots()[1]


def _title(model: Any, what: str) -> str:
    return f"{model.path.name if model.path else type(model).__name__}: {what}"


def _plot_curves(model: Any, curves: Sequence[views.Curve], axes: Any) -> Any:
    axes = _axes(axes)
    for curve in curves[:_MOST]:
        good = np.where(curve.flagged, np.nan, curve.value)
        (line,) = axes.plot(curve.wavelength, good, lw=0.8, label=curve.label)
        colour, bad = line.get_color(), curve.flagged & np.isfinite(curve.value)
        axes.fill_between(
            curve.wavelength, good - curve.error, good + curve.error, color=colour, alpha=0.25, lw=0
        )
        axes.plot(curve.wavelength[bad], curve.value[bad], "x", color=colour, ms=3)
    if len(curves) > 1:
        left = f" ({len(curves) - _MOST} more)" if len(curves) > _MOST else ""
        for text in axes.legend(title=f"spectra{left}", fontsize="small").get_texts():
            text.set_parse_math(False)
    what = {"FLUX": "flux", "SURF_BRIGHT": "surface brightness"}[curves[0].quantity]
    axes.set_title(_title(model, what if len(curves) > 1 else curves[0].label), parse_math=False)
    axes.set_xlabel("wavelength [um]")
    axes.set_ylabel(f"{what} [{curves[0].unit}]", parse_math=False)
    return axes


def _plot_image(model: Any, image: Any, name: str, axes: Any) -> Any:
    axes = _axes(axes)
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, _STRETCH) if finite.size else (0.0, 1.0)
    drawn = axes.imshow(image, origin="lower", vmin=low, vmax=high, interpolation="nearest")
    unit = None if name in model.shapes and name != model.primary else _unit(model)
    bar = axes.figure.colorbar(drawn, ax=axes)
    # Text of a file is not a formula between dollars.
    bar.ax.set_ylabel(unit or "", parse_math=False)
    axes.set_title(_title(model, name), parse_math=False)
    axes.set_xlabel("column [pixel]")
    axes.set_ylabel("row [pixel]")
    return axes


def _unit(model: Any) -> str | None:
    first = model.slits[0] if "slits" in model.schema.lists and len(model.slits) else model
    unit = first.get("meta.bunit_data") or model.get("meta.bunit_data")
    return None if unit is None else str(unit)


def _row(array: Any) -> tuple[str, ...]:
    return (array["name"], array["dtype"], " x ".join(map(str, array["shape"])), array["extension"])


def _table(names: tuple[str, ...], rows: Any) -> str:
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in names)
    lines = (
        "<tr>"
        + "".join(f"<td style='text-align:left'>{escape(str(v))}</td>" for v in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"
