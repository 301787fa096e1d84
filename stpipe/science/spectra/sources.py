"""The exposures of one source, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stpipe.models import ModelLibrary, MultiExposureModel

__all__ = ["exposures_of"]


def exposures_of(source: MultiExposureModel) -> ModelLibrary:
    """The slits of a source, of which each becomes a model of its own.

    Parameters
    ----------
    source : MultiExposureModel
        Its coordinates come alive.

    Returns
    -------
    ModelLibrary
        Of SlitModel. Arrays are shared; pixels in files are read when a member is opened.
    """
    from stpipe import models

    source.exposures.revive("meta.wcs")
    return models.ModelLibrary([models.SlitModel(part) for part in source.exposures])
