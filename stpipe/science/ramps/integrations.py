"""Integrations of a ramp or of rates, one at a time."""

from __future__ import annotations

from typing import Any

from stpipe.engine.chain import hold

__all__ = ["as_model", "integrations_of", "is_ramp"]


def is_ramp(model: Any) -> bool:
    """Is it a ramp, and not rates?"""
    return type(model).__name__ == "RampModel"


def integrations_of(model: Any) -> list[tuple[Any, ...]]:
    """Sections of a model's data (..., rows, columns), one for each integration."""
    *leading, rows, columns = model.shape
    image = slice(0, rows), slice(0, columns)
    groups = (slice(None),) * (len(leading) - 1)
    return [(i, *groups, *image) for i in range(leading[0])] if leading else [image]


def as_model(array: Any, like: Any) -> Any:
    """A model of an array, by its number of dimensions, with the metadata of another."""
    from stpipe import models

    kinds = {2: models.ImageModel, 3: models.CubeModel, 4: models.RampModel}
    product = kinds[len(array.shape)]()
    product.update(like)
    hold(product, "data", array)
    return product
