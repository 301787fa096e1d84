"""Spectra of the LRS beside those of the peer: source types, fluxes, apertures and extraction."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stars_in_slits
from reference_headers import described

from stpipe import models
from stpipe.demo import lrs
from stpipe.demo.headers import keywords
from stpipe.demo.observation import SPECTRA
from stpipe.demo.optics import distortion_model
from stpipe.demo.reference_files import PRISM_SUBARRAYS
from stpipe.models import dqflags
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.photom.step import PhotomStep
from stpipe.steps.stage2.srctype import SourceTypeStep

Peer = Callable[..., Path]
MIRI = SPECTRA[0].detector
SLITS = ("FIXEDSLIT", "SLITLESS")


def rate(slit: str, integrations: int, seed: int) -> Any:
    """A noisy LRS exposure of a star, with flags and pixels that are not known."""
    plan = next(o for o in SPECTRA if o.spectrum.kind == slit)
    rng = np.random.default_rng(seed)
    made = models.CubeModel() if integrations else models.ImageModel()
    shape = (*((integrations,) if integrations else ()), *plan.subarray.shape)
    light = lrs.light(plan.detector, plan.subarray, plan.spectrum, 0.5) / plan.detector.gain
    data = rng.normal(2, 0.3, shape) + light * 20 / light.max()
    made.var_poisson = rng.uniform(0.01, 0.2, shape).astype(np.float32)
    made.var_rnoise = rng.uniform(0.01, 0.1, shape).astype(np.float32)
    made.var_flat = rng.uniform(0.001, 0.01, shape).astype(np.float32)
    made.err = np.sqrt(made.var_poisson + made.var_rnoise + made.var_flat)
    made.dq = np.where(rng.random(shape) < 0.02, dqflags.DO_NOT_USE, 0).astype(np.uint32)
    data[rng.random(shape) < 0.02] = np.nan
    made.data = data.astype(np.float32)
    values = {
        **keywords(plan),
        "meta.exposure.nints": integrations or 1,
        "meta.exposure.integration_start": 3,
        "meta.exposure.integration_end": 2 + (integrations or 1),
        "meta.visit.tsovisit": bool(integrations),
        "meta.wcsinfo.velosys": 20_000.0,
    }
    if integrations:
        made.int_times = int_times(integrations)
    for path, value in values.items():
        made.set(path, value)
    return made


def int_times(integrations: int) -> Any:
    """Times of more integrations than a segment of a time series has."""
    table = np.zeros(integrations + 4, models.CubeModel().schema.arrays["int_times"].dtype)
    table["integration_number"] = 1 + np.arange(len(table))
    for number, name in enumerate(table.dtype.names[1:]):
        table[name] = 60_100 + 0.001 * np.arange(len(table)) + 0.1 * number
    return table


def photom(path: Path, laws: tuple[str, ...] = ()) -> Path:
    """A PHOTOM reference of the LRS: wavelengths in falling order, with losses of sensitivity."""
    model = models.MirLrsPhotomModel()
    rows = lrs.photom_rows(model, PRISM_SUBARRAYS, 31.5)
    rows["wavelength"], rows["relresponse"] = (
        rows["wavelength"][:, ::-1],
        rows["relresponse"][:, ::-1],
    )
    model.phot_table = rows
    for law in laws:
        name = f"timecoeff_{law}"
        table = np.zeros(2, model.schema.arrays[name].dtype)
        table["filter"], table["subarray"] = rows["filter"], rows["subarray"]
        numbers = {"t0": 59_700.5, "lossperyear": 0.03, "amplitude": 0.2, "tau": 200.0}
        for column in {"const": 0.9, **numbers}.keys() & set(table.dtype.names):
            table[column] = {"const": 0.9, **numbers}[column]
        model.set(name, table)
    model.meta.photometry.pixelarea_arcsecsq = 0.0121
    model.meta.photometry.pixelarea_steradians = 2.84e-13
    return Path(described(model, "photom", "MIRI", "MIRIMAGE").save(path))


def apcorr(path: Path) -> Path:
    """An APCORR reference of the LRS."""
    model = models.MirLrsApcorrModel()
    model.apcorr_table = lrs.apcorr_rows(model, PRISM_SUBARRAYS)
    model.sizeunit = "pixels"
    return Path(described(model, "apcorr", "MIRI", "MIRIMAGE").save(path))


def distortion(path: Path) -> Path:
    """The distortion of the demo's MIRI."""
    model = models.DistortionModel()
    model.model = distortion_model(MIRI)
    return Path(described(model, "distortion", "MIRI", "MIRIMAGE").save(path))


