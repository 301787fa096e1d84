"""Estimate the pixels of spectra that have no value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.dispersion import turned
from stpipe.science.invalid_pixels import values_of
from stpipe.science.spectra.replacement import along_gradient, by_profile, by_trace_model
from stpipe.science.spectra.slits import Slits, each_slit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Bits, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["PixelReplaceStep"]

OUTSIDE = dqflags.DO_NOT_USE | dqflags.NON_SCIENCE
IMAGE = 2  # dimensions


class PixelReplaceStep(Step):
    """Estimate the pixels of spectra that have no value, for what follows.

    With `mingrad` a pixel becomes the mean of the two neighbours that differ less, those along the
    dispersion or those across it. With `fit_profile` the pixels of a column (or row, along which light
    is not dispersed) become the median profile of its neighbours, scaled to the pixels that are known;
    slices of an integral field are taken one by one. Errors and variances likewise. With `trace_model`
    a pixel becomes that of the model that `adaptive_trace_model` made; its errors are those of its
    neighbours along the dispersion, and pixels without a model are estimated as with `mingrad`.
    Estimated pixels are FLUX_ESTIMATED and no longer DO_NOT_USE.

    Off by default.
    """

    alias = "pixel_replace"
    suffix = "pixel_replace"
    status = "pixel_replace"
    input_models = (
        "ImageModel",
        "CubeModel",
        "IFUImageModel",
        "SlitModel",
        "MultiSlitModel",
        "MultiExposureModel",
    )
    spec = """
        skip = boolean(default=True)  # Leave the step out
        algorithm = option('mingrad', 'fit_profile', 'trace_model', default='mingrad')  # How
        n_adjacent_cols = integer(min=1, default=3)  # Neighbours on each side that profiles are of
    """
    algorithm: str
    n_adjacent_cols: int

    def process(self, exposure: Slits) -> Slits:
        """Estimate the pixels of every spectrum."""
        for spectrum, meta in each_slit(exposure):
            count = self._replace(spectrum, meta)
            name = f"{meta['name']}: " if meta.get("name") else ""
            self.log.info("%s%d pixels are estimated", name, count)
        return exposure

    def _replace(self, spectrum: Spectral, meta: FlatMetadata) -> int:
        """Give a spectrum its estimates; how many."""
        values, dq, before = values_of(spectrum), spectrum.dq, spectrum.dq
        if dq.ndim == IMAGE:
            values, dq = self._estimated(values, dq, spectrum, meta)
        else:
            values, dq = {n: a.copy() for n, a in values.items()}, dq.copy()
            for index in range(len(dq)):
                image = {name: array[index] for name, array in values.items()}
                found, dq[index] = self._estimated(image, dq[index], spectrum, meta)
                for name, array in found.items():
                    values[name][index] = array
        for name, array in values.items():
            setattr(spectrum, name, array)
        spectrum.dq = dq
        estimated = dqflags.FLUX_ESTIMATED
        return int(np.count_nonzero(has(dq, estimated) & ~has(before, estimated)))

    def _estimated(
        self, values: dict[str, Floats], dq: Bits, spectrum: Spectral, meta: FlatMetadata
    ) -> tuple[dict[str, Floats], Bits]:
        """One image with estimates."""
        if self.algorithm == "mingrad":
            return along_gradient(values, dq)
        direction = meta.get("meta.wcsinfo.dispersion_direction")
        if direction is None:
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no DISPAXIS. Run assign_wcs."
            )
        if self.algorithm == "trace_model":
            return along_gradient(*_by_trace_model(values, dq, spectrum, direction))
        dq = dq.copy()
        for part in _parts(spectrum):
            flags = dq if part is None else np.where(part, dq, dq | np.uint32(OUTSIDE))
            along = {name: turned(array, direction) for name, array in values.items()}
            found, flags = by_profile(along, turned(flags, direction), self.n_adjacent_cols)
            new = {name: turned(array, direction) for name, array in found.items()}
            whole = np.ones(dq.shape, dtype=bool) if part is None else part
            values = {name: np.where(whole, new[name], values[name]) for name in values}
            dq = np.where(whole, turned(flags, direction), dq)
        return values, dq


def _by_trace_model(
    values: dict[str, Floats], dq: Bits, spectrum: Spectral, direction: int
) -> tuple[dict[str, Floats], Bits]:
    """One image with the estimates of a model, if there is one."""
    if not spectrum.has("trace_model"):
        return values, dq
    along = {name: turned(array, direction) for name, array in values.items()}
    model = turned(spectrum.trace_model, direction)
    found, flags = by_trace_model(along, turned(dq, direction), model)
    return {name: turned(array, direction) for name, array in found.items()}, turned(
        flags, direction
    )


def _parts(spectrum: Spectral) -> Iterator[np.ndarray | None]:
    """The pixels of each slice of an integral field; None for all pixels of a slit."""
    if type(spectrum).__name__ != "IFUImageModel":
        yield None
        return
    regions = spectrum.regions
    for number in np.unique(regions[regions > 0]):
        yield regions == number
