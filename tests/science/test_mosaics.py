"""From raw ramps to a catalogue: fields that nothing was tuned on, held against their stars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from photutils.aperture import CircularAperture, aperture_photometry

from stpipe.demo import plan, write_demo
from stpipe.demo.compare import matched_stars, stars_found
from stpipe.demo.field import Pointing
from stpipe.demo.observation import Observation
from stpipe.demo.reference_files import MOSAIC_SIGMA
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.pipelines.image3 import Image3Pipeline
from stpipe.science.sources.star_finder import background_and_noise

RADIUS = MOSAIC_SIGMA * np.sqrt(-2 * np.log(0.05))  # of the largest circle, pixels


def dithers(instrument: str, subarray: str, roll: float, seed: int) -> tuple[Observation, ...]:
    """Four exposures at random places, with random errors of pointing up to 50 mas."""
    rng = np.random.default_rng(seed)
    one = plan(instrument, subarray=subarray, ngroups=6, seed=seed)
    offsets = [(*rng.uniform(-0.8, 0.8, 2), *rng.uniform(-0.05, 0.05, 2)) for _ in range(4)]
    return tuple(
        replace(one, exposure=number, pointing=Pointing(*offset, roll=roll))
        for number, offset in enumerate(offsets, 1)
    )


FIELDS = {
    "NIRCam": dithers("NIRCAM", "SUB320", 121.0, 31),
    "NIRISS": dithers("NIRISS", "SUB256", 30.0, 32),
    "MIRI": dithers("MIRI", "SUB256", 250.0, 33),
}


@pytest.fixture(scope="module", params=FIELDS)
def field(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Calibrated images of a field and their association; their references are in force."""
    folder = tmp_path_factory.mktemp("field")
    list(write_demo(folder, FIELDS[request.param]))
    (folder / "cal").mkdir()
    without = {"resample": {"skip": True}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder / "crds"))
        patch.setenv("CRDS_READONLY_CACHE", "1")
        for source in folder.glob("uncal/*.fits"):
            rate, _ = Detector1Pipeline.call(str(source))
            name = source.name.replace("_uncal", "_cal")
            Image2Pipeline.call(rate, steps=without).image.save(folder / "cal" / name)
        yield folder


def mosaic_of(field: Path, **parameters: Any) -> Any:
    """The products of stage 3, with parameters of resample."""
    # Nearly all light: small circles tell where in its pixel a star is.
    steps = {"resample": parameters, "source_catalog": {"aperture_ee3": 95}}
    return Image3Pipeline.call(str(next(field.glob("asn/*.json"))), steps=steps)


def stars_of(field: Path) -> Any:
    """The stars that there are."""
    with fits.open(next(field.glob("truth/*_stars.fits"))) as file:
        return np.array(file["STARS"].data)


@pytest.fixture(scope="module")
def catalogue(field: Path) -> tuple[Any, Any]:
    """The sources of a mosaic, and the stars that there are."""
    return mosaic_of(field).catalog.catalog, stars_of(field)


def pulls(found: Any, true: Any) -> Any:
    """Fluxes less the true ones, over their errors."""
    area = found["aper_total_flux_err"] / found["aper95_flux_err"] * np.pi * RADIUS**2
    # Errors are those of the circle's pixels; the local background has its own.
    errors = np.hypot(found["aper_total_flux_err"], area * found["aper_bkg_flux_err"])
    return (found["aper_total_flux"] - true) / errors


def test_stars_are_where_they_are_and_as_bright_as_they_are(catalogue: tuple[Any, Any]) -> None:
    """Places to 5 mas rms; fluxes unbiased within errors, at any turn of the telescope."""
    found = stars_found(*catalogue)
    assert found.stars > 35
    assert found.rms < 0.005
    assert found.unbiased
    assert found.bias_error < 0.003


def test_faint_stars_are_unbiased(catalogue: tuple[Any, Any]) -> None:
    """The faintest third: fluxes and errors as they should be; stars are no extended sources."""
    sources, known = catalogue
    matched, nearest, _ = matched_stars(sources, known)
    matched &= np.isfinite(sources["aper_total_flux"])
    found, true = sources[matched], known["flux"][nearest[matched]]
    faint = true <= np.quantile(true, 1 / 3)
    pull = pulls(found, true)[faint]

    assert abs(pull.mean()) < 3 * pull.std() / np.sqrt(pull.size)
    assert pull.std() < 1.7
    assert found["is_extended"].mean() < 0.05  # two that are close to each other may be
    magnitude = -2.5 * np.log10(true / 3631.0)
    assert np.abs(found["aper_total_abmag"] - magnitude)[faint].max() < 0.05


def evenly_seen(weight: Any, sources: Any, radius: int = 4) -> Any:
    """Sources with the same weight in all pixels of their middle: no defect, and no edge."""
    even = []
    for x, y in zip(sources["xcentroid"], sources["ycentroid"], strict=True):
        row, column = round(float(y)), round(float(x))
        cut = weight[row - radius : row + radius + 1, column - radius : column + radius + 1]
        even.append(cut.size > 0 and cut.std() < 0.002 * cut.mean())
    return np.array(even)


def in_circles(mosaic: Any, sources: Any) -> tuple[Any, Any]:
    """Fluxes in Jy within 5 pixels, which hold all light, and their errors."""
    circles = CircularAperture(np.column_stack([sources["xcentroid"], sources["ycentroid"]]), 5.0)
    # Not the plain median: the light of many stars raises it.
    background, _ = background_and_noise(mosaic.data, np.isfinite(mosaic.data), max(mosaic.shape))
    data = np.nan_to_num(mosaic.data - background)
    sums = aperture_photometry(data, circles, error=np.nan_to_num(mosaic.err))
    scale = mosaic.meta.photometry.pixelarea_steradians * 1e6
    return sums["aperture_sum"].data * scale, sums["aperture_sum_err"].data * scale


def test_errors_of_bright_stars_hold_where_pixels_count_alike(field: Path) -> None:
    """Weights that differ within a star distort it, by half a percent; nothing else does."""
    made, known = mosaic_of(field, weight_type="exptime"), stars_of(field)
    sources = made.catalog.catalog
    matched, nearest, _ = matched_stars(sources, known)
    matched &= np.isfinite(sources["aper_total_flux"]) & evenly_seen(made.mosaic.wht, sources)
    true = known["flux"][nearest[matched]]
    flux, error = in_circles(made.mosaic, sources[matched])
    pull = (flux - true) / error
    bright = true > np.median(known["flux"])

    assert abs(pull.mean()) < 3 / np.sqrt(pull.size)
    assert bright.sum() > 5
    assert 0.5 < pull.std() < 1.2
    assert 0.5 < pull[bright].std() < 1.2
