from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stpipe.science.arrays import Doubles, Floats, GroupBits

Axes: TypeAlias = tuple[Doubles, Doubles, Doubles]
Sums: TypeAlias = tuple[Doubles, Doubles, Doubles, Floats]

def evaluate(coefficients: Doubles, u: Doubles, v: Doubles, out: Doubles) -> None: ...
def drizzle(
    axes: Axes,
    dz: Doubles,
    steps: tuple[float, float],
    corners: Doubles,
    pixels: tuple[Doubles, ...],
    sums: Sums,
) -> None: ...
def gather(
    axes: Axes,
    dz: Doubles,
    steps: tuple[float, float],
    pixels: tuple[Doubles, ...],
    rules: tuple[Doubles, ...],
    sums: Sums,
) -> None: ...
def extent(
    z: Doubles, dz: Doubles, pixels: tuple[Doubles, ...], ends: tuple[Doubles, Doubles]
) -> None: ...
def cover(
    axes: tuple[Doubles, Doubles],
    steps: tuple[float, float],
    planes: npt.NDArray[np.intp],
    corners: Doubles,
    covered: GroupBits,
) -> None: ...
