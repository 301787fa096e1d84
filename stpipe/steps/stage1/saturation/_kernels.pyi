import numpy as np
import numpy.typing as npt

from stpipe.science.arrays import Floats, GroupBits

def flag_reached(
    data: Floats, flags: GroupBits, threshold: Floats, n_pix_grow_sat: int
) -> None: ...
def dilate(mask: GroupBits, reach: int) -> npt.NDArray[np.uint8]: ...
