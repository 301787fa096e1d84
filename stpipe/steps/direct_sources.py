"""The sources of a direct image, whose spectra a slitless exposure shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError

if TYPE_CHECKING:
    from stpipe.steps._arrays import Doubles

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
    """The sources of a catalogue that source_catalog made, here (FITS) or in jwst (ECSV).

    Raises
    ------
    InputError
        When the file is no such catalogue.
    """
    try:
        rows = _from_ecsv(path) if str(path).lower().endswith(".ecsv") else _from_fits(path)
        return [source for source in rows if np.isfinite(source.magnitude)]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is no catalogue of sources ({type(error).__name__}: {error}); give a product of "
            "source_catalog."
        ) from error


def _from_fits(path: str | Path) -> list[Source]:
    from stpipe import models

    with models.SourceCatalogModel(path) as model:
        return [
            _source(row, float(row["ra"]), float(row["dec"]), row["abmag"]) for row in model.catalog
        ]


def _from_ecsv(path: str | Path) -> list[Source]:
    from astropy.table import QTable

    table = QTable.read(path, format="ascii.ecsv")
    found = []
    for row in table:
        ra, dec = _degrees(row["sky_centroid"])
        names = [f"sky_bbox_{corner}" for corner in ("ll", "lr", "ul", "ur")]
        corners = np.array([_degrees(row[name]) for name in names if name in table.colnames]).T
        found.append(_source(row, ra, dec, row["isophotal_abmag"], corners))
    return found


def _degrees(place: Any) -> tuple[float, float]:
    return float(place.icrs.ra.deg), float(place.icrs.dec.deg)


def _source(row: Any, ra: float, dec: float, magnitude: Any, corners: Any = None) -> Source:
    if corners is None or not corners.size:
        corners = np.array([[ra], [dec]])
    value = getattr(magnitude, "value", magnitude)
    return Source(
        number=int(row["label"]),
        ra=ra,
        dec=dec,
        magnitude=float("nan") if np.ma.is_masked(value) else float(value),
        extended=bool(row["is_extended"]),
        corners=corners,
    )
