"""The pixels of a rectified slit of NIRSpec: wavelengths along rows, places in the slit up columns.

Places are evenly spaced on the line through the light of one column, in the tangential projection at
the source; wavelengths are those of the columns of the first exposure that shows the slit, and of
others where they reach beyond.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.mosaics.sky_grid import GridOptions
from stpipe.science.mosaics.slit_grid import SlitGrid, slit_scale, tangential

if TYPE_CHECKING:
    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.science.arrays import Bits, Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["SlitImage", "nirspec_grid"]

BAD = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE
ENOUGH = 100  # good pixels of an exposure that places the grid
OUTLIERS = 100.0  # sigma beyond which a pixel says nothing of where the source is
NARROWEST = 0.1  # of the least step: wavelengths as close are one


@dataclass(frozen=True)
class SlitImage:
    """A slit in an exposure: values and flags (rows, columns), its gwcs, and bits that are bad."""

    data: Floats
    dq: Bits
    wcs: WCS
    bad: int = BAD

    @classmethod
    def of(cls, slit: Spectral, bad: int = BAD) -> SlitImage:
        """The image of a slit.

        Parameters
        ----------
        slit : SlitModel or a part like it
        bad : int
            Bits of pixels that do not count.

        Returns
        -------
        SlitImage
        """
        return cls(slit.data, slit.dq, slit.meta.wcs, bad)

    @property
    def counts(self) -> bool:
        """Whether it has enough pixels with light."""
        good = np.isfinite(self.data) & (self.data != 0) & ~has(self.dq, self.bad)
        return int(good.sum()) > ENOUGH

    def pixels(self) -> tuple[Doubles, Doubles]:
        """Columns and rows of every pixel.

        Returns
        -------
        x, y : (rows, columns) float64, pixels from 0
        """
        rows, columns = self.data.shape
        x, y = np.meshgrid(np.arange(columns, dtype=float), np.arange(rows, dtype=float))
        return x, y


def nirspec_grid(images: Sequence[SlitImage], options: GridOptions) -> SlitGrid:
    """Pixels that hold a slit in all exposures that show it.

    Parameters
    ----------
    images : sequence of SlitImage
    options : GridOptions
        What is asked for: the ratio to the exposure's scale along the slit, or the scale, and the
        shape.

    Returns
    -------
    SlitGrid

    Raises
    ------
    InputError
        When the slit has fewer than two columns with a wavelength.
    """
    at = next((number for number, image in enumerate(images) if image.counts), 0)
    first = images[at]
    worlds = [np.array(image.wcs(*image.pixels())) for image in images]
    waves = _wavelengths([wave for *_, wave in worlds])
    ratio = options.pixel_scale_ratio
    if options.pixel_scale is not None:
        ratio = slit_scale(first.wcs, 1) * 3600 / options.pixel_scale
    plane = tangential(_source(first))
    slopes = _slopes(first, worlds[at], plane, ratio)
    places = [np.array(plane.inverse(ra, dec)).reshape(2, -1) for ra, dec, _ in worlds]
    line = _line(np.concatenate(places, axis=1), slopes)
    shape = options.shape or (line.size, waves.size)
    made = _rectified(line, plane, waves, first.wcs)
    made.bounding_box = tuple((-0.5, size - 0.5) for size in shape[::-1])
    made.array_shape = shape
    return SlitGrid(made, shape, slit_scale(made, 1) * 3600, ratio, tuple(worlds))


def _source(image: SlitImage) -> tuple[float, float]:
    """Right ascension and declination of the middle of the light in the slit."""
    from astropy.stats import sigma_clip

    _, place, wave = image.wcs.get_transform("detector", "slit_frame")(*image.pixels())
    lit = np.isfinite(place) & np.isfinite(wave) & np.isfinite(image.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # slits without light have no least value
        light = np.where(lit, image.data - np.nanmin(image.data), np.nan)
    values = light[lit]
    weights = np.ma.filled(sigma_clip(values, sigma=OUTLIERS), 0.0) if values.size else values
    middle = np.average(place[lit], weights=weights) if np.any(weights) else np.nanmean(place)
    to_sky = image.wcs.get_transform("slit_frame", image.wcs.output_frame.name)
    ra, dec, _ = to_sky(0, float(middle), float(np.nanmean(wave)))
    return float(ra), float(dec)


def _slopes(image: SlitImage, world: Doubles, plane: Model, ratio: float) -> Doubles:
    """Degrees per pixel of the grid along both axes of the tangential plane."""
    middle = int(np.mean(image.wcs.bounding_box.bounding_box(order="F")[0]))
    column = np.array(plane.inverse(*world[:2, :, middle]))
    known = column[:, np.isfinite(column).all(axis=0)]
    steps = ratio * np.arange(known.shape[1])
    slopes: Doubles = np.polynomial.polynomial.polyfit(steps, known.T, 1)[1]
    return slopes


@dataclass(frozen=True)
class Line:
    """Places of pixels 0, 1, .. along the slit: at starts plus slopes times their number, degrees."""

    starts: tuple[float, float]
    slopes: tuple[float, float]
    size: int

    @property
    def steeper(self) -> int:
        """The axis that tells places apart the better."""
        return int(abs(self.slopes[0]) < abs(self.slopes[1]))


def _line(places: Doubles, slopes: Doubles) -> Line:
    """The line that holds places (2, n) of the tangential plane, centred on them."""
    low, high = np.nanmin(places, axis=1), np.nanmax(places, axis=1)
    steeper = int(abs(slopes[0]) < abs(slopes[1]))
    size = int(np.ceil((high - low)[steeper] / abs(slopes[steeper]))) + 1
    margin = (size * np.abs(slopes) - (high - low)) / 2
    starts = np.where(slopes > 0, low - margin, high + margin)
    return Line((float(starts[0]), float(starts[1])), (float(slopes[0]), float(slopes[1])), size)


def _rectified(line: Line, plane: Model, waves: Doubles, wcs: WCS) -> WCS:
    """The gwcs: detector, slit_frame (x, y in units of the slit, um), world."""
    from astropy.modeling.models import Const1D, Linear1D, Mapping, Tabular1D
    from gwcs import WCS as Gwcs  # noqa: N811 - the name is taken by the annotation

    from stpipe.science.wcs.lrs import world_frame
    from stpipe.science.wcs.nirspec import frames

    to_wave = _by_column(waves)
    x, y = (Linear1D(slope, start) for slope, start in zip(line.slopes, line.starts, strict=True))
    both = Mapping((1, 1, 0))
    both.inverse = Mapping((2, 1 if line.steeper else 0))
    to_world = both | (x & y | plane) & to_wave
    rows = np.arange(line.size, dtype=np.float64)
    middle = to_world(np.full(line.size, waves.size // 2), rows)
    to_slit = wcs.get_transform(wcs.output_frame.name, "slit_frame")(*middle)[1]
    in_slit = Tabular1D(rows, to_slit, bounds_error=False, fill_value=None)
    to_pixels = Mapping((2, 1), n_inputs=3) | to_wave.inverse & in_slit.inverse
    into_slit = Mapping((0, 1, 0)) | Const1D(0) & in_slit & to_wave
    into_slit.inverse = to_pixels
    out_of_slit = to_pixels | to_world
    # Of its own: transforms that are each other's inverse cannot be stored.
    out_of_slit.inverse = to_world.inverse | Mapping((0, 1, 0)) | Const1D(0) & in_slit & to_wave
    return Gwcs(
        [
            (frames.pixels("detector"), into_slit),
            (frames.rectified_slit(), out_of_slit),
            (world_frame(), None),
        ]
    )


def _by_column(waves: Doubles) -> Model:
    """From columns to wavelengths, linear, half a pixel beyond the first and the last; else NaN."""
    from astropy.modeling.models import Tabular1D

    columns = np.concatenate([[-0.5], np.arange(waves.size), [waves.size - 0.5]])
    first, last = (waves[1] - waves[0]) / 2, (waves[-1] - waves[-2]) / 2
    table = np.concatenate([[waves[0] - first], waves, [waves[-1] + last]])
    return Tabular1D(columns, table, bounds_error=False, fill_value=np.nan)


# --- wavelengths ---------------------------------------------------------------------------------


def _wavelengths(images: Sequence[Doubles]) -> Doubles:
    """Wavelengths of the columns of the first exposure, then those of others beyond its ends.

    Exposures that overlap the most come first. Wavelengths that nearly repeat are left out.
    """
    first, *others = [_of_columns(waves) for waves in images]
    if first.size < 2:  # noqa: PLR2004 - one wavelength is no spectrum
        raise InputError(
            f"the slit has {first.size} columns with a wavelength, allowed: 2 or more. Check the "
            "WAVELENGTHRANGE reference, or the bounding box of the gwcs."
        )
    least = np.diff(first).min()
    found = first
    for waves in sorted(others, key=lambda waves: -_overlap(first, waves)):
        below, above = waves[waves < found[0]], waves[waves > found[-1]]
        found = np.concatenate([below, found, above])
    narrow = max(NARROWEST * least, OUTLIERS * np.finfo(np.float64).eps)
    kept: Doubles = found[np.append(np.diff(found) >= narrow, True)]
    return kept


def _of_columns(waves: Doubles) -> Doubles:
    """Median wavelength of each column that has one, rising, um."""
    known = waves[:, np.isfinite(waves).any(axis=0)]
    return np.sort(np.nanmedian(known, axis=0))


def _overlap(one: Doubles, other: Doubles) -> float:
    if not one.size or not other.size:
        return -np.inf
    return float(min(one[-1], other[-1]) - max(one[0], other[0]))
