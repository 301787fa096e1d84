"""Model the traces of compact sources by splines across their spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import InputError
from stpipe.science.exposure_types import NIRSPEC_SLITS
from stpipe.science.spectra.slits import Slits, each_slit, has_many, parts_of
from stpipe.science.spectra.trace_model import Thresholds, TraceRules, trace_model
from stpipe.science.spectra.trace_splines import SplineRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Doubles, Floats
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["AdaptiveTraceModelStep"]

SLICES = "NRS_IFU"
SUPPORTED = NIRSPEC_SLITS | {SLICES}
PADS = {"slits": 1, "slices": 2}  # native steps
PRISM = SplineRules(reach=10, knots=1.0, fewest=0.25)  # spectra change fast with wavelength


class AdaptiveTraceModelStep(Step):
    """Model the traces of compact sources by splines across their spectra.

    The spectrum is tilted against the pixels, so that a column and its neighbours together sample the
    profile of a source finely. A spline through them, scaled to the column, is its model. A slit is
    modelled where the signal to noise of its profile reaches `fit_threshold`, a slice where its
    profile stands out by as many standard deviations from the light of all. The model is the array
    `trace_model` in the unit of the data, near where it is steep: by `slope_limit` of the light of a
    column from pixel to pixel. Elsewhere it is NaN. Data stay as they are; `pixel_replace` with
    `algorithm=trace_model` makes use of it.

    Slits, shutters and slices of NIRSpec; other exposures are left as they are. Off by default.
    """

    alias = "adaptive_trace_model"
    suffix = "adaptive_trace_model"
    status = "adaptive_trace_model"
    input_models = (
        "MultiSlitModel",
        "MultiExposureModel",
        "SlitModel",
        "IFUImageModel",
        "ImageModel",
    )
    prerequisites = ("meta.exposure.type", "meta.instrument.detector")
    spec = """
        skip = boolean(default=True)  # Leave the step out
        fit_threshold = float(default=10.0)  # Of signal to noise, or deviations; 0: all is modelled
        slope_limit = float(default=0.1)  # Of the light of a column, per pixel; 0: wherever fitted
        psf_optimal = boolean(default=False)  # One point source: neither threshold nor limit
    """
    fit_threshold: float
    slope_limit: float
    psf_optimal: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only slits, shutters and slices."""
        del selected
        if _kind(meta) not in SUPPORTED:
            return f"traces of exposures of type {_kind(meta)} are not modelled"
        return ""

    def process(self, exposure: Slits) -> Slits:
        """Model each slit, or all slices."""
        if has_many(exposure):
            parts_of(exposure).revive("meta.wcs")
        for spectrum, meta in each_slit(exposure):
            model = self._model(spectrum, meta)
            spectrum.trace_model = model
            name = f"{meta['name']}: " if meta.get("name") else ""
            self.log.info("%s%d pixels are modelled", name, np.isfinite(model).sum())
        return exposure

    def _model(self, spectrum: Spectral, meta: FlatMetadata) -> Floats:
        if spectrum.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no gwcs of its slits. Run "
                "assign_wcs and, but for slices, extract_2d."
            )
        slices = _kind(meta) == SLICES
        place = _place(spectrum.meta.wcs, spectrum.shape, slices=slices)
        regions = spectrum.regions if slices else np.isfinite(place).astype(np.int32)
        prism = str(meta.get("meta.instrument.grating")).upper() == "PRISM"
        rules = TraceRules(
            PRISM if prism else SplineRules(),
            PADS["slices" if slices else "slits"],
            backwards=str(meta["meta.instrument.detector"]).upper() != "NRS1",
            of_all=slices,
        )
        limits = (0.0, 0.0) if self.psf_optimal else (self.fit_threshold, self.slope_limit)
        values = (spectrum.data, spectrum.err)
        return trace_model(values, place, regions, rules, Thresholds(*limits))


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()


def _place(wcs: WCS, shape: tuple[int, ...], *, slices: bool) -> Doubles:
    """Place along the slit of each pixel, rising with its row; NaN outside."""
    y, x = np.indices(shape, dtype=np.float64)
    if slices:
        return -np.asarray(wcs.get_transform("coordinates", "slicer")(x, y)[1])
    columns, rows = wcs.bounding_box.bounding_box(order="F")
    inside = (x >= columns[0]) & (x <= columns[1]) & (y >= rows[0]) & (y <= rows[1])
    place = -np.asarray(wcs.get_transform("detector", "slit_frame")(x, y)[1])
    return np.where(inside, place, np.nan)
