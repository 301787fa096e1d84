"""How extracted spectra compare with the true ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from stpipe import models

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.models.protocols import Table

    Doubles = npt.NDArray[np.float64]

__all__ = ["SpectrumFound", "spectra_found", "spectrum_found"]

LINE: Final = 1e-3
"""Part of the continuum above which an emission line counts."""
WHOLE: Final = 0.99
"""Part of the pixels of an aperture that has to be there."""
COLUMNS: Final = {"Jy": ("FLUX", "FLUX_ERROR"), "MJy/sr": ("SURF_BRIGHT", "SB_ERROR")}
"""Of stars, and of nebulae."""
WIDEST: Final = {"Jy": 1.6, "MJy/sr": 1.1}
"""Largest pull of rectified spectra. In the slope of a star's profile neighbours with different weights
move light, by as much as the noise here; with weight_type=exptime the pull is 1.05."""
OUTLIER: Final = 5
"""Errors beyond which a value is left out: bad pixels next to a star's peak."""


@dataclass(frozen=True)
class SpectrumFound:
    """How the spectrum of a slit compares with the truth.

    Attributes
    ----------
    slit
        Its name.
    wavelengths
        Number of them, between emission lines, in which no pixel is missing.
    bias
        Mean over the true one, minus 1, between lines.
    pull_mean, pull_width
        Mean and standard deviation of (found - truth) / error there.
    shift, shift_error
        How far lines are from their wavelengths, pixels, and its error.
    widest
        Largest pull that is expected.
    """

    slit: str
    wavelengths: int
    bias: float
    pull_mean: float
    pull_width: float
    shift: float
    shift_error: float
    widest: float

    @property
    def unbiased(self) -> bool:
        """Whether it is unbiased within four errors, lines within a 20th of a pixel, errors right."""
        mean = abs(self.pull_mean) * np.sqrt(self.wavelengths) < 4 * self.pull_width
        width = 0.9 < self.pull_width < self.widest  # noqa: PLR2004
        return bool(mean and width and abs(self.shift) < 0.05)  # noqa: PLR2004

    def __str__(self) -> str:
        pull = f"{self.pull_mean:+.3f} +- {self.pull_width:.3f}"
        lines = f"lines off by {self.shift:+.3f} +- {self.shift_error:.3f} pixels"
        return f"{self.wavelengths} wavelengths, bias {self.bias:+.3%}, pull {pull}, {lines}"


def spectra_found(product: Path, truth: Path) -> Iterator[SpectrumFound]:
    """Compare the spectra of a product of extract_1d with those of a file of truths."""
    from astropy.io import fits

    with fits.open(truth) as file, models.open(product) as found:
        known = {table.header["SLTNAME"]: table for table in file[1:]}
        rectified = found.meta.cal_step.resample == "COMPLETE"
        for spectrum in found.spec:
            if spectrum.name not in known:
                continue  # of the sky alone, which is subtracted
            table = known[spectrum.name]
            unit = table.columns["spectrum"].unit
            widest = WIDEST[unit] if rectified else 1.1
            truth_table = np.array(table.data)
            yield spectrum_found(
                spectrum.name, spectrum.spec_table, truth_table, COLUMNS[unit], widest
            )


def spectrum_found(
    slit: str, table: Table, truth: Table, names: tuple[str, str], widest: float
) -> SpectrumFound:
    """Compare a table of extract_1d with the truth.

    Parameters
    ----------
    slit : str
    table : structured array
        With a row for each wavelength, or for each integration.
    truth : structured array
        Columns wavelength (um), spectrum, continuum.
    names : (str, str)
        The columns of values and errors in the table.
    widest : float
        Largest pull that is expected.
    """
    waves = np.asarray(table["WAVELENGTH"], float)
    values, errors = (np.asarray(table[name], float) for name in names)
    true = np.interp(waves, truth["wavelength"], truth["spectrum"])
    continuum = np.interp(waves, truth["wavelength"], truth["continuum"])
    pixels = table["NPIXELS"]
    good = np.isfinite(values) & (errors > 0) & (pixels > WHOLE * np.nanmax(pixels))
    lines = true / continuum > 1 + LINE
    pulls = (values - true) / np.where(errors > 0, errors, np.nan)
    good &= np.abs(pulls) < OUTLIER
    between = good & ~lines
    pull = pulls[between]
    shift, shift_error = _shift(values - true, errors, np.gradient(true, axis=-1), good & lines)
    return SpectrumFound(
        slit=slit,
        wavelengths=int(between.sum()),
        bias=float(values[between].mean() / true[between].mean() - 1),
        pull_mean=float(pull.mean()),
        pull_width=float(pull.std()),
        shift=shift,
        shift_error=shift_error,
        widest=widest,
    )


def _shift(
    excess: Doubles, errors: Doubles, slope: Doubles, used: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """By how many pixels a spectrum is shifted, to first order, and its error."""
    weight: Any = slope[used] / errors[used] ** 2
    information = float((weight * slope[used]).sum())
    return -float((weight * excess[used]).sum()) / information, information**-0.5
