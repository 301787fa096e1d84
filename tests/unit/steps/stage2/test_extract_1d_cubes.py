"""Spectra of cubes: the light of a star in circles, of everything, and where the star is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import asdf
import cubes
import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError, ReferenceMissing
from stpipe.steps.stage2.extract_1d.step import Extract1dStep

STAR = (17.3, 11.6)


def extracted(cube: Any, folder: Path, **parameters: Any) -> Any:
    """The spectrum of a cube, without aperture correction unless asked for."""
    given = {
        "override_extract1d": cubes.extract1d(folder / "extract1d.asdf"),
        "override_apcorr": "N/A",
        "center_xy": STAR,
        **parameters,
    }
    return Extract1dStep(**given).run(cube).spec[0]


def enclosed(radius: Any) -> Any:
    """Part of the star's light in a circle, arcsec."""
    return 1 - np.exp(-0.5 * (radius / cubes.SPAXEL / cubes.WIDTH) ** 2)


def radius(waves: Any) -> Any:
    """Radius of the circles, arcsec."""
    return 0.5 + 0.1 * (waves - 4.8)


@pytest.mark.parametrize("kind", ["MIR_MRS", "NRS_IFU"])
@pytest.mark.parametrize("method", ["exact", "subpixel"])
def test_the_flux_of_a_star_above_its_background(tmp_path: Path, kind: str, method: str) -> None:
    """In Jy, with the part of it that the circle of its wavelength holds; the background in MJy/sr."""
    cube = cubes.cube(kind, STAR)
    reference = cubes.extract1d(tmp_path / "e.asdf", method=method)
    spectrum = extracted(cube, tmp_path, override_extract1d=reference)
    table = spectrum.spec_table
    waves = 5 + 0.01 * np.arange(len(table))

    np.testing.assert_allclose(waves, table["WAVELENGTH"], rtol=1e-12)
    truth = cubes.flux_of(waves) * enclosed(radius(waves))
    # Spaxels on the edge are not small beside the star.
    np.testing.assert_allclose(truth, table["FLUX"], rtol=0.03)
    np.testing.assert_allclose(cubes.BACKGROUND, table["BACKGROUND"], rtol=0.01)
    area = np.pi * (radius(waves) / cubes.SPAXEL) ** 2
    np.testing.assert_allclose(area, table["NPIXELS"], rtol=1e-6 if method == "exact" else 0.01)
    np.testing.assert_allclose(
        table["FLUX"] / (cubes.AREA * 1e6) / area, table["SURF_BRIGHT"], rtol=0.01
    )
    assert "POINT" == spectrum.source_type
    assert STAR == (spectrum.extraction_x, spectrum.extraction_y)
    assert cubes.sky_of(*STAR) == pytest.approx((spectrum.slit_ra, spectrum.slit_dec))


def test_a_wide_circle_has_all_light(tmp_path: Path) -> None:
    """The flux of the star, exactly."""
    cube = cubes.cube(source=(16.3, 11.6))
    cube.data = cube.data - np.float32(cubes.BACKGROUND)
    wide = cubes.extract1d(tmp_path / "e.asdf", scale=2.5)
    given = {"override_extract1d": wide, "subtract_background": False, "center_xy": (16.3, 11.6)}
    table = extracted(cube, tmp_path, **given).spec_table
    np.testing.assert_allclose(cubes.flux_of(table["WAVELENGTH"]), table["FLUX"], rtol=2e-4)


def test_errors_are_those_of_independent_voxels(tmp_path: Path) -> None:
    """Of the circle, and of the ring scaled to its area; `ifu_covar_scale` makes them larger."""
    cube = cubes.cube()
    cube.err = np.full(cube.shape, 0.2, np.float32)
    cube.weightmap[...] = 1
    cube.data = np.nan_to_num(cube.data, nan=cubes.BACKGROUND)
    plain = extracted(cube, tmp_path).spec_table
    alone = extracted(cube, tmp_path, subtract_background=False).spec_table
    scaled = extracted(cube, tmp_path, ifu_covar_scale=1.5).spec_table

    inside = plain["NPIXELS"]
    per_pixel = 0.2 * cubes.AREA * 1e6
    np.testing.assert_allclose(np.sqrt(inside) * per_pixel, alone["FLUX_ERROR"], rtol=1e-6)
    ring = 5 * inside  # 2 to 3 radii
    expected = np.sqrt(inside + inside**2 / ring) * per_pixel
    np.testing.assert_allclose(expected, plain["FLUX_ERROR"], rtol=0.01)
    for column in ("FLUX_ERROR", "SB_ERROR", "BKGD_ERROR"):
        np.testing.assert_allclose(1.5 * plain[column], scaled[column], rtol=1e-12)
    assert not alone["BACKGROUND"].any()
    assert not any(plain[f"FLUX_VAR_{noise}"].any() for noise in ("POISSON", "RNOISE", "FLAT"))


