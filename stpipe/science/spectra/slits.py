"""The slits of an exposure, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import TypeIs

    from stpipe.models import CubeModel, IFUImageModel, ImageModel, MultiSlitModel, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["Slits", "each_slit", "has_many"]


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
