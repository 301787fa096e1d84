"""The wavelength of every pixel of a spectral exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    from gwcs import WCS

    from stpipe.models import CubeModel, IFUImageModel, ImageModel, SlitModel
    from stpipe.science.arrays import Doubles, Floats

    Labels = npt.NDArray[np.int32]

__all__ = ["Spectral", "uncorrected_wavelengths", "wavelengths"]


BAND = 128  # rows of a detector at a time
AXES = 3  # of coordinates of spectra: right ascension, declination, wavelength

Spectral: TypeAlias = "ImageModel | CubeModel | IFUImageModel | SlitModel"


def wavelengths(exposure: Spectral) -> Floats:
    """Wavelength of every pixel; NaN outside the spectrum.

    It is that of the array `wavelength`. Files may have an array of zeros, which is none: then the
    gwcs tells.

    Parameters
    ----------
    exposure : ImageModel, CubeModel or SlitModel

    Returns
    -------
    (rows, columns) float32 or float64, um

    Raises
    ------
    InputError
        When there is neither the array nor a gwcs that tells wavelengths.
    """
    if exposure.has("wavelength") and np.any(exposure.wavelength):
        return exposure.wavelength
    wcs = exposure.meta.wcs
    if wcs is None or wcs.output_frame.naxes != AXES:
        raise InputError(
            f"{exposure.path or exposure.meta.filename}: its pixels have no wavelengths: there is no "
            "array `wavelength`, and no gwcs of a spectrum. Run assign_wcs."
        )
    if exposure.has("regions") and "slicer" in wcs.available_frames:
        return np.asarray(_of_slices(wcs, exposure.regions))
    rows, columns = np.indices(exposure.shape[-2:], dtype=np.float64)
    return np.asarray(wcs(columns, rows)[2])


def _of_slices(wcs: WCS, regions: Labels) -> Doubles:
    """Wavelengths of the pixels that see a slice, some rows at a time; places take longer."""
    to_slicer = wcs.get_transform("detector", "slicer")
    *_, unit = wcs.slicer.unit
    *_, wanted = wcs.output_frame.unit
    found = np.full(regions.shape, np.nan)
    for first in range(0, len(regions), BAND):
        rows, columns = np.nonzero(regions[first : first + BAND])
        if rows.size:
            seen = to_slicer(columns.astype(np.float64), (rows + first).astype(np.float64))[2]
            found[rows + first, columns] = seen * unit.to(wanted)
    return found


def uncorrected_wavelengths(slit: Spectral) -> Floats:
    """Wavelength of every pixel of light that fills the slit, whatever the place of its source.

    Parameters
    ----------
    slit : SlitModel
        Whose gwcs has the frame `wavecorr_frame` when its wavelengths are those of its source.

    Returns
    -------
    (rows, columns) float32 or float64, um; NaN outside the spectrum
    """
    wcs = slit.meta.wcs
    if wcs is None or "wavecorr_frame" not in wcs.available_frames:
        return wavelengths(slit)
    rows, columns = np.indices(slit.shape[-2:], dtype=np.float64)
    in_slit = wcs.get_transform("detector", "slit_frame")(columns, rows)
    return np.asarray(wcs.get_transform("wavecorr_frame", "world")(*in_slit)[2])
