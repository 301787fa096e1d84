"""Make count rates from what the guider reads, by correlated double sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError, ReferenceMissing

if TYPE_CHECKING:
    from stpipe.models import GuiderCalModel, GuiderRawModel
    from stpipe.references.opened import References
    from stpipe.science.arrays import Floats

__all__ = ["GuiderCdsStep", "count_differences", "rate_of_differences"]

DN_PER_SECOND = "DN/s"
AVERAGED = 4  # groups at either end of an integration while guiding
TABLES = (
    "planned_star_table",
    "flight_star_table",
    "pointing_table",
    "centroid_table",
    "track_sub_table",
)


class GuiderCdsStep(Step):
    """Make count rates from what the guider reads, by correlated double sampling.

    In acquisition and tracking the rate of an integration is the difference of its two groups, in
    fine guiding that of the means of its last and first four groups, over the group time. Star
    identification takes the smaller of two integrations, which no cosmic ray spoils. The errors are
    from read noise and photons.

    The strips of stacked identification images lie nowhere on the detector: where a reference file
    cannot be cut to them, its mean is used.

    Kept from jwst 3.0.0: photon noise is that of the counts and not of their rate.
    """

    alias = "guider_cds"
    suffix = "guider_cds"
    status = "guider_cds"
    input_models = ("GuiderRawModel",)
    reference_types = ("gain", "readnoise")
    prerequisites = ("meta.exposure.type", "meta.exposure.group_time")
    outputs = (Output("rates", "GuiderCalModel", suffix="guider_cds"),)

    def process(self, raw: GuiderRawModel) -> GuiderCalModel:
        """Rates of the integrations, or of both together."""
        from stpipe import models

        kind, seconds = raw.meta.exposure.type, raw.meta.exposure.group_time
        counts = count_differences(np.asarray(raw.data), kind)
        stacked = "STACK" in kind
        gain, noise = (
            _reference(self.references, name, counts.shape[1:], stacked=stacked)
            for name in ("gain", "readnoise")
        )
        product = models.GuiderCalModel()
        product.update(raw)
        product.data, product.err = rate_of_differences(counts, seconds, gain, noise)
        product.dq = raw.dq
        for name in TABLES:
            if raw.has(name):
                setattr(product, name, getattr(raw, name))
        product.meta.bunit_data = DN_PER_SECOND
        return product


def count_differences(data: Floats, kind: str) -> Floats:
    """Counts in DN (images, rows, columns) that gathered in each integration.

    `data` is (integrations, groups, rows, columns) in DN of an exposure of type `kind`.

    Raises
    ------
    InputError
        When there are not two groups, or not two integrations of an identification.
    """
    if data.shape[1] < 2 or (kind.startswith("FGS_ID") and len(data) < 2):  # noqa: PLR2004 - a difference
        raise InputError(
            f"guider_cds: {kind} exposures need two groups, identifications two integrations; this "
            f"one has {len(data)} integrations of {data.shape[1]} groups."
        )
    if kind == "FGS_FINEGUIDE":
        last, first = data[:, -AVERAGED:].mean(axis=1), data[:, :AVERAGED].mean(axis=1)
    else:
        last, first = data[:, 1], data[:, 0]
    counts: Floats = last - first
    return np.minimum(counts[1], counts[0])[None] if kind.startswith("FGS_ID") else counts


def rate_of_differences(
    counts: Floats, seconds: float, gain: Floats, readnoise: Floats
) -> tuple[Floats, Floats]:
    """Rates (images, rows, columns) in DN/s of `counts` in DN, and their errors.

    `gain` is in e-/DN, `readnoise` in DN; (rows, columns) or numbers.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        photons = counts / (gain * np.float32(seconds))
    photons = np.where(photons < 0, 0, photons)
    error = np.sqrt(2 * (readnoise / np.float32(seconds)) ** 2 + photons)
    return counts / np.float32(seconds), error.astype(np.float32)


def _reference(
    references: References, name: str, shape: tuple[int, ...], *, stacked: bool
) -> Floats:
    """A reference image (rows, columns), or its mean for images that it cannot be cut to."""
    from stpipe import models

    try:
        image: Floats = references[name].data
    except ReferenceMissing:
        if not stacked:
            raise
        with models.open(references.selected[name].path) as whole:
            image = np.full(shape, np.mean(whole.data), dtype=np.float32)
    return image
