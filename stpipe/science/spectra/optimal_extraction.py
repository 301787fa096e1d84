"""Fit the profile of a source to a spectrum, with a background below it.

Arrays are turned as in `box_extraction`: their last two axes are along the dispersion and across it,
axes before those are integrations. At every pixel along the dispersion the amplitudes of all profiles
and the coefficients of the background solve one problem of least squares, in which all pixels count
alike: weights by variance would favour faint pixels (Horne 1986, PASP 98, 609). An amplitude is a
linear combination of pixels, so that its variances follow from the squares of their shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.spectra.box_extraction import Extraction, inverses, weighted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.science.arrays import Doubles
    from stpipe.science.spectra.box_extraction import Background

__all__ = ["fit_profiles"]


def fit_profiles(
    image: Doubles,
    variances: Mapping[str, Doubles],
    profiles: Doubles,
    background: Background | None = None,
) -> Extraction:
    """The amplitude of the first profile, at every pixel along the dispersion.

    Parameters
    ----------
    image : (..., along, across) float64
        In any unit; NaN counts as missing.
    variances : mapping of (..., along, across) float64
        Of the image, by kind of noise, in the square of its unit.
    profiles : (sources, along, across) float64
        The source, and what is fitted with it; the sum of each across the dispersion is 1, or -1 for
        what is subtracted. A pixel counts where one of them is not 0, or in the background's region.
    background : Background, optional
        Its polynomial is fitted, too; how it would be fitted or smoothed otherwise does not matter.

    Returns
    -------
    Extraction
        In the unit of the image. Where the pixels do not tell the amplitude it is NaN. `npixels` is
        that of a box with as much read noise; `background` is that of an amplitude without background.
    """
    source, terms = profiles[0], _terms(profiles, background)
    known = np.isfinite(image) & np.isfinite(sum(variances.values()))
    lit = (profiles != 0).any(axis=0)
    if background is not None:
        lit = lit | (background.region != 0)
    used = np.where((known & lit)[..., np.newaxis], terms, 0.0)
    inverse, solved = inverses(np.swapaxes(used, -1, -2) @ used)
    shares = used @ inverse
    values = np.where(known, image, 0.0)
    found = (values[..., np.newaxis, :] @ shares)[..., 0, :]
    share = shares[..., 0]
    variance = {name: weighted(v, share**2) for name, v in variances.items()}
    squares = (source**2).sum(axis=-1)
    npixels = _ratio((source * known).sum(axis=-1), squares)
    alone = _ratio(source * known, (source**2 * known).sum(axis=-1, keepdims=True))
    count = len(profiles)
    under = (terms[..., count:] @ found[..., count:, np.newaxis])[..., 0]
    below = {name: np.zeros_like(v) for name, v in variance.items()}
    if background is not None:  # what would not be there if the background were known
        below = {
            n: np.maximum(v - weighted(variances[n], alone**2), 0.0) for n, v in variance.items()
        }
    return Extraction(
        flux=np.where(solved & (npixels > 0), found[..., 0], np.nan),
        variance=variance,
        background=(alone * under).sum(axis=-1),
        background_variance=below,
        npixels=npixels,
        scene=(terms @ found[..., np.newaxis])[..., 0],
    )


def _terms(profiles: Doubles, background: Background | None) -> Doubles:
    """What is fitted (along, across, terms): the profiles, then powers of the place across."""
    across = profiles.shape[-1]
    order = -1 if background is None else background.bkg_order
    powers = np.vander(np.linspace(-1, 1, across), order + 1, increasing=True)
    below = np.broadcast_to(powers, (*profiles.shape[1:], order + 1))
    return np.concatenate([np.moveaxis(profiles, 0, -1), below], axis=-1)


def _ratio(value: Doubles, total: Doubles) -> Doubles:
    """A quotient; 0 where the denominator is."""
    value, total = np.broadcast_arrays(value, total)
    return np.divide(value, total, out=np.zeros(value.shape), where=total > 0)
