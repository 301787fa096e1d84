"""Light that slits and bars take from spectra, and what is not corrected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lossy_slits import FIXED, SHUTTERS, barshadow, pathloss, slits

from stpipe import models
from stpipe.errors import InputError
from stpipe.steps.stage2.barshadow import BarShadowStep
from stpipe.steps.stage2.pathloss.nirspec import aperture_of, open_neighbours
from stpipe.steps.stage2.pathloss.step import PathLossStep

VALUES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


def names(kind: str) -> list[str]:
    return ["MOS1x1", "MOS1x3"] if kind == "NRS_MSASPEC" else [name for name, *_ in FIXED]


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PathLossStep]:
    """The step with a reference of a mode."""
    folder = tmp_path_factory.mktemp("references")

    def step(kind: str, **parameters: Any) -> PathLossStep:
        path = folder / f"{kind}.fits"
        if not path.exists():
            pathloss(path, names(kind), kind)
        return PathLossStep(override_pathloss=str(path), **parameters)

    return step


@pytest.mark.parametrize(("kind", "listed"), [("NRS_MSASPEC", SHUTTERS), ("NRS_FIXEDSLIT", FIXED)])
def test_a_correction_can_be_undone(lossy: Any, kind: str, listed: Any) -> None:
    """Except where the reference has no wavelengths; errors follow, and so do variances."""
    exposure = slits(kind, listed)
    corrected = lossy(kind).run(exposure)
    undone = lossy(kind, inverse=True).run(corrected)
    for before, after, again in zip(exposure.slits, corrected.slits, undone.slits, strict=True):
        point = before.source_type == "POINT"
        assert ("POINT" if point else "UNIFORM") == after.pathloss_correction_type
        passing = after.pathloss_point if point else after.pathloss_uniform
        usable = np.isfinite(after.data)
        assert 0.5 < usable.mean() < 0.95
        assert not (np.isfinite(passing) & np.isnan(after.data) & np.isfinite(before.data))[
            before.dq == 0
        ].any()
        for name in VALUES:
            one, other = getattr(before, name)[usable], getattr(again, name)[usable]
            np.testing.assert_allclose(one, other, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(
            (after.data**2 / after.var_rnoise)[usable],
            (before.data**2 / before.var_rnoise)[usable],
            rtol=1e-5,
        )
        assert (after.dq[np.isnan(after.data)] & 1).all()


@pytest.mark.parametrize(
    ("state", "neighbours", "aperture"),
    [
        ("x", (False, False), "MOS1x1"),
        ("0x01", (False, False), "MOS1x1"),
        ("x1", (False, True), "MOS1x3"),
        ("11x0", (True, False), "MOS1x3"),
        ("1x1", (True, True), "MOS1x3"),
    ],
)
def test_open_shutters_beside_the_source_choose_the_aperture(
    tmp_path: Path, state: str, neighbours: tuple[bool, bool], aperture: str
) -> None:
    meta = {"meta.exposure.type": "NRS_MSASPEC", "shutter_state": state}
    with models.open(
        pathloss(tmp_path / "x.fits", names("NRS_MSASPEC"), "NRS_MSASPEC")
    ) as reference:
        assert neighbours == open_neighbours(state)
        assert aperture == aperture_of(meta, reference.apertures).name


def test_a_source_in_an_outer_shutter_is_a_pitch_from_the_middle_one(lossy: Any) -> None:
    """Of three shutters: the lower one with an open neighbour above, and the other way round."""
    at = {"1x1": 0.2, "x1": 1.2, "1x": -0.8}
    listed = [(str(n), "POINT", (0.1, y), state) for n, (state, y) in enumerate(at.items(), 1)]
    middle, lower, upper = lossy("NRS_MSASPEC").run(slits("NRS_MSASPEC", listed)).slits
    for outer in (lower, upper):
        np.testing.assert_allclose(middle.pathloss_point, outer.pathloss_point, rtol=1e-6)


def test_sources_beyond_the_reference(lossy: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Uniform light passes wherever the source is; a point is left as it is, with a warning."""
    listed = [("1", "EXTENDED", (0.9, 0.0), "1x1"), ("2", "POINT", (0.9, 0.0), "1x1")]
    exposure = slits("NRS_MSASPEC", listed)
    uniform, point = lossy("NRS_MSASPEC").run(exposure).slits
    assert "UNIFORM" == uniform.pathloss_correction_type
    assert not uniform.has("pathloss_point")
    assert point.pathloss_correction_type is None
    np.testing.assert_array_equal(exposure.slits[1].data, point.data)
    assert "Slit 2 is not corrected: no place of its source in the reference" in caplog.text


