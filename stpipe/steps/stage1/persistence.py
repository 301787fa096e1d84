"""Flag groups in which a pixel may still remember an earlier saturation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.ramp_step import RampStep
from stpipe.errors import InputError, Skip
from stpipe.models import dqflags
from stpipe.science.arrays import has, or_where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.engine.band import Band
    from stpipe.engine.chain import Chain
    from stpipe.models.protocols import Meta
    from stpipe.references.opened import CutReference, References
    from stpipe.science.arrays import Doubles, Floats, GroupBits

__all__ = [
    "PersistenceStep",
    "WindowRules",
    "Windows",
    "flag_windows",
    "group_times",
    "read_windows",
    "write_windows",
]

EPOCH_MJD = 40587.0  # 1970-01-01
SECONDS_PER_DAY = 86400.0


class PersistenceStep(RampStep):
    """Flag groups in which a pixel may still remember an earlier saturation.

    The first saturated group of an integration opens a window of `persistence_time` seconds for its
    pixel; with `dn_threshold` so does any brighter group. Groups within a window are PERSISTENCE,
    with `persistence_dnu` also DO_NOT_USE. Nothing is subtracted.

    Windows that are open at the end of an exposure go on in the next: save them with
    `save_persistence` and give that file as `persistence_array_file`. It holds each detector's
    pixels with the second (since 1970) in which their window ends, and may be the same file for both.
    Exposures must then be run one after the other. Windows of another `persistence_time` are not
    used.

    Differences from jwst 3.0.0: without a positive `persistence_time` the step is skipped, where
    jwst reports FAILED.
    """

    alias = "persistence"
    suffix = "persistence"
    status = "persistence"
    prerequisites = (
        "meta.exposure.start_time",
        "meta.exposure.group_time",
        "meta.exposure.integration_time",
    )
    halo = 0
    flags = dqflags.PERSISTENCE | dqflags.DO_NOT_USE
    spec = """
        skip = boolean(default=True)  # Leave this step out
        save_persistence = string(default=None)  # ASDF file for windows that are still open
        persistence_time = integer(default=None)  # Seconds that a window lasts
        dn_threshold = float(default=None)  # DN above which a group opens a window
        persistence_array_file = string(default=None)  # ASDF file with windows of earlier exposures
        persistence_dnu = boolean(default=False)  # Groups in a window are DO_NOT_USE, too
    """
    save_persistence: str | None
    persistence_time: int | None
    dn_threshold: float | None
    persistence_array_file: str | None
    persistence_dnu: bool

    def prepare(self, exposure: Chain, references: References) -> Windows:
        """Windows that are open from earlier exposures, and the time of each group."""
        del references
        if self.persistence_time is None or self.persistence_time <= 0:
            raise Skip(f"persistence_time is {self.persistence_time}, a positive time is needed")
        bits = dqflags.PERSISTENCE | (dqflags.DO_NOT_USE if self.persistence_dnu else 0)
        rules = WindowRules(self.persistence_time, self.dn_threshold, bits)
        table = exposure.ramp.int_times if exposure.ramp.has("int_times") else None
        starts = () if table is None else table["int_start_MJD_UTC"]
        times = group_times(exposure.meta, starts, exposure.shape[:2])
        before = np.zeros(exposure.frame)
        if self.persistence_array_file is not None:
            path, detector = self.persistence_array_file, exposure.meta.instrument.detector
            before = read_windows(path, detector, self.persistence_time, exposure.frame)
        return Windows(rules, times, before, np.zeros(exposure.frame))

    def correct(self, ramp: Band, references: Mapping[str, CutReference]) -> None:
        """Flag groups within windows, and remember the windows that stay open."""
        del references
        known, section = ramp.known, ramp.place.section
        # Later integrations of a long exposure start from the windows that those before left open.
        before = (known.after if ramp.first else known.before)[section]
        times = known.times[ramp.first : ramp.first + len(ramp.data)]
        ramp.groupdq, after = flag_windows(ramp.data, ramp.groupdq, before, times, known.rules)
        known.after[section] = after

    def finish(self, meta: Meta, totals: Mapping[str, int], known: Windows) -> None:
        """Save the windows that are still open."""
        del totals
        if self.save_persistence is not None:
            path = Path(self.save_persistence).with_suffix(".asdf")
            entry = {"filename": meta.filename, "pers_time": known.rules.persistence_time}
            write_windows(path, meta.instrument.detector, entry, known.after)


@dataclass(frozen=True)
class WindowRules:
    """How long a window lasts, in seconds, what opens one besides saturation, and what it flags."""

    persistence_time: int
    dn_threshold: float | None
    bits: int


@dataclass(frozen=True)
class Windows:
    """Windows of all pixels, as the second in which they end; 0 where none is open."""

    rules: WindowRules
    times: Doubles  # of groups (integrations, groups)
    before: Doubles
    after: Doubles  # filled while the exposure is run


def group_times(meta: Meta, starts: Doubles | Sequence[float], shape: tuple[int, int]) -> Doubles:
    """Second since 1970 of the end of each group (integrations, groups) of `shape`.

    Integrations that `starts` (MJD) does not list follow each other without a break.
    """
    nints, ngroups = shape
    begin = (meta.exposure.start_time - EPOCH_MJD) * SECONDS_PER_DAY
    first = begin + np.arange(nints) * meta.exposure.integration_time
    known = min(nints, len(starts))
    listed = np.asarray(starts[:known], dtype=np.float64)
    first[:known] = (listed - EPOCH_MJD) * SECONDS_PER_DAY
    times: Doubles = first[:, None] + meta.exposure.group_time * np.arange(1, ngroups + 1)
    return times


def flag_windows(
    data: Floats, groupdq: GroupBits, windows: Doubles, times: Doubles, rules: WindowRules
) -> tuple[GroupBits, Doubles]:
    """Flags (integrations, groups, rows, columns) with those of open windows; windows at the end.

    Parameters
    ----------
    data, groupdq
        Counts in DN and flags.
    windows
        Ends of windows in seconds (rows, columns), 0 where none is open.
    times
        Time of each group (integrations, groups) in seconds.
    rules
        What opens a window, for how long.
    """
    flags, ends = groupdq.copy(), windows.copy()
    for i, ramp in enumerate(flags):
        saturations = np.zeros(ends.shape, dtype=np.int32)
        for k, group in enumerate(ramp):
            ends[ends < times[i, k]] = 0
            end = times[i, k] + rules.persistence_time
            saturations += has(group, dqflags.SATURATED)
            ends[saturations == 1] = end
            if rules.dn_threshold is not None:
                ends[(data[i, k] > rules.dn_threshold) & ~(ends > 0)] = end
            ends[ends > end] = 0  # windows that open only later: exposures in the wrong order
            or_where(group, ends > 0, rules.bits)
    return flags, ends


def read_windows(
    path: str, detector: str, persistence_time: int, frame: tuple[int, int]
) -> Doubles:
    """Windows (rows, columns) of a detector; none where the file or the detector is new.

    Raises
    ------
    InputError
        When the file cannot be read or has pixels outside the frame.
    """
    windows = np.zeros(frame)
    if not Path(path).exists():
        return windows
    entry = _read(Path(path)).get(detector)
    if entry is None or entry["pers_time"] != persistence_time:
        return windows
    try:
        windows[np.asarray(entry["rows"]), np.asarray(entry["cols"])] = entry["vals"]
    except IndexError:
        raise InputError(
            f"persistence_array_file: {path} has pixels of {detector} outside the exposure's {frame} "
            "rows and columns. Use a file of the same subarray."
        ) from None
    return windows


def write_windows(path: Path, detector: str, entry: Mapping[str, object], windows: Doubles) -> None:
    """Put the open windows of a detector into a file; those of other detectors stay."""
    import asdf

    rows, columns = np.nonzero(windows)
    tree = _read(path) if path.exists() else {}
    tree[detector] = {**entry, "rows": rows, "cols": columns, "vals": windows[rows, columns]}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    asdf.AsdfFile(tree).write_to(beside)
    beside.replace(path)


def _read(path: Path) -> dict[str, Any]:
    """The tree of a file of windows, by detector."""
    import asdf

    try:
        with asdf.open(path, memmap=False, lazy_load=False) as file:
            return {k: v for k, v in file.tree.items() if isinstance(v, dict) and "vals" in v}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no readable ASDF file of persistence: {error}. Give a file that "
            "save_persistence has written."
        ) from None
