"""Measure where the source of MIRI's prism is, in the image that verifies its acquisition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import Skip
from stpipe.references.selection import Reference, listed
from stpipe.science.exposure_types import LRS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gwcs import WCS

    from stpipe.models import CubeModel, ImageModel, SlitModel
    from stpipe.models.protocols import FlatMetadata

__all__ = ["TargCentroidStep"]

Rates: TypeAlias = "ImageModel | CubeModel | SlitModel"
Place: TypeAlias = tuple[float, float]
CONFIRM = "MIR_TACONFIRM"
IMAGE = "target_acquisition_1"  # as `listed` names it


class TargCentroidStep(Step):
    """Measure where the source of MIRI's prism is, in the image that verifies its acquisition.

    `ta_file` names the image (MIR_TACONFIRM), or an association does: a member of the type
    target_acquisition. The centroid of the source in it, without the image's dither and the offset of
    its filter, with the dither of the exposure, is where the source is in the exposure: SRCXPOS and
    SRCYPOS, pixels from 0. TA_XPOS and TA_YPOS are the centroid itself. `pathloss` looks there for
    the source.

    With `correct_wcs` the coordinates of the exposure move with the source, so that spectra are
    extracted where it was found. Without a source near the place where the pointing has it the
    step is skipped.
    """

    alias = "targ_centroid"
    suffix = "targ_centroid"
    status = "targ_centroid"
    input_models = ("ImageModel", "CubeModel", "SlitModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("filteroffset", "distortion")
    spec = """
        skip = boolean(default=True)  # Leave this step out
        ta_file = string(default='')  # The image that verifies the acquisition
        correct_wcs = boolean(default=False)  # Move the coordinates to where the source was found
    """
    ta_file: str
    correct_wcs: bool

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """Those of the image, and the image: an input that is tracked as references are."""
        if not self.ta_file:
            return {}
        image = listed("target_acquisition", [self.ta_file], self.context.pending)
        return {**super().select_references({**meta, "meta.exposure.type": CONFIRM}), **image}

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Both references are needed with an image."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only the prism has such images."""
        kind = str(meta.get("meta.exposure.type")).upper()
        if kind not in LRS:
            return f"it is for {' and '.join(sorted(LRS))}, not for {kind}"
        return "" if selected else "no image that verifies the acquisition (ta_file)"

    def process(self, exposure: Rates) -> Rates:
        """Find the source and note its place."""
        from stpipe import models
        from stpipe.science.wcs.acquisition import expected_places, measured_place, moved_sky

        meta = exposure.to_flat_dict()
        if meta.get("meta.target.source_type") != "POINT":
            self.log.warning(
                "The source is %s; this is for points", meta.get("meta.target.source_type")
            )
        with models.open(str(self.selected[IMAGE].path)) as image:
            known = image.to_flat_dict()
            self._check(image, known)
            expected, nominal = expected_places(self._coordinates(image, known), known)
            found = measured_place(np.asarray(image.data), expected)
        if found is None:
            raise Skip(f"no source near ({expected[0]:.1f}, {expected[1]:.1f}) in {self.ta_file}")
        dithered, undithered = expected_places(exposure.meta.wcs, meta)
        away = np.subtract(found, expected) + np.add(_origin(known), nominal)
        x, y = away - np.add(_origin(meta), undithered) + dithered + self._offset(known)
        self.log.info("The source is at (%.2f, %.2f), expected: (%.2f, %.2f)", x, y, *dithered)
        exposure.ta_xpos, exposure.ta_ypos = found
        exposure.source_xpos, exposure.source_ypos = float(x), float(y)
        if self.correct_wcs:
            exposure.meta.wcs = moved_sky(exposure.meta.wcs, dithered, (float(x), float(y)))
        return exposure

    def _check(self, image: Any, known: FlatMetadata) -> None:
        kind = str(known.get("meta.exposure.type")).upper()
        if kind != CONFIRM or image.data.ndim != 2:  # noqa: PLR2004 - an image
            raise Skip(
                f"{self.ta_file} is a {type(image).__name__} of type {kind}, allowed: an image of type "
                f"{CONFIRM}"
            )

    def _coordinates(self, image: Any, known: FlatMetadata) -> WCS:
        """Those of the image; made here when assign_wcs has not run on it."""
        from stpipe.science.wcs.imaging import imaging_wcs

        if image.meta.wcs is not None:
            return image.meta.wcs
        filters = self.references["filteroffset"].filters
        return imaging_wcs(known, image.data.shape, self.references["distortion"].model, filters)

    def _offset(self, known: FlatMetadata) -> Place:
        """How far the prism has a source from where the filter of the image has it, pixels."""
        from stpipe.science.wcs.imaging import filter_offset

        found = filter_offset(known, self.references["filteroffset"].filters)
        if found is None:
            name = known.get("meta.instrument.filter")
            self.log.warning("The filteroffset reference has no filter %s: no offset", name)
        return found or (0.0, 0.0)


def _origin(meta: FlatMetadata) -> Place:
    """The first pixel of the subarray, from 0."""
    return meta["meta.subarray.xstart"] - 1, meta["meta.subarray.ystart"] - 1
