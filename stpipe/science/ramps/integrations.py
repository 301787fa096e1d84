"""Integrations of a ramp or of rates, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from stpipe.engine.chain import hold

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from stpipe.engine.array_store import FinishedArray
    from stpipe.models import CubeModel, DataModel, ImageModel, RampModel

__all__ = [
    "RATES",
    "RampOrRates",
    "RateModel",
    "as_model",
    "integrations_of",
    "is_cube",
    "is_ramp",
]

RATES = ("ImageModel", "IFUImageModel", "CubeModel")  # what the fit of ramps makes

RateModel: TypeAlias = "ImageModel | CubeModel"
RampOrRates: TypeAlias = "RampModel | ImageModel | CubeModel"


def is_ramp(model: DataModel) -> TypeIs[RampModel]:
    """Is it a ramp, and not rates?

    Parameters
    ----------
    model : DataModel

    Returns
    -------
    bool
    """
    return type(model).__name__ == "RampModel"


def is_cube(model: DataModel) -> TypeIs[CubeModel]:
    """Is it an image for every integration?

    Parameters
    ----------
    model : DataModel

    Returns
    -------
    bool
    """
    return type(model).__name__ == "CubeModel"


def integrations_of(model: RampOrRates) -> list[tuple[int | slice, ...]]:
    """Sections of a model's data (..., rows, columns), one for each integration.

    Parameters
    ----------
    model : RampModel, CubeModel or ImageModel

    Returns
    -------
    list of tuple
        Indices of `data`; of an image one.
    """
    *leading, rows, columns = model.shape
    image = slice(0, rows), slice(0, columns)
    groups = (slice(None),) * (len(leading) - 1)
    return [(i, *groups, *image) for i in range(leading[0])] if leading else [image]


def as_model(array: FinishedArray, like: DataModel) -> RampOrRates:
    """A model of an array, by its number of dimensions, with the metadata of another.

    Parameters
    ----------
    array : ([integrations, [groups,]] rows, columns) float32
        In memory or in a scratch file.
    like : DataModel
        Gives the metadata.

    Returns
    -------
    ImageModel, CubeModel or RampModel
    """
    from stpipe import models

    kinds: dict[int, type[RampOrRates]] = {
        2: models.ImageModel,
        3: models.CubeModel,
        4: models.RampModel,
    }
    product = kinds[len(array.shape)]()
    product.update(like)
    hold(product, "data", array)
    return product
