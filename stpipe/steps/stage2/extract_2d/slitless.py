"""Cut the spectrum of each source of a direct image out of a slitless exposure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.invalid_pixels import VALUES
from stpipe.science.wcs.grism import Grism, Trace, cutout_wcs
from stpipe.steps.stage2.extract_2d.direct_sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stpipe.models import Part
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["Cutout", "brightest", "cut", "find_cutouts", "ranges_of"]


def brightest(
    sources: Iterable[Source], numbers: Sequence[int], faintest: float | None
) -> list[Source]:
    """The sources that parameters leave, the brightest first."""
    limit = np.inf if faintest is None else faintest
    chosen = (s for s in sources if s.magnitude < limit and (not numbers or s.number in numbers))
    return sorted(chosen, key=lambda source: source.magnitude)


def ranges_of(
    reference: CutReference, orders: Sequence[int], filter_name: str
) -> dict[int, tuple[float, float]]:
    """The wavelengths of a filter, um, by order: of the orders asked for, or those of the reference.

    Raises
    ------
    InputError
        When the reference does not have them.
    """
    if not orders:
        orders = [
            n for name, known in reference.extract_orders if name == filter_name for n in known
        ]
    found = {
        int(order): (float(low), float(high))
        for order, name, low, high in reference.wavelengthrange
        if name == filter_name and order in orders
    }
    if missing := sorted(set(orders) - found.keys()) or not found:
        raise InputError(
            f"extract_2d: the wavelengthrange reference has no orders {missing} of the filter "
            f"{filter_name}."
        )
    return found


def cut(image: RateModel, slit: Part, cutout: Cutout, direction: int) -> None:
    """Give a slit the pixels of a cutout, their coordinates and wavelengths, and its source."""
    for name in ("dq", *(name for name in VALUES if image.has(name))):
        slit.set(name, image.read(name, cutout.box))
    source = cutout.source
    wcs = cutout_wcs(cutout.trace, (source.ra, source.dec), cutout.box, direction)
    rows, columns = np.indices(slit.data.shape).astype(np.float64)
    slit.wavelength = np.asarray(wcs(columns, rows)[2], dtype=np.float32)
    slit.meta.wcs = wcs
    slit.meta.wcsinfo.dispersion_direction = direction
    for name in ("meta.bunit_data", "meta.bunit_err"):
        if (unit := image.get(name)) is not None:
            slit.set(name, unit)
    for name, value in cutout.keywords().items():
        slit.set(name, value)


@dataclass(frozen=True)
class Cutout:
    """The pixels of one source in one order: slices for rows and columns of the exposure.

    `place` is the 0-based pixel that the source would be on without the grism.
    """

    source: Source
    order: int
    place: tuple[float, float]
    trace: Trace
    box: tuple[slice, slice]

    def keywords(self) -> dict[str, Any]:
        """Metadata of the cutout, beyond those of the exposure."""
        (rows, columns), source = self.box, self.source
        kind = "EXTENDED" if source.extended else "POINT"
        return {
            "name": str(source.number),
            "source_id": source.number,
            "source_ra": source.ra,
            "source_dec": source.dec,
            "source_xpos": self.place[0],
            "source_ypos": self.place[1],
            "is_extended": source.extended,
            "source_type": kind,
            "meta.wcsinfo.spectral_order": self.order,
            "xstart": columns.start + 1,
            "ystart": rows.start + 1,
            "xsize": columns.stop - columns.start,
            "ysize": rows.stop - rows.start,
        }


def find_cutouts(
    image: RateModel,
    source: Source,
    ranges: Mapping[int, tuple[float, float]],
    grism: Grism,
    wfss_extract_half_height: int,
) -> Iterator[Cutout]:
    """Where the spectra of a source are, order by order, as far as they are in the image."""
    to_pixels = partial(image.meta.wcs.invert, with_bounding_box=False)
    x, y = (float(axis) for axis in to_pixels(source.ra, source.dec))
    corners = np.transpose([np.atleast_1d(axis) for axis in to_pixels(*source.corners)])
    for order, waves in ranges.items():
        trace = grism.trace(order, x, y)
        outline = [grism.trace(order, *map(float, corner)) for corner in corners]
        ends = np.array([each.at(wave) for each in outline for wave in waves])
        lows, highs = ends.min(axis=0), ends.max(axis=0)
        if not source.extended:
            across = 1 if grism.direction == HORIZONTAL else 0
            middle = trace.at((waves[0] + waves[1]) / 2)[across]
            lows[across] = middle - wfss_extract_half_height
            highs[across] = middle + wfss_extract_half_height
        box = _within(image.shape, lows, highs, grism.direction)
        if box is not None:
            yield Cutout(source, order, (x, y), trace, box)


def _within(
    shape: tuple[int, ...], lows: Doubles, highs: Doubles, direction: int
) -> tuple[slice, slice] | None:
    """Slices for rows and columns of pixels between limits (x, y); None when too few are there.

    Along the dispersion there have to be two pixels, across it one.
    """
    found = []
    for axis, size in ((1, shape[0]), (0, shape[1])):
        first = max(int(np.floor(lows[axis] + 0.5)), 0)
        last = min(int(np.floor(highs[axis] + 0.5)), size - 1)
        fewest = 2 if (axis == 0) == (direction == HORIZONTAL) else 1
        if last - first + 1 < fewest:
            return None
        found.append(slice(first, last + 1))
    return found[0], found[1]