def test_slits_that_the_reference_does_not_have(lossy: Any) -> None:
    """Nothing is corrected: skipped, with the reason."""
    exposure = slits("NRS_FIXEDSLIT", [("S400A1", "POINT", (0.0, 0.0), "")])
    left = lossy("NRS_FIXEDSLIT").run(exposure)
    assert "no aperture for any of the slits" in left.provenance[-1]["reason"]
    assert "SKIPPED" == left.meta.cal_step.pathloss


@pytest.mark.parametrize("step", [PathLossStep, BarShadowStep])
def test_other_exposures_need_no_reference(step: Any) -> None:
    """Images are skipped; an exposure whose slits are not cut out is refused."""
    image = models.ImageModel(np.ones((4, 4), np.float32))
    image.meta.exposure.type = "NRC_IMAGE"
    assert "type NRC_IMAGE" in step().run(image).provenance[-1]["reason"]


def test_slits_have_to_be_cut_out(lossy: Any, tmp_path: Path) -> None:
    image = models.ImageModel(np.ones((4, 4), np.float32))
    image.meta.exposure.type = "NRS_MSASPEC"
    shadows = BarShadowStep(override_barshadow=str(barshadow(tmp_path / "x.fits")))
    for step in (lossy("NRS_MSASPEC"), shadows):
        with pytest.raises(InputError, match="Run extract_2d"):
            step.run(image)


@pytest.fixture(scope="module")
def shadows(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(barshadow(tmp_path_factory.mktemp("references") / "barshadow.fits"))


def test_bars_between_open_shutters(shadows: str) -> None:
    """The depth of a bar is where it is, half a pitch from the middles of shutters."""
    exposure = slits("NRS_MSASPEC", [("2", "EXTENDED", (0.0, 0.0), "11x11")])
    slit = BarShadowStep(override_barshadow=shadows).run(exposure).slits[0]
    rows, columns = np.indices(slit.shape, dtype=float)
    _, place, wave = slit.meta.wcs.get_transform("detector", "slit_frame")(columns, rows)
    place = place / 1.146  # pitches
    inner = np.abs(place) < 1.9
    soft = 0.02 + 0.0002 * (wave - 0.9e-6) / 0.007e-6
    bars = [1 - 0.3 * np.exp(-0.5 * ((place - y) / soft) ** 2) for y in (-1.5, -0.5, 0.5, 1.5)]
    expected = np.prod(bars, axis=0)
    assert inner.mean() > 0.5
    assert expected[inner].min() < 0.72
    np.testing.assert_allclose(expected[inner], slit.barshadow[inner], atol=2e-4)
    assert slit.barshadow_corrected


def test_sources_without_a_shadow(shadows: str) -> None:
    """Points keep their values and have a shadow of 1; fixed slits have none."""
    listed = [("1", "POINT", (0.0, 0.0), "1x1"), ("2", "EXTENDED", (0.0, 0.0), "x")]
    exposure = slits("NRS_MSASPEC", listed)
    exposure.slits[1].quadrant = 5
    point, fixed = BarShadowStep(override_barshadow=shadows).run(exposure).slits
    np.testing.assert_array_equal(exposure.slits[0].data, point.data)
    assert (point.barshadow == 1).all()
    assert point.barshadow_corrected is False
    assert not fixed.has("barshadow")
    assert fixed.barshadow_corrected is None


def test_what_a_shadow_needs(shadows: str) -> None:
    """A slitlet without the shutter of its source is refused by name."""
    exposure = slits("NRS_MSASPEC", [("8", "EXTENDED", (0.0, 0.0), "111")])
    with pytest.raises(InputError, match=r"slit 8 of None has SHUTSTA '111' and a gwcs"):
        BarShadowStep(override_barshadow=shadows).run(exposure)
