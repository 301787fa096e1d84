"""calwebb_spec3 of fixed slits beside the peer's: the same exposures, from cal files to spectra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest
import stars_in_slits
from test_spec2_peer import parameters as references
from test_spectra_peer import rate

from stpipe import models
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.pipelines.spec3 import Spec3Pipeline
from stpipe.steps.stage3.assign_mtwcs import AssignMTWcsStep
from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep

Peer = Callable[..., Path]
VALUES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")
SKIPPED = {"adaptive_trace_model": {"skip": True}, "pixel_replace": {"skip": True}}
NONE = {
    "cube_build": {"override_cubepar": "N/A"},
    "photom": {"override_area": "N/A", "override_photom": "N/A"},
    "spectral_leak": {"override_mrsptcorr": "N/A"},
}


def both(
    peer_step: Peer, folder: Path, monkeypatch: pytest.MonkeyPatch, **steps: dict[str, Any]
) -> tuple[list[Path], Path]:
    """Our products and the folder of the peer's, with the same parameters."""
    asn = dithered_slits.write(folder)
    extract1d = stars_in_slits.extract1d(folder / "extract1d.json", use_source_posn=False)
    own = {"extract_1d": {"override_extract1d": str(extract1d), "apply_apcorr": False}, **steps}
    theirs = folder / "peer"
    theirs.mkdir()
    nothing = {"override_apcorr": "N/A", "override_psf": "N/A"}
    given = {**SKIPPED, **NONE, **own, "extract_1d": {**own["extract_1d"], **nothing}}
    pipeline = "jwst.pipeline:Spec3Pipeline"
    monkeypatch.chdir(folder)
    peer_step(pipeline, asn, steps=given, save_results=True, output_dir=str(theirs))
    (folder / "ours").mkdir()
    step = Spec3Pipeline(steps=own, output_dir=str(folder / "ours"))
    return step.save(step.run(asn)), theirs


