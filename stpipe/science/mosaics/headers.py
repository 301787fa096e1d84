"""One header of many: the keywords of a combined image, and the table of those that went into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stpipe.models import DataModel
    from stpipe.models.metadata import Metadata
    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.models.schema.fields import Field


__all__ = ["blended", "header_of", "header_table"]

MULTIPLE = "MULTIPLE"
OUTSIDE = "outside calibration tolerance"
WITHIN = "within commanded tolerance"


def _common(values: Sequence[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else MULTIPLE


def _tolerance(values: Sequence[Any]) -> str:
    return OUTSIDE if OUTSIDE in values else WITHIN


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(values))


# The rules of the archive's keyword dictionary; whatever is not named is that of the first exposure.
_NAMES: Mapping[Callable[[Sequence[Any]], Any], str] = {
    min: """observation.date observation.time observation.date_beg exposure.start_time
        exposure.start_time_mjd exposure.start_time_tdb exposure.integration_start""",
    max: """observation.date_end exposure.end_time exposure.end_time_mjd exposure.end_time_tdb
        exposure.integration_end instrument.filter_wheel_offset instrument.pupil_wheel_offset""",
    _mean: "exposure.mid_time exposure.mid_time_mjd exposure.mid_time_tdb",
    sum: """exposure.exposure_time exposure.effective_exposure_time exposure.measurement_time
        exposure.duration exposure.elapsed_exposure_time""",
    _common: """instrument.detector instrument.module instrument.filter instrument.grating
        instrument.band""",
    _tolerance: "instrument.filter_wheel_tolerance instrument.pupil_wheel_tolerance",
}
_RULES = {f"meta.{name}": rule for rule, names in _NAMES.items() for name in names.split()}
# Polynomials say nothing without one another, and would be most of the table. When a file was written
# is not about the exposure.
_LEFT_OUT = re.compile(r"meta\.wcsinfo\.(a|b|ap|bp)_(order|\d_\d)|meta\.date")


def header_of(exposure: DataModel | Metadata) -> dict[str, Any]:
    """Metadata of an exposure by dotted name: texts, numbers and truth values.

    Parameters
    ----------
    exposure : DataModel or Metadata

    Returns
    -------
    dict
    """
    flat = exposure.to_flat_dict().items()
    return {path: value for path, value in flat if isinstance(value, (str, bool, int, float))}


def blended(headers: Sequence[FlatMetadata]) -> dict[str, Any]:
    """Metadata that are not those of the first exposure, by dotted name.

    Sums, means and extremes of times, and whether optical elements are the same; what an exposure lacks
    is left out of them.

    Parameters
    ----------
    headers : sequence of mapping
        Metadata of each exposure by dotted name.

    Returns
    -------
    dict
    """
    found = {}
    for name, rule in _RULES.items():
        if values := [header[name] for header in headers if header.get(name) is not None]:
            found[name] = rule(values)
    return found


def header_table(headers: Sequence[FlatMetadata], fields: Mapping[str, Field]) -> Table:
    """A row for each exposure, a column for each keyword that one of them has.

    Parameters
    ----------
    headers : sequence of mapping
        Metadata of each exposure by dotted name.
    fields : mapping of Field
        What the schema says of metadata, by dotted name.

    Returns
    -------
    (exposures,) table
        Columns by FITS keyword: bytes, int8 for truth values, int64, or float64 with NaN where an
        exposure lacks the keyword.
    """
    columns: dict[str, Any] = {}
    for path, field in fields.items():
        if field.keyword and field.keyword not in columns and not _LEFT_OUT.fullmatch(path):
            column = _column([header.get(path) for header in headers])
            columns |= {} if column is None else {field.keyword: column}
    table = np.zeros(len(headers), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def _column(values: Sequence[Any]) -> Any:
    """Values as an array: text as bytes, numbers with NaN where one is lacking; None without any."""
    known = [value for value in values if value is not None]
    if not known or not all(isinstance(value, (str, bool, int, float)) for value in known):
        return None
    if any(isinstance(value, str) for value in known):
        return np.array([b"" if v is None else str(v).encode("ascii", "replace") for v in values])
    if all(isinstance(value, bool) for value in known) and len(known) == len(values):
        return np.array(values, dtype=np.int8)
    if len(known) == len(values) and all(isinstance(value, int) for value in known):
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def combined_times(exposures: Sequence[FlatMetadata]) -> dict[str, Any]:
    """Times of a mosaic from the metadata of its exposures; what one of them lacks is not known.

    Parameters
    ----------
    exposures : sequence of mapping
        Metadata of each exposure by dotted name.

    Returns
    -------
    dict
        Metadata by dotted name: sums of times in s, the earliest start and the latest end in MJD.
    """
    names = ("exposure_time", "measurement_time", "duration", "start_time", "end_time")
    known = {n: [header.get(f"meta.exposure.{n}") for header in exposures] for n in names}
    rules: dict[str, Any] = {**dict.fromkeys(names, sum), "start_time": min, "end_time": max}
    found = {n: rules[n](v) for n, v in known.items() if None not in v}
    found["elapsed_exposure_time"] = found.get("duration")
    found["effective_exposure_time"] = found.get("exposure_time")
    return {f"meta.exposure.{name}": value for name, value in found.items()}