def test_outliers_do_not_count_in_the_background(tmp_path: Path) -> None:
    """A bright voxel in the ring changes nothing; with a wide clip it does."""
    cube = cubes.cube(noise=0.01)
    clean = extracted(cube, tmp_path).spec_table["FLUX"]
    row, column = int(STAR[1]) + 7, int(STAR[0])  # within 2 and 3 radii
    cube = cubes.cube(noise=0.01)
    cube.data[:, row, column] = 500
    clipped = extracted(cube, tmp_path).spec_table["FLUX"]
    wide = extracted(cube, tmp_path, bkg_sigma_clip=1e3).spec_table["FLUX"]

    np.testing.assert_allclose(clean, clipped, rtol=1e-3)
    assert (wide < clean - 5e-5).all()


def test_without_weights_all_values_count(tmp_path: Path) -> None:
    """Once each; profiles and scenes of cubes are not asked for."""
    cube = cubes.cube()
    other = models.IFUCubeModel(cube.data)
    other.update(cube)
    other.err, other.meta.wcs = cube.err, cube.meta.wcs
    given = {"ifu_autocen": True, "center_xy": None, "save_profile": True}
    one, two = (extracted(each, tmp_path, **given) for each in (cube, other))
    np.testing.assert_allclose(one.spec_table["FLUX"], two.spec_table["FLUX"], rtol=1e-12)
    assert one.extraction_x == two.extraction_x


def test_what_was_not_seen_does_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plane without weight in the circle is DO_NOT_USE; values that are not finite are not seen."""
    cube = cubes.cube()
    cube.weightmap[3] = 0
    cube.data[5, 12, 17] = np.nan  # wholly within the circle
    with caplog.at_level(logging.WARNING):
        table = extracted(cube, tmp_path).spec_table

    assert "Nothing was seen in the aperture in 1 of 24 planes" in caplog.text
    assert [3] == np.flatnonzero(table["DQ"]).tolist()
    assert 0 == table["FLUX"][3]
    assert table["NPIXELS"][3] == pytest.approx(table["NPIXELS"][2], rel=0.02)
    assert table["NPIXELS"][4] - table["NPIXELS"][5] == pytest.approx(1, abs=0.2)  # they grow
    assert np.isfinite(table["FLUX"]).all()


def test_an_extended_source_is_everything(tmp_path: Path) -> None:
    """All spaxels that were seen, without a background; no EXTRACT1D reference is needed."""
    cube = cubes.cube(noise=0.1)
    cube.meta.target.source_type = "EXTENDED"
    spectrum = extracted(cube, tmp_path, override_extract1d="N/A", center_xy=None)
    table = spectrum.spec_table

    seen = cube.weightmap[0] > 0
    np.testing.assert_allclose(seen.sum(), table["NPIXELS"])
    sums = cube.data[:, seen].sum(axis=1, dtype=float)
    np.testing.assert_allclose(sums * cubes.AREA * 1e6, table["FLUX"], rtol=1e-7)
    np.testing.assert_allclose(sums / seen.sum(), table["SURF_BRIGHT"], rtol=1e-7)
    # The star is clipped away.
    np.testing.assert_allclose(cubes.BACKGROUND, table["BACKGROUND"], rtol=0.03)
    assert "EXTENDED" == spectrum.source_type


def test_parameters_and_header_say_what_the_source_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`ifu_set_srctype` for MIRI alone; a source of unknown type is extended."""
    cube = cubes.cube()
    assert "EXTENDED" == extracted(cube, tmp_path, ifu_set_srctype="EXTENDED").source_type
    cube = cubes.cube("NRS_IFU")
    with caplog.at_level(logging.WARNING):
        assert "POINT" == extracted(cube, tmp_path, ifu_set_srctype="EXTENDED").source_type
        cube.meta.target.source_type = "UNKNOWN"
        assert "EXTENDED" == extracted(cube, tmp_path).source_type
    assert "ifu_set_srctype has no effect" in caplog.text
    assert "source type is UNKNOWN" in caplog.text