def test_calwebb_spec3(peer_step: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same names, flags, rectified slits and spectra."""
    ours, theirs = both(peer_step, tmp_path, monkeypatch)

    assert {path.name for path in ours} == {path.name for path in theirs.glob("*.fits")}
    for path in ours:
        with models.open(theirs / path.name) as expected, models.open(path) as found:
            assert type(expected) is type(found)
            suffix = path.stem.rpartition("_")[2]
            if suffix in ("cal", "crf"):
                same_exposures(expected, found)
            elif suffix == "s2d":
                same_rectified(expected, found)
            else:
                same_spectra(expected, found)
        peer_step("read", path)
    with models.open(next(p for p in ours if "s000000001" in p.name and "crf" in p.name)) as source:
        for part, place in zip(source.exposures, dithered_slits.HITS, strict=True):
            assert part.dq[place] & dqflags.OUTLIER


def same_exposures(expected: Any, found: Any) -> None:
    """The same pixels of every exposure, and what is known of it."""
    assert len(dithered_slits.DITHERS) == len(expected.exposures) == len(found.exposures)
    for one, other in zip(expected.exposures, found.exposures, strict=True):
        np.testing.assert_array_equal(one.dq, other.dq)
        for name in VALUES:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for path in ("name", "source_id", "meta.exposure.exposure_time", "meta.bunit_data"):
            assert one.get(path) == other.get(path)
        number = "meta.observation.exposure_number"
        assert one.get(number) == other.get(number)


def same_rectified(expected: Any, found: Any) -> None:
    """The same grid, pixels, weights and keywords; each exposure has a row in the table."""
    for name in (*VALUES, "wht", "wavelength"):
        np.testing.assert_allclose(getattr(expected, name), getattr(found, name), rtol=2e-5)
    np.testing.assert_array_equal(expected.con, found.con)
    y, x = np.indices(found.shape)[:, ::4, ::7].astype(float)
    for one, other in zip(expected.meta.wcs(x, y), found.meta.wcs(x, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
    known = ("name", "source_id", "source_type", "xstart", "meta.resample.pointings")
    for path in (*known, "meta.cal_step.outlier_detection", "meta.asn.table_name"):
        assert expected.get(path) == found.get(path)
    for name in ("exposure_time", "start_time", "duration", "effective_exposure_time"):
        one, other = (model.get(f"meta.exposure.{name}") for model in (expected, found))
        assert pytest.approx(one) == other, name
    assert len(dithered_slits.DITHERS) == len(expected.hdrtab) == len(found.hdrtab)


def same_spectra(expected: Any, found: Any, rtol: float = 1e-5) -> None:
    """The same tables."""
    assert len(expected.spec) == len(found.spec)
    for one, other in zip(expected.spec, found.spec, strict=True):
        for column in one.spec_table.dtype.names:
            np.testing.assert_allclose(
                one.spec_table[column], other.spec_table[column], rtol=rtol, err_msg=column
            )


def test_without_rectification(
    peer_step: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outliers by the median of pixels; spectra of exposures are combined."""
    ours, theirs = both(
        peer_step,
        tmp_path,
        monkeypatch,
        outlier_detection={"resample_data": False},
        resample_spec={"skip": True},
        combine_1d={"sigma_clip": 6.0},
    )

    # The peer has a file for the spectrum of each exposure.
    made = {path.name for path in theirs.glob("*.fits") if not path.name.endswith("_x1d.fits")}
    assert made == {path.name for path in ours if not path.name.endswith("_x1d.fits")}
    for path in ours:
        if path.name.endswith(("_crf.fits", "_c1d.fits")):
            with models.open(theirs / path.name) as expected, models.open(path) as product:
                compare = same_exposures if path.name.endswith("_crf.fits") else same_spectra
                compare(expected, product)
            peer_step("read", path)


@pytest.mark.parametrize(
    ("kind", "instrument", "detector", "parameters"),
    [
        ("MIR_MRS", "MIRI", "MIRIFULONG", {}),
        ("NRS_IFU", "NIRSPEC", "NRS1", {"ifu_second_check": True, "kernel_size": "6 6"}),
    ],
)
def test_outliers_of_slices(
    peer_step: Peer,
    tmp_path: Path,
    kind: str,
    instrument: str,
    detector: str,
    parameters: dict[str, Any],
) -> None:
    """The same pixels are outliers in all exposures of a detector."""
    made = dithered_slits.images(kind, detector, instrument, 3)
    members = [Path(image.save(tmp_path / image.meta.filename)) for image in made]
    asn = dithered_slits.association(tmp_path, members, "jw01234-o001_t001")
    theirs = peer_step("jwst.outlier_detection:OutlierDetectionStep", asn, **parameters)
    ours = OutlierDetectionStep(**parameters).run(asn)

    with models.open(theirs) as expected, ours[0] as found:
        np.testing.assert_array_equal(expected.dq, found.dq)
        np.testing.assert_array_equal(expected.data, found.data)
        assert found.dq[30, 40] & dqflags.OUTLIER


def exposures_of_prism(folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Three calibrated exposures of the slit of MIRI's prism, dithered, and references to extract."""
    steps: dict[str, Any] = {}
    made = []
    for number in range(3):
        exposure = rate("FIXEDSLIT", 0, 30 + number)
        exposure.meta.wcsinfo.ra_ref += number * 6e-5
        exposure.meta.wcsinfo.dec_ref -= number * 3e-5
        for path, value in dithered_slits.ABOUT.items():
            if path.startswith(("observation", "exposure")):
                exposure.set(f"meta.{path}", value)
        exposure.meta.observation.exposure_number = str(number + 1)
        steps = steps or references(folder, "FIXEDSLIT", exposure)
        skipped = {name: {"skip": True} for name in ("resample_spec", "extract_1d")}
        image = Spec2Pipeline(steps={**steps, **skipped}).run(exposure).calibrated
        made.append(image.save(folder / f"jw01234001001_02101_{number + 1:05d}_mirimage_cal.fits"))
    return made, steps["extract_1d"]


def test_the_slit_of_the_prism(peer_step: Peer, tmp_path: Path) -> None:
    """One rectified image and spectrum of three exposures; flags of each."""
    members, of_extraction = exposures_of_prism(tmp_path)
    asn = dithered_slits.association(tmp_path, members, "jw01234-o001_t001_miri_p750l")
    theirs, ours = tmp_path / "peer", tmp_path / "ours"
    theirs.mkdir()
    given = {**SKIPPED, **NONE, "extract_1d": {**of_extraction, "override_psf": "N/A"}}
    pipeline = "jwst.pipeline:Spec3Pipeline"
    peer_step(pipeline, asn, steps=given, save_results=True, output_dir=str(theirs))
    step = Spec3Pipeline(steps={"extract_1d": of_extraction}, output_dir=str(ours))
    paths = step.save(step.run(asn))

    stem = asn.parent / "ours/jw01234-o001_t001_miri_p750l"
    assert {f"{stem}_s2d.fits", f"{stem}_x1d.fits"} <= set(map(str, paths))
    for number in range(3):
        name = f"jw01234001001_02101_{number + 1:05d}_mirimage"
        with (
            models.open(theirs / f"{name}_a3001_crf.fits") as expected,
            models.open(ours / f"{name}_crf.fits") as found,
        ):
            np.testing.assert_array_equal(expected.dq, found.dq)
            np.testing.assert_array_equal(expected.data, found.data)
    with (
        models.open(theirs / f"{stem.name}_s2d.fits") as expected,
        models.open(f"{stem}_s2d.fits") as found,
    ):
        assert expected.shape == found.shape
        good = expected.wht > 0.01 * np.median(expected.wht)
        for name in (*VALUES, "wht"):
            one, other = getattr(expected, name)[good], getattr(found, name)[good]
            np.testing.assert_allclose(one, other, rtol=1e-4, err_msg=name)
        np.testing.assert_array_equal(expected.con, found.con)
    with (
        models.open(theirs / f"{stem.name}_x1d.fits") as expected,
        models.open(f"{stem}_x1d.fits") as found,
    ):
        same_spectra(expected, found)
    for path in paths:
        peer_step("read", path)


def test_coordinates_that_follow_a_target(peer_step: Peer, tmp_path: Path) -> None:
    """The same places of pixels, and the same mean place."""
    made = dithered_slits.exposures()
    for number, exposure in enumerate(made):
        exposure.meta.target.type = "MOVING"
        for slit in exposure.slits:
            slit.meta.wcsinfo.mt_ra, slit.meta.wcsinfo.mt_dec = (
                80 + 0.01 * number,
                -5 - 0.02 * number,
            )
    asn = dithered_slits.write(tmp_path, made)
    theirs = peer_step("jwst.assign_mtwcs:AssignMTWcsStep", asn)
    ours = AssignMTWcsStep().run(asn)

    for number, member in enumerate(ours):
        with models.open(theirs / f"{number:03d}.fits") as expected:
            for one, other in zip(expected.slits, member.slits, strict=True):
                np.testing.assert_allclose(one.meta.wcs(30, 12), other.meta.wcs(30, 12), rtol=1e-13)
                assert pytest.approx(one.meta.wcsinfo.mt_avra) == other.meta.wcsinfo.mt_avra
                assert one.meta.wcs.available_frames == other.meta.wcs.available_frames
