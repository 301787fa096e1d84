"""Cut the spectra out of an exposure that has many."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from stpipe.core.step import Output, Step
from stpipe.errors import InputError, NoProduct
from stpipe.references.selection import Reference, override
from stpipe.science.exposure_types import SLITLESS
from stpipe.science.ramps.integrations import is_cube
from stpipe.science.wcs.grism import Grism
from stpipe.science.wcs.nirspec.modes import CUT
from stpipe.steps.stage2.extract_2d import nirspec, slitless
from stpipe.steps.stage2.extract_2d.direct_sources import read_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import CubeModel, MultiSlitModel, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["Extract2dStep"]


class Extract2dStep(Step):
    """Cut the spectra out of an exposure that has many.

    Of NIRSpec: the pixels of every slit that is open, with a gwcs of their own, wavelengths, and the
    place of the source in the slit: of shutters the one that the metafile has, of the target's fixed
    slit that of the dither. Of the integrations of a bright object: its one slit.

    Of slitless exposures: where the catalogue of the direct image (`source_catalog`) has a source the
    grism's reference (SPECWCS) says which pixels its light falls on, between the wavelengths of the
    filter (WAVELENGTHRANGE): one cutout for each source and order, the brightest first. Cutouts of
    point sources are `2 * wfss_extract_half_height + 1` pixels high, those of extended sources as high
    as the outline that the catalogue has.

    Exposures of other types are left as they are.
    """

    alias = "extract_2d"
    suffix = "extract_2d"
    status = "extract_2d"
    input_models = ("ImageModel", "CubeModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("specwcs", "wavelengthrange")
    spec = """
        source_catalog = string(default=None)  # Catalogue of the direct image
        slit_names = string_list(default=list())  # Names of slits; none: all of them
        source_ids = int_list(default=list())  # Numbers of sources; none: all of them
        extract_orders = int_list(default=list())  # Spectral orders; none: those of the reference
        wfss_extract_half_height = integer(min=0, default=5)  # Half height of point sources, pixels
        wfss_mmag_extract = float(default=None)  # Sources as faint, AB magnitude, are left out
        wfss_nbright = integer(min=1, default=1000)  # Brightest sources that are cut out, at most
    """
    source_catalog: str | None
    slit_names: list[str]
    source_ids: list[int]
    extract_orders: list[int]
    wfss_extract_half_height: int
    wfss_mmag_extract: float | None
    wfss_nbright: int

    def products(self, model_type: str, meta: FlatMetadata) -> tuple[Output, ...]:
        """Many slits of an image, the one of a bright object of integrations."""
        del meta
        model = "SlitModel" if model_type in ("CubeModel", "SlitModel") else "MultiSlitModel"
        return (Output("slits", model, self.suffix),)

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The catalogue is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if self.source_catalog is None:
            return selected
        return {**selected, "source_catalog": override("source_catalog", self.source_catalog)}

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None but of slitless exposures: the coordinates of NIRSpec's slits are there."""
        return self.reference_types if _kind(meta) in SLITLESS else ()

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without grism there is nothing to cut out."""
        needed = [t for t in self.reference_types if t in selected]
        return super().not_applicable(selected) if needed else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Slitless exposures need a catalogue."""
        kind = _kind(meta)
        if kind not in SLITLESS | CUT:
            return f"exposures of type {kind} are not cut up"
        if kind in SLITLESS and "source_catalog" not in selected:
            named = meta.get("meta.source_catalog")
            found = (
                f" ({named}, which the header names, is not beside the exposure)" if named else ""
            )
            raise InputError(
                f"{self.qualified_name}: slitless spectra are cut out where the direct image has "
                f"sources{found}. Name its catalogue: source_catalog=PATH."
            )
        return ""

    def process(self, exposure: RateModel) -> MultiSlitModel | SlitModel:
        """Cut out every spectrum."""
        meta = exposure.to_flat_dict()
        if _kind(meta) in SLITLESS:
            return self._sources(exposure, meta)
        found = exposure.get("open_slits")
        if not found:
            raise InputError(
                f"{self.qualified_name}: {exposure.meta.filename} has no coordinates of its slits. Run "
                "assign_wcs."
            )
        if is_cube(exposure):
            return _bright_object(exposure, meta)
        return self._slits(exposure, meta)

    def _slits(self, exposure: RateModel, meta: FlatMetadata) -> MultiSlitModel:
        found = exposure.open_slits
        slits = nirspec.chosen(found, self.slit_names, self.source_ids, self.log)
        if not slits:
            raise NoProduct("none of the slits that are asked for is open")
        product = _of(exposure)
        for slit in slits:
            product.slits.append({"meta.model_type": "SlitModel"})
            nirspec.cut(exposure, product.slits[-1], slit, meta)
        self.log.info("%d slits", len(slits))
        return product

    def _sources(self, image: RateModel, meta: FlatMetadata) -> MultiSlitModel:
        if image.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {image.meta.filename} has no gwcs. Run assign_wcs."
            )
        grism = Grism.of(meta, self.references["specwcs"])
        listed = read_sources(self.selected["source_catalog"].path or "")
        sources = slitless.brightest(listed, self.source_ids, self.wfss_mmag_extract)
        filter_name = str(meta.get("meta.instrument.pupil"))
        ranges = slitless.ranges_of(
            self.references["wavelengthrange"], self.extract_orders, filter_name
        )
        height = self.wfss_extract_half_height
        found = (list(slitless.find_cutouts(image, s, ranges, grism, height)) for s in sources)
        seen = islice((cutouts for cutouts in found if cutouts), self.wfss_nbright)
        product = _of(image)
        for cutout in (c for cutouts in seen for c in cutouts):
            product.slits.append({"meta.model_type": "SlitModel"})
            slitless.cut(image, product.slits[-1], cutout, grism.direction)
        if not len(product.slits):
            raise NoProduct("no source of the catalogue has a spectrum in the exposure")
        self.log.info("%d spectra", len(product.slits))
        return product


def _of(exposure: RateModel) -> MultiSlitModel:
    """A model of slits with the metadata of their exposure."""
    from stpipe import models

    product = models.MultiSlitModel()
    product.update(exposure)
    return product


def _bright_object(exposure: CubeModel, meta: FlatMetadata) -> SlitModel:
    """The slit of a bright object, all integrations."""
    from stpipe import models

    slit = models.SlitModel()
    slit.update(exposure)
    nirspec.cut(exposure, slit, exposure.open_slits[0], meta)
    slit.int_times = exposure.int_times
    return slit


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
