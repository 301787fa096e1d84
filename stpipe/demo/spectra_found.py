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

__all__ = ["SpectrumFound", "slices_found", "spectra_found", "spectrum_found", "true_spectra"]

LINE: Final = 1e-3
"""Part of the continuum above which an emission line counts."""
WHOLE: Final = 0.99
"""Part of the pixels of an aperture that has to be there."""
COLUMNS: Final = {"Jy": ("FLUX", "FLUX_ERROR"), "MJy/sr": ("SURF_BRIGHT", "SB_ERROR")}
"""Of stars, and of nebulae."""
WIDEST: Final = {"Jy": 1.8, "MJy/sr": 1.1}
"""Largest pull of rectified spectra. In the slope of a star's profile neighbours with different weights
move light, by as much as the noise here; with weight_type=exptime the pull is 1.05."""
ENDS: Final = 3
"""Rows at the ends of slices, into which light falls in part."""
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
        """Whether values, lines and errors hold.

        That is the mean to a tenth of an error or four of its own, and lines to a 20th of a pixel.
        """
        mean = abs(self.pull_mean) < max(0.1, 4 * self.pull_width / np.sqrt(self.wavelengths))
        width = 0.9 < self.pull_width < self.widest  # noqa: PLR2004
        return bool(mean and width and abs(self.shift) < 0.05)  # noqa: PLR2004

    def __str__(self) -> str:
        pull = f"{self.pull_mean:+.3f} +- {self.pull_width:.3f}"
        lines = f"lines off by {self.shift:+.3f} +- {self.shift_error:.3f} pixels"
        return f"{self.wavelengths} wavelengths, bias {self.bias:+.3%}, pull {pull}, {lines}"


def spectra_found(product: Path, truth: Path) -> Iterator[SpectrumFound]:
    """Compare the spectra of a product of extract_1d with those of a file of truths."""
    known = true_spectra(truth)
    with models.open(product) as found:
        rectified = found.meta.cal_step.resample == "COMPLETE"
        for spectrum in found.spec:
            if spectrum.name not in known:
                continue  # of the sky alone, which is subtracted
            unit, table = known[spectrum.name]
            widest = WIDEST[unit] if rectified else WIDEST["MJy/sr"]
            yield spectrum_found(spectrum.name, spectrum.spec_table, table, unit, widest)


def true_spectra(path: Path) -> dict[str, tuple[str, Table]]:
    """Unit and table (wavelength, spectrum, continuum) of each slit in a file of truths, by name."""
    from astropy.io import fits

    with fits.open(path) as file:
        return {
            table.header["SLTNAME"]: (table.columns["spectrum"].unit, np.array(table.data))
            for table in file[1:]
        }


def spectrum_found(
    slit: str, table: Table, truth: Table, unit: str, widest: float
) -> SpectrumFound:
    """Compare a table of extract_1d with the truth.

    Parameters
    ----------
    slit : str
    table : structured array
        With a row for each wavelength, or for each integration.
    truth : structured array
        Columns wavelength (um), spectrum, continuum.
    unit : str
        Jy or MJy/sr.
    widest : float
        Largest pull that is expected.
    """
    values, errors = (np.asarray(table[name], float) for name in COLUMNS[unit])
    true = _at(np.asarray(table["WAVELENGTH"], float), truth)
    pixels = table["NPIXELS"]
    whole = pixels > WHOLE * np.nanmax(pixels)
    return _compared(slit, (values, errors), true, whole, widest)


def slices_found(product: Path, truth: Path) -> SpectrumFound:
    """Compare the pixels of all slices of an integral field, but for those at the ends of slices."""
    with models.open(product) as found:
        waves, regions = found.wavelength, found.regions
        values, errors = found.data.astype(float), found.err.astype(float)
    true = (np.full(waves.shape, np.nan), np.full(waves.shape, np.nan))
    for name, (_, table) in true_spectra(truth).items():
        lit = regions == int(name) + 1
        for image, spectrum in zip(true, _at(waves[lit], table), strict=True):
            image[lit] = spectrum
    inside = (regions > 0) & (np.roll(regions, ENDS, 0) == np.roll(regions, -ENDS, 0))
    return _compared("slices", (values, errors), true, inside, WIDEST["MJy/sr"])


def _at(waves: Doubles, truth: Table) -> tuple[Doubles, Doubles]:
    """The true spectrum and its continuum at some wavelengths; NaN beyond them."""
    known = truth["wavelength"]
    spectrum, continuum = (
        np.interp(waves, known, truth[name], left=np.nan, right=np.nan)
        for name in ("spectrum", "continuum")
    )
    return spectrum, continuum


def _compared(
    name: str,
    found: tuple[Doubles, Doubles],
    truth: tuple[Doubles, Doubles],
    used: npt.NDArray[np.bool_],
    widest: float,
) -> SpectrumFound:
    """Compare values and errors with a spectrum and its continuum, where they are used."""
    (values, errors), (true, continuum) = found, truth
    pulls = (values - true) / np.where(errors > 0, errors, np.nan)
    good = used & (np.abs(pulls) < OUTLIER)
    lines = true / continuum > 1 + LINE
    between = good & ~lines
    pull = pulls[between]
    shift, shift_error = _shift(values - true, errors, np.gradient(true, axis=-1), good & lines)
    return SpectrumFound(
        slit=name,
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