def specwcs(path: Path, *, straight: bool) -> Path:
    """A SPECWCS reference of LRS."""
    model = models.MiriLRSSpecwcsModel()
    lrs.fill_specwcs(model, straight=straight)
    return Path(described(model, "specwcs", "MIRI", "MIRIMAGE").save(path))


def extract1d(path: Path, slit: str, **entry: Any) -> Path:
    """An EXTRACT1D reference in JSON."""
    other = {"id": "MIR_LRS-OTHER", "region_type": "target", "xstart": 1, "xstop": 2}
    own = {"id": f"MIR_LRS-{slit}", "region_type": "target", "dispaxis": 2, **entry}
    background = {"id": f"MIR_LRS-{slit}", "region_type": "background"}
    content = {"REFTYPE": "EXTRACT1D", "INSTRUME": "MIRI", "apertures": [other, background, own]}
    path.write_text(json.dumps(content))
    return path


def calibrated(
    folder: Path, slit: str, integrations: int, *, straight: bool = False, photom_too: bool = True
) -> Path:
    """A calibrated exposure with wavelengths, made by our steps."""
    image = rate(slit, integrations, 3)
    files = {"distortion": str(distortion(folder / "distortion.asdf")), "filteroffset": "N/A"}
    files["specwcs"] = str(specwcs(folder / "specwcs.fits", straight=straight))
    parameters = {f"override_{name}": file for name, file in files.items()}
    image = SourceTypeStep().run(AssignWcsStep(**parameters).run(image))
    if photom_too:
        name = str(photom(folder / "photom.fits"))
        image = PhotomStep(override_photom=name, override_area="N/A").run(image)
    return Path(image.save(folder / ("x_calints.fits" if integrations else "x_cal.fits")))


TYPES = [
    ({}, None),
    ({"meta.target.source_type_apt": "EXTENDED"}, None),
    ({"meta.target.source_type_apt": "POINT"}, None),
    ({"meta.target.source_type_apt": "POINT"}, "EXTENDED"),
    ({"meta.target.source_type": "EXTENDED"}, None),
    ({"meta.target.source_type_apt": "UNKNOWN", "meta.dither.primary_type": "2-POINT-NOD"}, None),
    ({"meta.observation.bkgdtarg": True, "meta.target.source_type_apt": "POINT"}, None),
    ({"meta.visit.tsovisit": True, "meta.exposure.nints": 5}, None),
    ({"meta.visit.tsovisit": True, "meta.target.source_type_apt": "EXTENDED"}, None),
    ({"meta.dither.primary_type": "NONE", "meta.dither.optimized_for": "POINT-SOURCE"}, None),
]
KINDS = ("MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS", "MIR_MRS", "NRS_BRIGHTOBJ", "NRS_IFU")


@pytest.mark.parametrize("kind", KINDS)
def test_source_types(peer_step: Peer, tmp_path: Path, kind: str) -> None:
    """Whatever header and user say."""
    for number, (values, wanted) in enumerate(TYPES):
        image = models.ImageModel(np.ones((8, 8), np.float32))
        header = {"meta.telescope": "JWST", "meta.exposure.type": kind, "meta.exposure.nints": 1}
        for path, value in {**header, **values}.items():
            image.set(path, value)
        source = image.save(tmp_path / f"{number}_rate.fits")
        theirs = peer_step("jwst.srctype:SourceTypeStep", source, source_type=wanted)
        ours = SourceTypeStep(source_type=wanted).run(source)
        with models.open(theirs) as expected:
            asked = ("source_type", "source_type_apt")
            one, other = ([getattr(m.meta.target, a) for a in asked] for m in (expected, ours))
            assert one == other, (values, wanted)


