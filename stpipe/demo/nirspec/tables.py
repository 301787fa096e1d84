"""Rows of the tables in reference files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.demo.nirspec.settings import Setting
    from stpipe.models.protocols import Table

__all__ = ["configurations", "table_of"]


def configurations(setting: Setting) -> list[dict[str, str]]:
    """What rows of a table are selected by: filter, grating, and slits."""
    known = {name: setting.optics[f"meta.instrument.{name}"] for name in ("filter", "grating")}
    if not setting.has_names:
        return [known]
    return [{**known, "slit": slit.name} for slit in setting.slits]


def table_of(reference: Any, name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table of the reference's schema, from rows of cells by column."""
    schema = reference.schema.arrays[name].dtype
    cells = {column: np.shape(value) for column, value in rows[0].items()}
    dtype = [(column, schema[column].base, cells.get(column, ())) for column in schema.names]
    table = np.zeros(len(rows), dtype)
    for number, row in enumerate(rows):
        for column, value in row.items():
            table[column][number] = value
    return table
