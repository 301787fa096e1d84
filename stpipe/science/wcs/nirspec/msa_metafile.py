"""The metafile of the shutters: which were open in an exposure, and which sources they hold.

SHUTTER_INFO has a row for every open shutter of a configuration (MSAMETID) and a dither (PATT_NUM);
those of a slitlet share its number. SOURCE_INFO has a row for every source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.science.wcs.nirspec.slits import FIXED, FIXED_QUADRANT, OpenSlit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stpipe.models.protocols import FlatMetadata

__all__ = ["ROWS", "open_shutters", "opened_fixed_slits"]

ROWS = 365  # shutters of a quadrant along x; the number of a shutter is x + 365 (y - 1)
PITCH = 1.15  # distance of neighbouring shutters along y, in their heights
MARGIN = 0.5  # heights of a shutter, beyond both ends of a slitlet
CENTRE = 0.5  # of a shutter, where the metafile counts from its corner
NO_SCALES = (1.35, 1.15)  # pitches in widths and heights of a shutter, where no reference tells


@dataclass(frozen=True)
class Shutters:
    """The open shutters of one slitlet, or of a fixed slit, as rows of SHUTTER_INFO."""

    key: int | str
    rows: tuple[Mapping[str, Any], ...]

    @property
    def primary(self) -> list[Mapping[str, Any]]:
        """The rows of the shutter that the source is in; one, or none of a background slitlet."""
        return [row for row in self.rows if row["primary_source"] == "Y"]

    @property
    def columns(self) -> list[int]:
        """The columns of the open shutters."""
        return [int(row["shutter_column"]) for row in self.rows]


def open_shutters(
    path: Path,
    meta: FlatMetadata,
    limits: tuple[float, float],
    scales: Callable[[int], tuple[float, float]],
) -> list[OpenSlit]:
    """The slitlets of an exposure, and the fixed slits that hold a source in it.

    Parameters
    ----------
    path : Path
        The metafile (MSAMETFL).
    meta : mapping
        Metadata of the exposure by dotted name.
    limits : (float, float)
        Lowest and highest place in a shutter, in its heights.
    scales : callable
        From a quadrant to the pitches of its shutters in their widths and heights.

    Returns
    -------
    list of OpenSlit
        In order of quadrants, fixed slits last.

    Raises
    ------
    InputError
        When the metafile cannot be read, has nothing for the exposure, or contradicts itself.
    """
    wanted = _wanted(meta)
    shutters, sources = _tables(path)
    rows = _of_exposure(shutters, wanted)
    where = f"{path}, " + ", ".join(f"{name} {value}" for name, value in wanted.items())
    if not rows:
        raise InputError(f"{where}: SHUTTER_INFO has no open shutter for them.")
    program = str(meta.get("meta.observation.program_number") or "").lstrip("0")
    names = {row["source_id"]: row for row in reversed(sources)}
    slits = []
    for group in _slitlets(rows):
        slit = _slit(group, where, limits)
        if slit is None:
            continue
        x, y = scales(slit.quadrant)
        placed = replace(slit, dither_position=wanted["PATT_NUM"], slit_xscale=x, slit_yscale=y)
        slits.append(_described(placed, group, names, program))
    return sorted(slits, key=lambda slit: slit.quadrant)


def opened_fixed_slits(path: Path, meta: FlatMetadata) -> list[str]:
    """Names of the fixed slits that hold a source in an exposure of shutters.

    Parameters
    ----------
    path : Path
        The metafile (MSAMETFL).
    meta : mapping
        Metadata of the exposure by dotted name.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        When the metafile cannot be read, or the exposure does not say which of its rows it has.
    """
    rows = _of_exposure(_tables(path)[0], _wanted(meta))
    primary = (row.get("fixed_slit") for row in rows if row["primary_source"] == "Y")
    return [str(name) for name in primary if name in FIXED]


def _of_exposure(shutters: list[dict[str, Any]], wanted: Mapping[str, int]) -> list[dict[str, Any]]:
    """The rows of SHUTTER_INFO for the configuration and the dither of an exposure."""
    asked = tuple(wanted.values())
    return [row for row in shutters if (row["msa_metadata_id"], row["dither_point_index"]) == asked]


def _wanted(meta: FlatMetadata) -> dict[str, int]:
    """The configuration and the dither of an exposure."""
    names = {"MSAMETID": "instrument.msa_metadata_id", "PATT_NUM": "dither.position_number"}
    found = {keyword: meta.get(f"meta.{path}") for keyword, path in names.items()}
    if missing := [keyword for keyword, value in found.items() if value is None]:
        raise InputError(
            f"{meta.get('meta.filename')}: {' and '.join(missing)} are not known; the metafile of the "
            "shutters has a row for each configuration (MSAMETID) and dither (PATT_NUM)."
        )
    return {keyword: int(str(value)) for keyword, value in found.items()}


def _tables(path: Path) -> list[list[dict[str, Any]]]:
    """The rows of both tables, names of columns in lower case; read once for each state of the file."""
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    return _read(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, size: int, mtime: int) -> list[list[dict[str, Any]]]:
    from astropy.io import fits

    del size, mtime  # part of the cache's key only
    try:
        with fits.open(path, memmap=False) as file:
            return [_rows(file[name].data) for name in ("SHUTTER_INFO", "SOURCE_INFO")]
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no metafile of the shutters ({type(error).__name__}: {error}); MSAMETFL names "
            "a FITS file with the tables SHUTTER_INFO and SOURCE_INFO."
        ) from error


def _rows(table: Any) -> list[dict[str, Any]]:
    columns = {
        name.lower(): [v.strip() if isinstance(v, str) else v for v in table[name].tolist()]
        for name in table.names
    }
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _slitlets(rows: list[dict[str, Any]]) -> Iterator[Shutters]:
    """Shutters that belong together, in the order of the table."""

    def key(row: Mapping[str, Any]) -> int | str:
        fixed = row.get("fixed_slit")
        return str(fixed) if fixed in FIXED else int(row["slitlet_id"])

    order = list(dict.fromkeys(map(key, rows)))
    for value, group in groupby(sorted(rows, key=lambda row: order.index(key(row))), key):
        yield Shutters(value, tuple(group))


def _slit(group: Shutters, where: str, limits: tuple[float, float]) -> OpenSlit | None:
    """Where a slitlet is and how far it goes; None of a fixed slit without a source."""
    if len(group.primary) > 1:
        raise InputError(
            f"{where}: slitlet {group.key} has {len(group.primary)} shutters with PRIMARY_SOURCE Y, "
            "allowed: one, or none of a background slitlet."
        )
    if isinstance(group.key, str):
        if len(group.rows) > 1:
            raise InputError(
                f"{where}: the fixed slit {group.key} has {len(group.rows)} rows, allowed: 1."
            )
        number = FIXED.index(group.key)
        fixed = OpenSlit(group.key, number, FIXED_QUADRANT, *limits, shutter_id=number)
        return fixed if group.primary else None
    main = _main(group, where)
    low, high = min(group.columns), max(group.columns)
    x, y = int(main["shutter_row"]), int(main["shutter_column"])
    if not group.primary:
        y = low + (high - low) // 2
    number = x + (y - 1) * ROWS
    return OpenSlit(
        name=str(group.key),
        number=number - 1,
        quadrant=int(main["shutter_quadrant"]),
        ymin=limits[0] - MARGIN + (low - y) * PITCH,
        ymax=limits[1] + MARGIN + (high - y) * PITCH,
        shutter_id=number,
        slitlet_id=group.key,
        xcen=x,
        ycen=y,
        shutter_state="".join(
            "x" if column == y else str(int(column in group.columns))
            for column in range(low, high + 1)
        ),
    )


def _main(group: Shutters, where: str) -> Mapping[str, Any]:
    """The row of the shutter that the source is in; the first row of a background slitlet."""
    if not group.primary:
        return group.rows[0]
    holding = [row for row in group.rows if row["background"] == "N"]
    if not holding:
        raise InputError(
            f"{where}: slitlet {group.key} has a source (PRIMARY_SOURCE Y) but no shutter with "
            "BACKGROUND N."
        )
    return holding[0]


def _described(
    slit: OpenSlit, group: Shutters, sources: Mapping[int, Mapping[str, Any]], program: str
) -> OpenSlit:
    """A slit with the source in it: a real one, a virtual one or the background."""
    if not group.primary:
        alias = f"BKG{group.key}"
        name = f"{program}_{alias}"
        return replace(slit, source_id=slit.slitlet_id, source_name=name, source_alias=alias)
    number = int(group.primary[0]["source_id"])
    main = _main(group, "")
    x, y = (
        float(np.nan_to_num(main[f"estimated_source_in_shutter_{axis}"], nan=CENTRE)) - CENTRE
        for axis in "xy"
    )
    slit = replace(slit, source_id=number, source_xpos=x, source_ypos=y)
    if number not in sources:
        alias = f"VRT{group.key}"
        return replace(slit, source_name=f"{program}_{alias}", source_alias=alias)
    source = sources[number]
    return replace(
        slit,
        source_name=str(source["source_name"]),
        source_alias=str(source["alias"]),
        source_ra=float(source["ra"]),
        source_dec=float(source["dec"]),
        stellarity=float(source["stellarity"]),
    )
