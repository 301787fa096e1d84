"""From calibrated spectra of several exposures to combined ones: a spectrum for each source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.pipeline import LibraryPipeline
from stpipe.core.products import Parts, Placeholder, header_of, model_name
from stpipe.core.step import Products
from stpipe.errors import InputError, StpipeError
from stpipe.science.exposure_types import NIRSPEC_SLITS, SLICES, SLIT, is_moving_target
from stpipe.steps.stage2.adaptive_trace_model import AdaptiveTraceModelStep
from stpipe.steps.stage2.cube_build.step import CubeBuildStep
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.pixel_replace import PixelReplaceStep
from stpipe.steps.stage2.resample_spec import ResampleSpecStep
from stpipe.steps.stage3.assign_mtwcs import AssignMTWcsStep
from stpipe.steps.stage3.combine_1d import Combine1dStep
from stpipe.steps.stage3.exp_to_source import ExpToSourceStep
from stpipe.steps.stage3.master_background import MasterBackgroundStep
from stpipe.steps.stage3.outlier_detection.step import OutlierDetectionStep
from stpipe.steps.stage3.spectral_leak import SpectralLeakStep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models import ModelLibrary

__all__ = ["Spec3Pipeline"]

CUBE = "IFUCubeModel"
SUPPORTED = SLIT | NIRSPEC_SLITS | SLICES
LEAK = frozenset({"ch1-medium", "ch3-short"})  # the cubes of which one leaks into the other
NAMES = ("sources", "cleaned", "rectified", "spectra", "combined")


class Spec3Pipeline(LibraryPipeline):
    """From calibrated spectra of several exposures to combined ones: a spectrum for each source.

    Of an association: `strun calwebb_spec3 jw01234-o001_spec3_asn.json`, for the slits, shutters and
    slices of NIRSpec, and the slit and the slices of MIRI. The spectrum of its members of the type
    `background` is subtracted from all exposures. Sources are taken one after the other:
    outliers are flagged, the slit is rectified from all exposures, and its spectrum extracted. A source
    that fails is named, and the others are made. Without rectification the spectra of exposures are
    combined instead. Of slices a cube is built for each band, and its spectrum extracted.

    Coordinates follow a target that moves. Products are named as the association says:
    `{source_id}` and `{slit_name}` in the name of its product are where the number of a source and its
    slits go.
    """

    alias = "calwebb_spec3"
    member_types = ("science",)
    step_defs = {
        "assign_mtwcs": AssignMTWcsStep,
        "master_background": MasterBackgroundStep,
        "exp_to_source": ExpToSourceStep,
        "outlier_detection": OutlierDetectionStep,
        "adaptive_trace_model": AdaptiveTraceModelStep,
        "pixel_replace": PixelReplaceStep,
        "resample_spec": ResampleSpecStep,
        "cube_build": CubeBuildStep,
        "extract_1d": Extract1dStep,
        "combine_1d": Combine1dStep,
        "spectral_leak": SpectralLeakStep,
    }

    def process(self, library: ModelLibrary) -> Any:
        """Combine exposures; return (sources, cleaned, rectified, spectra, combined)."""
        kind = str(header_of(library).get("meta.exposure.type")).upper()
        if kind not in SUPPORTED:
            raise InputError(
                f"{self.name}: exposures of type {kind} are not supported, allowed: "
                f"{', '.join(sorted(SUPPORTED))}."
            )
        if is_moving_target(header_of(library)):
            library = self.assign_mtwcs(library)
        library = self.master_background(library)
        if kind in SLIT:
            cleaned = self.outlier_detection(library)
            complete = self.each(self.pixel_replace, self.each(self.adaptive_trace_model, cleaned))
            return Products(NAMES, (None, *self._spectra(cleaned, complete)))
        if kind in SLICES:
            return Products(NAMES, (None, *self._cubes(library), None))
        sources = self.exp_to_source(library)
        return self._all(sources.labels, sources)

    def _cubes(self, library: Any) -> tuple[Any, ...]:
        """The exposures without outliers, a cube for each band, and its spectrum."""
        cleaned = self.outlier_detection(library)
        complete = self.each(self.pixel_replace, self.each(self.adaptive_trace_model, cleaned))
        cleaned = None if self.outlier_detection.skip else cleaned
        cubes = self.cube_build(complete)
        if model_name(cubes) != CUBE:
            return cleaned, None, None
        extended = header_of(cubes).get("meta.target.source_type") == "EXTENDED"
        if self.spectral_leak.skip or extended or not set(cubes.labels) >= LEAK:
            return cleaned, cubes, Parts(cubes.labels, [self.extract_1d(cube) for cube in cubes])
        # What is extracted is not yet what the archive calls spectra.
        self.extract_1d.suffix, self.spectral_leak.suffix = "extract_1d", "x1d"
        return cleaned, cubes, self.spectral_leak([self.extract_1d(cube) for cube in cubes])

    def _all(self, labels: Sequence[str], sources: Sequence[Any]) -> Products:
        """What is made of each source, without those that fail."""
        made, failed = {}, []
        for label, source in zip(labels, sources, strict=True):
            try:
                made[label] = (source, *map(self.set_aside, self._of_source(source)))
            except StpipeError as error:
                if self.context.runner is not None:
                    raise  # while a project is planned every error counts
                self.log.error("%s: %s", label, error)  # noqa: TRY400 - no traceback for users
                failed.append(label)
        if failed and not made:
            raise InputError(f"{self.name}: nothing could be made of any source; see above why.")
        if failed:
            self.log.error("%d of %d sources failed: %s", len(failed), len(labels), failed)
        columns = zip(*made.values(), strict=True)
        return Products(NAMES, [_parts(made, column) for column in columns])

    def _of_source(self, source: Any) -> tuple[Any, ...]:
        cleaned = _only(self.outlier_detection(source))
        complete = self.pixel_replace(self.adaptive_trace_model(cleaned))
        return self._spectra(cleaned, complete)

    def _spectra(self, cleaned: Any, complete: Any) -> tuple[Any, ...]:
        """The exposures without outliers, the rectified slit, and its spectrum, or spectra combined."""
        cleaned = None if self.outlier_detection.skip else cleaned
        if self.resample_spec.skip:
            spectra = self.each(self.extract_1d, complete)
            return cleaned, None, spectra, self.combine_1d(spectra)
        rectified = self.resample_spec(complete)
        return cleaned, rectified, self.extract_1d(rectified), None


def _only(product: Any) -> Any:
    """The product for a source of a step that makes one for each exposure of others."""
    several = isinstance(product, Placeholder) and product.length
    return next(iter(product)) if several else product


def _parts(labels: Any, column: Sequence[Any]) -> Parts:
    """The products of one kind, by the labels of their sources."""
    return Parts.of(
        {label: one for label, one in zip(labels, column, strict=True) if one is not None}
    )
