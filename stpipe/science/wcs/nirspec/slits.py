"""The slits that are open in an exposure of NIRSpec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stpipe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models.protocols import FlatMetadata

__all__ = ["FIXED", "FIXED_QUADRANT", "OpenSlit", "fixed_slits"]

# The fixed slits, in the order of their rows in the MSA reference.
FIXED = ("S200A1", "S200A2", "S400A1", "S1600A1", "S200B1")
FIXED_QUADRANT = 5
_ONE_SLIT = {
    "SUBS200A1": "S200A1",
    "SUBS200A2": "S200A2",
    "SUBS400A1": "S400A1",
    "SUBS200B1": "S200B1",
    **dict.fromkeys(("SUB2048", "SUB512", "SUB512S", "SUB1024A", "SUB1024B"), "S1600A1"),
}


@dataclass(frozen=True)
class OpenSlit:
    """A fixed slit, or a slitlet of the shutters, and the source that it holds.

    Places are in widths (x) and heights (y) of the slit, or of the slitlet's main shutter, from its
    centre. `number` is the index of its row in the quadrant's table of the MSA reference.
    """

    name: str
    number: int
    quadrant: int
    ymin: float
    ymax: float
    shutter_id: int = 0
    slitlet_id: int = 0
    xcen: int = 0
    ycen: int = 0
    dither_position: int = 0
    source_id: int = 0
    source_name: str = ""
    source_alias: str = ""
    source_ra: float = 0.0
    source_dec: float = 0.0
    source_xpos: float = 0.0
    source_ypos: float = 0.0
    stellarity: float = 0.0
    shutter_state: str = "x"
    slit_xscale: float | None = None
    slit_yscale: float | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether it is one of the fixed slits."""
        return self.quadrant == FIXED_QUADRANT


def fixed_slits(meta: FlatMetadata, limits: tuple[float, float]) -> list[OpenSlit]:
    """The fixed slits that light reaches: the one of the subarray, or all of them.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    limits : (float, float)
        Lowest and highest place along a slit, in its heights.

    Returns
    -------
    list of OpenSlit
        The target's slit (FXD_SLIT) has the source 1; others are background, whose numbers tell
        the target's slit and their own.
    """
    kind = str(meta.get("meta.exposure.type")).upper()
    primary = meta.get("meta.instrument.fixed_slit")
    if kind == "NRS_BRIGHTOBJ":
        return [_fixed("S1600A1", limits, 1)]
    subarray = str(meta.get("meta.subarray.name")).upper()
    names: Sequence[str] = [_ONE_SLIT[subarray]] if subarray in _ONE_SLIT else FIXED
    if primary is not None and primary not in (*FIXED, "NONE"):
        raise InputError(
            f"{meta.get('meta.filename')}: FXD_SLIT is {primary}, allowed: {', '.join(FIXED)}."
        )
    first = FIXED.index(primary) + 1 if primary in FIXED else 0
    return [
        _fixed(name, limits, 1 if name == primary else 10 * first + FIXED.index(name) + 1)
        for name in names
    ]


def _fixed(name: str, limits: tuple[float, float], source: int) -> OpenSlit:
    number = FIXED.index(name)
    return OpenSlit(
        name=name,
        number=number,
        quadrant=FIXED_QUADRANT,
        ymin=limits[0],
        ymax=limits[1],
        shutter_id=number,
        source_id=source,
    )
