from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stpipe.science.arrays import Doubles, Floats, GroupBits

def detect(
    data: Floats,
    flags: GroupBits,
    gain: Floats,
    noise2: Floats,
    rules: Mapping[str, float | bool],
    counts: npt.NDArray[np.int32],
    medians: Doubles | None = None,
) -> None: ...
def clip(
    data: Floats, flags: GroupBits, gain: Floats, rejection_threshold: float, only_use_ints: bool
) -> None: ...
def flag_after(
    data: Floats,
    flags: GroupBits,
    gain: Floats,
    limits: Doubles,
    ngroups: npt.NDArray[np.int64],
    medians: Doubles | None = None,
) -> None: ...
def find_quiet(
    data: Floats,
    flags: GroupBits,
    gain: Floats,
    noise2: Floats,
    rules: Mapping[str, float | bool],
    clipping: tuple[float, bool] | None,
    lower: Doubles,
    upper: Doubles,
    medians: Doubles,
) -> None: ...
def flag_outside(
    data: Floats, flags: GroupBits, gain: Floats, lower: Doubles, upper: Doubles, signed: bool
) -> None: ...
