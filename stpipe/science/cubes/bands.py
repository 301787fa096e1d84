"""Which bands exposures are of, and which of them are put into one cube."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from stpipe.errors import InputError

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = ["Band", "Choice", "bands_of", "cubes_of"]

Band: TypeAlias = tuple[str, str]  # channel and sub-band of MIRI, grating and filter of NIRSpec

SUBBANDS = ("short", "medium", "long")
DISPERSERS = ("g140m", "g140h", "g235m", "g235h", "g395m", "g395h", "prism")
FILTERS = ("f070lp", "f100lp", "f170lp", "f290lp", "clear", "opaque")


@dataclass(frozen=True)
class Choice:
    """The bands that are wanted, each list empty for all: of a channel or grating, a band or filter."""

    first: tuple[str, ...] = ()
    second: tuple[str, ...] = ()

    def takes(self, band: Band) -> bool:
        """Whether a band is wanted."""
        return all(
            not wanted or own in wanted
            for wanted, own in zip((self.first, self.second), band, strict=True)
        )


def bands_of(meta: FlatMetadata) -> list[Band]:
    """The bands of an exposure: of MIRI one for each channel.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    list of (str, str)

    Raises
    ------
    InputError
        When the header does not say.
    """
    miri = str(meta.get("meta.instrument.name")).upper() == "MIRI"
    names = ("channel", "band") if miri else ("grating", "filter")
    first, second = (meta.get(f"meta.instrument.{name}") for name in names)
    if first is None or second is None or (miri and not str(first).isdecimal()):
        raise InputError(
            f"{meta.get('meta.filename')}: {names[0].upper()} is {first} and {names[1].upper()} is "
            f"{second}, which name no band. Correct the header."
        )
    firsts = list(str(first)) if miri else [str(first).lower()]
    return [(one, str(second).lower()) for one in firsts]


def _rank(band: Band) -> tuple[int, ...]:
    """The order of bands: that of channels and sub-bands, or of filters and gratings."""
    first, second = band
    if first.isdecimal():
        parts = [SUBBANDS.index(part) for part in second.split("-") if part in SUBBANDS]
        return (int(first), len(parts), *parts)
    known = [
        table.index(name) if name in table else len(table)
        for table, name in ((FILTERS, second), (DISPERSERS, first))
    ]
    return tuple(known)


def cubes_of(bands: Iterable[Band], output_type: str) -> dict[str, list[Band]]:
    """The bands of each cube, by what the cube adds to the name of a product.

    Parameters
    ----------
    bands : iterable of (str, str)
    output_type : {"band", "grating", "channel", "multi"}
        A cube for each band, for all bands of a channel, or for all of them.

    Returns
    -------
    dict
        As `ch1-short`, `ch1-2-shortmedium`, `g140m-f100lp`.
    """
    ordered = sorted(set(bands), key=_rank)
    if output_type == "multi":
        groups: Mapping[object, list[Band]] = {"": ordered} if ordered else {}
    elif output_type == "channel":
        groups = {first: [b for b in ordered if b[0] == first] for first, _ in ordered}
    else:
        groups = {band: [band] for band in ordered}
    return {_label(group): group for group in groups.values()}


def _label(bands: list[Band]) -> str:
    if not bands[0][0].isdecimal():
        return "-".join(f"{grating}-{name}" for grating, name in bands)
    channels = sorted({channel for channel, _ in bands})
    subbands = sorted({name for _, name in bands}, reverse=True)
    return f"ch{'-'.join(channels)}-{''.join(subbands)}"
