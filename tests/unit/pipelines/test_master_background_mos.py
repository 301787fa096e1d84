"""The background of slitlets, found in some and subtracted from all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossy_slits import area, barshadow, pathloss, photom, slits

from stpipe import models
from stpipe.errors import InputError
from stpipe.pipelines.master_background_mos import MasterBackgroundMosPipeline
from stpipe.steps.stage2.barshadow import BarShadowStep
from stpipe.steps.stage2.pathloss.step import PathLossStep
from stpipe.steps.stage2.photom.step import PhotomStep

KIND = "NRS_MSASPEC"
LISTED = [
    ("1", "POINT", (0.1, 0.2), "1x1"),
    ("2", "EXTENDED", (0.0, 0.0), "1x1"),
    ("3", "EXTENDED", (0.0, 0.0), "1x11"),
    ("4", "EXTENDED", (0.0, 0.1), "1x"),
]
BACKGROUND = ("2", "3")


def sky(wave: Any) -> Any:
    """Surface brightness of the background, MJy/sr."""
    return 3 + np.sin(5 * wave)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Parameters of the steps: a reference for each, and no flat."""
    folder = tmp_path_factory.mktemp("references")
    aperture = folder / "extract1d.json"
    content = {"reftype": "EXTRACT1D", "apertures": [{"id": "ANY", "extract_width": 5}]}
    aperture.write_text(json.dumps(content))
    files = {
        "pathloss": {"pathloss": pathloss(folder / "pathloss.fits", ["MOS1x1", "MOS1x3"], KIND)},
        "barshadow": {"barshadow": barshadow(folder / "barshadow.fits")},
        "photom": {"photom": photom(folder / "photom.fits"), "area": area(folder / "area.fits")},
        "extract_1d": {"extract1d": aperture, "apcorr": "N/A"},
    }
    steps: dict[str, dict[str, Any]] = {
        step: {f"override_{reftype}": str(file) for reftype, file in chosen.items()}
        for step, chosen in files.items()
    }
    return {**steps, "flat_field": {"skip": True}}


def count_rates(references: dict[str, dict[str, Any]], light: float) -> Any:
    """Slitlets filled with the background, and `light` (MJy/sr) of a source in two of them."""
    exposure = slits(KIND, LISTED)
    for slit in exposure.slits:
        background = slit.name in BACKGROUND
        slit.source_name = f"1234_{'BKG' if background else ''}{slit.name}"
        slit.data = sky(slit.wavelength) + (0.0 if background else light)
        slit.dq = np.zeros(slit.shape, np.uint32)
        slit.var_flat = None
    for step in (PhotomStep, BarShadowStep, PathLossStep):
        parameters = {**references[step.alias], "source_type": "EXTENDED", "inverse": True}
        exposure = step(**parameters).run(exposure)
    return cleaned(exposure)


def cleaned(exposure: Any) -> Any:
    """Count rates as of the ramp fit: nothing attached, nothing calibrated."""
    for slit in exposure.slits:
        for name in ("pathloss_point", "pathloss_uniform", "barshadow"):
            slit.set(name, None)
    return exposure


def run(references: dict[str, dict[str, Any]], rates: Any, **parameters: Any) -> Any:
    steps = {**references, "subtract": parameters}
    return MasterBackgroundMosPipeline(steps=steps).run(rates)


def known(slit: Any) -> Any:
    """Pixels away from the ends of the slitlet and of the reference's wavelengths."""
    inner = np.zeros(slit.shape, bool)
    inner[6:-6] = True
    return inner & np.isfinite(slit.data) & (np.abs(slit.wavelength - 1.25) < 0.2)


def test_the_background_is_taken_from_all_slitlets(references: Any) -> None:
    """Sources keep their light, and where there is none nothing is left, to 0.1 percent."""
    with_source, empty = (count_rates(references, light) for light in (2.0, 0.0))
    left, nothing = run(references, with_source), run(references, empty)
    assert "COMPLETE" == left.meta.cal_step.master_background
    for before, after, gone in zip(with_source.slits, left.slits, nothing.slits, strict=True):
        used = known(after)
        assert used.mean() > 0.2
        own = 0.0 if before.name in BACKGROUND else 2.0
        expected = before.data * own / (sky(before.wavelength) + own)
        scale = np.abs(before.data[used]).max()
        np.testing.assert_allclose(expected[used], after.data[used], atol=1e-3 * scale)
        np.testing.assert_allclose(0, gone.data[used], atol=1e-3 * scale)
        np.testing.assert_array_equal(before.err[used], after.err[used])
        np.testing.assert_array_equal(np.isnan(after.data), (after.dq & 1) > 0)


