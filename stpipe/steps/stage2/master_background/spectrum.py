"""The spectrum of the background: combined from those of slitlets, or the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.science.spectra.combination import Spectrum, combined
from stpipe.science.spectra.sampling import smoothed
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stpipe.models import MultiCombinedSpecModel, MultiSpecModel, Part
    from stpipe.science.arrays import Doubles

__all__ = ["brightness", "of_slits", "of_user", "spectrum_of", "usable"]

COLUMNS = {  # of extracted spectra, by the name in a Spectrum
    "wavelength": "WAVELENGTH",
    "flux": "FLUX",
    "error": "FLUX_ERROR",
    "surf_bright": "SURF_BRIGHT",
    "sb_error": "SB_ERROR",
}
UNITS = {
    "WAVELENGTH": "um",
    "FLUX": "Jy",
    "ERROR": "Jy",
    "SURF_BRIGHT": "MJy/sr",
    "SB_ERROR": "MJy/sr",
}
SMOOTHED = ("FLUX", "SURF_BRIGHT")


def usable(spectra: MultiSpecModel) -> list[Part]:
    """The spectra with fluxes, at wavelengths that rise, or fall, all along."""
    return [part for part in spectra.spec if _is_usable(part.spec_table)]


def _is_usable(table: Any) -> bool:
    steps = np.diff(table["WAVELENGTH"])
    one_way = steps.size > 0 and ((steps > 0).all() or (steps < 0).all())
    return bool(one_way and np.isfinite(table["FLUX"]).any())


def of_slits(
    spectra: MultiSpecModel, parts: Sequence[Part], sigma_clip: float | None, kernel: int
) -> MultiCombinedSpecModel:
    """Some of the spectra combined, by exposure time, and smoothed by a running median."""
    from stpipe import models

    exposed = float(spectra.meta.exposure.exposure_time or 1.0)
    found = combined([spectrum_of(part, exposed) for part in parts], sigma_clip)
    model = models.MultiCombinedSpecModel()
    model.update(spectra)
    table = np.zeros(found.wavelength.size, model.schema.lists["spec"].arrays["spec_table"].dtype)
    for column in table.dtype.names or ():
        values = getattr(found, column.lower())
        table[column] = smoothed(values, kernel) if column in SMOOTHED else values
    model.spec.append({"spec_table": table})
    for name in ("spectral_order", "source_id", "source_type"):
        model.spec[0].set(name, parts[0].get(name))
    model.spec[0].set_units("spec_table", UNITS)
    return model


def spectrum_of(part: Part, weight: float) -> Spectrum:
    """The columns of an extracted spectrum, each sample with the same weight."""
    table = part.spec_table
    columns = {name: np.asarray(table[column], np.float64) for name, column in COLUMNS.items()}
    ones = np.ones(len(table))
    dq = np.asarray(table["DQ"], np.uint32)
    return Spectrum(**columns, dq=dq, weight=weight * ones, n_input=ones)


def of_user(path: Path | None) -> MultiCombinedSpecModel:
    """The combined spectra in a file.

    Raises
    ------
    InputError
        When it holds something else.
    """
    from stpipe import models

    model = models.open(path)
    if not isinstance(model, models.MultiCombinedSpecModel):
        raise InputError(
            f"user_background: {path} holds {with_article(type(model).__name__)}, allowed: a "
            "MultiCombinedSpecModel, such as _masterbg1d or _c1d."
        )
    return model


def brightness(model: MultiCombinedSpecModel) -> tuple[Doubles, Doubles]:
    """Wavelengths (um, ascending) and surface brightness (MJy/sr) of the first spectrum."""
    table = model.spec[0].spec_table
    order = np.argsort(table["WAVELENGTH"], kind="stable")
    return table["WAVELENGTH"][order], table["SURF_BRIGHT"][order]
