"""A response that varies fast with wavelength: a table, averaged over the width of each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.errors import InputError

if TYPE_CHECKING:
    from stpipe.models.protocols import Table
    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = ["FastVariation", "Light"]

# Three points and weights of Gauss and Legendre: the mean over a pixel of width 1.
POINTS = np.sqrt(0.6) / 2 * np.array([-1, 0, 1])
WEIGHTS = np.array([5, 8, 5]) / 18
ANY = "any"  # the entry of all slits


@dataclass(frozen=True)
class Light:
    """What falls on each pixel of a spectrum that is dispersed along rows.

    Attributes
    ----------
    wavelength : (rows, columns) float64, um
        0 where there is no light.
    filled : (rows, columns) float64, um
        There the mean of the column; columns without any light have that of the nearest one, and NaN
        when they are between others.
    step : (rows, columns) float64, um
        From one column to the next.
    """

    wavelength: Doubles
    filled: Doubles
    step: Doubles

    @classmethod
    def of(cls, wavelength: Floats | Doubles) -> Light:
        """The light of a spectrum.

        Parameters
        ----------
        wavelength : (rows, columns) float, um
            NaN or 0 where there is no light.

        Returns
        -------
        Light
        """
        lit = wavelength > 0
        known = np.where(lit, wavelength, 0).astype(np.float64)
        filled = _filled(known, lit)
        step = np.diff(filled, axis=1)
        return cls(known, filled, np.append(step, step[:, -1:], axis=1))


def _filled(wavelength: Doubles, lit: Booleans) -> Doubles:
    """Wavelengths with those of their column, or of the nearest one, where there is no light."""
    counts = lit.sum(axis=0)
    with np.errstate(invalid="ignore"):
        filled = np.where(lit, wavelength, wavelength.sum(axis=0) / counts)
    columns = np.flatnonzero(counts)
    if not columns.size:
        return filled
    nearest = np.clip(np.arange(counts.size), columns[0], columns[-1])
    return np.asarray(filled[:, nearest])


@dataclass(frozen=True)
class FastVariation:
    """A table of responses and their errors (entries) by wavelength in um, which increases."""

    wavelength: Doubles
    response: Doubles
    error: Doubles

    @classmethod
    def of(cls, table: Table, slit: str | None = None) -> FastVariation:
        """The entries that have a value.

        Parameters
        ----------
        table : rows with `wavelength` (um), `data` and `error`
            FAST_VARIATION of a reference; a row has all entries of a slit, `nelem` of which count, or
            is one entry.
        slit : str, optional
            Whose row is wanted, or that of any slit, whichever comes first; None: the first row.

        Returns
        -------
        FastVariation

        Raises
        ------
        InputError
            When there is no row of the slit.
        """
        many = table["wavelength"].ndim > 1
        row = _row(table, slit) if many and slit is not None else 0
        count = int(table["nelem"][row]) if "nelem" in (table.dtype.names or ()) else None
        columns = (table[name][row] if many else table[name] for name in _COLUMNS)
        wave, response, error = (column[:count].astype(np.float64) for column in columns)
        good = np.flatnonzero((wave > 0) & ~np.isnan(response) & (response != 0))
        order = good[np.argsort(wave[good], kind="stable")]
        return cls(wave[order], response[order], error[order])

    def times(self, wavelength: Doubles, spectrum: Floats) -> FastVariation:
        """The table multiplied by a spectrum, whose error is another matter.

        Parameters
        ----------
        wavelength : (n,) float64, um
            Increasing; beyond, nothing changes.
        spectrum : (n,) float32

        Returns
        -------
        FastVariation
        """
        factor = np.interp(self.wavelength, wavelength, spectrum, left=1, right=1)
        return FastVariation(self.wavelength, self.response * factor, self.error)

    def over(self, light: Light) -> tuple[Doubles, Doubles]:
        """Response and error of each pixel.

        Parameters
        ----------
        light : Light

        Returns
        -------
        response, error : (rows, columns) float64
            NaN where the pixel reaches beyond the table, 1 and 0 where there is no light.
        """
        response = np.zeros_like(light.filled)
        for point, weight in zip(POINTS, WEIGHTS, strict=True):
            response += weight * self._at(light.filled + point * light.step, self.response)
        error = self._at(light.filled, self.error)
        dark = light.wavelength == 0
        return np.where(dark, 1, response), np.where(dark, 0, error)

    def _at(self, wavelength: Doubles, values: Doubles) -> Doubles:
        found = np.interp(wavelength, self.wavelength, values, left=np.nan, right=np.nan)
        return np.asarray(found)


_COLUMNS = ("wavelength", "data", "error")


def _row(table: Table, slit: str) -> int:
    """The first row of the slit or of any."""
    names = [_text(name) for name in table["slit_name"]]
    allowed = (ANY, slit.lower())
    found = next((n for n, name in enumerate(names) if name.lower() in allowed), None)
    if found is None:
        raise InputError(
            f"the flat's table FAST_VARIATION has no row for the slit {slit} or for ANY; it has "
            f"{', '.join(names) or 'none'}. Give another flat, or N/A to leave this one out."
        )
    return found


def _text(name: str | bytes) -> str:
    return (name.decode() if isinstance(name, bytes) else str(name)).strip()
