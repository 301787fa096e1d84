"""The sources of a direct image, whose spectra a slitless exposure shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stpipe.errors import InputError, StpipeError

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles

__all__ = ["Source", "read_sources"]


@dataclass(frozen=True)
class Source:
    """A source of a catalogue: number, place in degrees, AB magnitude.

    `corners` (2, n) are right ascensions and declinations of its outline, or its place alone.
    """

    number: int
    ra: float
    dec: float
    magnitude: float
    extended: bool
    corners: Doubles


def read_sources(path: str | Path) -> list[Source]:
    """The sources of a catalogue that source_catalog made, here or in jwst.

    Raises
    ------
    InputError
        When the file is no such catalogue.
    """
    from stpipe import models

    try:
        with models.SourceCatalogModel(path) as model:
            sources = [_source(row) for row in model.catalog]
    except (StpipeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is no catalogue of sources ({type(error).__name__}: {error}); give a product of "
            "source_catalog."
        ) from error
    return [source for source in sources if np.isfinite(source.magnitude)]


def _source(row: np.void) -> Source:
    centre = _place(row, "sky_centroid")
    names = [f"sky_bbox_{corner}" for corner in ("ll", "lr", "ul", "ur")]
    corners = [_place(row, name) for name in names if f"{name}.ra" in (row.dtype.names or ())]
    return Source(
        number=int(row["label"]),
        ra=centre[0],
        dec=centre[1],
        magnitude=float(row["isophotal_abmag"]),
        extended=bool(row["is_extended"]),
        corners=np.array(corners or [centre]).T,
    )


def _place(row: np.void, name: str) -> tuple[float, float]:
    return float(row[f"{name}.ra"]), float(row[f"{name}.dec"])