@pytest.mark.parametrize("slit", SLITS)
@pytest.mark.parametrize("integrations", [0, 2])
@pytest.mark.parametrize("laws", [(), ("linear", "exponential")])
def test_photom(
    peer_step: Peer, tmp_path: Path, slit: str, integrations: int, laws: tuple[str, ...]
) -> None:
    """A factor for every wavelength; pixels without one are not to be used."""
    source = calibrated(tmp_path, slit, integrations, photom_too=False)
    name = str(photom(tmp_path / "photom.fits", laws))
    parameters = {"override_photom": name, "override_area": "N/A"}
    theirs = peer_step("jwst.photom:PhotomStep", source, **parameters)
    ours = PhotomStep(**parameters).run(source).save(tmp_path / "y_cal.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        for array in ("data", "err", "var_poisson", "var_rnoise", "var_flat"):
            one, other = getattr(expected, array), getattr(found, array)
            np.testing.assert_allclose(one, other, rtol=2e-5, err_msg=array)
        np.testing.assert_array_equal(expected.dq, found.dq)
        for name in ("conversion_megajanskys", "pixelarea_steradians"):
            one, other = (m.get(f"meta.photometry.{name}") for m in (expected, found))
            assert pytest.approx(one, rel=1e-6) == other
    peer_step("read", ours)


def apertures(slit: str) -> dict[str, dict[str, Any]]:
    """Entries of a reference, each with another way to say where to extract."""
    left, right = (33, 43) if slit == "SLITLESS" else (321, 331)
    sides = [[left - 12.0], [left - 3.2], [right + 2.7], [right + 11.0]]
    return {
        "columns": {"xstart": left, "xstop": right},
        "half columns": {"xstart": left + 0.3, "xstop": right - 0.2, "ystart": 20, "ystop": 380},
        "width": {"xstart": left, "xstop": right, "extract_width": 6.5, "bkg_order": 0},
        "polynomials": {
            "src_coeff": [[left + 0.2, 2e-3], [right - 0.4, 2e-3]],
            "bkg_coeff": sides,
            "bkg_order": 1,
        },
        "by wavelength": {
            "src_coeff": [[left - 0.3, 0.05], [right + 0.4, -0.03]],
            "bkg_coeff": [[left - 15.0, 0.3], [left - 3.0], [right + 3.0, 0.1], [right + 12.0]],
            "independent_var": "wavelength",
            "ystart": 30,
            "ystop": 370,
            "bkg_fit": "poly",
            "bkg_order": 2,
            "smoothing_length": 5,
        },
        "median": {
            "xstart": left,
            "xstop": right,
            "bkg_coeff": sides,
            "bkg_fit": "median",
            "smoothing_length": 3,
        },
        "two": {
            "src_coeff": [[left - 0.5], [left + 4.0], [right - 3.0], [right + 0.5]],
            "bkg_coeff": sides[:2],
            "use_source_posn": False,
        },
    }


PARAMETERS: dict[str, dict[str, Any]] = {
    "reference": {},
    "mean": {"bkg_fit": "mean", "smoothing_length": 7, "position_offset": 0.35},
    "fixed": {"use_source_posn": False, "apply_apcorr": False, "bkg_order": 1},
    "no background": {"subtract_background": False, "position_offset": -1.6},
}


@pytest.mark.parametrize(
    ("slit", "integrations"), [("FIXEDSLIT", 0), ("SLITLESS", 0), ("SLITLESS", 3)]
)
@pytest.mark.parametrize("choice", PARAMETERS)
def test_extraction(
    peer_step: Peer, tmp_path: Path, slit: str, integrations: int, choice: str
) -> None:
    """Every way to describe an aperture, every background: all columns of the table."""
    # The peer reads a bent trace some rows off; tests/science holds ours against the truth.
    source = calibrated(tmp_path, slit, integrations, straight=True)
    files = {"apcorr": str(apcorr(tmp_path / "apcorr.fits"))}
    everywhere = with_wavelengths(source)
    for name, entry in apertures(slit).items():
        # Of a mean limit that is NaN the peer makes a header that cannot be saved.
        given = everywhere if "wavelength" in name else source
        files["extract1d"] = str(extract1d(tmp_path / "extract1d.json", slit, **entry))
        parameters = {f"override_{n}": p for n, p in files.items()} | PARAMETERS[choice]
        theirs = peer_step("jwst.extract_1d:Extract1dStep", given, **parameters)
        ours = Extract1dStep(**parameters).run(given)
        same_spectra(theirs, ours.save(tmp_path / "x_x1d.fits"), name)
    peer_step("read", tmp_path / "x_x1d.fits")


def test_optimal_extraction(peer_step: Peer, tmp_path: Path) -> None:
    """The profile of a source along rows, whose place is fitted, above a level."""
    source = calibrated(tmp_path, "FIXEDSLIT", 0, straight=True)
    entry = {"xstart": 321, "xstop": 331, "bkg_coeff": [[309.0], [318.0]]}
    waves = np.linspace(4, 15, stars_in_slits.WAVES.size)
    parameters = {
        "extraction_type": "optimal",
        "override_extract1d": str(extract1d(tmp_path / "extract1d.json", "FIXEDSLIT", **entry)),
        "override_psf": stars_in_slits.psf(tmp_path / "psf.fits", waves=waves, direction=2),
        "override_apcorr": "N/A",
    }
    theirs = peer_step("jwst.extract_1d:Extract1dStep", source, **parameters)
    ours = Extract1dStep(**parameters).run(source)

    with models.open(theirs) as expected:
        one, other = expected.spec[0].spec_table, ours.spec[0].spec_table
    for column in ("WAVELENGTH", "FLUX", "FLUX_ERROR", "BACKGROUND", "NPIXELS"):
        left, right = one[column], other[column]
        atol = 2e-5 * np.nanmax(np.abs(left))  # places agree to 1e-4 pixels
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=atol, err_msg=column)


