"""The exposures of a cube: where they look, and their pixels, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from stpipe.errors import InputError, ParameterError
from stpipe.science.cubes.bands import bands_of
from stpipe.science.cubes.grid import corners_of_region
from stpipe.science.cubes.slices import field_of
from stpipe.science.cubes.tangent_plane import offset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stpipe.models import IFUImageModel, ModelLibrary
    from stpipe.science.arrays import Doubles
    from stpipe.science.cubes.slices import SliceField
    from stpipe.science.cubes.sums import Sums

__all__ = ["Exposures", "Part", "offsets_of_file"]

Offset = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """What is put into a cube of an exposure.

    Attributes
    ----------
    member : int
        Its number in the library.
    channel : int
        Of MIRI; 0 for NIRSpec.
    """

    member: int
    channel: int


class Exposures:
    """The members of a library, of which one is open at a time.

    What their coordinates say is kept: it is small, and takes longer to read than pixels.

    Parameters
    ----------
    library : ModelLibrary
    moves : mapping
        How far (arcsec, east and north) the sky of an exposure is to be moved, by its file name.
    """

    def __init__(self, library: ModelLibrary, moves: Mapping[str, Offset]) -> None:
        self.library = library
        self._moves = moves
        self._fields: dict[Part, SliceField] = {}

    def field(self, part: Part) -> SliceField:
        """Where the pixels of a part look."""
        if part not in self._fields:
            with self.library[part.member] as member:
                self._learn(part, cast("IFUImageModel", member))
        return self._fields[part]

    def _learn(self, part: Part, member: IFUImageModel) -> None:
        """Note where all channels of an exposure look: its coordinates are read once."""
        channels = [band[0] for band in bands_of(member.to_flat_dict())] if part.channel else ["0"]
        for channel in map(int, channels):
            seen = field_of(member, channel)
            self._fields[Part(part.member, channel)] = seen

    def _move(self, part: Part) -> Offset | None:
        name = str(self.library.metadata(part.member).meta.filename)
        return self._moves.get(name)

    def corners(self, part: Part, *, region: bool) -> tuple[Doubles, Doubles]:
        """Corners on the sky, degrees: of S_REGION if it is allowed and known, else of pixels."""
        meta = self.library.metadata(part.member).meta
        moving = str(meta.target.type).upper() == "MOVING"
        if region and not moving and meta.wcsinfo.s_region:
            ra, dec = corners_of_region(meta.wcsinfo.s_region)
        else:
            ra, dec = self.field(part).corners()
        by = self._move(part)
        return (ra, dec) if by is None else offset(ra, dec, by)

    def add(self, part: Part, sums: Sums) -> None:
        """Add the pixels of a part."""
        with self.library[part.member] as member:
            exposure = cast("IFUImageModel", member)
            if part not in self._fields:
                self._learn(part, exposure)
            sums.add(exposure, self._fields[part], self._move(part))


def offsets_of_file(path: Path, names: Sequence[str]) -> dict[str, Offset]:
    """Offsets of exposures by name, from an ASDF file with `filename`, `raoffset` and `decoffset`.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Of the exposures, all of which have to be there.

    Returns
    -------
    dict of (east, north), arcsec

    Raises
    ------
    ParameterError
        When the file is not such a file.
    InputError
        When it lacks exposures.
    """
    import asdf

    columns = ("filename", "raoffset", "decoffset")
    with asdf.open(path, memmap=False, lazy_load=False) as file:
        found: list[Any] = [file.tree.get(name) for name in columns]
        units = str(file.tree.get("units", "arcsec"))
    sizes = {np.size(column) for column in found if column is not None}
    if None in [None if c is None else 0 for c in found] or len(sizes) != 1 or units != "arcsec":
        raise ParameterError(
            f"offset_file: {path} has {units} and columns of {sorted(sizes)} entries, allowed: "
            f"{', '.join(columns)} of one length, in arcsec."
        )
    table = {
        str(name): (float(east), float(north)) for name, east, north in zip(*found, strict=True)
    }
    if lacking := [name for name in names if name not in table]:
        raise InputError(
            f"offset_file: {path} lacks {', '.join(lacking)}; it has: {', '.join(table)}. Add them, "
            "with 0 for no offset."
        )
    return table
