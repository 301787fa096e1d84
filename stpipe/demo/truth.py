"""What the simulator knows and a calibration should find."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["COSMIC_RAY", "Truth"]

COSMIC_RAY = np.dtype(
    [
        ("integration", np.int32),
        ("group", np.int32),
        ("y", np.int32),
        ("x", np.int32),
        ("electrons", np.float32),
    ]
)
"""A hit: 0-based integration, group in which it first shows, place, and charge."""


@dataclass(frozen=True)
class Truth:
    """The truth about one exposure.

    Attributes
    ----------
    rate
        Count rate of the light, DN/s, shape (ny, nx): what an unbiased slope estimates, after the
        dark has been subtracted and the gain of a subarray scaled; 0 where no light arrives.
    first_saturated
        First group in which the pixel itself is saturated, shape (nints, ny, nx); the number of
        groups where it never is.
    dq
        Defects and reference pixels, in standard bits, shape (ny, nx).
    cosmic_rays
        One row for each hit, dtype `COSMIC_RAY`.
    """

    rate: npt.NDArray[np.float32]
    first_saturated: npt.NDArray[np.int16]
    dq: npt.NDArray[np.uint32]
    cosmic_rays: npt.NDArray[np.void]

    def save(self, path: Path) -> Path:
        """Write RATE, SATGROUP, DQ and COSMIC_RAYS to a FITS file, whole or not at all."""
        from astropy.io import fits

        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        fits.HDUList(
            [
                fits.PrimaryHDU(),
                fits.ImageHDU(self.rate, name="RATE"),
                fits.ImageHDU(self.first_saturated, name="SATGROUP"),
                fits.ImageHDU(self.dq, name="DQ"),
                fits.BinTableHDU(self.cosmic_rays, name="COSMIC_RAYS"),
            ]
        ).writeto(temporary, overwrite=True)
        temporary.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote."""
        from astropy.io import fits

        with fits.open(path) as hdus:
            return cls(
                rate=hdus["RATE"].data.astype(np.float32),
                first_saturated=hdus["SATGROUP"].data.astype(np.int16),
                dq=hdus["DQ"].data.astype(np.uint32),
                cosmic_rays=np.array(hdus["COSMIC_RAYS"].data).astype(COSMIC_RAY),
            )
