"""One demo folder and one set of simulations for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from stpipe.demo import DEMO, Simulation, expose, write_demo


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete demo folder: uncal/, truth/, crds/."""
    folder = tmp_path_factory.mktemp("demo")
    list(write_demo(folder))
    return folder


@pytest.fixture(scope="session", params=DEMO, ids=lambda observation: observation.root)
def simulation(request: pytest.FixtureRequest) -> Simulation:
    """Each of the demo's exposures in memory."""
    return expose(request.param)
