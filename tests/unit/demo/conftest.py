"""One set of simulations for all tests here."""

from __future__ import annotations

import pytest

from stpipe.demo import DEMO, Simulation, expose


@pytest.fixture(scope="session", params=DEMO, ids=lambda observation: observation.root)
def simulation(request: pytest.FixtureRequest) -> Simulation:
    """Each of the demo's exposures in memory."""
    return expose(request.param)
