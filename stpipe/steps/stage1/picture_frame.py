"""Subtract the thermal frame around NIRSpec images, scaled to the difference of edge and center."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.engine import compute
from stpipe.engine.array_store import ArrayStore
from stpipe.engine.chain import hold
from stpipe.errors import NoProduct, Skip
from stpipe.references.metafile import METAFILE, select_metafile
from stpipe.science.background.levels import Clipping
from stpipe.science.background.scene_mask import background_mask
from stpipe.science.ramps.fitting import draft_rates
from stpipe.science.ramps.integrations import RATES, as_model, integrations_of, is_ramp
from stpipe.science.wcs.nirspec import science_regions
from stpipe.science.wcs.nirspec.science_regions import ScienceRegions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.engine.array_store import FinishedArray
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Floats
    from stpipe.science.ramps.integrations import RampOrRates, RateModel

__all__ = ["PictureFrameStep", "frame_of", "regions"]

# Spectra of all kinds show light of shutters that failed open.
REGIONS = ScienceRegions(shutters=science_regions.TYPES)
LOWER_EDGE = (4, 75)  # rows and columns that are edge, up to but without the second
UPPER_EDGE = (1985, 2043)
CENTER = (76, 1984)


class PictureFrameStep(Step):
    """Subtract the thermal frame around NIRSpec images, scaled to the difference of edge and center.

    For full frames. In background pixels of each group, less the first group, the median of the
    edges is subtracted, and the reference frame times what the center stands above the edges.
    Background is what is less than `n_sigma` above the level of draft rates. Rates are corrected in
    the same way, image by image.

    `mask_science_regions` leaves out what is seen through slits, slices and shutters that failed open:
    as `assign_wcs` and `msa_flagging` tell, or from their references, which have to be given to this
    step as well. When no slit falls on the detector nothing is left out.

    Differences from jwst 3.0.0: an exposure without background pixels is SKIPPED with that reason.
    """

    alias = "picture_frame"
    suffix = "picture_frame"
    status = "picture_frame"
    input_models = ("RampModel", *RATES)
    reference_types = ("pictureframe",)
    optional_reference_types = ("gain", "readnoise", *science_regions.REFERENCES, METAFILE)
    prerequisites = ("meta.exposure.type",)
    outputs = (
        Output("mask", "", "pctfrm_mask", when="save_mask"),
        Output("correction", "", "pctfrm_correction", when="save_correction"),
    )
    spec = """
        skip = boolean(default=True)  # Leave this step out
        mask_science_regions = boolean(default=True)  # Mask regions known to hold sources
        n_sigma = float(min=0, default=2.0)  # Sigma above which a pixel is a source; 0: none is
        save_mask = boolean(default=False)  # Save the mask as _pctfrm_mask
        save_correction = boolean(default=False)  # Save what is added as _pctfrm_correction
    """
    mask_science_regions: bool
    n_sigma: float
    save_mask: bool
    save_correction: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only for full frames of NIRSpec."""
        if not _is_full(meta):
            return "only NIRSpec full frames have this frame"
        return REGIONS.lacking(meta, selected) if self._for_regions(meta) else ""

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """The frame, and what draft rates of ramps need."""
        rates = meta.get("meta.model_type") in RATES
        drafts = ("gain", "readnoise") if _is_full(meta) and not rates else ()
        return ("pictureframe", *drafts, *self._for_regions(meta))

    def _for_regions(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Those that tell what is seen, where it is masked."""
        return REGIONS.wanted(meta) if self.mask_science_regions and _is_full(meta) else ()

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The metafile of the shutters is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if self._for_regions(meta) and science_regions.needs_metafile(meta):
            given = getattr(self, f"override_{METAFILE}", None)
            selected[METAFILE] = select_metafile(given, self.context, meta)
        return selected

    def process(self, model: RampOrRates) -> RampOrRates:
        """Correct a ramp, or rates."""
        if is_ramp(model):
            compute(model)
        mask = self._mask(model)
        center, edge = regions(mask)
        if not center.any() or not edge.any():
            raise Skip("no background pixels are left in the center or at the edges")
        found = self._corrected(model, center, edge)
        if self.save_mask:
            self.add_product("mask", as_model(mask.astype(np.float32), model))
        if self.save_correction:
            self.add_product("correction", as_model(found["pctfrm_correction"], model))
        hold(model, "data", found["data"])
        return model

    def _corrected(
        self, model: RampOrRates, center: Booleans, edge: Booleans
    ) -> dict[str, FinishedArray]:
        """Data without the frame, and what was added if it is to be saved, as the model's data.

        One integration is in memory at a time.
        """
        reference, store = self.references["pictureframe"].data, ArrayStore()
        names = ["data", "pctfrm_correction"] if self.save_correction else ["data"]
        for name in names:
            store.make(name, model.shape, np.dtype(np.float32))
        for at in integrations_of(model):
            planes = np.asarray(model.read("data", at)).reshape(-1, *model.shape[-2:])
            first = planes[:1] if is_ramp(model) else np.float32(0)
            corrected = planes - frame_of(planes - first, reference, center, edge)
            if is_ramp(model):
                corrected[0] = planes[0]
            made = {"data": corrected, "pctfrm_correction": corrected - planes}
            for name in names:
                store.fill(name, at, made[name] if is_ramp(model) else made[name][0])
        return store.finished()

    def _mask(self, model: RampOrRates) -> Booleans:
        """Background pixels (rows, columns)."""
        if not is_ramp(model):
            rates: RateModel = model
        else:
            if model.shape[1] == 1:
                raise Skip("a ramp of one group cannot be corrected")
            try:
                rates, _ = draft_rates(model, self.references)
            except NoProduct as reason:
                raise Skip(f"there are no draft rates: {reason}") from None
        data = np.asarray(rates.data)
        clipping = Clipping(upper=self.n_sigma) if self.n_sigma > 0 else None
        unusable = np.zeros(data.shape, dtype=bool) | self._science_regions(rates)
        mask = background_mask(data, clipping, unusable)
        planes = mask.reshape(-1, *mask.shape[-2:])
        found: Booleans = np.logical_and.reduce(planes, axis=0)
        return found

    def _science_regions(self, rates: RateModel) -> Booleans | bool:
        """Pixels that are known to be no background."""
        if not self.mask_science_regions:
            return False
        try:
            return REGIONS.of(rates, self.references, self.selected)
        except NoProduct as reason:
            self.log.warning("%s: no science regions are masked", reason)
            return False


def _is_full(meta: FlatMetadata) -> bool:
    place = meta.get("meta.instrument.name"), meta.get("meta.subarray.name")
    return place == ("NIRSPEC", "FULL")


def regions(mask: Booleans) -> tuple[Booleans, Booleans]:
    """Pixels of `mask` (rows, columns) in the center, and at the edges inside the reference pixels."""
    y, x = np.indices(mask.shape)
    middle, inside, inner = (
        np.logical_and.reduce([low <= y, y < high, low <= x, x < high])
        for low, high in (CENTER, (LOWER_EDGE[0], UPPER_EDGE[1]), (LOWER_EDGE[1], UPPER_EDGE[0]))
    )
    return mask & middle, mask & inside & ~inner


def frame_of(images: Floats, reference: Floats, center: Booleans, edge: Booleans) -> Floats:
    """The frame in images (..., rows, columns): the reference scaled, and the level of the edges."""
    level, height = _medians(images, center, edge)
    reference_level, reference_height = _medians(reference, center, edge)
    scale = (height / reference_height)[..., None, None]
    frames: Floats = scale * (reference - reference_level) + level[..., None, None]
    return frames.astype(np.float32)


def _medians(images: Floats, center: Booleans, edge: Booleans) -> tuple[Floats, Floats]:
    """Medians at the edges, and how much higher those in the center are."""
    edges = np.nanmedian(images[..., edge], axis=-1)
    return edges, np.nanmedian(images[..., center], axis=-1) - edges
