"""The metafile of the shutters: which are open, and the sources in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from stpipe.demo.nirspec.settings import Setting
    from stpipe.demo.nirspec.shutters import Shutters

__all__ = ["METADATA_ID", "save_metafile"]

METADATA_ID: Final = 12
"""MSAMETID: the number of the configuration."""


def save_metafile(path: Path, setting: Setting) -> Path:
    """Write the metafile of the shutters, whole or not at all: SHUTTER_INFO and SOURCE_INFO."""
    from astropy.io import fits

    rows, sources = [], []
    for slit in setting.slits:
        if slit.shutters is None:
            continue
        number = slit.shutters.number if slit.source else 0
        rows += _rows(slit.shutters, number, slit.source.place if slit.source else None)
        if slit.source:
            stellarity = 0.0 if slit.source.place is None else 1.0
            name = f"1234_{number}"
            sources.append((1234, number, name, f"demo{number}", "", 0.0, 0.0, "", stellarity))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.BinTableHDU(np.array(rows, _SHUTTER), name="SHUTTER_INFO"),
            fits.BinTableHDU(np.array(sources, _SOURCE), name="SOURCE_INFO"),
        ]
    ).writeto(temporary, overwrite=True)
    temporary.replace(path)
    return path


_SHUTTER: Final = np.dtype(
    [
        *((name, np.int16) for name in ("slitlet_id", "msa_metadata_id", "shutter_quadrant")),
        *((name, np.int16) for name in ("shutter_row", "shutter_column", "source_id")),
        ("background", "S1"),
        ("shutter_state", "S6"),
        *((f"estimated_source_in_shutter_{axis}", np.float32) for axis in "xy"),
        ("dither_point_index", np.int16),
        ("primary_source", "S1"),
    ]
)
_SOURCE: Final = np.dtype(
    [
        ("program", np.int32),
        ("source_id", np.int32),
        ("source_name", "S20"),
        ("alias", "S31"),
        ("catalog_id", "S20"),
        ("ra", np.float64),
        ("dec", np.float64),
        ("preimage_id", "S30"),
        ("stellarity", np.float64),
    ]
)


def _rows(
    open_: Shutters, source: int, place: tuple[float, float] | None
) -> list[tuple[object, ...]]:
    """The rows of a slitlet; places count from the corner of a shutter."""
    x, y = place or (0.0, 0.0)
    rows: list[tuple[object, ...]] = []
    for column in range(open_.first, open_.last + 1):
        main = bool(source) and column == open_.main
        where = (x + 0.5, y + 0.5) if main else (np.nan, np.nan)
        known = (open_.number, METADATA_ID, open_.quadrant, open_.row, column, source)
        rows.append((*known, "N" if main else "Y", "OPEN", *where, 1, "Y" if main else "N"))
    return rows
