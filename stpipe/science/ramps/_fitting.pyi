from collections.abc import Mapping
from typing import Any

from stpipe.science.arrays import Bits, Floats

class Inputs:
    def __init__(
        self, arrays: Mapping[str, Any], times: Mapping[str, float], suppress_one_group: bool
    ) -> None: ...

class Rates:
    def __init__(
        self, slope: Floats, dq: Bits, var_poisson: Floats, var_rnoise: Floats, err: Floats
    ) -> None: ...

def fit(inputs: Inputs, rates: Rates) -> None: ...
def count(inputs: Inputs) -> tuple[int, int]: ...
def describe(inputs: Inputs, segments: Floats, pedestal: Floats, crmag: Floats) -> None: ...
