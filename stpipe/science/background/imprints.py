"""Imprints of NIRSpec's shutters: exposures with all of them closed, in which light leaks through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models.protocols import FlatMetadata

__all__ = ["matching_imprint"]

TARGET = "meta.observation.bkgdtarg"
PLACE = ("meta.dither.position_number", "meta.observation.observation_number")
ONE_FOR_ALL = frozenset({"NRS_MSASPEC"})  # types of which all exposures share an imprint


def matching_imprint(meta: FlatMetadata, imprints: Sequence[FlatMetadata]) -> int | None:
    """Which of several imprints belongs to an exposure.

    One alone belongs to every exposure, and of shutters the first does. Of others it is the one of the
    same kind of target (BKGDTARG), observation and place in the dither pattern (PATT_NUM); else the
    only one of the same kind of target.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    imprints : sequence of mapping
        Those of the imprints.

    Returns
    -------
    int or None
        Its number, from 0; None when none belongs to it.
    """
    kind = str(meta.get("meta.exposure.type")).upper()
    if len(imprints) == 1 or (imprints and kind in ONE_FOR_ALL):
        return 0
    alike = [n for n, one in enumerate(imprints) if one.get(TARGET) == meta.get(TARGET)]
    place = [meta.get(name) for name in PLACE]
    same = [n for n in alike if [imprints[n].get(name) for name in PLACE] == place]
    chosen = same[:1] or (alike if len(alike) == 1 else [])
    return chosen[0] if chosen else None
