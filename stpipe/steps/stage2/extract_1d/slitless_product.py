"""The product of slitless spectra: a table for each order, with a row for each source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.models import dqflags
from stpipe.steps.stage2.extract_1d.product import Spectrum, source_type, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from stpipe.models import Part, WFSSMultiSpecModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles
    from stpipe.science.spectra.slits import Slits

__all__ = ["slitless_spectra"]

_OF_SOURCE = ("source_ra", "source_dec", "source_xpos", "source_ypos")
_OF_EXPOSURE = {
    "group_id": "meta.group_id",
    "dispersion_direction": "meta.wcsinfo.dispersion_direction",
    "exposure_time": "meta.exposure.exposure_time",
    "integration_time": "meta.exposure.integration_time",
    "s_region": "meta.wcsinfo.s_region",
}


def slitless_spectra(exposure: Slits, spectra: Sequence[Spectrum]) -> WFSSMultiSpecModel:
    """A model with a table for each order.

    All tables have a row for each source, in the order of their numbers; N_ALONGDISP says how many
    values of a row count, 0 where a source has no spectrum of that order. The others are NaN and
    DO_NOT_USE.
    """
    from stpipe import models

    model = models.WFSSMultiSpecModel()
    model.update(exposure)
    meta = exposure.to_flat_dict()
    sources = {_number(s): s.meta for s in reversed(spectra)}
    for order in dict.fromkeys(_order(s) for s in spectra):
        model.spec.append({})
        part = model.spec[-1]
        found = {_number(s): s for s in spectra if _order(s) == order}
        rows = [(found.get(number), sources[number]) for number in sorted(sources)]
        _fill(part, rows)
        part.spectral_order = order
        for name, path in _OF_EXPOSURE.items():
            if meta.get(path) is not None:
                part.set(name, meta[path])
        there = part.spec_table.dtype.names
        units = next(iter(found.values())).units
        part.set_units("spec_table", {n: unit for n, unit in units.items() if n in there})
    return model


def _fill(part: Part, rows: Sequence[tuple[Spectrum | None, FlatMetadata]]) -> None:
    """Give a part the table of an order."""
    longest = max(len(s.wavelength) for s, _ in rows if s is not None)
    names = ["WAVELENGTH", *next(s.table for s, _ in rows if s is not None)]
    columns: dict[str, npt.NDArray[Any]] = {
        name: np.array([_padded(spectrum, name, longest) for spectrum, _ in rows]) for name in names
    }
    singles = [_of_source(spectrum, meta) for spectrum, meta in rows]
    columns |= {name: np.array([row[name] for row in singles]) for name in singles[0]}
    part.spec_table = table_of(columns, part)


def _padded(spectrum: Spectrum | None, name: str, length: int) -> Doubles:
    """A column of a spectrum, with values that say so where there is none."""
    missing = dqflags.DO_NOT_USE if name == "DQ" else np.nan
    cells = np.full(length, missing)
    if spectrum is not None:
        values = spectrum.wavelength if name == "WAVELENGTH" else spectrum.table[name]
        cells[: len(values)] = values
    return cells


def _of_source(spectrum: Spectrum | None, meta: FlatMetadata) -> dict[str, Any]:
    """The number, place and cutout of a source."""
    box = spectrum.meta if spectrum is not None else {}
    row = {
        "SOURCE_ID": meta["source_id"],
        "N_ALONGDISP": 0 if spectrum is None else len(spectrum.wavelength),
        "SOURCE_TYPE": (source_type(meta) or "").encode(),
        **{name.upper(): meta.get(name, np.nan) for name in _OF_SOURCE},
    }
    for axis in "xy":
        start, size = box.get(f"{axis}start", 0), box.get(f"{axis}size", 0)
        row[f"EXTRACT2D_{axis.upper()}START"] = start
        row[f"EXTRACT2D_{axis.upper()}STOP"] = start + size
    return row


def _number(spectrum: Spectrum) -> int:
    return int(spectrum.meta["source_id"])


def _order(spectrum: Spectrum) -> int:
    return int(spectrum.meta["meta.wcsinfo.spectral_order"])
