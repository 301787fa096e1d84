"""Small simulated detectors of four instruments, and the CRDS cache that calibrates them.

>>> from stpipe.demo import simulate
>>> simulation = simulate("NIRISS", ngroups=6, seed=7)
>>> simulation.exposure.shape
(1, 6, 80, 80)
>>> simulation.truth.rate.shape
(80, 80)

`write_demo` and `python -m stpipe.demo DIR` write five exposures, what is true about them, and a
cache of reference files that the stock `crds` client reads without a server.
"""

from __future__ import annotations

from stpipe.demo.crds_cache import write_crds_cache
from stpipe.demo.observation import DEMO, FULL_FRAMES, Observation, plan
from stpipe.demo.project import write_demo
from stpipe.demo.simulation import Simulation, expose, simulate
from stpipe.demo.truth import Truth

__all__ = [
    "DEMO",
    "FULL_FRAMES",
    "Observation",
    "Simulation",
    "Truth",
    "expose",
    "plan",
    "simulate",
    "write_crds_cache",
    "write_demo",
]
