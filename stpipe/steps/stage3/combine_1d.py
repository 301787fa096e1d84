"""Combine extracted spectra to one for each spectral order."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stpipe.core.step import Output, Step
from stpipe.errors import NoProduct
from stpipe.science.spectra.combined_spectrum import by_order

if TYPE_CHECKING:
    from stpipe.models import ModelLibrary, MultiCombinedSpecModel, MultiSpecModel

__all__ = ["Combine1dStep"]

TIMES = {
    "exposure_time": "exposure_time",
    "integration_time": "integration_time",
    "unit_weight": "",
}


class Combine1dStep(Step):
    """Combine extracted spectra to one for each spectral order.

    All wavelengths are sorted; those that lie close together, one of each spectrum, become one. Fluxes
    and surface brightnesses are means of the samples next to it, weighted by the time, without those
    that are DO_NOT_USE. With `sigma_clip` fluxes are left out that are further from their median than
    this many median deviations. Spectra without fluxes, or whose wavelengths do not rise or fall all
    along, do not count.

    The spectra in one file, or those of several, are combined.
    """

    alias = "combine_1d"
    suffix = "c1d"
    status = "combine_1d"
    input_models = ("MultiSpecModel",)
    combines = True
    outputs = (Output("spectrum", "MultiCombinedSpecModel", "c1d"),)
    spec = """
        exptime_key = option('exposure_time', 'integration_time', 'unit_weight', default='exposure_time')  # Weights
        sigma_clip = float(min=0, default=None)  # Median deviations that a flux may differ by
    """  # noqa: E501 - a parameter and its help are one line
    exptime_key: str
    sigma_clip: float | None

    def process(self, spectra: MultiSpecModel | ModelLibrary) -> MultiCombinedSpecModel:
        """Combine the spectra of each order."""
        from stpipe import models

        many = isinstance(spectra, models.ModelLibrary)
        listed = [cast("MultiSpecModel", each) for each in (spectra if many else [spectra])]
        found = by_order(listed, TIMES[self.exptime_key], self.sigma_clip)
        if found is None:
            raise NoProduct("no spectrum has fluxes at wavelengths that rise or fall all along")
        counts = [len(part.spec_table) for part in found.spec]
        self.log.info("%d spectra combined to %d", sum(len(s.spec) for s in listed), len(counts))
        return found
