import numpy as np
import numpy.typing as npt

def median_filter(
    image: npt.NDArray[np.float64], rows: int, columns: int
) -> npt.NDArray[np.float64]: ...
