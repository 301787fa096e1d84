"""master_background beside the peer's: slits, the slit of MIRI's prism, and slices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest
import sliced_light
from test_spectra_peer import calibrated

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage3.master_background import MasterBackgroundStep

Peer = Callable[..., Path]
STEP = "jwst.master_background:MasterBackgroundStep"
RANGES = {"NRS_FIXEDSLIT": (1.0, 1.6), "MIR_LRS-FIXEDSLIT": (6.0, 11.0), "MIR_MRS": (5.01, 5.06)}
POINT = ("pathloss", "flatfield", "photom")


def spectrum(path: Path, kind: str, seed: int) -> Path:
    """A noisy spectrum of the background; exposure times differ."""
    rng = np.random.default_rng(seed)
    model: Any = models.MRSMultiSpecModel() if kind == "MIR_MRS" else models.MultiSpecModel()
    model.spec.append({"spectral_order": 1})
    part = model.spec[0]
    table = np.zeros(90, part.schema.arrays["spec_table"].dtype)
    for column in table.dtype.names or ():
        if column != "DQ":
            table[column] = rng.uniform(1, 2, len(table))
    low, high = RANGES[kind]
    table["WAVELENGTH"] = np.linspace(low, high, 90) + 1e-4 * (high - low) * seed
    part.spec_table, part.source_type = table, "EXTENDED"
    model.meta.exposure.type, model.meta.exposure.exposure_time = kind, 100.0 * (1 + seed)
    model.meta.instrument.name = "NIRSPEC" if kind.startswith("NRS") else "MIRI"
    model.meta.observation.bkgdtarg = True
    return Path(model.save(path))


def science(kind: str, folder: Path) -> Path:
    """A calibrated exposure; a point source in a slit carries what was done for it."""
    if kind == "MIR_LRS-FIXEDSLIT":
        return calibrated(folder, "FIXEDSLIT", 0)
    if kind == "MIR_MRS":
        exposure = sliced_light.exposure()
        exposure.meta.instrument.detector = "MIRIFUSHORT"
        exposure.dq = np.random.default_rng(2).integers(0, 2, exposure.shape).astype(np.uint32)
        return Path(exposure.save(folder / "x_cal.fits"))
    exposure = dithered_slits.exposures()[0]
    slit = exposure.slits[0]
    rng = np.random.default_rng(3)
    for name in POINT:
        for which in ("point", "uniform"):
            slit.set(f"{name}_{which}", rng.uniform(0.5, 1, slit.shape).astype(np.float32))
    return Path(exposure.save(folder / exposure.meta.filename))


@pytest.mark.parametrize(
    ("kind", "kernel"), [("NRS_FIXEDSLIT", 1), ("MIR_LRS-FIXEDSLIT", 1), ("MIR_MRS", 5)]
)
def test_the_same_pixels(peer_step: Peer, tmp_path: Path, kind: str, kernel: int) -> None:
    """Values of all pixels that may be used, flags, and the spectrum that is subtracted."""
    member = science(kind, tmp_path)
    spectra = [spectrum(tmp_path / f"{n}_x1d.fits", kind, n) for n in range(2)]
    asn = dithered_slits.association(tmp_path, [member], "jw01234-o001_t001")
    content = json.loads(asn.read_text())
    listed = [{"expname": path.name, "exptype": "background"} for path in spectra]
    content["products"][0]["members"] += listed
    asn.write_text(json.dumps(content))
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    given = {"median_kernel": kernel, "save_background": True}
    theirs = peer_step(STEP, asn, **given, output_dir=str(tmp_path / "theirs"))
    step = MasterBackgroundStep(**given, output_dir=str(tmp_path / "ours"))
    library = step.run(asn)
    (saved,) = step.save(library)

    peer_step("read", saved)
    for path in (tmp_path / "ours").glob("*_masterbg?d.fits"):
        peer_step("read", path)
    # At the ends of a running median zeros count for the peer.
    inner = slice(kernel // 2, -(kernel // 2) or None)
    tables = [
        models.open(next((tmp_path / name).glob("*_masterbg1d*"))).spec[0].spec_table[inner]
        for name in ("theirs", "ours")
    ]
    for column in ("WAVELENGTH", "SURF_BRIGHT", "FLUX"):
        np.testing.assert_allclose(tables[0][column], tables[1][column], rtol=1e-12)
    limits = np.sort(tables[0]["WAVELENGTH"])[[0, -1]]
    with models.open(theirs) as expected, library[0] as found:
        for one, other in zip(parts(expected), parts(found), strict=True):
            used = (one.dq & dqflags.DO_NOT_USE) == 0
            np.testing.assert_array_equal(one.dq, other.dq)
            assert np.isnan(other.data[(other.dq & dqflags.DO_NOT_USE) > 0]).all()
            waves = wavelengths_of(other)
            used &= (waves >= limits[0]) & (waves <= limits[1]) | (kernel == 1)
            assert used.sum() > 500
            np.testing.assert_allclose(one.data[used], other.data[used], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(one.err[used], other.err[used])


def parts(exposure: Any) -> list[Any]:
    """Its slits, or itself."""
    return list(exposure.slits) if type(exposure).__name__ == "MultiSlitModel" else [exposure]


def wavelengths_of(part: Any) -> Any:
    """Of every pixel."""
    if part.has("wavelength") and part.wavelength.any():
        return part.wavelength
    rows, columns = np.indices(part.shape).astype(float)
    return np.asarray(part.meta.wcs(columns, rows)[2])
