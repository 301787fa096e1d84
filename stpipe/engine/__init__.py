"""The engine: corrections of ramps run band by band, one step after the other, in one pass.

A `RampStep` that declares its halo is not run on the whole exposure when a pipeline calls it. It is
added to the chain of corrections that the ramp carries, and the chain runs when something needs the
pixels: the ramp fit, a file, or code that touches an array. Bands of rows stay in cache on their way
through all steps, and intermediate ramps exist nowhere.
"""

from __future__ import annotations

from stpipe.engine.band import Band
from stpipe.engine.chain import Chain, chain_of, compute, defer

__all__ = ["Band", "Chain", "chain_of", "compute", "defer"]