def test_circles_of_another_width(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`ifu_rscale` in widths of the star, of which the reference has two; for MIRI alone."""
    usual = extracted(cubes.cube(), tmp_path).spec_table["NPIXELS"]
    half = extracted(cubes.cube(), tmp_path, ifu_rscale=1.0).spec_table["NPIXELS"]
    np.testing.assert_allclose(usual / 4, half, rtol=0.03)
    with caplog.at_level(logging.WARNING):
        other = extracted(cubes.cube("NRS_IFU"), tmp_path, ifu_rscale=1.0).spec_table["NPIXELS"]
    np.testing.assert_allclose(usual, other)
    assert "ifu_rscale has no effect" in caplog.text


def test_where_the_source_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By pixel, by place on the sky, by what is seen, or the spaxel nearest to the target."""
    cube = cubes.cube(noise=0.05)

    def centre(**parameters: Any) -> Any:
        found = extracted(cube, tmp_path, **{"center_xy": None, **parameters})
        return found.extraction_x, found.extraction_y

    assert centre(center_radec=cubes.sky_of(9.25, 8.5)) == pytest.approx((9.25, 8.5), abs=1e-6)
    assert centre(ifu_autocen=True) == pytest.approx(STAR, abs=0.05)
    assert (17, 12) == centre()
    with pytest.raises(InputError, match=r"outside the cube, whose middle is 29\.99"):
        centre(center_radec=(30.1, -20))
    cube.meta.target.ra = 30.1
    with caplog.at_level(logging.WARNING):
        assert (15.5, 12.5) == centre()
    assert "is not in the cube; the middle is used" in caplog.text


def test_noise_at_the_border_is_no_star(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Spaxels that few planes see do not count; without any star the target's place is taken."""
    cube = cubes.cube(noise=0.05)
    cube.data[:3, 10:13, 4:6] = 1e5
    cube.weightmap[3:, 10:13, 4:6] = 0
    found = extracted(cube, tmp_path, center_xy=None, ifu_autocen=True)
    assert STAR == pytest.approx((found.extraction_x, found.extraction_y), abs=0.05)

    cube = cubes.cube()
    cube.data[...] = cubes.BACKGROUND
    with caplog.at_level(logging.WARNING):
        found = extracted(cube, tmp_path, center_xy=None, ifu_autocen=True)
    assert (17, 12) == (found.extraction_x, found.extraction_y)
    assert "No star stands out" in caplog.text


@pytest.mark.parametrize("kind", ["MIR_MRS", "NRS_IFU"])
@pytest.mark.parametrize("inline", [True, False])
def test_light_beyond_the_circle_is_made_up_for(tmp_path: Path, kind: str, *, inline: bool) -> None:
    """By wavelength and radius; the background stays; arrays within the text or as blocks."""
    cube = cubes.cube(kind)
    reference = cubes.apcorr(tmp_path / "apcorr.asdf", kind)
    if not inline:
        with asdf.open(reference, lazy_load=False, memmap=False) as file:
            tree = file.tree
        asdf.AsdfFile(tree).write_to(reference, all_array_storage="internal")
    plain = extracted(cube, tmp_path).spec_table
    table = extracted(cube, tmp_path, override_apcorr=reference).spec_table
    same = extracted(cube, tmp_path, override_apcorr=reference, apply_apcorr=False).spec_table

    # The factor is 1 + 0.1 / radius at 0.3, 0.6 and 1.2, times 1 + 0.1 (wavelength - 4.8).
    growth = 1 + 0.1 * (table["WAVELENGTH"] - 4.8)
    at, wanted = np.array([0.3, 0.6, 1.2]), radius(table["WAVELENGTH"])
    factor = [np.interp(r, at * g, 1 + 0.1 / (at * g)) for r, g in zip(wanted, growth, strict=True)]
    for column in ("FLUX", "FLUX_ERROR", "SURF_BRIGHT", "SB_ERROR"):
        np.testing.assert_allclose(plain[column] * factor, table[column], rtol=2e-4)
    np.testing.assert_array_equal(plain["BACKGROUND"], table["BACKGROUND"])
    np.testing.assert_array_equal(plain["FLUX"], same["FLUX"])


def test_residual_fringes_are_taken_away(tmp_path: Path) -> None:
    """In the columns RF_* of a single band; of several, and if not asked for, they are NaN."""
    cube = cubes.cube(planes=400, noise=0.001)
    waves = 5 + 0.001 * np.arange(400)
    cube.meta.wcs = cubes.wcs(5.0, 0.001)
    wave = 1 + 0.03 * np.sin(2 * np.pi * 1e4 / waves / 2.9)
    cube.data = cube.data * wave[:, None, None].astype(np.float32)
    table = extracted(cube, tmp_path).spec_table
    smooth = table["FLUX"] / wave

    assert np.std(table["FLUX"] / smooth) > 0.02
    assert np.std(table["RF_FLUX"] / smooth) < 0.05 * 0.03 / np.sqrt(2)
    assert np.std(table["RF_SURF_BRIGHT"] * wave / table["SURF_BRIGHT"]) < 0.005
    assert np.std(table["RF_BACKGROUND"] * wave / table["BACKGROUND"]) < 0.005
    off = extracted(cube, tmp_path, ifu_rfcorr=False).spec_table
    cube.meta.instrument.channel = "12"
    several = extracted(cube, tmp_path).spec_table
    for column in ("RF_FLUX", "RF_SURF_BRIGHT", "RF_BACKGROUND"):
        assert np.isnan(off[column]).all()
        assert np.isnan(several[column]).all()


def test_planes_without_wavelength(tmp_path: Path) -> None:
    """At the ends they are left out."""
    from astropy.modeling.models import Tabular1D

    cube = cubes.cube(planes=10)
    waves = np.where(np.isin(np.arange(10), (0, 1, 9)), np.nan, 5 + 0.01 * np.arange(10))
    table = Tabular1D(np.arange(10.0), waves, method="nearest", bounds_error=False)
    cube.meta.wcs = cubes.wcs(5.0, 0.01, spectral=table)
    found = extracted(cube, tmp_path).spec_table
    np.testing.assert_allclose(waves[2:9], found["WAVELENGTH"])
    assert not found["DQ"].any()
    cube.meta.wcs = cubes.wcs(
        5.0, 0.01, spectral=Tabular1D(np.arange(10.0), waves * np.nan, bounds_error=False)
    )
    with pytest.raises(InputError, match=r"no plane of jw01_s3d\.fits has a wavelength"):
        extracted(cube, tmp_path)
    cube.meta.wcs = None
    with pytest.raises(InputError, match="has no gwcs"):
        extracted(cube, tmp_path)


def test_what_is_lacking_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Apertures of point sources, methods that are not known, rings."""
    cube = cubes.cube()
    with pytest.raises(ReferenceMissing, match="no EXTRACT1D reference"):
        extracted(cube, tmp_path, override_extract1d="N/A")
    odd = cubes.extract1d(tmp_path / "odd.asdf", method="guess")
    with pytest.raises(ReferenceMissing, match="the method is guess, allowed: subpixel"):
        extracted(cube, tmp_path, override_extract1d=odd)
    bare = cubes.extract1d(tmp_path / "bare.asdf", rings=False)
    with caplog.at_level(logging.WARNING):
        table = extracted(cube, tmp_path, override_extract1d=bare).spec_table
    assert not table["BACKGROUND"].any()
    assert "of 24 of 24 planes is not subtracted" in caplog.text


def test_the_product_is_that_of_the_archive(tmp_path: Path) -> None:
    """Models, columns and units; the cube stays as it was."""
    for kind, name in (("MIR_MRS", "MRSMultiSpecModel"), ("NRS_IFU", "MultiSpecModel")):
        path = cubes.cube(kind).save(tmp_path / f"{kind}_s3d.fits")
        before = path.read_bytes()
        step = Extract1dStep(
            override_extract1d=cubes.extract1d(tmp_path / "e.asdf"), override_apcorr="N/A"
        )
        kept = step.run(path).save(tmp_path / f"{kind}_x1d.fits")
        with models.open(kept) as product:
            assert name == type(product).__name__
            part = product.spec[0]
            assert (kind == "MIR_MRS") == ("RF_FLUX" in part.spec_table.dtype.names)
            units = part.units("spec_table")
            assert ("Jy", "MJy/sr", "(MJy/sr)^2") == tuple(
                units[n] for n in ("FLUX", "BACKGROUND", "SB_VAR_FLAT")
            )
            assert "COMPLETE" == product.meta.cal_step.extract_1d
            assert kind == part.name
            ra, dec, wave = part.meta.wcs(0)
            assert (ra, dec) == pytest.approx((part.slit_ra, part.slit_dec))
            assert 5 == pytest.approx(wave)
        assert before == path.read_bytes()
