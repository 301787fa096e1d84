"""Steps that align, level and clean dithered exposures beside those of the peer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from fields import CENTRE, Exposure, associate, image

from stpipe import models
from stpipe.demo.crds_cache import write_crds_cache
from stpipe.demo.observation import plan
from stpipe.models import dqflags
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.science.invalid_pixels import match_invalid, values_of
from stpipe.science.sources.star_finder import StarFinder
from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep
from stpipe.steps.stage3.skymatch import SkyMatchStep
from stpipe.steps.stage3.tweakreg.step import TweakRegStep

Peer = Callable[..., Path]

DITHERS = [
    Exposure(1, 0.0, 0.0, 0.0, 0.0, sky=5.0, hits=60, stars=36),
    Exposure(2, 0.31, 0.22, 0.02, -0.03, sky=5.4, hits=60, stars=36),
    Exposure(3, -0.27, 0.4, -0.025, 0.01, sky=4.8, hits=60, stars=36),
    Exposure(4, 0.12, -0.35, 0.03, 0.02, sky=5.1, hits=60, stars=36),
]
# Two detectors that saw the sky together, twice, and an exposure of one.
PAIRS = [
    Exposure(1, 0.0, 0.0, sky=5.0, stars=36),
    Exposure(1, 1.7, 0.2, sky=5.6, stars=36),
    Exposure(2, 0.4, 0.5, sky=4.7, stars=36),
    Exposure(2, 2.1, 0.9, sky=5.2, stars=36),
    Exposure(3, 0.2, -0.6, sky=5.3, stars=36),
]


@pytest.fixture(scope="module")
def dithers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four exposures with pointing errors, cosmic rays and skies of their own."""
    return associate(tmp_path_factory.mktemp("dithers"), DITHERS, seed=5)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three exposures, two of them with two detectors."""
    return associate(tmp_path_factory.mktemp("pairs"), PAIRS, seed=6)


def both(theirs: Path, ours: Any, folder: Path) -> Iterator[tuple[Any, Any]]:
    """The members of two libraries, one after the other; ours as they are in files."""
    paths = sorted(theirs.glob("*.fits"))
    assert len(paths) == len(ours)
    for path, member in zip(paths, ours, strict=True):
        written = member.save(folder / path.name)
        with models.open(path) as expected, models.open(written) as found:
            yield expected, found


OUTLIERS: dict[str, dict[str, Any]] = {
    "default": {},
    "weights and drops": {"weight_type": "exptime", "pixfrac": 0.8, "maskpt": 0.5},
    "kernel": {"kernel": "turbo", "snr": "4.0 3.0", "scale": "1.0 0.5"},
    "level": {"backg": 0.3},
    "not dithered": {"resample_data": False},
}


@pytest.mark.parametrize("case", OUTLIERS)
def test_outlier_detection(peer_step: Peer, tmp_path: Path, dithers: Path, case: str) -> None:
    """The same flags, but for pixels that are within rounding of a limit."""
    parameters = OUTLIERS[case]
    theirs = peer_step("jwst.outlier_detection:OutlierDetectionStep", dithers, **parameters)
    ours = OutlierDetectionStep(**parameters).run(dithers)

    flagged = differing = 0
    for expected, found in both(theirs, ours, tmp_path):
        one, other = (m.dq & dqflags.OUTLIER > 0 for m in (expected, found))
        flagged += int(one.sum())
        differing += int((one != other).sum())
        same = one == other
        np.testing.assert_array_equal(expected.dq[same], found.dq[same])
        for name in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            np.testing.assert_array_equal(
                getattr(expected, name)[same], getattr(found, name)[same], err_msg=name
            )
        peer_step("read", tmp_path / found.path.name)
    assert flagged > 100
    assert differing <= max(2, flagged / 500)


SKIES: dict[str, dict[str, Any]] = {
    "default": {},
    "up, median": {"match_down": False, "skystat": "median"},
    "local": {"skymethod": "local", "skystat": "mean", "subtract": True},
    "global": {"skymethod": "global", "skystat": "median", "nclip": 2, "lsigma": 2.5},
    "both": {"skymethod": "global+match", "skystat": "mean", "upper": 8.0, "subtract": True},
}


@pytest.mark.parametrize("case", SKIES)
@pytest.mark.parametrize("groups", ["dithers", "pairs"])
def test_skymatch(
    peer_step: Peer, tmp_path: Path, request: pytest.FixtureRequest, groups: str, case: str
) -> None:
    """Levels to a hundredth of the noise (the peer's mode: two tenths), and what is done with them."""
    source = request.getfixturevalue(groups)
    parameters = SKIES[case]
    theirs = peer_step("jwst.skymatch:SkyMatchStep", source, **parameters)
    ours = SkyMatchStep(**parameters).run(source)

    tolerance = 0.01 if "skystat" in parameters else 0.2
    levels = []
    for expected, found in both(theirs, ours, tmp_path):
        one, other = (m.meta.background for m in (expected, found))
        levels.append(one.level)
        assert pytest.approx(one.level, abs=tolerance) == other.level
        assert (one.subtracted, one.method) == (other.subtracted, other.method)
        np.testing.assert_allclose(
            expected.data + (one.level if one.subtracted else 0),
            found.data + (other.level if other.subtracted else 0),
            atol=1e-4,
        )
        peer_step("read", tmp_path / found.path.name)
    assert len(set(levels)) > 1 or case == "global"


def places(wcs: Any) -> Any:
    """Where an exposure looks, at some pixels: arcsec east and north of the field."""
    rows, columns = np.mgrid[10:150:3j, 10:150:3j]
    ra, dec = wcs(columns, rows)
    return np.array([(ra - CENTRE[0]) * np.cos(np.deg2rad(CENTRE[1])), dec - CENTRE[1]]) * 3600


def before(asn: Path, number: int) -> Any:
    """Where an exposure looked before it was aligned."""
    with models.ModelLibrary(asn) as library, library[number] as member:
        return places(member.meta.wcs)


ALIGNMENTS: dict[str, dict[str, Any]] = {
    "default": {},
    "shift": {"fitgeometry": "shift", "nclip": 0, "enforce_user_order": True},
    "general": {"fitgeometry": "general", "enforce_user_order": True, "sigma": 2.5},
    "expanded": {"expand_refcat": True, "minobj": 8, "use2dhist": False},
    "absolute": {"abs_refcat": "sky.ecsv", "abs_separation": 0.5, "abs_tolerance": 0.3},
}


@pytest.fixture(scope="module")
def catalogs(dithers: Path) -> Path:
    """Stars of each exposure in tables, a list of them, and one of places on the sky."""
    stars, names = [], []
    with models.ModelLibrary(dithers) as library:
        for number, member in enumerate(library):
            found = StarFinder(10.0, 2.5, 400).find(member.data, member.dq)
            names.append(library.members[number].path.name)
            Table(found, names=("x", "y")).write(dithers.with_name(f"stars{number}.ecsv"))
            stars.append(np.column_stack(member.meta.wcs(*found.T)))
    sky = Table(stars[0] + [2e-5, -1e-5], names=("RA", "DEC"))
    sky.write(dithers.with_name("sky.ecsv"))
    path = dithers.with_name("catalogs.txt")
    path.write_text("".join(f"{name} stars{n}.ecsv\n" for n, name in enumerate(names)))
    return path


@pytest.mark.parametrize("case", ALIGNMENTS)
def test_tweakreg(
    peer_step: Peer, tmp_path: Path, dithers: Path, catalogs: Path, case: str
) -> None:
    """The same stars: the same places on the sky, and the same FITS keywords."""
    parameters = {"separation": 0.5, "tolerance": 0.3, **ALIGNMENTS[case]}
    parameters |= {"use_custom_catalogs": True, "catfile": str(catalogs)}
    if "abs_refcat" in parameters:
        parameters["abs_refcat"] = str(dithers.with_name(parameters["abs_refcat"]))
    theirs = peer_step("jwst.tweakreg:TweakRegStep", dithers, **parameters)
    ours = TweakRegStep(**parameters).run(dithers)

    moved = []
    for number, (expected, found) in enumerate(both(theirs, ours, tmp_path)):
        np.testing.assert_allclose(places(expected.meta.wcs), places(found.meta.wcs), atol=1e-6)
        moved.append(np.abs(places(found.meta.wcs) - before(dithers, number)).max())
        one, other = (m.to_flat_dict() for m in (expected, found))
        region = "meta.wcsinfo.s_region"
        np.testing.assert_allclose(
            np.array(one[region].split()[2:], float), np.array(other[region].split()[2:], float)
        )
        for name in ("crpix1", "crval1", "crval2", "cd1_1", "a_order", "a_2_0"):
            assert pytest.approx(one[f"meta.wcsinfo.{name}"]) == other[f"meta.wcsinfo.{name}"]
        peer_step("read", tmp_path / found.path.name)
    assert max(moved) > 0.02
    assert case != "absolute" or min(moved) > 0.02


def test_tweakreg_with_stars_of_its_own(peer_step: Peer, tmp_path: Path) -> None:
    """Star finders differ; places on the sky agree to 6 mas, a fifth of a pixel."""
    dithers = associate(tmp_path, [replace(one, hits=0) for one in DITHERS], seed=8)
    parameters = {"separation": 0.5, "tolerance": 0.3, "enforce_user_order": True, "minobj": 8}
    finder = {"starfinder": "segmentation", "npixels": 5, "kernel_fwhm": 2.0}
    theirs = peer_step("jwst.tweakreg:TweakRegStep", dithers, **parameters, **finder)
    ours = TweakRegStep(**parameters).run(dithers)

    for number, (expected, found) in enumerate(both(theirs, ours, tmp_path)):
        shifts = places(found.meta.wcs) - before(dithers, number)
        np.testing.assert_allclose(places(expected.meta.wcs), places(found.meta.wcs), atol=0.006)
        truth = DITHERS[number]
        np.testing.assert_allclose(
            shifts.mean(axis=(1, 2)), (truth.off_east, truth.off_north), atol=0.003
        )


KINDS = ("science", "background", "background")


def distortion(folder: Path) -> Path:
    """The distortion of the simulated detector, as a reference file."""
    list(write_crds_cache(folder / "crds", [plan("NIRCAM", subarray="SUB160")]))
    return next(folder.glob("crds/references/**/*_distortion_*.asdf"))


def test_image2_of_an_association(peer_step: Peer, tmp_path: Path) -> None:
    """An exposure and its backgrounds: the calibrated image, and what resample makes of it."""
    rng = np.random.default_rng(4)
    names = []
    for number in range(3):
        member = image(Exposure(number, 0.3 * number, sky=4.0, stars=20 if number == 0 else 0), rng)
        for name in ("assign_wcs", "flat_field", "photom"):
            member.set(f"meta.cal_step.{name}", None)
        member.meta.wcs = None
        member.meta.bunit_data = member.meta.bunit_err = "DN/s"
        names.append(str(member.save(tmp_path / f"r{number}_rate.fits")))
    members = [{"expname": n, "exptype": k} for n, k in zip(names, KINDS, strict=True)]
    asn = {"asn_type": "image2", "asn_rule": "DMSLevel2bBase", "asn_id": "a3001"}
    asn |= {"asn_pool": "none", "program": "01234", "target": "none"}
    asn["products"] = [{"name": "field", "members": members}]
    path = tmp_path / "image2_asn.json"
    path.write_text(json.dumps(asn))
    others = {"override_filteroffset": "N/A", "override_specwcs": "N/A"}
    steps = {
        "assign_wcs": {"override_distortion": str(distortion(tmp_path)), **others},
        "flat_field": {"skip": True},
        "photom": {"skip": True},
    }
    theirs = peer_step("jwst.pipeline:Image2Pipeline", path, steps=steps)
    (ours,) = Image2Pipeline.call(str(path), steps=steps)

    # The peer's resample marks invalid pixels in its input, too, where photom has not done so.
    values, dq = match_invalid(values_of(ours.image), ours.image.dq)
    with models.open(theirs) as expected:
        for name, found in values.items():
            one = getattr(expected, name)
            np.testing.assert_allclose(one, found, rtol=2e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(expected.dq, dq)
        assert abs(np.nanmedian(ours.image.data)) < 0.2
        assert (path.name, "none") == (
            ours.image.meta.asn.table_name,
            ours.image.meta.asn.pool_name,
        )
        assert path.name == expected.meta.asn.table_name
    mosaic = peer_step("jwst.resample:ResampleStep", theirs)
    with models.open(mosaic) as expected:
        found = ours.mosaic
        good = expected.wht > 0.2 * np.median(expected.wht)
        for name in ("data", "wht", "err"):
            one, other = getattr(expected, name)[good], getattr(found, name)[good]
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=name)
    for product in ours:
        peer_step("read", product.save(tmp_path / "product.fits"))
