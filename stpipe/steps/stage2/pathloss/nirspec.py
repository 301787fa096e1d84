"""What passes the slits, shutters and slices of NIRSpec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.science.spectra.path_loss import at_place, axis_of
from stpipe.science.spectra.sampling import on_pixels
from stpipe.science.wcs.wavelengths import uncorrected_wavelengths, wavelengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models import Part
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["Passing", "aperture_of", "open_neighbours", "through_slices", "through_slit"]

MICRON = 1e6  # per m
ONE_SHUTTER, THREE_SHUTTERS = 1, 3
PAIR = {"MOS1X1", "MOS1X3"}  # apertures whose mean is that of two shutters


@dataclass(frozen=True)
class Passing:
    """The part of the light that passes, at every pixel (rows, columns).

    `point` is None where the source is beyond the places that the reference has.
    """

    point: Floats | None
    uniform: Floats

    def of(self, source_type: str | None) -> Floats | None:
        """What passes of a source of a type."""
        return self.point if source_type == "POINT" else self.uniform


def through_slit(slit: Spectral, meta: FlatMetadata, apertures: Sequence[Part]) -> Passing | None:
    """What passes a fixed slit or a slitlet; None without an aperture like it in the reference."""
    fixed = _is_fixed(meta)
    aperture = aperture_of(meta, apertures)
    if aperture is None:
        return None
    state = meta["shutter_state"] if not fixed else ""
    below, above = open_neighbours(state)
    # Of a slitlet with one neighbour the source is in an outer one of three shutters.
    x, y = meta["source_xpos"], meta["source_ypos"] + int(below) - int(above)
    known, passing = _uniform(aperture)
    if len(state) == 2:  # noqa: PLR2004 - two shutters are between one and three
        passing = _mean_of_pair(apertures, aperture)
    waves = uncorrected_wavelengths(slit) if fixed else slit.wavelength
    return Passing(_point(aperture, (x, y), slit.wavelength), on_pixels(waves, known, passing))


def through_slices(image: Spectral, apertures: Sequence[Part]) -> Passing:
    """What passes the integral-field unit, of a source in its centre."""
    waves = wavelengths(image)
    image.wavelength = waves
    aperture = apertures[0]
    return Passing(_point(aperture, (0.0, 0.0), waves), on_pixels(waves, *_uniform(aperture)))


def aperture_of(meta: FlatMetadata, apertures: Sequence[Part]) -> Part | None:
    """The aperture of a slit: of a fixed one by name, else by the open shutters around the source."""
    if _is_fixed(meta):
        return next((each for each in apertures if each.name == meta["name"]), None)
    alone = not any(open_neighbours(meta["shutter_state"]))
    size = ONE_SHUTTER if alone else THREE_SHUTTERS
    return next((each for each in apertures if each.shutters == size), None)


def open_neighbours(state: str) -> tuple[bool, bool]:
    """Whether the shutters below and above that of the source ("x") are open, as SHUTSTA has them."""
    at = state.find("x")
    return at > 0 and state[at - 1] != "0", at + 1 < len(state) and state[at + 1] != "0"


def _is_fixed(meta: FlatMetadata) -> bool:
    return bool(meta["meta.exposure.type"] == "NRS_FIXEDSLIT")


def _point(aperture: Part, place: tuple[float, float], waves: Floats) -> Floats | None:
    planes = aperture.pointsource_data
    x, y, along = (axis_of(aperture.pointsource_wcs, number) for number in (1, 2, 3))
    passing = at_place(planes, (x, y), place)
    return (
        None if passing is None else on_pixels(waves, along.values(len(planes)) * MICRON, passing)
    )


def _uniform(aperture: Part) -> tuple[Doubles, Floats]:
    """Wavelengths (um) and what passes of a source without structure."""
    passing = aperture.uniform_data
    return axis_of(aperture.uniform_wcs, 1).values(len(passing)) * MICRON, passing


def _mean_of_pair(apertures: Sequence[Part], aperture: Part) -> Any:
    """What passes two shutters: the mean of one and three, when these have the same wavelengths."""
    vectors = [_uniform(each) for each in apertures]
    waves, passing = _uniform(aperture)
    same = all(np.array_equal(known, waves) for known, _ in vectors)
    if same and {str(each.name).upper() for each in apertures} == PAIR:
        return np.mean([vector for _, vector in vectors], axis=0)
    return passing
