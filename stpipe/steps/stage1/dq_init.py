"""Start the data-quality flags of an exposure from the bad-pixel mask of its detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.errors import InputError
from stpipe.models import dqflags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.engine.band import Band
    from stpipe.engine.chain import Chain
    from stpipe.models import DataModel, GuiderRawModel, RampModel
    from stpipe.references.opened import CutReference, References
    from stpipe.science.arrays import Bits, GroupBits

__all__ = ["GUIDER_TYPES", "DQInitStep", "flag_groups", "read_mask"]

GUIDER_TYPES = (
    "FGS_ACQ1",
    "FGS_ACQ2",
    "FGS_FINEGUIDE",
    "FGS_ID-IMAGE",
    "FGS_ID-STACK",
    "FGS_TRACK",
)


class DQInitStep(RampStep):
    """Start the data-quality flags of an exposure from the bad-pixel mask of its detector.

    The mask is added to PIXELDQ; its DO_NOT_USE bit also to every group, so that no ramp is fitted
    to a bad pixel. `user_supplied_dq` names a FITS image in standard bits that is added as well.
    Raw data of the guider have flags of pixels only.
    """

    alias = "dq_init"
    suffix = "dq_init"
    status = "dq_init"
    halo = 0
    band_mb = 18
    input_models = ("RampModel", "GuiderRawModel")
    reference_types = ("mask",)
    spec = """
        user_supplied_dq = string(default=None)  # FITS image of bits to add to the mask
    """
    user_supplied_dq: str | None

    def read_as(self, model: DataModel) -> DataModel | None:
        """Raw exposures as ramps, those of the guider as such."""
        from stpipe import models

        guides = str(model.get("meta.exposure.type")) in GUIDER_TYPES
        if guides and isinstance(model, models.Level1bModel):
            return models.GuiderRawModel(model)
        return super().read_as(model)

    def process(self, ramp: RampModel | GuiderRawModel) -> Any:
        """Add the mask; to a ramp band by band."""
        from stpipe import models

        if not isinstance(ramp, models.GuiderRawModel):
            return super().process(ramp)
        mask = self.references["mask"].dq
        if self.user_supplied_dq is not None:
            mask = mask | read_mask(self.user_supplied_dq, ramp.data.shape[-2:])
        ramp.dq = ramp.dq | mask
        return ramp

    def prepare(self, exposure: Chain, references: References) -> Bits | None:
        """The user's own mask, if any."""
        del references
        own = self.user_supplied_dq
        return None if own is None else read_mask(own, exposure.frame)

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Add the mask to the flags of pixels and groups."""
        mask = references["mask"].dq
        if ramp.known is not None:
            mask = mask | ramp.known[ramp.place.section]
        ramp.pixeldq = ramp.pixeldq | mask
        ramp.groupdq = flag_groups(ramp.groupdq, mask)


def flag_groups(groupdq: GroupBits, mask: Bits) -> GroupBits:
    """Flags (integrations, groups, rows, columns) with DO_NOT_USE where the mask has it."""
    return groupdq | (mask & dqflags.DO_NOT_USE).astype(np.uint8)


def read_mask(path: str, shape: tuple[int, ...]) -> Bits:
    """Mask of a user, uint32, from the first image of a FITS file.

    Raises
    ------
    InputError
        When the file cannot be read or its image is not of the exposure's shape.
    """
    from astropy.io import fits

    try:
        mask = fits.getdata(path)
    except (OSError, IndexError) as error:
        raise InputError(f"user_supplied_dq: {path} is no readable FITS image: {error}.") from None
    if mask.shape != shape:
        raise InputError(
            f"user_supplied_dq: the image in {path} is of shape {mask.shape}, the exposure of "
            f"{shape}. Give a mask of the exposure's subarray."
        )
    return np.asarray(mask, dtype=np.uint32)
