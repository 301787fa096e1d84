"""Imprints of NIRSpec's shutters: exposures with all of them closed, in which light leaks through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models import IFUImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["matching_imprint", "subtract_imprint"]

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


def subtract_imprint(
    exposure: RateModel | IFUImageModel, imprints: Sequence[RateModel | IFUImageModel]
) -> int | None:
    """Subtract the imprint that belongs to an exposure, and add its flags, in place.

    Parameters
    ----------
    exposure : ([integrations,] rows, columns) model of rates, DN/s
    imprints : sequence of (rows, columns) model of rates, DN/s

    Returns
    -------
    int or None
        The number of the imprint, from 0; None when none belongs to it.

    Raises
    ------
    InputError
        When the imprint is of another part of the detector.
    """
    metas = [imprint.to_flat_dict() for imprint in imprints]
    number = matching_imprint(exposure.to_flat_dict(), metas)
    if number is None:
        return None
    imprint = imprints[number]
    if imprint.shape != exposure.shape[-2:]:
        raise InputError(
            f"{imprint.get('meta.filename')} is of shape {imprint.shape}, the exposure of "
            f"{exposure.shape}, allowed: an imprint of the same rows and columns."
        )
    exposure.data = exposure.data - imprint.data
    exposure.dq = exposure.dq | imprint.dq
    return number
