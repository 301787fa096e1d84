"""The slits of an exposure, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import TypeIs

    from stpipe.models import CubeModel, IFUImageModel, ImageModel, MultiSlitModel, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["Slits", "each_slit", "has_many", "is_fixed_among_shutters"]


Slits: TypeAlias = "MultiSlitModel | SlitModel | ImageModel | CubeModel | IFUImageModel"


def each_slit(exposure: Slits) -> Iterator[tuple[Spectral, FlatMetadata]]:
    """The slits of an exposure with many, or the exposure itself.

    Parameters
    ----------
    exposure : MultiSlitModel, or a model of one spectrum

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
    for slit in exposure.slits:
        yield slit, slit.to_flat_dict().over(meta)


def is_fixed_among_shutters(meta: FlatMetadata) -> bool:
    """Whether a slit is a fixed one in an exposure of shutters, whose references do not have it.

    Parameters
    ----------
    meta : mapping
        Metadata of the slit by dotted name, over those of the exposure.

    Returns
    -------
    bool
    """
    kind = meta.get("meta.exposure.type")
    return kind == "NRS_MSASPEC" and meta.get("quadrant") == FIXED_QUADRANT


def has_many(model: Slits) -> TypeIs[MultiSlitModel]:
    """Whether a model is one of many slits.

    Parameters
    ----------
    model : MultiSlitModel, or a model of one spectrum

    Returns
    -------
    bool
    """
    return type(model).__name__ == "MultiSlitModel"
