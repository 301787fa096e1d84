"""Subtract what leaks through the closed shutters of NIRSpec, as an imprint exposure shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import Skip
from stpipe.references.selection import Reference, override
from stpipe.science.background.imprints import matching_imprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Bits, Floats

__all__ = ["ImprintStep"]

PREFIX = "imprint_"
SHOWN = frozenset({"NRS_MSASPEC", "NRS_IFU"})
LAMPS = frozenset({"NRS_LAMP", "NRS_AUTOFLAT", "NRS_AUTOWAVE"})


class ImprintStep(Step):
    """Subtract what leaks through the closed shutters of NIRSpec, as an imprint exposure shows it.

    `imprint_list` names the imprints; without them the step is skipped. One alone is subtracted from
    every exposure, and of shutters the first is. Of several the one of the same observation and place in
    the dither pattern (PATT_NUM) is, among those of the same kind of target (BKGDTARG); else the only
    one of that kind. Flags of the imprint are added. Its noise is left out of ERR and the variances,
    as in jwst, unless `add_variances` is set.
    """

    alias = "imprint"
    suffix = "imprint"
    status = "imprint"
    input_models = ("ImageModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type",)
    spec = """
        imprint_list = force_list(default=list())  # Files of imprint exposures
        add_variances = boolean(default=False)  # Add the noise of the imprint
    """
    imprint_list: list[str]
    add_variances: bool

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The imprints: inputs that are tracked and recorded as references are."""
        del meta
        return {
            f"{PREFIX}{number}": override(f"{PREFIX}{number}", path)
            for number, path in enumerate(self.imprint_list, 1)
        }

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Light leaks into exposures through shutters and those of the integral-field unit."""
        kind = str(meta.get("meta.exposure.type")).upper()
        lamp = kind in LAMPS and str(meta.get("meta.instrument.lamp_mode")).upper() == "IFU"
        if kind not in SHOWN and not lamp:
            return f"exposures of type {kind} have no imprint"
        return "" if selected else "no imprint exposures (imprint_list)"

    def process(self, exposure: ImageModel | IFUImageModel) -> ImageModel | IFUImageModel:
        """Subtract the imprint that belongs to the exposure."""
        from stpipe import models

        paths = [reference.path for reference in self.selected.values()]
        headers = [models.open_metadata(path).to_flat_dict() for path in paths]
        number = matching_imprint(exposure.to_flat_dict(), headers)
        if number is None:
            raise Skip("none of the imprints belongs to it (BKGDTARG, OBSERVTN, PATT_NUM)")
        with models.open(paths[number]) as imprint:
            self.log.info("The imprint is %s", paths[number])
