"""Real files that ship inside the peer's package open, and survive, whatever they are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models

# Keywords of the file itself, of its structure, or of whoever wrote it last.
OWN = {"", "DATE", "FILENAME", "EXTEND", "COMMENT", "HISTORY", "DATAMODL", "CHECKSUM", "DATASUM"}
OWN |= {"BITPIX", "BZERO", "BSCALE"}
NAMED = {
    "stpipe/tests/data/miri_data.fits": ("CubeModel", (10, 416, 72)),
    "lib/tests/data/add_wcs_default_acq1.fits": ("Level1bModel", (6, 2, 128, 128)),
}


@pytest.fixture(scope="module")
def package() -> Path:
    """Where the peer's package is installed."""
    interpreter = os.environ.get("PEER_PYTHON")
    if not interpreter:
        pytest.skip("PEER_PYTHON does not name an interpreter that has the jwst package")
    code = "import importlib.util as u; print(u.find_spec('jwst').submodule_search_locations[0])"
    command = [interpreter, "-I", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_named_files(package: Path) -> None:
    """The exposures that the notes on test data name are what they are said to be."""
    for name, (model, shape) in NAMED.items():
        found = models.open(package / name)
        assert (model, shape) == (type(found).__name__, found.shape[-len(shape) :])


def test_every_fits_file_survives(
    package: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pixels, tables, extensions and cards of flight and test files are there after a round trip."""
    caplog.set_level("CRITICAL")
    paths = sorted(package.rglob("*.fits"))
    assert len(paths) > 50
    for path in paths:
        again = models.open(path).save(tmp_path / "again.fits")
        survived(path, again)
        survived(path, models.open(models.open(path).save(tmp_path / "x.asdf")).save(again))


def survived(path: Path, again: Path) -> None:
    """Compare two files as astropy reads them."""
    with fits.open(path) as before, fits.open(again) as after:
        kept = [(unit.name, unit.ver) for unit in before if unit.name != "ASDF"]
        assert sorted(kept) == sorted((u.name, u.ver) for u in after if u.name != "ASDF"), path
        for unit in before:
            if unit.name != "ASDF" and unit.data is not None and unit.data.dtype.names is None:
                other = after[unit.name, unit.ver].data
                np.testing.assert_array_equal(np.asarray(unit.data, other.dtype), other, str(path))
        for card in before[0].header.cards:
            if card.keyword not in OWN:
                assert card.value == after[0].header.get(card.keyword), (path, card.keyword)


def test_every_asdf_file_opens(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is in an ASDF file: metadata and arrays can be had."""
    caplog.set_level("CRITICAL")
    for path in sorted(package.rglob("*.asdf")):
        model = models.open(path)
        assert model.to_flat_dict()
        assert all(getattr(model, name) is not None for name in model.shapes)
