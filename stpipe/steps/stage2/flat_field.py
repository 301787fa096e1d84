"""Divide by the response of the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.core.step import Step
from stpipe.models import dqflags
from stpipe.references.selection import override
from stpipe.science.arrays import bits_where, has
from stpipe.science.invalid_pixels import assign, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import CubeModel, GuiderCalModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Bits, Floats

__all__ = ["FlatFieldStep", "apply_flat", "apply_flat_to_guider", "usable_flat"]

Flattened: TypeAlias = "ImageModel | CubeModel | GuiderCalModel"


class FlatFieldStep(Step):
    """Divide by the response of the pixels, and propagate errors.

    Images and their integrations. Pixels whose flat is unknown (NaN, 0 or NO_FLAT_FIELD) stay as
    they are and are DO_NOT_USE; UNRELIABLE_FLAT alone excludes nothing. VAR_FLAT is the variance
    that the flat's own error adds, and ERR the root of the sum of all three. With `inverse` the step
    multiplies, and there is no VAR_FLAT. Rates of the guider have no variances: the flat's error is
    added to ERR.

    A flat that does not cover the exposure stops the step.
    """

    alias = "flat_field"
    suffix = "flat_field"
    status = "flat_field"
    input_models = ("ImageModel", "CubeModel", "GuiderCalModel")
    reference_types = ("flat",)
    spec = """
        user_supplied_flat = string(default=None)  # Flat to use instead of the reference file
        inverse = boolean(default=False)  # Multiply instead of divide
    """
    user_supplied_flat: str | None
    inverse: bool

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The flat that the user names, or else the reference file."""
        if self.user_supplied_flat is not None:
            return {"flat": override("flat", self.user_supplied_flat)}
        return super().select_references(meta)

    def process(self, image: Flattened) -> Flattened:
        """Correct values, variances, errors and flags."""
        flat = self.references["flat"]
        response, dq = usable_flat(flat.data, flat.dq)
        error = np.zeros_like(response) if flat.err is None else flat.err
        if type(image).__name__ == "GuiderCalModel":
            rates = apply_flat_to_guider(image.data, image.err, (response, error), self.inverse)
            image.data, image.err = rates
            image.dq = image.dq | dq
            return image
        values = apply_flat(values_of(image), response, error, inverse=self.inverse)
        assign(image, values, image.dq | dq)
        return image


def usable_flat(flat: Floats, dq: Bits) -> tuple[Floats, Bits]:
    """The flat (rows, columns) with 1 where it is unknown, and its flags completed."""
    unknown = np.isnan(flat) | (flat == 0) | has(dq, dqflags.NO_FLAT_FIELD)
    dq = dq | bits_where(np.isnan(flat) | (flat == 0), dqflags.NO_FLAT_FIELD)
    dq |= bits_where(unknown, dqflags.DO_NOT_USE)
    return np.where(has(dq, dqflags.DO_NOT_USE), np.float32(1), flat), dq


def apply_flat(
    values: Mapping[str, Floats], flat: Floats, error: Floats, *, inverse: bool = False
) -> dict[str, Floats]:
    """Flat-fielded values (..., rows, columns) with their variances and errors.

    Parameters
    ----------
    values
        `data`, `var_poisson` and `var_rnoise`.
    flat, error
        The flat and its error (rows, columns); the flat has no zeros.
    inverse
        Multiply instead of divide.
    """
    square = flat * flat
    if inverse:
        data = values["data"] * flat
        variances = {n: values[n] * square for n in ("var_poisson", "var_rnoise")}
        variances["var_flat"] = np.zeros_like(data)
    else:
        data = values["data"] / flat
        variances = {n: values[n] / square for n in ("var_poisson", "var_rnoise")}
        variances["var_flat"] = data**2 / square * error**2
    return {"data": data, "err": np.sqrt(sum(variances.values())), **variances}


def apply_flat_to_guider(
    data: Floats, err: Floats, flat: tuple[Floats, Floats], inverse: bool
) -> tuple[Floats, Floats]:
    """Rates of the guider (images, rows, columns) and their errors, NaN where one of them is.

    `flat` is the flat and its error (rows, columns). An inverse correction leaves errors alone.
    """
    response, error = flat
    rates = data * response if inverse else data / response
    errors = err if inverse else np.sqrt(err**2 + rates**2 / (response * response) * error**2)
    invalid = np.isnan(rates) | np.isnan(errors)
    unknown = np.float32(np.nan)
    return np.where(invalid, unknown, rates), np.where(invalid, unknown, errors)
