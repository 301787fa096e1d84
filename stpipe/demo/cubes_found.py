"""How cubes, and spectra of a star in them, compare with the truth."""

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

__all__ = ["CubeFound", "StarFound", "cube_found", "star_found", "stars_found_in"]

LINE: Final = 1e-3
"""Part of the continuum above which an emission line counts."""
NEAR: Final = 1.0
"""arcsec from the star within which its light is looked at, and beyond which the nebula is."""
FAR: Final = 1.2
STRAYED: Final = 0.1
"""Spaxels that the star may be off."""
ENDS: Final = 0.01
"""um at the ends of a band, where planes have few pixels."""


@dataclass(frozen=True)
class CubeFound:
    """How a cube compares with the truth.

    Attributes
    ----------
    planes
        Number of them, between emission lines and with the whole field.
    bias
        Surface brightness of the nebula over the true one, minus 1.
    x, y
        How far the star is from its place, spaxels.
    """

    planes: int
    bias: float
    x: float
    y: float

    @property
    def unbiased(self) -> bool:
        """Whether brightness holds to half a percent, and the star's place to a tenth of a spaxel."""
        return abs(self.bias) < 0.005 and max(abs(self.x), abs(self.y)) < STRAYED  # noqa: PLR2004

    def __str__(self) -> str:
        place = f"star off by ({self.x:+.3f}, {self.y:+.3f}) spaxels"
        return f"{self.planes} planes, nebula {self.bias:+.2%}, {place}"


@dataclass(frozen=True)
class StarFound:
    """How the spectrum of the star compares with the truth.

    Attributes
    ----------
    wavelengths
        Number of them, between emission lines of the nebula.
    bias, background
        Its flux and the nebula behind it over the true ones, minus 1.
    """

    wavelengths: int
    bias: float
    background: float

    @property
    def unbiased(self) -> bool:
        """Whether the flux holds to a percent, and the background to half a percent."""
        return abs(self.bias) < 0.01 and abs(self.background) < 0.005  # noqa: PLR2004

    def __str__(self) -> str:
        nebula = f"background {self.background:+.2%}"
        return f"{self.wavelengths} wavelengths, flux {self.bias:+.2%}, {nebula}"


def cube_found(product: Path, truth: Path) -> CubeFound:
    """Compare a product of cube_build with a scene."""
    from astropy.io import fits
    from astropy.wcs import WCS

    scene, place = _scene(truth)
    with fits.open(product) as file:
        data, header = file["SCI"].data.astype(float), file["SCI"].header
        sky = WCS(header).celestial
    waves = header["CRVAL3"] + header["CDELT3"] * (np.arange(len(data)) + 1 - header["CRPIX3"])
    x0, y0 = (float(axis) for axis in sky.world_to_pixel_values(*place))
    size = abs(header["CDELT1"]) * 3600
    y, x = np.indices(data.shape[1:])
    apart = np.hypot(x - x0, y - y0) * size
    nebula = _at(waves, scene, "nebula")
    used = _between_lines(waves, scene) & (waves > waves[0] + ENDS) & (waves < waves[-1] - ENDS)
    far = np.isfinite(data[used]).all(axis=0) & (apart > FAR)
    near = apart < NEAR
    light = np.nanmean(data[used][:, near] - nebula[used, None], axis=0)
    return CubeFound(
        planes=int(used.sum()),
        bias=float(data[used][:, far].mean() / nebula[used].mean() - 1),
        x=float((light * x[near]).sum() / light.sum()) - x0,
        y=float((light * y[near]).sum() / light.sum()) - y0,
    )


def star_found(table: Table, truth: Path) -> StarFound:
    """Compare a table of extract_1d with a scene."""
    scene, _ = _scene(truth)
    waves = np.asarray(table["WAVELENGTH"], float)
    used = _between_lines(waves, scene) & (table["NPIXELS"] > 0) & (table["DQ"] == 0)
    used &= (waves > waves.min() + ENDS) & (waves < waves.max() - ENDS)

    def over(column: str, name: str) -> float:
        return float(table[column][used].mean() / _at(waves, scene, name)[used].mean() - 1)

    return StarFound(int(used.sum()), over("FLUX", "star"), over("BACKGROUND", "nebula"))


def stars_found_in(product: Path, truth: Path) -> Iterator[StarFound]:
    """Compare the spectra of a product of extract_1d with a scene."""
    with models.open(product) as found:
        for spectrum in found.spec:
            yield star_found(spectrum.spec_table, truth)


def _scene(path: Path) -> tuple[Table, tuple[float, float]]:
    """The table (wavelength, star, nebula), and RA and Dec of the star."""
    from astropy.io import fits

    with fits.open(path) as file:
        header = file["SCENE"].header
        return np.array(file["SCENE"].data), (header["RA"], header["DEC"])


def _at(waves: Doubles, scene: Table, name: str) -> Doubles:
    found: Doubles = np.interp(waves, scene["wavelength"], scene[name])
    return found


def _between_lines(waves: Doubles, scene: Table) -> npt.NDArray[np.bool_]:
    """Whether the nebula is even there: no line within two planes."""
    known, nebula = scene["wavelength"], scene["nebula"]
    slope: Any = np.abs(np.gradient(np.log(nebula), np.log(known)) - 1)
    near_line = np.interp(waves, known, (slope > LINE).astype(float)) > 0
    wide = near_line.copy()
    for step in (1, 2, 3):
        wide[step:] |= near_line[:-step]
        wide[:-step] |= near_line[step:]
    found: npt.NDArray[np.bool_] = ~wide
    return found
