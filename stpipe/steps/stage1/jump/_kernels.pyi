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
) -> None: ...