def test_fixed_slits_among_the_slitlets_are_left_alone(references: Any) -> None:
    """They are no source beside the background either."""
    rates = count_rates(references, 2.0)
    rates.slits.append(rates.slits[0])
    fixed = rates.slits[-1]
    fixed.name, fixed.quadrant = "S200A1", 5
    none = {f"override_fixed_slit_{t}": "N/A" for t in ("pathloss", "photom", "area")}
    own = {
        step: {n: v for n, v in none.items() if n.rpartition("_")[2] in types}
        for step, types in (("pathloss", ("pathloss",)), ("photom", ("photom", "area")))
    }
    steps = {**references, **{step: references[step] | more for step, more in own.items()}}
    left = run(steps, rates)
    np.testing.assert_array_equal(fixed.data, left.slits[-1].data)
    np.testing.assert_array_equal(fixed.dq, left.slits[-1].dq)
    assert not np.array_equal(fixed.data, left.slits[0].data, equal_nan=True)


def test_a_background_of_the_users(references: Any, tmp_path: Path) -> None:
    """It is subtracted in place of one of the slitlets, can be added again, and is recorded."""
    rates = count_rates(references, 0.0)
    waves = np.linspace(0.9, 1.7, 200)
    model = models.MultiCombinedSpecModel()
    table = np.zeros(200, model.schema.lists["spec"].arrays["spec_table"].dtype)
    table["WAVELENGTH"], table["SURF_BRIGHT"] = waves[::-1], sky(waves[::-1])
    model.spec.append({"spec_table": table})
    path = str(model.save(tmp_path / "mine_c1d.fits"))
    left = run(references, rates, user_background=path)
    again = run(references, left, user_background=path, inverse=True)
    for before, after, added in zip(rates.slits, left.slits, again.slits, strict=True):
        used = known(after)
        np.testing.assert_allclose(0, after.data[used], atol=1e-4 * before.data[used].max())
        np.testing.assert_allclose(before.data[used], added.data[used], rtol=1e-5)
    with pytest.raises(
        InputError, match=r"holds a MultiSlitModel, allowed: a MultiCombinedSpecModel"
    ):
        run(references, rates, user_background=str(rates.save(tmp_path / "x_cal.fits")))
    assert "mine_c1d.fits" in left.provenance[-1]["references"]["user_background"]["name"]


def test_the_background_is_saved(references: Any, tmp_path: Path) -> None:
    """Its spectrum, and the pixels that were subtracted, beside the product."""
    rates = count_rates(references, 1.0)
    source = rates.save(tmp_path / "x_srctype.fits")
    steps = {**references, "subtract": {"save_background": True, "median_kernel": 5}}
    left = MasterBackgroundMosPipeline(steps=steps, output_dir=str(tmp_path)).run(source)
    with models.open(tmp_path / "x_masterbg1d.fits") as master:
        table = master.spec[0].spec_table
        inner = np.abs(table["WAVELENGTH"] - 1.25) < 0.2
        expected = sky(table["WAVELENGTH"])
        np.testing.assert_allclose(expected[inner], table["SURF_BRIGHT"][inner], rtol=2e-3)
        assert {1.0, 2.0} >= set(table["N_INPUT"])
        assert "MJy/sr" == master.spec[0].units("spec_table")["SURF_BRIGHT"]
    with models.open(tmp_path / "x_masterbg2d.fits") as images:
        for before, image, after in zip(rates.slits, images.slits, left.slits, strict=True):
            assert before.name == image.name
            used = np.isfinite(after.data)
            np.testing.assert_array_equal((before.data - image.data)[used], after.data[used])


def test_what_is_left_alone(references: Any) -> None:
    """Without background slitlets, and after another subtraction, unless that is forced."""
    rates = count_rates(references, 1.0)
    for slit in rates.slits:
        slit.source_name = "1234_5"
    left = run(references, rates)
    assert "no slitlet has a spectrum of the background" in left.provenance[-1]["reason"]
    np.testing.assert_array_equal(rates.slits[0].data, left.slits[0].data)
    rates = count_rates(references, 1.0)
    rates.meta.cal_step.bkg_subtract = "COMPLETE"
    done = run(references, rates)
    assert "bkg_subtract has subtracted" in done.provenance[-1]["reason"]
    forced = run(references, rates, force_subtract=True)
    assert np.nanmean(forced.slits[0].data) < np.nanmean(rates.slits[0].data)


def test_count_rates_need_variances(references: Any) -> None:
    """Calibration is found by read noise: rates without any are refused."""
    rates = count_rates(references, 1.0)
    rates.slits[2].var_rnoise = np.zeros(rates.slits[2].shape, np.float32)
    with pytest.raises(InputError, match=r"slit 3 .* pixels without VAR_RNOISE"):
        run(references, rates)
