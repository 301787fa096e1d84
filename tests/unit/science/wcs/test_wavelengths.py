"""Wavelengths of pixels: from the array, or else from the gwcs; refused where neither has them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units
from astropy.modeling.models import Identity
from gwcs import WCS
from gwcs.coordinate_frames import Frame2D

from stpipe import models
from stpipe.errors import InputError
from stpipe.science.wcs.wavelengths import wavelengths

PIXELS = Frame2D(name="detector", unit=(units.pix, units.pix))
PLANE = Frame2D(name="world", unit=(units.deg, units.deg))


def test_an_array_wins_over_the_gwcs_which_must_tell_wavelengths() -> None:
    image = models.ImageModel(np.zeros((2, 3), np.float32))
    for wcs in (None, WCS([(PIXELS, Identity(2)), (PLANE, None)])):
        image.meta.wcs = wcs
        with pytest.raises(InputError, match=r"no wavelengths: .*Run assign_wcs"):
            wavelengths(image)
    image.wavelength = np.full((2, 3), 5, np.float32)
    assert (wavelengths(image) == 5).all()
