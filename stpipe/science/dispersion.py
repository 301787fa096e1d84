"""In which direction wavelengths run on the detector, as DISPAXIS says it."""

from __future__ import annotations

__all__ = ["HORIZONTAL"]


HORIZONTAL = 1  # wavelengths run along rows; 2: along columns


VERTICAL = 2  # wavelengths run along columns
