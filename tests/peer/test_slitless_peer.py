"""Cutouts of slitless spectra beside those of the peer, from real references of NIRISS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from stpipe import models
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.extract_2d.step import Extract2dStep
from stpipe.steps.stage2.photom.step import PhotomStep
from stpipe.steps.stage2.srctype import SourceTypeStep

Peer = Callable[..., Path]
SHARED = Path(__file__).parents[3] / "shared/data/crds_jwst/references/jwst/niriss"
GRISMS = {"GR150R": (2, 33.70), "GR150C": (1, 354.30)}  # direction, position of the wheel


def reference(name: str) -> str:
    """A real reference file."""
    path = SHARED / f"jwst_niriss_{name}.asdf"
    if not path.is_file():
        pytest.skip(f"there is no {path}: the folder of shared data is absent")
    return str(path)


def specwcs(grism: str, pupil: str) -> str:
    """The real reference for a grism and a filter."""
    reference("specwcs_0003")
    for path in sorted(SHARED.glob("jwst_niriss_specwcs_*.asdf")):
        with models.open(path) as model:
            optics = model.meta.instrument
            if (optics.filter, optics.pupil) == (grism, pupil):
                return str(path)
    pytest.fail(f"no specwcs for {grism} {pupil}")


def rate(grism: str, pupil: str, catalog: Path) -> Any:
    """A slitless exposure."""
    rng = np.random.default_rng(1)
    image = models.ImageModel(rng.normal(1, 0.1, (2048, 2048)).astype(np.float32))
    image.err = np.full_like(image.data, 0.1)
    image.var_poisson = image.var_rnoise = rng.uniform(0, 0.1, image.shape).astype(np.float32)
    image.dq = rng.integers(0, 2, image.shape).astype(np.uint32)
    values = {
        "telescope": "JWST",
        "source_catalog": str(catalog),
        "instrument.name": "NIRISS",
        "instrument.detector": "NIS",
        "instrument.filter": grism,
        "instrument.pupil": pupil,
        "instrument.filter_position": GRISMS[grism][1],
        "exposure.type": "NIS_WFSS",
        "observation.date": "2024-01-01",
        "observation.time": "00:00:00",
        "observation.program_number": "01234",
        "observation.observation_number": "001",
        "observation.visit_number": "001",
        "observation.visit_group": "02",
        "observation.sequence_id": "1",
        "observation.activity_id": "01",
        "observation.exposure_number": "00001",
        "subarray.name": "FULL",
        "wcsinfo.crpix1": 1024.5,
        "wcsinfo.crpix2": 1024.5,
        "wcsinfo.v2_ref": -290.1,
        "wcsinfo.v3_ref": -697.5,
        "wcsinfo.v3yangle": -0.57,
        "wcsinfo.vparity": -1,
        "wcsinfo.roll_ref": 33.0,
        "wcsinfo.ra_ref": 80.1,
        "wcsinfo.dec_ref": -69.5,
        "wcsinfo.velosys": 12_000.0,
        "velocity_aberration.scale_factor": 1.00003,
        **{f"subarray.{axis}start": 1 for axis in "xy"},
        **{f"subarray.{axis}size": 2048 for axis in "xy"},
    }
    for name, value in values.items():
        image.set(f"meta.{name}", value)
    return image


def write_catalog(path: Path, wcs: Any) -> None:
    """Sources all over the image and beyond its edges, points and extended ones."""
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-150, 2200, (2, 24))
    table = QTable({"label": 1 + np.arange(x.size), "xcentroid": x, "ycentroid": y})
    table["isophotal_abmag"] = rng.permutation(np.linspace(18, 26, x.size))
    table["isophotal_abmag_err"] = 0.1
    table["is_extended"] = rng.random(x.size) < 0.4
    corners = {"ll": (-1, -1), "lr": (1, -1), "ul": (-1, 1), "ur": (1, 1)}
    width, height = rng.uniform(3, 12, (2, x.size))
    for name, (dx, dy) in {"sky_centroid": (0, 0), **corners}.items():
        place = wcs(x + dx * width, y + dy * height, with_bounding_box=False)
        column = name if "sky" in name else f"sky_bbox_{name}"
        table[column] = SkyCoord(*place, unit="deg")
    table.write(path, format="ascii.ecsv")


class Both:
    """An exposure and its catalogue; what both make of it."""

    def __init__(self, peer_step: Peer, folder: Path, grism: str, pupil: str) -> None:
        self.peer, self.folder = peer_step, folder
        self.catalog = folder / "cat.ecsv"
        self.files = {"distortion": reference("distortion_0010"), "filteroffset": "N/A"}
        self.files |= {"specwcs": specwcs(grism, pupil)}
        self.files |= {"wavelengthrange": reference("wavelengthrange_0002")}
        source = rate(grism, pupil, self.catalog).save(folder / "x_rate.fits")
        assigning = self.overrides("distortion", "filteroffset", "specwcs")
        self.assigned = AssignWcsStep(**assigning).run(source)
        write_catalog(self.catalog, self.assigned.meta.wcs)
        self.theirs = peer_step("jwst.assign_wcs:AssignWcsStep", source, **assigning)

    def overrides(self, *types: str) -> dict[str, Any]:
        return {f"override_{name}": self.files[name] for name in types}

    def cut(self, **parameters: Any) -> tuple[Path, Any]:
        """Their file of all cutouts, and ours."""
        given = self.overrides("wavelengthrange") | parameters
        theirs = self.peer("jwst.extract_2d:Extract2dStep", self.theirs, **given)
        given |= self.overrides("specwcs")
        ours = Extract2dStep(source_catalog=str(self.catalog), **given).run(self.assigned)
        return theirs, ours


@pytest.fixture(scope="module", params=[("GR150R", "F150W"), ("GR150C", "F090W")], ids="-".join)
def both(
    peer_step: Peer, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    """An exposure through each grism."""
    return Both(peer_step, tmp_path_factory.mktemp("slitless"), *request.param)


@pytest.mark.parametrize("parameters", [{}, {"wfss_nbright": 9, "wfss_mmag_extract": 25.0}])
def test_cutouts(both: Both, peer_step: Peer, tmp_path: Path, parameters: dict[str, Any]) -> None:
    """The same sources in the same order, the same pixels, and their wavelengths."""
    theirs, ours = both.cut(**parameters)

    wcsinfo = both.assigned.meta.wcsinfo
    assert wcsinfo.dispersion_direction == GRISMS[both.assigned.meta.instrument.filter][0]
    with models.MultiSlitModel(theirs) as expected:
        assert len(expected.slits) > 5
        assert [slit.name for slit in expected.slits] == [slit.name for slit in ours.slits]
        for one, other in zip(expected.slits, ours.slits, strict=True):
            same_cutout(one, other)
    peer_step("read", ours.save(tmp_path / "x_extract_2d.fits"))


def photom(path: Path) -> Path:
    """A PHOTOM reference for two orders, in an old unit."""
    model = models.NisWfssPhotomModel()
    waves = np.linspace(7_000, 25_000, 500) / 1e4
    schema = model.schema.arrays["phot_table"].dtype
    arrays = {"wavelength": waves, "relresponse": 1 + 0.2 * (waves - 1.2) ** 2}
    arrays["reluncertainty"] = 0 * waves
    fields = [(n, schema[n].base, arrays[n].shape if n in arrays else ()) for n in schema.names]
    rows = np.zeros(2, fields)
    rows["filter"], rows["pupil"], rows["order"] = "GR150R", "F150W", (2, 1)
    rows["photmjsr"], rows["nelem"] = (9.0, 2.5), waves.size
    for name, values in arrays.items():
        rows[name] = values
    model.phot_table = rows
    values = {
        "meta.telescope": "JWST",
        "meta.reftype": "PHOTOM",
        "meta.pedigree": "DUMMY",
        "meta.author": "test",
        "meta.description": "test",
        "meta.useafter": "2020-01-01T00:00:00",
        "meta.instrument.name": "NIRISS",
        "meta.photometry.pixelarea_steradians": 1e-13,
        "meta.photometry.pixelarea_arcsecsq": 0.004,
        "phot_unit": "MJy Angstrom s / (DN sr)",
    }
    for name, value in values.items():
        model.set(name, value)
    return Path(model.save(path))


@pytest.mark.parametrize("both", [("GR150R", "F150W")], indirect=True, ids="-".join)
def test_fluxes(both: Both, peer_step: Peer, tmp_path: Path) -> None:
    """Through dispersion and response; then sums over the cutouts.

    Wavelengths are single precision: from pixel to pixel they change with errors of some 1e-5.
    """
    theirs, ours = both.cut(wfss_nbright=6)
    flux = {"override_photom": str(photom(tmp_path / "photom.fits")), "override_area": "N/A"}
    theirs = peer_step("jwst.srctype:SourceTypeStep", theirs)
    theirs = peer_step("jwst.photom:PhotomStep", theirs, **flux)
    calibrated = PhotomStep(**flux).run(SourceTypeStep().run(ours))

    with models.MultiSlitModel(theirs) as expected:
        for one, other in zip(expected.slits, calibrated.slits, strict=True):
            assert one.source_type == other.source_type
            for name in ("data", "err", "var_poisson", "var_rnoise"):
                left, right = getattr(one, name), getattr(other, name)
                np.testing.assert_allclose(left, right, rtol=3e-4, err_msg=name)
            np.testing.assert_array_equal(one.dq, other.dq)
    whole = {"override_apcorr": "N/A"}
    spectra = peer_step("jwst.extract_1d:Extract1dStep", theirs, **whole)
    product = Extract1dStep(**whole).run(calibrated)
    with models.WFSSMultiSpecModel(spectra) as expected:
        for one, other in zip(expected.spec, product.spec, strict=True):
            assert one.spectral_order == other.spectral_order
            same_spectra(one.spec_table, other.spec_table)
    peer_step("read", product.save(tmp_path / "x_x1d.fits"))


def same_spectra(one: Any, other: Any) -> None:
    """The same rows of sources, with the same values; the peer pads with NaN."""
    np.testing.assert_array_equal(one["SOURCE_ID"], other["SOURCE_ID"])
    for name in other.dtype.names:
        left, right = one[name], other[name]
        if left.ndim > 1:
            left = left[:, : right.shape[1]]
        if left.dtype.kind == "S":
            assert left.tolist() == right.tolist()
        elif name.startswith("EXTRACT2D") or left.dtype.kind in "iu":
            np.testing.assert_array_equal(left, right, err_msg=name)
        else:
            np.testing.assert_allclose(left, right, rtol=3e-4, err_msg=name)


def same_cutout(one: Any, other: Any) -> None:
    """Place, source, pixels and wavelengths."""
    assert one.shape == other.shape
    for name in ("xstart", "ystart", "xsize", "ysize", "source_id"):
        assert one.get(name) == other.get(name), name
    for name in ("source_xpos", "source_ypos", "source_ra", "source_dec"):
        assert pytest.approx(one.get(name), abs=1e-6) == other.get(name), name
    assert one.get("meta.wcsinfo.spectral_order") == other.get("meta.wcsinfo.spectral_order")
    for name in ("data", "err", "dq", "var_poisson", "var_rnoise"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    # The peer turns traces one way to find the pixels, and the other way to find wavelengths.
    along = {1: 1, 2: 0}[other.meta.wcsinfo.dispersion_direction]
    pixel = np.abs(np.diff(one.wavelength, axis=along)).mean()
    np.testing.assert_allclose(one.wavelength, other.wavelength, rtol=0, atol=0.01 * pixel)
