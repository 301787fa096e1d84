"""Surface brightness of MIRI's medium-resolution spectrometer: pixel by pixel, and by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.arrays import bits_where
from stpipe.science.background.stray_light import CHANNELS, HALVES
from stpipe.science.exposure_types import MRS
from stpipe.science.flux import time_corrections
from stpipe.science.wcs.wavelengths import wavelengths

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Bits, Doubles
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["flags", "is_mrs", "losses"]


def is_mrs(meta: FlatMetadata) -> bool:
    """Whether an exposure is of this spectrometer."""
    return str(meta.get("meta.exposure.type")).upper() == MRS


def flags(image: Spectral, photom: CutReference) -> Bits:
    """Flags of the reference's pixels; those without a conversion are DO_NOT_USE.

    Raises
    ------
    InputError
        When its pixels are not those of the exposure.
    """
    if photom.data.shape != image.shape[-2:]:
        raise InputError(
            f"{photom.meta.filename}: its conversions are of shape {photom.data.shape}, allowed: "
            f"{image.shape[-2:]}, as {image.meta.filename} is. Give another with override_photom."
        )
    unknown = np.isnan(photom.data) | (photom.data == 0)
    found: Bits = photom.dq | bits_where(unknown, dqflags.DO_NOT_USE)
    return found


def losses(image: Spectral, photom: CutReference, meta: FlatMetadata) -> Doubles:
    """Sensitivity of every pixel over that at the reference's epoch; 1 between slices.

    References without time tables have no losses.
    """
    found = np.ones(image.shape[-2:])
    numbers = CHANNELS[str(meta["meta.instrument.detector"]).upper()]
    tables = [getattr(photom, f"timecoeff_powerlaw_ch{number}", None) for number in numbers]
    if all(table is None or not len(table) for table in tables):
        return found
    waves = wavelengths(image)
    for columns, table in zip(HALVES, tables, strict=True):
        if table is not None and len(table):
            found[:, columns] = time_corrections(table, meta, waves[:, columns])
    return np.where(np.isnan(found) | (found == 0), 1.0, found)