def test_a_real_time_series(peer_step: Peer, tmp_path: Path) -> None:
    """A file that ships with the peer, with its gwcs, and an array of wavelengths that is empty."""
    interpreter = os.environ["PEER_PYTHON"]
    code = "import importlib.util as u; print(u.find_spec('jwst').submodule_search_locations[0])"
    command = [interpreter, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    source = Path(done.stdout.strip()) / "stpipe/tests/data/miri_data.fits"
    sides = [[10.5], [20.5], [50.5], [65.5]]
    entry = {"xstart": 33, "xstop": 41, "extract_width": 8, "bkg_coeff": sides, "bkg_order": 1}
    files = {"extract1d": str(extract1d(tmp_path / "extract1d.json", "SLITLESS", **entry))}
    parameters = {f"override_{n}": p for n, p in {**files, "apcorr": "N/A"}.items()}
    theirs = peer_step("jwst.extract_1d:Extract1dStep", source, **parameters)
    ours = Extract1dStep(**parameters).run(source).save(tmp_path / "x_x1dints.fits")

    same_spectra(theirs, ours, "real")
    peer_step("read", ours)


def with_wavelengths(source: Path) -> Path:
    """The same exposure with a wavelength also where there is no light."""
    with models.open(source) as image:
        image.wavelength = np.nan_to_num(image.wavelength, nan=3.0)
        return Path(image.save(source.with_name(f"w_{source.name}")))


def same_spectra(theirs: Path, ours: Path, name: str) -> None:
    """The same tables to 1e-4, flags bit for bit, and the same description."""
    with models.open(theirs) as expected, models.open(ours) as found:
        assert type(expected) is type(found)
        assert len(found.spec) == len(expected.spec) == 1
        one, other = expected.spec[0], found.spec[0]
        assert one.spec_table.dtype.names == other.spec_table.dtype.names
        for column in one.spec_table.dtype.names:
            left, right = one.spec_table[column], other.spec_table[column]
            atol = 1e-7 * np.nan_to_num(np.abs(left)).max() if left.dtype.kind == "f" else 0
            message = f"{name}: {column}"
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=atol, err_msg=message)
        assert one.units("spec_table") == other.units("spec_table")
        for path in ("spectral_order", "dispersion_direction", "detector", "name"):
            assert one.get(path) == other.get(path), path
        for path in ("slit_ra", "slit_dec", *(f"extraction_{e}" for e in EDGES)):
            assert pytest.approx(one.get(path), abs=1e-5) == other.get(path), path
        waves = one.meta.wcs(np.arange(5.0))[2]
        np.testing.assert_allclose(waves, other.meta.wcs(np.arange(5.0))[2], rtol=1e-6)


EDGES = ("xstart", "xstop", "ystart", "ystop")
