"""Products of the demo's exposures that tests of several packages read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dithered_field import write_field

from stpipe.pipelines.detector1 import Detector1Pipeline

Once = Callable[[str, Callable[[Path], object]], Path]
IMAGERS = ("mirimage", "nis", "nrca1")


@pytest.fixture(scope="session")
def field(once: Once) -> Path:
    """The dithered field, calibrated up to single images."""
    return once("field", write_field)


@pytest.fixture
def association(field: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The association of the field's exposures."""
    monkeypatch.setenv("CRDS_PATH", str(field / "crds"))
    return next(field.glob("asn/*.json"))


@pytest.fixture(scope="session")
def imager_rates(once: Once, demo_folder: Path) -> Path:
    """The rate image of each imager."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
            for detector in IMAGERS:
                source = next(demo_folder.glob(f"uncal/*00001_{detector}_uncal.fits"))
                rate, _ = Detector1Pipeline.call(str(source))
                rate.save(folder / source.name.replace("_uncal", "_rate"))

    return once("imager_rates", make)


@pytest.fixture(params=IMAGERS)
def rate(request: pytest.FixtureRequest, imager_rates: Path, crds: Path) -> Path:
    """The rate image of an imager, with its references in force."""
    del crds
    return next(imager_rates.glob(f"*_{request.param}_rate.fits"))
