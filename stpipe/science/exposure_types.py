"""Groups of exposure types that several steps treat alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.errors import InputError

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = [
    "LRS",
    "MRS",
    "NARROW_SLITS",
    "NIRSPEC_SLITS",
    "SLICES",
    "SLIT",
    "SLITLESS",
    "WFSS",
    "has_integrations",
    "is_moving_target",
    "is_time_series",
    "refuse_moving_target",
    "supported_type",
]

LRS = frozenset({"MIR_LRS-FIXEDSLIT", "MIR_LRS-SLITLESS"})
SLIT = frozenset({"MIR_LRS-FIXEDSLIT"})  # which holds one source, and is rectified
MRS = "MIR_MRS"
SLICES = frozenset({"NRS_IFU", MRS})  # of integral fields, which are built into cubes
NIRSPEC_SLITS = frozenset({"NRS_FIXEDSLIT", "NRS_MSASPEC"})  # many, which are rectified
# Whose point sources have other wavelengths beside the middle of the slit.
NARROW_SLITS = NIRSPEC_SLITS | {"NRS_BRIGHTOBJ"}
SLITLESS = frozenset({"NIS_WFSS"})  # whose sources are cut out one by one
WFSS = frozenset({"NIS_WFSS", "NRC_WFSS", "NRC_GRISM", "MIR_WFSS"})
_TIME_SERIES = frozenset({"NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ"})


def supported_type(step: str, meta: FlatMetadata, allowed: frozenset[str]) -> str:
    """EXP_TYPE in capitals, of metadata by dotted name.

    Parameters
    ----------
    step : str
        Name of the step, for the message.
    meta : mapping
        Metadata by dotted name.
    allowed : frozenset of str
        Exposure types that the step knows.

    Returns
    -------
    str

    Raises
    ------
    InputError
        When it is not one of those.
    """
    kind = str(meta.get("meta.exposure.type")).upper()
    if kind not in allowed:
        raise InputError(
            f"{step}: exposures of type {kind} are not supported, allowed: "
            f"{', '.join(sorted(allowed))}. Leave the step out with skip=True."
        )
    return kind


def is_time_series(meta: FlatMetadata) -> bool:
    """Whether an exposure follows its target in time, over several integrations.

    TSOVISIT says so, or an exposure type that is nothing else.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    bool
    """
    kind = str(meta.get("meta.exposure.type")).upper()
    integrations = meta.get("meta.exposure.nints")
    single = integrations is not None and integrations < 2  # noqa: PLR2004 - one has no course
    return (bool(meta.get("meta.visit.tsovisit")) or kind in _TIME_SERIES) and not single


def has_integrations(model_type: str, meta: FlatMetadata) -> bool:
    """Whether a model has the integrations of an exposure, each with its spectrum or image.

    Parameters
    ----------
    model_type : str
        The class of the model; slits are cut out of images and of integrations.
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    bool
    """
    if model_type == "SlitModel":
        return str(meta.get("meta.exposure.type")).upper() in _TIME_SERIES
    return model_type in ("CubeModel", "TSOMultiSpecModel")


def is_moving_target(meta: FlatMetadata) -> bool:
    """Whether the target moves on the sky (TARGTYPE is MOVING).

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    bool
    """
    return str(meta.get("meta.target.type")).upper() == "MOVING"


def refuse_moving_target(step: str, meta: FlatMetadata) -> None:
    """Refuse to align exposures of a target that moves on the sky by stars: each shows it elsewhere.

    Parameters
    ----------
    step : str
        Name of the step, for the message.
    meta : mapping
        Metadata by dotted name.

    Raises
    ------
    InputError
        When TARGTYPE says that the target moves.
    """
    if is_moving_target(meta):
        raise InputError(
            f"{step}: the target moves (TARGTYPE = MOVING), and exposures cannot be aligned by stars. "
            "Run assign_mtwcs instead."
        )
