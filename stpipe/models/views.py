"""What pictures of spectra, cubes and slits show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.models import DataModel

    Doubles = npt.NDArray[np.float64]

__all__ = ["Curve", "brightest", "curves_of", "slits_on_detector", "white_light"]

_UNITS = {"FLUX": "Jy", "SURF_BRIGHT": "MJy/sr"}
_ERRORS = {"FLUX": ("FLUX_ERROR", "ERROR"), "SURF_BRIGHT": ("SB_ERROR",)}
_DO_NOT_USE = 1
_GAP = 2  # rows between rectified slits


@dataclass(frozen=True)
class Curve:
    """A spectrum: values and their errors by wavelength (um), and where they are flagged."""

    label: str
    wavelength: Doubles
    value: Doubles
    error: Doubles
    flagged: npt.NDArray[np.bool_]
    unit: str
    quantity: str


def curves_of(model: DataModel) -> list[Curve]:
    """The spectra of a model with tables of them; empty for other models.

    Of several integrations it is their median, of a cube nothing: see `brightest`.
    """
    return list(_curves(model))


def _curves(model: DataModel) -> Iterator[Curve]:
    if "spec_table" in model.shapes:
        yield from _of_part(model, 1)
    for name in model.schema.lists:
        if name == "spec":
            for number, part in enumerate(model.spec, 1):
                yield from _of_part(part, number)


def _of_part(part: Any, number: int) -> Iterator[Curve]:
    table = part.spec_table
    names = {name.upper(): name for name in table.dtype.names or ()}
    extended = part.get("source_type") == "EXTENDED"
    quantity = "SURF_BRIGHT" if extended and "SURF_BRIGHT" in names else "FLUX"
    error = next((names[name] for name in _ERRORS[quantity] if name in names), None)
    label = str(part.get("name") or part.get("source_id") or number)
    if table[names["WAVELENGTH"]].ndim == 1:
        yield _curve(label, table, names, (quantity, error))
        return
    by_source = "SOURCE_ID" in names
    for row in table if by_source else [_median(table)]:
        yield _curve(
            str(row[names["SOURCE_ID"]]) if by_source else label, row, names, (quantity, error)
        )


def _median(table: Any) -> dict[str, Any]:
    """Cells of all integrations, value by value."""
    with np.errstate(all="ignore"):
        return {
            name: np.median(table[name].astype(np.float64), axis=0) for name in table.dtype.names
        }


def _curve(label: str, row: Any, names: dict[str, str], columns: tuple[str, str | None]) -> Curve:
    quantity, error = columns
    value = np.asarray(row[names[quantity]], np.float64)
    missing = np.full(value.shape, np.nan)
    flags = (
        np.asarray(row[names["DQ"]]).astype(np.uint32)
        if "DQ" in names
        else np.zeros(value.shape, int)
    )
    return Curve(
        label=label,
        wavelength=np.asarray(row[names["WAVELENGTH"]], np.float64),
        value=value,
        error=missing if error is None else np.asarray(row[error], np.float64),
        flagged=(flags & _DO_NOT_USE) > 0,
        unit=_UNITS[quantity],
        quantity=quantity,
    )


# --- cubes -----------------------------------------------------------------------------------------


def white_light(cube: Any) -> Doubles:
    """Mean over all planes of a cube (planes, rows, columns), without values that are missing."""
    total, count = np.zeros(cube.shape[1:]), np.zeros(cube.shape[1:])
    for number in range(cube.shape[0]):
        plane = np.asarray(cube.read("data", (number,)), np.float64)
        known = np.isfinite(plane)
        total[known] += plane[known]
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def brightest(cube: Any, image: Doubles) -> Curve:
    """The spectrum of the spaxel that is the brightest of an image by `white_light`."""
    y, x = np.unravel_index(np.nanargmax(np.where(np.isfinite(image), image, -np.inf)), image.shape)
    place = (slice(None), int(y), int(x))
    value = np.asarray(cube.read("data", place), np.float64)
    error = (
        np.asarray(cube.read("err", place), np.float64) if "err" in cube.shapes else value * np.nan
    )
    flags = (
        np.asarray(cube.read("dq", place)) if "dq" in cube.shapes else np.zeros(value.shape, int)
    )
    return Curve(
        label=f"spaxel x = {x}, y = {y}",
        wavelength=_wavelengths(cube),
        value=value,
        error=error,
        flagged=(flags & _DO_NOT_USE) > 0,
        unit=str(cube.get("meta.bunit_data") or ""),
        quantity="SURF_BRIGHT",
    )


def _wavelengths(cube: Any) -> Doubles:
    """Of the planes, um: of a table, or in equal steps."""
    if "wavetable" in cube.shapes:
        return np.asarray(cube.wavetable["wavelength"], np.float64).ravel()
    info = cube.meta.wcsinfo
    planes = np.arange(cube.shape[0]) + 1 - float(info.crpix3)
    return np.asarray(float(info.crval3) + float(info.cdelt3) * planes)


# --- slits -----------------------------------------------------------------------------------------


def slits_on_detector(model: Any) -> Doubles:
    """An image of all slits: where they are on the detector, or below each other if rectified.

    Pixels of none are NaN.
    """
    slits = [(slit, np.asarray(_image(slit), np.float64)) for slit in model.slits]
    if not slits:
        return np.full((1, 1), np.nan)
    rectified = model.get("meta.cal_step.resample") == "COMPLETE"
    corners = [(slit.get("ystart"), slit.get("xstart")) for slit, _ in slits]
    if rectified or any(None in corner for corner in corners):
        places = [(row, 0) for row in _stacked([image.shape[0] for _, image in slits])]
    else:
        low = [min(int(corner[axis]) for corner in corners) for axis in (0, 1)]
        places = [(int(y) - low[0], int(x) - low[1]) for y, x in corners]
    shape = [
        max(
            place[axis] + image.shape[axis] for place, (_, image) in zip(places, slits, strict=True)
        )
        for axis in (0, 1)
    ]
    found = np.full(shape, np.nan)
    for (row, column), (_, image) in zip(places, slits, strict=True):
        part = found[row : row + image.shape[0], column : column + image.shape[1]]
        np.copyto(part, image, where=np.isfinite(image))
    return found


def _image(slit: Any) -> Any:
    data = np.asarray(slit.data)
    return data[-1] if data.ndim > 2 else data  # noqa: PLR2004 - the last integration


def _stacked(heights: list[int]) -> Iterator[int]:
    row = 0
    for height in heights:
        yield row
        row += height + _GAP
