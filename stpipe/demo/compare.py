"""`python -m stpipe.demo.compare DIR`: hold the products of a demo folder against the truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe import models
from stpipe.demo.cubes_found import cube_found, stars_found_in
from stpipe.demo.spectra_found import slices_found, spectra_found
from stpipe.demo.truth import Truth
from stpipe.models import dqflags
from stpipe.system.text import counted

if TYPE_CHECKING:
    from stpipe.models.protocols import Table

__all__ = ["Agreement", "agreement", "main"]


@dataclass(frozen=True)
class Agreement:
    """How the rates of one exposure compare with the truth.

    Attributes
    ----------
    pixels
        Number of pixels with a rate and without defects.
    bias
        Mean of rate over mean of truth, minus 1.
    pull_mean, pull_width
        Mean and standard deviation of (rate - truth) / error, outliers beyond 5 left out; 0 and 1
        for unbiased rates with right errors.
    """

    pixels: int
    bias: float
    pull_mean: float
    pull_width: float

    @property
    def unbiased(self) -> bool:
        """Whether rates and errors hold: a tenth of an error, and errors right within a tenth."""
        return abs(self.pull_mean) < 0.1 and abs(self.pull_width - 1) < 0.1  # noqa: PLR2004


def agreement(rate: models.DataModel, truth: Truth) -> Agreement:
    """Compare a rate image with the truth about its exposure."""
    defects = dqflags.DO_NOT_USE | dqflags.REFERENCE_PIXEL
    good = np.isfinite(rate.data) & (rate.err > 0) & ((rate.dq | truth.dq) & defects == 0)
    found, true = rate.data[good].astype(np.float64), truth.rate[good].astype(np.float64)
    pull = (found - true) / rate.err[good]
    kept = pull[np.abs(pull) < 5]  # noqa: PLR2004 - undetected cosmic rays are not what is measured
    return Agreement(
        pixels=int(good.sum()),
        bias=float(found.mean() / true.mean() - 1),
        pull_mean=float(kept.mean()),
        pull_width=float(kept.std()),
    )


@dataclass(frozen=True)
class StarsFound:
    """How the catalogue of a mosaic compares with the stars of the field.

    Attributes
    ----------
    stars
        Number of sources that are within a tenth of an arcsecond of a star.
    rms
        Distance of their places in arcsec, root of the mean square, after the common shift that only
        a catalogue of the sky could tell.
    bias, bias_error
        Mean of the flux over the true one minus 1, and its error from the scatter.
    """

    stars: int
    rms: float
    bias: float
    bias_error: float

    @property
    def unbiased(self) -> bool:
        """Whether places hold to 5 mas rms, and fluxes within three errors."""
        return self.rms < 0.005 and abs(self.bias) < 3 * self.bias_error  # noqa: PLR2004


def stars_found(catalog: Table, known: Table) -> StarsFound:
    """Compare a product of source_catalog with the table of true stars.

    Stars have `ra` and `dec` in degrees and `flux` in Jy.
    """
    matched, nearest, offset = matched_stars(catalog, known)
    flux = catalog["aper_total_flux"]
    matched &= np.isfinite(flux)  # stars at the edge have no flux
    offset = offset[matched] - offset[matched].mean(axis=0)
    excess = flux[matched] / known["flux"][nearest[matched]] - 1
    rms = float(np.sqrt((offset**2).sum(axis=1).mean()))
    error = float(excess.std() / np.sqrt(len(excess)))
    return StarsFound(int(matched.sum()), rms, float(excess.mean()), error)


def matched_stars(catalog: Table, known: Table) -> tuple[Any, Any, Any]:
    """Which sources are stars, the nearest star of each, and the way from it, east and north, arcsec.

    Sources are stars when they are within a tenth of an arcsecond of one, but for a common shift.
    """
    scale = np.array([np.cos(np.deg2rad(known["dec"].mean())), 1.0]) * 3600
    found = np.column_stack([catalog["sky_centroid.ra"], catalog["sky_centroid.dec"]]) * scale
    true = np.column_stack([known["ra"], known["dec"]]) * scale
    apart = found[:, None] - true[None]
    nearest = np.hypot(*apart.transpose(2, 0, 1)).argmin(axis=1)
    offset = found - true[nearest]
    matched = np.hypot(*(offset - np.median(offset, axis=0)).T) < 0.1  # noqa: PLR2004 - arcsec
    return matched, nearest, offset


def _mosaic_lines(folder: Path) -> Iterator[tuple[str, bool]]:
    from astropy.io import fits

    for path in sorted(folder.glob("cal/*_cat.ecsv")):
        root = path.name.removesuffix("_cat.ecsv")
        with (
            models.open(path) as catalog,
            fits.open(folder / "truth" / f"{root}_stars.fits") as file,
        ):
            found = stars_found(catalog.catalog, np.array(file["STARS"].data))
        places = f"{found.stars} stars, places {found.rms * 1000:.1f} mas rms"
        fluxes = f"fluxes {found.bias:+.2%} +- {found.bias_error:.2%}"
        yield f"{path}: {places}, {fluxes}", found.unbiased


def _spectrum_lines(folder: Path) -> Iterator[tuple[str, bool]]:
    for path in sorted(folder.glob("cal/*_cal.fits")):
        truth = folder / "truth" / f"{path.name.removesuffix('_cal.fits')}_spectra.fits"
        if truth.exists() and models.open_metadata(path).model_type == "IFUImageModel":
            found = slices_found(path, truth)
            yield f"{path} {found.slit}: {found}", found.unbiased
    for path in sorted(folder.glob("cal/*_x1d*.fits")):
        root = path.stem.rpartition("_")[0]
        truth = folder / "truth" / f"{root}_spectra.fits"
        for found in spectra_found(path, truth) if truth.exists() else ():
            yield f"{path} {found.slit}: {found}", found.unbiased


def _cube_lines(folder: Path) -> Iterator[tuple[str, bool]]:
    for truth in sorted(folder.glob("truth/*_scene.fits")):
        product = truth.name.removesuffix("_scene.fits")
        for path in sorted(folder.glob(f"cal/**/{product}*_s3d.fits")):
            cube = cube_found(path, truth)
            yield f"{path}: {cube}", cube.unbiased
        for path in sorted(folder.glob(f"cal/{product}*_x1d.fits")):
            for star in stars_found_in(path, truth):
                yield f"{path}: {star}", star.unbiased


def _lines(folder: Path) -> Iterator[tuple[str, bool]]:
    yield from _mosaic_lines(folder)
    yield from _spectrum_lines(folder)
    yield from _cube_lines(folder)
    for path in sorted(folder.glob("cal/*_rate.fits")):
        root = path.name.removesuffix("_rate.fits")
        with models.open(path) as rate:
            found = agreement(rate, Truth.load(folder / "truth" / f"{root}_truth.fits"))
        pull = f"{found.pull_mean:+.3f} +- {found.pull_width:.3f}"
        line = f"{path}: {found.pixels:7d} pixels, bias {found.bias:+.3%}, pull {pull}"
        yield line, found.unbiased


def main() -> int:
    """Print a line for each product that has a truth; the exit code is 1 when one is biased."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    lines = list(_lines(folder))
    for line, _ in lines:
        print(line)
    biased = [line for line, unbiased in lines if not unbiased]
    verdict = "biased" if biased else "unbiased within errors"
    print(f"{counted(len(lines), 'comparison')}, {verdict}.")
    return 1 if biased or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
