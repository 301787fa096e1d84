"""Cubes of a small integral-field unit for which everything is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from cube_references import cubepar
from sliced_light import ALONG, LEAST, SHAPE, STEP, WIDTH, exposure

from stpipe.errors import InputError, ParameterError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.steps.stage2.cube_build import step as module
from stpipe.steps.stage2.cube_build.step import CubeBuildStep

LIMITS = {"wavemin": 5.01, "wavemax": 5.05}


@pytest.fixture
def reference(tmp_path: Path) -> str:
    return cubepar(tmp_path / "cubepar.fits", "MIRI")


def build(reference: str, exposures: list[Any], **parameters: Any) -> Any:
    """The one cube."""
    how = {**LIMITS, "override_cubepar": reference, **parameters}
    (cube,) = CubeBuildStep(**how).run(exposures)
    return cube


def sky_of(cube: Any) -> tuple[Any, Any]:
    """West and north (arcsec) of spaxels from where the exposure points."""
    y, x = np.indices(cube.data.shape[1:], dtype=float)
    ra, dec, _ = cube.meta.wcs(x, y, np.zeros_like(x))
    east = (ra - 0.0003 + 180) % 360 - 180
    return -east * np.cos(np.radians(54.0)) * 3600, (dec - 54.0) * 3600


@pytest.mark.parametrize("weighting", ["drizzle", "emsm", "msm"])
@pytest.mark.parametrize("output_type", ["band", "multi"])
def test_a_constant_field_is_constant(reference: str, weighting: str, output_type: str) -> None:
    """Whatever the weights and the wavelengths; without a value there are flags."""
    both = [exposure(), exposure(ra=0.00035)]
    cube = build(reference, both, weighting=weighting, output_type=output_type)
    known = np.isfinite(cube.data)
    assert known[2:-2].mean() > 0.3
    np.testing.assert_allclose(cube.data[known], 1, rtol=1e-6)
    np.testing.assert_array_equal(known, cube.dq == 0)
    np.testing.assert_array_equal(known, cube.weightmap > 0)
    assert (cube.err[known] <= 0.1 * (1 + 1e-6)).all()
    assert cube.meta.wcsinfo.ctype3 == ("WAVE" if output_type == "band" else "WAVE-TAB")
    assert cube.meta.ifu.weighting == weighting
    assert cube.meta.instrument.channel == "1"
    assert len(cube.hdrtab) == 2


def test_a_point_is_where_it_shines(reference: str) -> None:
    """The centroid in the cube, by its coordinates, is the place of the light; flux is conserved."""
    source = exposure()
    rows, columns = np.indices(SHAPE, dtype=float)
    ra, dec, _ = source.meta.wcs(columns, rows)
    place = (-0.00009, 54.00003)
    east = ((ra - 0.0003 + 180) % 360 - 180 - place[0]) * np.cos(np.radians(54)) * 3600
    north = (dec - place[1]) * 3600
    light = np.nan_to_num(np.exp(-0.5 * (east**2 + north**2) / 0.22**2))
    source.data = light.astype(np.float32)
    cube = build(reference, [source])
    west, up = sky_of(cube)
    plane = np.nan_to_num(cube.data[20])
    found = [(plane * axis).sum() / plane.sum() for axis in (west, up)]
    expected = (-place[0] * np.cos(np.radians(54)) * 3600, (place[1] - 54) * 3600)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert plane.sum() * 0.13**2 == pytest.approx(light[10].sum() * ALONG * WIDTH, rel=0.02)


def test_wavelengths(reference: str) -> None:
    """Values that are the wavelength come back as the wavelength of the plane."""
    source = exposure()
    source.data = np.repeat(LEAST + STEP * np.arange(SHAPE[0]), SHAPE[1]).reshape(SHAPE)
    cube = build(reference, [source])
    waves = cube.wavetable["wavelength"][0, :, 0]
    assert waves[0] == pytest.approx(5.01 + 0.0004)
    _, _, told = cube.meta.wcs(0.0, 0.0, np.arange(waves.size, dtype=float))
    np.testing.assert_allclose(told, waves, rtol=1e-7)
    known = np.isfinite(cube.data).any(axis=(1, 2))
    means = np.nanmean(cube.data[known], axis=(1, 2))
    np.testing.assert_allclose(means, waves[known], atol=STEP / 2)


def test_bad_pixels_are_left_out_and_holes_told_apart(reference: str) -> None:
    """DO_NOT_USE and NaN count nowhere; where nothing else falls there is a hole, not the outside."""
    source = exposure()
    dq, data = np.zeros(SHAPE, np.uint32), np.ones(SHAPE, np.float32)
    dq[:, 33] = dqflags.DO_NOT_USE
    data[:, 33] = 1e6
    data[:, 34] = np.nan
    source.dq, source.data = dq, data
    cube = build(reference, [source])
    assert np.nanmax(cube.data) == pytest.approx(1)
    holes = cube.dq == dqflags.DO_NOT_USE
    assert holes.any()
    west, up = sky_of(cube)
    assert np.abs(west[holes.any(axis=0)] ** 2 + up[holes.any(axis=0)] ** 2).max() < 0.5**2
    plain = build(reference, [source], skip_dqflagging=True)
    assert not (plain.dq == dqflags.DO_NOT_USE).any()


def test_the_user_places_the_cube(reference: str) -> None:
    """Centre, angle, size of spaxels and their number, which becomes odd; along the slices."""
    given = {"ra_center": 0.0004, "dec_center": 54.00005, "cube_pa": 20.0}
    cube = build(reference, [exposure()], nspax_x=10, nspax_y=7, scalexy=0.2, scalew=0.006, **given)
    assert cube.data.shape == (7, 7, 11)
    info = cube.meta.wcsinfo
    assert (info.crval1, info.crval2, info.crpix1, info.crpix2) == (0.0004, 54.00005, 6, 4)
    assert info.pc1_1 == pytest.approx(-np.cos(np.radians(20)))
    assert info.cdelt3 == pytest.approx(0.006)
    turned = build(reference, [exposure()], coord_system="ifualign")
    along = np.degrees(np.arctan2(turned.meta.wcsinfo.pc2_1, turned.meta.wcsinfo.pc2_2))
    assert along % 180 == pytest.approx(0, abs=1e-3)  # V3 is north here, and slices lie along V2


def test_offsets_move_exposures(reference: str, tmp_path: Path) -> None:
    """The cube is that of exposures that look elsewhere; a file that lacks one is refused."""
    path = tmp_path / "offsets.asdf"
    tree = {"filename": ["x_cal.fits"], "raoffset": [0.4], "decoffset": [-0.2], "units": "arcsec"}
    asdf.AsdfFile(tree).write_to(path)
    moved = build(reference, [exposure()], offset_file=str(path))
    own = build(reference, [exposure()])
    east = (moved.meta.wcsinfo.crval1 - own.meta.wcsinfo.crval1 + 180) % 360 - 180
    assert east * np.cos(np.radians(54)) * 3600 == pytest.approx(0.4, abs=1e-5)
    assert (moved.meta.wcsinfo.crval2 - own.meta.wcsinfo.crval2) * 3600 == pytest.approx(
        -0.2, abs=1e-5
    )
    asdf.AsdfFile({**tree, "filename": ["y_cal.fits"]}).write_to(path)
    with pytest.raises(InputError, match=r"lacks x_cal.fits; it has: y_cal.fits"):
        build(reference, [exposure()], offset_file=str(path))
    asdf.AsdfFile({**tree, "raoffset": [1.0, 2.0]}).write_to(path)
    with pytest.raises(ParameterError, match=r"columns of \[1, 2\] entries"):
        build(reference, [exposure()], offset_file=str(path))


def test_what_cannot_be_built_is_refused(reference: str, monkeypatch: Any) -> None:
    """Bands that there are not, a reference without the band, and more than the memory."""
    with pytest.raises(ParameterError, match="there are: 1-short"):
        build(reference, [exposure()], channel="2")
    other = exposure()
    other.meta.instrument.band = "LONG"
    with pytest.raises(ReferenceMissing, match="lacks the band 1-long; it has: 1-short"):
        build(reference, [other])
    image = exposure()
    image.meta.exposure.type = "MIR_IMAGE"
    with pytest.raises(InputError, match="MIR_IMAGE"):
        build(reference, [image])
    with pytest.raises(ParameterError, match=r"5\.06 is not below wavemax 5\.05"):
        build(reference, [exposure()], wavemin=5.06)
    monkeypatch.setattr(module, "memory_of_machine", lambda: 10_000)
    with pytest.raises(ParameterError, match="Ask for larger spaxels"):
        build(reference, [exposure()])
