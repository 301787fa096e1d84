from collections.abc import Mapping
from typing import Any

from stpipe.science.arrays import Doubles, GroupBits

class Fitter:
    def __init__(self, matrix: Doubles, pairs: GroupBits) -> None: ...
    def fit(self, arrays: Mapping[str, Any]) -> None: ...
