"""The slits of an exposure, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import TypeIs

    from stpipe.models import (
        CubeModel,
        IFUImageModel,
        ImageModel,
        MultiExposureModel,
        MultiSlitModel,
        SlitModel,
    )
    from stpipe.models.lists import ModelList
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["Slits", "each_slit", "has_many", "parts_of"]


# Those of a source, a MultiExposureModel, are treated as those of an exposure are.
Slits: TypeAlias = "MultiSlitModel | SlitModel | ImageModel | CubeModel | IFUImageModel"
# Where models have their slits: those of an exposure, or those of a source, one of each exposure.
LISTS = {"MultiSlitModel": "slits", "MultiExposureModel": "exposures"}


def each_slit(exposure: Slits) -> Iterator[tuple[Spectral, FlatMetadata]]:
    """The slits of an exposure or a source with many, or the exposure itself.

    Parameters
    ----------
    exposure : MultiSlitModel, MultiExposureModel, or a model of one spectrum

    Yields
    ------
    slit : SlitModel or a model like it
        A part of `exposure`; what is assigned to it stays there.
    meta : mapping
        Its metadata by dotted name, over those of the exposure.
    """
    meta = exposure.to_flat_dict()
    if not has_many(exposure):
        yield exposure, meta
        return
    for slit in parts_of(exposure):
        yield slit, slit.to_flat_dict().over(meta)


def has_many(model: Slits) -> TypeIs[MultiSlitModel]:
    """Whether a model is one of many slits.

    Parameters
    ----------
    model : MultiSlitModel, MultiExposureModel, or a model of one spectrum

    Returns
    -------
    bool
    """
    return type(model).__name__ in LISTS


def parts_of(model: MultiSlitModel | MultiExposureModel) -> ModelList[Any]:
    """The slits of an exposure, or those of a source.

    Parameters
    ----------
    model : MultiSlitModel or MultiExposureModel

    Returns
    -------
    list of Part
    """
    found: ModelList[Any] = getattr(model, LISTS[type(model).__name__])
    return found
