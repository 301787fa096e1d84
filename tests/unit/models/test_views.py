"""What pictures of spectra, cubes and slits show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.models import views
from stpipe.project.report.product import show

WAVES = np.linspace(5.0, 6.0, 8)


def spectra(*types: str) -> Any:
    """Spectra of sources, of which the third value is flagged."""
    model: Any = models.MultiSpecModel()
    for number, kind in enumerate(types):
        model.spec.append({})
        part = model.spec[number]
        table = np.zeros(WAVES.size, model.schema.lists["spec"].arrays["spec_table"].dtype)
        table["WAVELENGTH"], table["FLUX"], table["SURF_BRIGHT"] = WAVES, 2 + number, 7.0
        table["FLUX_ERROR"], table["SB_ERROR"] = 0.5, 0.25
        table["DQ"][2] = 1
        part.spec_table, part.name, part.source_type = table, f"S{number}", kind
    return model


def cube() -> Any:
    """Four planes of which one has a hole; the spaxel in row 1, column 2 is bright."""
    model: Any = models.IFUCubeModel()
    data = np.ones((4, 2, 3), np.float32)
    data[:, 1, 2] = (5, 6, 7, 8)
    data[0, 0, 0] = np.nan
    data[1:, 0, 0] = (1, 2, 3)
    data[:, 0, 1] = np.nan
    model.data, model.err = data, np.full(data.shape, 0.1, np.float32)
    model.dq = np.zeros(data.shape, np.uint32)
    model.dq[3, 1, 2] = 1
    for name, value in {"crpix3": 1.0, "crval3": 5.0, "cdelt3": 0.1}.items():
        model.set(f"meta.wcsinfo.{name}", value)
    model.meta.bunit_data = "MJy/sr"
    return model


def slits() -> Any:
    """Two slits beside each other on the detector."""
    model: Any = models.MultiSlitModel()
    for number, (x, y) in enumerate([(11, 21), (13, 22)]):
        model.slits.append({})
        slit = model.slits[number]
        slit.data = np.full((2, 3), number + 1.0, np.float32)
        slit.xstart, slit.ystart = x, y
    return model


def test_curves_are_the_spectra_of_all_sources() -> None:
    """Flux of points, surface brightness of extended sources; flags are kept."""
    point, extended = views.curves_of(spectra("POINT", "EXTENDED"))

    assert ("S0", "Jy", "FLUX") == (point.label, point.unit, point.quantity)
    assert ("S1", "MJy/sr", "SURF_BRIGHT") == (extended.label, extended.unit, extended.quantity)
    np.testing.assert_array_equal(2.0, point.value)
    np.testing.assert_array_equal(0.25, extended.error)
    np.testing.assert_array_equal(np.arange(8) == 2, point.flagged)
    assert [] == views.curves_of(cube())


def test_integrations_are_one_curve_their_median() -> None:
    """Row by row a spectrum of an integration."""
    model: Any = models.TSOMultiSpecModel()
    model.spec.append({})
    names = [("WAVELENGTH", WAVES.size), ("FLUX", WAVES.size), ("FLUX_ERROR", WAVES.size)]
    schema = model.schema.lists["spec"].arrays["spec_table"].dtype
    cells = dict(names)
    dtype = [(n, schema[n].base, (cells[n],) if n in cells else ()) for n in schema.names]
    table = np.zeros(3, dtype)
    table["WAVELENGTH"], table["FLUX"] = WAVES, np.array([1.0, 5.0, 2.0])[:, None]
    table["DQ"] = 0
    model.spec[0].spec_table = table

    (curve,) = views.curves_of(model)

    np.testing.assert_array_equal(2.0, curve.value)
    np.testing.assert_array_equal(WAVES, curve.wavelength)


def test_white_light_leaves_out_what_is_missing() -> None:
    """The mean of the planes that have a value; NaN where none has."""
    found = views.white_light(cube())

    np.testing.assert_allclose([[2, np.nan, 1], [1, 1, 6.5]], found)


@pytest.mark.parametrize("table", [False, True])
def test_the_brightest_spaxel(*, table: bool) -> None:
    """Its spectrum, with wavelengths in equal steps or of a table."""
    model = cube()
    waves = np.array([5.0, 5.1, 5.2, 5.3])
    if table:
        waves = np.array([5.0, 5.2, 5.5, 5.9])
        rows = np.zeros(1, [("wavelength", np.float32, (4, 1))])
        rows["wavelength"] = waves[:, None]
        model.wavetable = rows

    found = views.brightest(model, views.white_light(model))

    np.testing.assert_array_equal((5, 6, 7, 8), found.value)
    np.testing.assert_allclose(waves, found.wavelength, rtol=1e-6)
    np.testing.assert_array_equal((False, False, False, True), found.flagged)
    assert "spaxel x = 2, y = 1" == found.label


def test_slits_are_where_they_are_on_the_detector() -> None:
    """The second begins two columns and a row further; rectified ones are below each other."""
    model = slits()
    expected = np.full((3, 5), np.nan)
    expected[:2, :3], expected[1:, 2:] = 1, 2

    np.testing.assert_array_equal(expected, views.slits_on_detector(model))

    model.meta.cal_step.resample = "COMPLETE"
    stacked = views.slits_on_detector(model)
    assert (6, 3) == stacked.shape
    np.testing.assert_array_equal(2, stacked[4:])
    assert np.isnan(stacked[2:4]).all()
    assert (1, 1) == views.slits_on_detector(models.MultiSlitModel()).shape


def test_models_draw_what_they_are_of() -> None:
    """Lines with flagged values apart, the mean of a cube, a plane of it, slits."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = spectra("POINT", "POINT").plot()
    drawn = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert 2 == len(drawn)
    assert np.isnan(drawn[0].get_ydata()[2])
    assert "flux [Jy]" == axes.get_ylabel()
    model = cube()
    np.testing.assert_allclose(views.white_light(model), model.plot().images[0].get_array())
    np.testing.assert_array_equal(model.data[2], model.plot(index=2).images[0].get_array())
    np.testing.assert_array_equal((5, 6, 7), model.plot("brightest").lines[0].get_ydata()[:3])
    assert (3, 5) == slits().plot().images[0].get_array().shape
    matplotlib.pyplot.close("all")


def test_without_matplotlib_spectra_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """As images do."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Exception, match="pip install"):
        spectra("POINT").plot()


def test_reports_show_spectra_cubes_and_slits(tmp_path: Path) -> None:
    """A drawing of each spectrum with its errors; of a cube the mean and the brightest spaxel."""
    shown = show(spectra(*["POINT"] * 12).save(tmp_path / "a_x1d.fits"), 64)
    assert (10, 2) == (len(shown.curves), shown.more)
    assert all('class="errors"' in drawing for drawing in shown.curves)
    assert "1 flagged" in shown.curves[0]
    shown = show(cube().save(tmp_path / "a_s3d.fits"), 64)
    assert "mean of all planes" == shown.caption
    assert shown.image
    assert "spaxel x = 2, y = 1" in shown.curves[0]
    shown = show(slits().save(tmp_path / "a_cal.fits"), 64)
    assert "slits" == shown.caption
    assert shown.image
