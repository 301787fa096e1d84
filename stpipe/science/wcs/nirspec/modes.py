"""What an exposure of NIRSpec shows: slits, shutters, the integral-field unit, or an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from stpipe.errors import InputError

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = [
    "CUT",
    "IMAGES",
    "REFERENCES",
    "TYPES",
    "Mode",
    "mode_of",
    "references_of",
]

Mode: TypeAlias = Literal["slits", "shutters", "slices", "image"]

# Images of the sky through the mirror, for target acquisition and its verification.
IMAGES = frozenset(
    """NRS_TACQ NRS_MSATA NRS_TASLIT NRS_WATA NRS_TACONFIRM NRS_CONFIRM NRS_IMAGE NRS_FOCUS
    NRS_MIMF NRS_VERIFY""".split()  # noqa: SIM905 - quotes around each would hide the list
)
_BY_TYPE: dict[str, Mode] = {
    "NRS_FIXEDSLIT": "slits",
    "NRS_BRIGHTOBJ": "slits",
    "NRS_MSASPEC": "shutters",
    "NRS_AUTOFLAT": "shutters",
    "NRS_IFU": "slices",
    **dict.fromkeys(IMAGES, "image"),
}
# Of exposures of a lamp the keyword OPMODE tells.
_BY_LAMP: dict[str, Mode] = {
    "FIXEDSLIT": "slits",
    "BRIGHTOBJ": "slits",
    "MSASPEC": "shutters",
    "IFU": "slices",
}
_LAMPS = ("NRS_LAMP", "NRS_AUTOWAVE")
TYPES = frozenset((*_BY_TYPE, *_LAMPS))

CUT = frozenset(t for t, mode in _BY_TYPE.items() if mode in ("slits", "shutters")) | {*_LAMPS}

_COMMON = ("fpa", "camera", "disperser", "collimator", "wavelengthrange", "fore", "ote")
_OWN: dict[Mode, tuple[str, ...]] = {
    "slits": ("msa",),
    "shutters": ("msa",),
    "slices": ("ifuslicer", "ifupost", "ifufore", "chromcorr"),
    "image": (),
}
REFERENCES = tuple(dict.fromkeys((*_COMMON, *(t for own in _OWN.values() for t in own))))


def mode_of(meta: FlatMetadata) -> Mode:
    """What an exposure of NIRSpec shows.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.

    Returns
    -------
    {"slits", "shutters", "slices", "image"}

    Raises
    ------
    InputError
        When a lamp shone on none of them.
    """
    kind = str(meta.get("meta.exposure.type")).upper()
    if kind not in _LAMPS:
        return _BY_TYPE[kind]
    lamp = str(meta.get("meta.instrument.lamp_mode")).upper()
    if lamp not in _BY_LAMP:
        raise InputError(
            f"{meta.get('meta.filename')}: {kind} with OPMODE {lamp} has no coordinates, allowed: "
            f"{', '.join(_BY_LAMP)}."
        )
    return _BY_LAMP[lamp]


def references_of(mode: Mode) -> tuple[str, ...]:
    """The types of reference files that the coordinates of a mode are made of.

    Parameters
    ----------
    mode : str
        See `mode_of`.

    Returns
    -------
    tuple of str
    """
    return (*_COMMON, *_OWN[mode])
