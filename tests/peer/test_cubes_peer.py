"""Cubes of integral-field units beside those of the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrs_optics
import nirspec_optics
import numpy as np
import pytest
from cube_references import cubepar

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.cube_build.step import CubeBuildStep

Peer = Callable[..., Path]
MIRI = {"wavemin": 5.0, "wavemax": 5.02, "channel": "1"}
NIRSPEC = {"wavemin": 1.2, "wavemax": 1.21}


def rates(instrument: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Rates with errors and bad pixels, and the references of their coordinates."""
    if instrument == "MIRI":
        source = mrs_optics.exposure("MIRIFUSHORT", "SHORT", 5_000.0)
        files = mrs_optics.optics("MIRIFUSHORT", "SHORT", folder)
    else:
        source = nirspec_optics.exposure("NRS_IFU")
        files = nirspec_optics.optics()
        files |= {"msa": nirspec_optics.msa(folder / "msa.asdf")}
        files |= {"chromcorr": nirspec_optics.chromcorr(folder / "chromcorr.asdf")}
    rng = np.random.default_rng(17)
    source.err = rng.uniform(0.05, 0.2, source.data.shape).astype(np.float32)
    bad = rng.random(source.data.shape) < 2e-3
    source.dq = np.where(bad, dqflags.DO_NOT_USE, 0).astype(np.uint32)
    path = Path(source.save(folder / "x_rate.fits"))
    return path, {f"override_{name}": file for name, file in files.items()}


@pytest.mark.parametrize(
    ("instrument", "parameters"),
    [
        ("MIRI", {"coord_system": "ifualign"}),
        ("MIRI", {"weighting": "emsm", "output_type": "multi"}),
        ("NIRSPEC", {}),
    ],
)
def test_cubes(
    peer_step: Peer, tmp_path: Path, instrument: str, parameters: dict[str, Any]
) -> None:
    """The same values, errors, counts and grid where a spaxel has a value."""
    path, files = rates(instrument, tmp_path)
    how = {**(MIRI if instrument == "MIRI" else NIRSPEC), **parameters}
    how |= {"override_cubepar": cubepar(tmp_path / "cubepar.fits", instrument)}
    located = peer_step("jwst.assign_wcs:AssignWcsStep", path, **files)
    theirs = peer_step("jwst.cube_build:CubeBuildStep", located, **how)
    ours = AssignWcsStep(**files).run(path)
    cubes = CubeBuildStep(**how).run([ours])

    (found,) = cubes
    saved = found.save(tmp_path / "x_s3d.fits")
    with models.open(theirs) as expected:
        known = np.isfinite(expected.data)
        assert known.mean() > 0.1
        np.testing.assert_array_equal(known, np.isfinite(found.data))
        np.testing.assert_array_equal(expected.weightmap, found.weightmap)
        for name in ("data", "err"):
            one, other = getattr(expected, name)[known], getattr(found, name)[known]
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(expected.dq == 0, found.dq == 0)
        waves = (cube.wavetable["wavelength"] for cube in (expected, found))
        np.testing.assert_allclose(*waves, rtol=1e-7)
        info = (cube.to_flat_dict() for cube in (expected, found))
        one, other = ({k: v for k, v in i.items() if _of_grid(k)} for i in info)
        assert set(one) == set(other)
        for name, value in one.items():
            assert value == (other[name] if isinstance(value, str) else pytest.approx(other[name]))
    peer_step("read", Path(saved))


def _of_grid(name: str) -> bool:
    parts = ("crval", "crpix", "cdelt", "ctype", "cunit", "pc", "ps3", "wcsaxes")
    return name.startswith(tuple(f"meta.wcsinfo.{part}" for part in parts))
