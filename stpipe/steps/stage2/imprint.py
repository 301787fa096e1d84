"""Subtract what leaks through the closed shutters of NIRSpec, as an imprint exposure shows it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import Skip
from stpipe.references.selection import Reference, listed
from stpipe.science.background.imprints import subtract_imprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata

__all__ = ["ImprintStep"]

Rates: TypeAlias = "ImageModel | IFUImageModel"
SHOWN = frozenset({"NRS_MSASPEC", "NRS_IFU"})
LAMPS = frozenset({"NRS_LAMP", "NRS_AUTOFLAT", "NRS_AUTOWAVE"})


class ImprintStep(Step):
    """Subtract what leaks through the closed shutters of NIRSpec, as an imprint exposure shows it.

    `imprint_list` names the imprints; without them the step is skipped. One alone belongs to every
    exposure, and of shutters the first does. Of several it is the one of the same observation and
    place in the dither pattern (PATT_NUM), among those of the same kind of target (BKGDTARG); else the
    only one of that kind. Flags of the imprint are added. Its noise is left out of ERR and the
    variances, as in jwst, unless `add_variances` is set.
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
        return listed("imprint", self.imprint_list, self.context.pending)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Light leaks into exposures through shutters and those of the integral-field unit."""
        kind = str(meta.get("meta.exposure.type")).upper()
        lamp = kind in LAMPS and str(meta.get("meta.instrument.lamp_mode")).upper() == "IFU"
        if kind not in SHOWN and not lamp:
            return f"exposures of type {kind} have no imprint"
        return "" if selected else "no imprint exposures (imprint_list)"

    def process(self, exposure: Rates) -> Rates:
        """Subtract the imprint that belongs to the exposure."""
        from stpipe import models

        paths = [str(reference.path) for reference in self.selected.values()]
        with ExitStack() as stack:
            imprints: list[Any] = [stack.enter_context(models.open(path)) for path in paths]
            number = subtract_imprint(exposure, imprints)
            if number is None:
                raise Skip("no imprint belongs to the exposure (BKGDTARG, OBSERVTN, PATT_NUM)")
            if self.add_variances:
                _add_variances(exposure, imprints[number])
        self.log.info("The imprint is %s", paths[number])
        return exposure


def _add_variances(exposure: Rates, imprint: Rates) -> None:
    """Make the errors those of a difference."""
    for name in ("var_poisson", "var_rnoise"):
        if exposure.has(name) and imprint.has(name):
            exposure.set(name, getattr(exposure, name) + getattr(imprint, name))
    exposure.err = np.sqrt(exposure.err**2 + imprint.err**2)
