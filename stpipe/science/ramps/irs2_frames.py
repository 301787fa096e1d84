"""Frames of NIRSpec's IRS2 readout, in which reference samples are interleaved with science pixels.

Every row of the detector is read by four science outputs and one reference output at a time. After
a number of science pixels the science outputs step out to read a few reference pixels. In the
science frame the reference output and the reference pixels are whole rows: 3200 instead of 2048.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.models.protocols import Meta
    from stpipe.science.arrays import Booleans, Item

__all__ = ["SIZE", "Interleaving", "is_interleaved"]

SIZE = 2048  # rows and columns of the detector
OUTPUTS = 4  # besides the reference output
NORMAL, REFERENCE = 16, 4  # samples in turn, where the exposure does not say


def is_interleaved(shape: tuple[int, ...]) -> bool:
    """Does an array hold interleaved reference samples?

    Parameters
    ----------
    shape : tuple of int
        (..., rows, columns)

    Returns
    -------
    bool
    """
    return max(shape[-2:]) > SIZE


@dataclass(frozen=True)
class Interleaving:
    """Which rows of a frame are science pixels.

    Attributes
    ----------
    normal, reference
        Numbers of science pixels and of reference pixels that are read in turn.
    flipped
        The rows are read from the last one on, as those of NRS2 are.
    """

    normal: int = NORMAL
    reference: int = REFERENCE
    flipped: bool = False

    @classmethod
    def of(cls, meta: Meta) -> Interleaving:
        """The interleaving of an exposure.

        Parameters
        ----------
        meta : Meta

        Returns
        -------
        Interleaving
        """
        exposure = meta.exposure
        return cls(
            exposure.nrs_normal or NORMAL,
            exposure.nrs_reference or REFERENCE,
            meta.instrument.detector == "NRS2",
        )

    @property
    def period(self) -> int:
        """Samples from one reference pixel to the next of its kind."""
        return self.normal + self.reference

    @property
    def width(self) -> int:
        """Samples that an output reads of a row."""
        pixels = SIZE // OUTPUTS
        return pixels + pixels // self.normal * self.reference

    @property
    def science(self) -> Booleans:
        """Science pixels among the samples of a row, in the order of the detector."""
        output = self.science_of_output
        return np.concatenate([np.zeros_like(output), *[output, output[::-1]] * (OUTPUTS // 2)])

    @property
    def science_of_output(self) -> Booleans:
        """Science pixels among the samples of an output, in the order of time."""
        place = np.arange(self.width) - self.normal // 2
        return (place % self.period >= self.reference) | (place < 0)

    @property
    def science_rows(self) -> Booleans:
        """Science pixels among the rows of a frame, in the science frame."""
        return self.science[::-1] if self.flipped else self.science

    def to_detector(self, array: npt.NDArray[Item]) -> npt.NDArray[Item]:
        """View of an array of the science frame in that of the detector.

        Parameters
        ----------
        array : (..., rows, columns)

        Returns
        -------
        (..., columns, rows) of the dtype of `array`
        """
        turned = np.swapaxes(array, -2, -1)
        return turned[..., ::-1, ::-1] if self.flipped else turned

    def to_science(self, array: npt.NDArray[Item]) -> npt.NDArray[Item]:
        """View of an array of the detector's frame in the science frame.

        Parameters
        ----------
        array : (..., rows, columns)

        Returns
        -------
        (..., columns, rows) of the dtype of `array`
        """
        return np.swapaxes(array[..., ::-1, ::-1] if self.flipped else array, -2, -1)
