"""Extract the integrations of an exposure, some at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.science.dispersion import HORIZONTAL, turned
from stpipe.science.invalid_pixels import VALUES, match_invalid
from stpipe.science.spectra.box_extraction import Background, Extraction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stpipe.models.protocols import Section
    from stpipe.science.arrays import Doubles
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["Way", "extracted", "first_image"]

BLOCK = 1 << 20  # pixels that are extracted at a time
IMAGE = 2  # dimensions
NOISES = {"poisson": "var_poisson", "rnoise": "var_rnoise", "flat": "var_flat"}


@dataclass(frozen=True)
class Way:
    """How a spectrum is extracted: `by` what, with which weights, above which background.

    `weights` has an image (along, across) for a sum, an image for each source (sources, along, across)
    for a fit.
    """

    by: Callable[..., Extraction]
    weights: Doubles
    background: Background | None

    @property
    def is_fit(self) -> bool:
        """Whether profiles are fitted."""
        return self.weights.ndim > IMAGE

    @property
    def source(self) -> Doubles:
        """The weights of the source (along, across)."""
        return self.weights[0] if self.is_fit else self.weights

    @property
    def profile(self) -> Doubles:
        """All weights in one image (along, across)."""
        return self.weights.sum(axis=0) if self.is_fit else self.weights

    def within(self, span: slice) -> Way:
        """The same on a part of the pixels across the dispersion."""
        background = self.background
        if background is not None:
            background = replace(background, region=background.region[:, span])
        return replace(self, weights=self.weights[..., span], background=background)

    def span(self) -> slice:
        """From the first to the last pixel across the dispersion that counts."""
        used = (self.weights != 0).reshape(-1, self.weights.shape[-1]).any(axis=0)
        if self.background is not None:
            used |= (self.background.region != 0).any(axis=0)
        across = np.flatnonzero(used)
        return slice(across[0], across[-1] + 1) if len(across) else slice(0, 1)


def extracted(exposure: Spectral, way: Way, direction: int, *, scene: bool) -> Extraction:
    """Extract all integrations; without an image of the `scene`, from the pixels that count alone."""
    length, across = way.weights.shape[-2:]
    span = slice(0, across) if scene else way.span()
    way = way.within(span)
    parts = []
    for image, variances in _blocks(exposure, span, direction, length):
        part = way.by(image, variances, way.weights, way.background)
        parts.append(part if scene else replace(part, scene=np.zeros(0)))
    return parts[0] if len(parts) == 1 else _joined(parts)


def first_image(exposure: Spectral, direction: int) -> tuple[Doubles, dict[str, Doubles]]:
    """The first integration (along, across) and its variances."""
    every = slice(None)
    section = (every, every) if len(exposure.shape) == IMAGE else (slice(0, 1), every, every)
    image, variances = _values(exposure, section, direction)
    shape = image.shape[-2:]
    return image.reshape(shape), {name: v.reshape(shape) for name, v in variances.items()}


def _joined(parts: list[Extraction]) -> Extraction:
    def every(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], dict):
            return {noise: np.concatenate([v[noise] for v in values]) for noise in values[0]}
        return np.concatenate(values)

    names = ("flux", "variance", "background", "background_variance", "npixels", "scene")
    return Extraction(**{name: every(name) for name in names})


def _blocks(
    exposure: Spectral, span: slice, direction: int, length: int
) -> Iterator[tuple[Doubles, dict[str, Doubles]]]:
    """Images and their variances (..., along, across), some integrations at a time."""
    strip = (span, slice(None)) if direction == HORIZONTAL else (slice(None), span)
    if len(exposure.shape) == IMAGE:
        yield _values(exposure, strip, direction)
        return
    step = max(1, BLOCK // (length * (span.stop - span.start)))
    for first in range(0, exposure.shape[0], step):
        yield _values(exposure, (slice(first, first + step), *strip), direction)


def _values(
    exposure: Spectral, section: Section, direction: int
) -> tuple[Doubles, dict[str, Doubles]]:
    read = {n: exposure.read(n, section) for n in VALUES if exposure.has(n)}
    values, _ = match_invalid(read, exposure.read("dq", section))
    image = turned(values["data"], direction).astype(np.float64)
    none = np.zeros(image.shape)
    return image, {
        noise: turned(values[name], direction).astype(np.float64) if name in values else none
        for noise, name in NOISES.items()
    }
