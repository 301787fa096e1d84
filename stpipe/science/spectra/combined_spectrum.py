"""Spectra combined to one, as models: of several exposures or slits, or the user's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stpipe.errors import InputError
from stpipe.science.exposure_types import MRS
from stpipe.science.spectra.combination import Spectrum, combined
from stpipe.science.spectra.sampling import smoothed
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stpipe.models import MRSMultiSpecModel, MultiCombinedSpecModel, MultiSpecModel, Part
    from stpipe.science.arrays import Doubles

__all__ = [
    "Spectra",
    "brightness",
    "by_order",
    "of_backgrounds",
    "of_slits",
    "of_user",
    "spectrum_of",
    "usable",
]

Spectra: TypeAlias = "MultiCombinedSpecModel | MultiSpecModel | MRSMultiSpecModel"

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
# Columns of a combined spectrum whose units are those of the spectra.
UNITS_OF = {
    "FLUX": "FLUX",
    "ERROR": "FLUX",
    "SURF_BRIGHT": "SURF_BRIGHT",
    "SB_ERROR": "SURF_BRIGHT",
}
DESCRIBED = (
    "name",
    "spectral_order",
    "dispersion_direction",
    "source_id",
    "source_type",
    "source_ra",
    "source_dec",
)


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
    exposed = float(spectra.meta.exposure.exposure_time or 1.0)
    found = combined([spectrum_of(part, exposed) for part in parts], sigma_clip)
    flux, bright = smoothed(found.flux, kernel), smoothed(found.surf_bright, kernel)
    return _model(spectra, [(replace(found, flux=flux, surf_bright=bright), parts[0])])


def by_order(
    spectra: Sequence[MultiSpecModel], time: str, sigma_clip: float | None
) -> MultiCombinedSpecModel | None:
    """The usable spectra of each order combined; None where there are none.

    Parameters
    ----------
    spectra : sequence of MultiSpecModel
    time : {"exposure_time", "integration_time", ""}
        What spectra are weighted by; all alike if it is empty.
    sigma_clip : float or None
        See `combined`.

    Returns
    -------
    MultiCombinedSpecModel or None
    """
    orders: dict[int | None, list[tuple[Part, float]]] = {}
    for model in spectra:
        weight = _weight(model, time)
        for part in usable(model):
            orders.setdefault(part.spectral_order, []).append((part, weight))
    if not orders:
        return None
    found = [
        (combined([spectrum_of(*each) for each in parts], sigma_clip), parts[0][0])
        for parts in orders.values()
    ]
    return _model(spectra[0], found)


def of_backgrounds(spectra: Sequence[MultiSpecModel], kernel: int) -> MultiCombinedSpecModel | None:
    """The background that exposures saw, combined by exposure time and smoothed by a running median.

    It is the surface brightness of exposures that saw nothing else. Where there was a source (BKGDTARG
    is F), and in integral fields, which are summed over their whole, it is the background below it.

    Parameters
    ----------
    spectra : sequence of MultiSpecModel
        Opened for this: their tables are changed.
    kernel : int
        Samples of the running median.

    Returns
    -------
    MultiCombinedSpecModel or None
        None where no spectrum is usable.
    """
    for model in filter(_has_source, spectra):
        for part in model.spec:
            table = part.spec_table.copy()
            table["SURF_BRIGHT"], table["SB_ERROR"] = table["BACKGROUND"], table["BKGD_ERROR"]
            part.spec_table = table
    found = by_order(spectra, "exposure_time", None)
    for part in found.spec if found else ():
        table = part.spec_table.copy()
        for column in ("FLUX", "SURF_BRIGHT"):
            table[column] = smoothed(table[column], kernel)
        part.spec_table = table
    return found


def _has_source(model: MultiSpecModel) -> bool:
    kind = str(model.meta.exposure.type).upper()
    extended = kind == "NRS_IFU" and model.spec[0].source_type == "EXTENDED"
    return model.meta.observation.bkgdtarg is False or extended or kind == MRS


def _weight(model: MultiSpecModel, time: str) -> float:
    if not time:
        return 1.0
    if not (found := model.get(f"meta.exposure.{time}")):
        raise InputError(
            f"{model.path or model.meta.filename} has no {time.upper()}, by which spectra are "
            "weighted. Add it to the header, or take exptime_key=unit_weight."
        )
    return float(found)


def _model(like: MultiSpecModel, found: Sequence[tuple[Spectrum, Part]]) -> MultiCombinedSpecModel:
    """A model of combined spectra, each with what is known of the first that went into it."""
    from stpipe import models

    model = models.MultiCombinedSpecModel()
    model.update(like)
    dtype = model.schema.lists["spec"].arrays["spec_table"].dtype
    for spectrum, first in found:
        table = np.zeros(spectrum.wavelength.size, dtype)
        for column in table.dtype.names or ():
            table[column] = getattr(spectrum, column.lower())
        model.spec.append({"spec_table": table})
        part = model.spec[-1]
        for name in DESCRIBED:
            if name in part.schema.metadata:
                part.set(name, first.get(name))
        units = first.units("spec_table")
        part.set_units(
            "spec_table", UNITS | {n: units[m] for n, m in UNITS_OF.items() if m in units}
        )
    return model


def spectrum_of(part: Part, weight: float) -> Spectrum:
    """The columns of an extracted spectrum, each sample with the same weight."""
    table = part.spec_table
    columns = {name: np.asarray(table[column], np.float64) for name, column in COLUMNS.items()}
    ones = np.ones(len(table))
    dq = np.asarray(table["DQ"], np.uint32)
    return Spectrum(**columns, dq=dq, weight=weight * ones, n_input=ones)


def of_user(path: Path | None) -> Spectra:
    """The spectra in a file, combined or extracted.

    Raises
    ------
    InputError
        When it holds something else.
    """
    from stpipe import models

    model = models.open(path)
    extracted = models.MultiSpecModel, models.MRSMultiSpecModel
    if not isinstance(model, (models.MultiCombinedSpecModel, *extracted)):
        raise InputError(
            f"user_background: {path} holds {with_article(type(model).__name__)}, allowed: a "
            "MultiCombinedSpecModel, such as _masterbg1d or _c1d, or extracted spectra (_x1d)."
        )
    return model


def brightness(model: Spectra) -> tuple[Doubles, Doubles]:
    """Wavelengths (um, ascending) and surface brightness (MJy/sr) of the first spectrum."""
    table = model.spec[0].spec_table
    order = np.argsort(table["WAVELENGTH"], kind="stable")
    return table["WAVELENGTH"][order], table["SURF_BRIGHT"][order]
