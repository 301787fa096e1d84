"""The optics of the demo of MIRI's spectrometer: light, and the reference files that say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stpipe.demo.headers import ROLL, keywords
from stpipe.demo.mrs import light
from stpipe.demo.mrs.files import MAKERS
from stpipe.demo.mrs.scene import STAR, Dither, observed
from stpipe.demo.mrs.slices import CHANNELS, SHAPE, labels, to_v2v3
from stpipe.demo.observation import MIRI_MRS
from stpipe.science.flux import time_corrections
from stpipe.science.wcs.mrs import mrs_wcs

OPTICS = ("distortion", "specwcs", "wavelengthrange")


def coordinates(observation: Any) -> tuple[Any, Any]:
    """The coordinates of an exposure, made of reference files as the pipeline makes them."""
    references: Any = {name: MAKERS[name]() for name in OPTICS}
    slices = np.asarray(MAKERS["regions"]().regions)[7]
    return mrs_wcs(keywords(observation), references, slices), slices


def test_references_are_the_optics_that_light_goes_through() -> None:
    """Wavelengths of all pixels, and those alone, for the telescope moves; and the way back."""
    wcs, slices = coordinates(MIRI_MRS[1])
    y, x = np.mgrid[: SHAPE[0] : 7, : SHAPE[1] : 3].astype(float)

    sky = wcs(x, y)

    waves = light.wavelengths()[::7, ::3]
    np.testing.assert_array_equal(np.isfinite(sky[2]), slices[::7, ::3] > 0)
    np.testing.assert_allclose(sky[2], observed(waves), rtol=1e-12)
    inside = np.isfinite(waves)
    back = wcs.invert(*(axis[inside] for axis in sky), with_bounding_box=False)
    np.testing.assert_allclose(back[0], x[inside], atol=1e-5)
    np.testing.assert_allclose(back[1], y[inside], atol=1e-5)


@pytest.mark.parametrize("number", range(len(MIRI_MRS)))
def test_the_star_is_where_its_light_falls(number: int) -> None:
    """The place on the sky of the pixel at the star's alpha and beta is that of the star."""
    observation = MIRI_MRS[number]
    dither = observation.spectrum
    assert isinstance(dither, Dither)
    wcs, _ = coordinates(observation)
    alpha, beta = to_v2v3().inverse(*dither.v2v3(ROLL))

    ra, dec, _ = wcs.get_transform("alpha_beta", "world")(alpha, beta, 5.3)

    np.testing.assert_allclose((ra, dec), STAR, atol=1e-9)
    assert max(abs(alpha), abs(beta)) < CHANNELS[0].half / 2


def test_slices_of_both_channels_leave_the_columns_between_them_dark() -> None:
    """Scattered light is measured there; every slice has pixels in all rows."""
    slices = labels()

    assert not slices[:, 503:516].any()
    assert not slices[:, :4].any()
    assert not slices[:, -4:].any()
    assert [number for channel in CHANNELS for number in channel.numbers] == sorted(
        set(slices[slices > 0].tolist())
    )
    for number in set(slices[slices > 0].tolist()):
        assert (slices == number).any(axis=1).all(), number


def test_losses_are_those_of_the_reference() -> None:
    """By wavelength at the barycentre, whatever the day."""
    photom = MAKERS["photom"]()
    waves = light.wavelengths()
    for channel, half in zip(CHANNELS, light.HALVES, strict=True):
        table = getattr(photom, f"timecoeff_powerlaw_ch{channel.number}")
        known = waves[:, half][np.isfinite(waves[:, half])]
        found = time_corrections(table, {"meta.exposure.mid_time": 60_000.0}, observed(known))
        np.testing.assert_allclose(found, light.sensitivity(known), rtol=1e-6)
