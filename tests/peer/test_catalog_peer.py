"""Sources of a mosaic beside those of the peer: the same stars, places and fluxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.table import Table
from fields import Exposure, associate
from reference_headers import described

from stpipe import models
from stpipe.steps.resample import ResampleStep
from stpipe.steps.source_catalog import SourceCatalogStep

Peer = Callable[..., Path]
RADII = (3.0, 4.0, 5.0)  # pixels


def apcorr(path: Path) -> Path:
    """Circles of these radii, without a correction; the sky is far away."""
    model = models.NrcImgApcorrModel()
    table = np.zeros(3, model.schema.arrays["apcorr_table"].dtype)
    table["filter"], table["pupil"], table["apcorr"] = "F200W", "CLEAR", 1.0
    table["eefraction"], table["radius"] = (0.3, 0.5, 0.7), RADII
    table["skyin"], table["skyout"] = 9.0, 12.0
    model.apcorr_table = table
    return described(model, "APCORR", "NIRCAM", "NRCA1").save(path)


def vega(path: Path) -> Path:
    """An offset between magnitudes."""
    offsets = Table({"filter": ["F200W"], "pupil": ["CLEAR"], "abvega_offset": [1.7]})
    meta = {"telescope": "JWST", "reftype": "ABVEGAOFFSET", "pedigree": "DUMMY", "author": "test"}
    meta |= {"description": "test", "useafter": "2020-01-01T00:00:00"}
    meta |= {"instrument": {"name": "NIRCAM", "detector": "NRCA1"}}
    asdf.AsdfFile({"abvega_offset": offsets, "meta": meta}).write_to(path)
    return path


@pytest.fixture
def mosaic(tmp_path: Path) -> Path:
    """Four dithers of isolated stars."""
    shifts = [(0.0, 0.0), (0.21, 0.1), (-0.13, 0.28), (0.05, -0.3)]
    dithers = [Exposure(n, *shift, stars=25) for n, shift in enumerate(shifts, 1)]
    asn = associate(tmp_path, dithers, seed=12)
    return ResampleStep().run(asn).save(tmp_path / "x_i2d.fits")


def test_sources(peer_step: Peer, tmp_path: Path, mosaic: Path) -> None:
    """Both find the stars; places to a tenth of a pixel, as isophotes have them, and fluxes to 1 %."""
    references = {
        "override_apcorr": str(apcorr(tmp_path / "apcorr.fits")),
        "override_abvegaoffset": str(vega(tmp_path / "vega.asdf")),
    }
    theirs = peer_step("jwst.source_catalog:SourceCatalogStep", mosaic, npixels=10, **references)
    expected = Table.read(theirs, format="ascii.ecsv")
    found, segments = SourceCatalogStep(snr_threshold=5.0, aperture_radius=RADII[-1]).run(mosaic)

    table = found.catalog[np.isfinite(found.catalog["flux"])]
    assert len(table) > 15
    apart = np.hypot(
        table["xcentroid"][:, None] - np.asarray(expected["xcentroid"]),
        table["ycentroid"][:, None] - np.asarray(expected["ycentroid"]),
    )
    nearest = apart.argmin(axis=1)
    bright = table["abmag"] < np.median(table["abmag"]) + 1
    assert apart.min(axis=1)[bright].max() < 0.15
    same = expected[nearest]
    sky = same["sky_centroid"]
    np.testing.assert_allclose(table["ra"][bright], sky.ra.deg[bright], atol=4e-6)
    np.testing.assert_allclose(table["dec"][bright], sky.dec.deg[bright], atol=1.5e-6)
    ratio = table["flux"] / np.asarray(same["aper70_flux"])
    assert pytest.approx(1, abs=0.01) == np.median(ratio[bright])
    np.testing.assert_allclose(table["flux_err"][bright], same["aper70_flux_err"][bright], rtol=0.1)
    np.testing.assert_allclose(table["abmag"][bright], same["aper70_abmag"][bright], atol=0.05)
    peer_step("read", segments.save(tmp_path / "x_segm.fits"))
