"""Opening: what a file is, who reads it, and what is no file."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from model_files import ENDINGS

from stpipe import models
from stpipe.errors import InputError


@pytest.mark.parametrize("ending", ENDINGS)
def test_opening_metadata(image: models.ImageModel, tmp_path: Path, ending: str) -> None:
    """Headers tell model, metadata and shapes; the tree tells the rest."""
    path = image.save(tmp_path / f"x{ending}")
    metadata = models.open_metadata(path)
    assert "ImageModel" == metadata.model_type
    assert image.shapes == metadata.shapes
    assert ("NIRCAM", "Vera") == (metadata.meta.instrument.name, metadata.meta.observer.name)
    assert image.to_flat_dict() == metadata.to_flat_dict()


def test_models_are_guessed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without DATAMODL the class follows from REFTYPE or the dimensions, and the log says so."""
    path = tmp_path / "x.fits"
    for shape, reftype, expected in [
        ((2, 2), None, "ImageModel"),
        ((2, 2, 2), None, "CubeModel"),
        ((1, 2, 2, 2), None, "RampModel"),
        ((2, 2), "GAIN", "GainModel"),
        ((1, 2, 2, 2), "DARK", "DarkMIRIModel"),
        ((2, 2), "PHOTOM", "ReferenceFileModel"),
    ]:
        caplog.clear()
        primary = fits.PrimaryHDU()
        if reftype:
            primary.header["REFTYPE"] = reftype
        science = fits.ImageHDU(np.zeros(shape, np.float32), name="SCI")
        fits.HDUList([primary, science]).writeto(path, overwrite=True)
        with caplog.at_level("INFO", logger="stpipe"):
            assert expected == type(models.open(path)).__name__
        assert f"{path} is opened as {expected}: it names no model" in caplog.text


def test_other_models_are_refused(image: models.ImageModel, tmp_path: Path) -> None:
    """A file is not read as a model that it is not; unknown ones are tried."""
    path = image.save(tmp_path / "x.fits")
    with pytest.raises(
        InputError, match=r"x.fits is of the model ImageModel; RampModel reads RampModel, L"
    ):
        models.RampModel(path)
    with pytest.raises(InputError, match=r"Use models.open to open a file as what it is"):
        models.CubeModel(image)
    with fits.open(path, mode="update") as units:
        units[0].header["DATAMODL"] = "StrangeModel"
    assert (5, 7) == models.ImageModel(path).shape
    with pytest.raises(
        InputError, match=r"x.fits is not a valid CubeModel: data .* allowed: 3 dimens"
    ):
        models.CubeModel(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    """Missing files and folders are said to be just that."""
    with pytest.raises(InputError, match=r"There is no file .*nothing.fits; check the name"):
        models.open(tmp_path / "nothing.fits")
    with pytest.raises(InputError, match="is a folder; give a FITS or ASDF file in it"):
        models.open(tmp_path)


def test_pipes_and_names_that_no_file_can_have(tmp_path: Path) -> None:
    """Nothing waits for somebody who writes into a pipe."""
    os.mkfifo(tmp_path / "x.fits")
    with pytest.raises(InputError, match=r"x\.fits is not a file but a pipe or device"):
        models.open(tmp_path / "x.fits")
    for name in ("a\0.fits", "a" * 5000):
        with pytest.raises(InputError, match=r"a.* cannot be read: "):
            models.open(name)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model: model.get("meta.mine"),
        lambda model: len(model.to_flat_dict()),
        lambda model: [part.name for part in model.slits],
        lambda model: id(model.slits[2]),
        lambda model: model.copy().get("meta.mine"),
    ],
)
def test_threads_read_one_model(tmp_path: Path, ask: Callable[[Any], Any]) -> None:
    """What the tree of a file tells is there for all threads, whoever brings it in."""
    model = models.MultiSlitModel()
    model.slits = [{"name": str(n), "data": np.ones((2, 2), np.float32)} for n in range(9)]
    model.set("meta.mine", "here")
    path = model.save(tmp_path / "x.fits")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            for _ in range(20):
                opened, together = models.open(path), threading.Barrier(8)
                found = threads.map(lambda _: (together.wait(), ask(opened))[1], range(8))  # noqa: B023 - ends here
                assert 1 == len({str(each) for each in found})
    finally:
        sys.setswitchinterval(interval)
