"""The optics of NIRSpec's demo: rays, and the reference files that say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stpipe.demo.headers import keywords
from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.files import MAKERS
from stpipe.demo.nirspec.settings import FIXED_SLITS, INTEGRAL_FIELD, SHUTTERS, Setting, Slit
from stpipe.demo.nirspec.shutters import shadow
from stpipe.demo.observation import NIRSPEC_FS, NIRSPEC_IFU, NIRSPEC_MOS
from stpipe.science.wcs.nirspec.ifu import slice_entrances
from stpipe.science.wcs.nirspec.optics import Optics, fore_optics, telescope
from stpipe.science.wcs.nirspec.slit_wcs import shutter_entrance, slit_wcs
from stpipe.science.wcs.nirspec.slits import OpenSlit

OPTICS = ("fpa", "camera", "collimator", "disperser", "wavelengthrange", "msa", "fore", "ote")
SLITS = [
    *((FIXED_SLITS, NIRSPEC_FS, number) for number in range(5)),
    *((SHUTTERS, NIRSPEC_MOS, number) for number in (0, 3)),
]


def wcs_of(setting: Setting, observation: Any, number: int) -> Any:
    """The coordinates of a slit, made of reference files as the pipeline makes them."""
    references: Any = {name: MAKERS[name](setting) for name in OPTICS}
    meta = keywords(observation)
    slit = setting.slits[number]
    optics = Optics.of(meta, references, telescope(meta, references))
    place = slit.shutters
    row = number if place is None else place.row - 1 + (place.main - 1) * 365
    opened = OpenSlit(slit.name, row, 5 if place is None else place.quadrant, -0.55, 0.55)
    return slit_wcs(shutter_entrance(opened, references["msa"], optics), optics)


def on_detector(slit: Slit, observation: Any, across: float) -> tuple[Any, Any, Any, Any]:
    """Places along a slit, wavelengths, and the pixels of the subarray that they fall on."""
    along, waves = (axis.ravel() for axis in np.meshgrid([-0.4, 0.1], np.linspace(*rays.BAND, 7)))
    column, row = rays.to_pixels(slit.opening, across, along, waves)
    area = observation.subarray
    return along, waves, column - (area.xstart - 1), row - (area.ystart - 1)


@pytest.mark.parametrize(("setting", "observations", "number"), SLITS)
def test_references_are_the_optics_that_light_goes_through(
    setting: Setting, observations: Any, number: int
) -> None:
    """Places, wavelengths and pixels both ways, although nothing is shared but the constants."""
    (observation,) = observations
    slit = setting.slits[number]
    wcs = wcs_of(setting, observation, number)
    along, waves, column, row = on_detector(slit, observation, 0.0)

    _, found, wavelength = wcs.get_transform("detector", "slit_frame")(column, row)
    np.testing.assert_allclose(along, found, atol=1e-9)
    np.testing.assert_allclose(waves, wavelength, rtol=1e-10)
    *_, across, up = on_detector(slit, observation, 0.3)
    there = wcs.get_transform("slit_frame", "detector")(np.full(along.shape, 0.3), along, waves)
    np.testing.assert_allclose(across, there[0], atol=1e-6)
    np.testing.assert_allclose(up, there[1], atol=1e-6)


@pytest.mark.parametrize("number", [0, 17])
def test_slices_are_where_light_of_them_falls(number: int) -> None:
    """The chain through the slicer, whose sky has another scale than the slits behind it."""
    (observation,) = NIRSPEC_IFU
    kinds = {*OPTICS, "ifuslicer", "ifupost", "ifufore"} - {"msa"}
    references: Any = {name: MAKERS[name](INTEGRAL_FIELD) for name in kinds}
    meta = keywords(observation)
    optics = Optics.of(meta, references, fore_optics(meta, references))
    entrance = slice_entrances(references, optics, (-0.55, 0.55))[number]
    wcs = slit_wcs(entrance, optics)
    along, waves, column, row = on_detector(INTEGRAL_FIELD.slits[number], observation, 0.0)

    _, found, wavelength = wcs.get_transform("detector", "slit_frame")(column, row)
    np.testing.assert_allclose(along, found, atol=1e-9)
    np.testing.assert_allclose(waves, wavelength, rtol=1e-10)
    ra, dec, _ = wcs.get_transform("slit_frame", "world")(
        np.zeros(2), np.array([-0.5, 0.5]), np.full(2, 1.4e-6)
    )
    height = np.hypot((ra[1] - ra[0]) * np.cos(np.deg2rad(dec[0])), dec[1] - dec[0]) * 3600
    assert pytest.approx(3.0, abs=0.01) == float(height)


@pytest.mark.parametrize("slit", [*FIXED_SLITS.slits, *SHUTTERS.slits], ids=lambda s: s.name)
def test_rays_come_back_to_where_they_came_from(slit: Slit) -> None:
    """To 1e-6 of a slit, and 1e-9 of a wavelength, from any place across it."""
    waves = np.linspace(*rays.BAND, 9)
    column, row = rays.to_pixels(slit.opening, 0.2, -0.35, waves)

    place, wavelength = rays.to_slit(slit.opening, column, row, 0.2)

    np.testing.assert_allclose(-0.35, place, atol=1e-6)
    np.testing.assert_allclose(waves, wavelength, rtol=1e-9)


def test_a_line_is_elsewhere_when_its_source_is_not_in_the_middle() -> None:
    """By two pixels for a whole slit of 77 um: what WAVECORR has to know."""
    slit = FIXED_SLITS.slits[0]
    middle, beside = (rays.to_pixels(slit.opening, x, 0.0, 1.3e-6)[0] for x in (0.0, 1.0))
    assert 1.5 < abs(float(beside - middle)) < 2.5


def test_bars_are_between_shutters() -> None:
    """Light is complete in the middle of a shutter, and least where two meet."""
    offset = np.linspace(-0.5, 0.5, 101)
    light = shadow(offset)
    assert light[50] == light.max() > 0.999
    assert light[0] == light[-1] == light.min() < 0.7
