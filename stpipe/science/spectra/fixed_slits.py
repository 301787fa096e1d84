"""Fixed slits in exposures of shutters, which references of exposures with fixed slits calibrate.

Such a slit is treated as in an exposure of the type NRS_FIXEDSLIT. A step that needs other references
for it lists their types as `fixed_slit_<type>`: they are selected as for such an exposure, and given
as `override_fixed_slit_<type>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from stpipe.errors import InputError
from stpipe.references.metafile import METAFILE, select_metafile
from stpipe.references.selection import FIXED_SLIT, FixedResolver
from stpipe.science.wcs.nirspec.msa_metafile import opened_fixed_slits
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stpipe.models.flat import FlatDict
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Resolver

__all__ = [
    "SHUTTERS",
    "as_fixed",
    "for_slit",
    "is_fixed_among_shutters",
    "of_fixed_slits",
    "with_fixed_slits",
]

Each = TypeVar("Each")

SHUTTERS, ALONE = "NRS_MSASPEC", "NRS_FIXEDSLIT"
_KIND = "meta.exposure.type"


def of_fixed_slits(types: Sequence[str]) -> tuple[str, ...]:
    """The types of references of fixed slits that go with those of shutters.

    Parameters
    ----------
    types : sequence of str

    Returns
    -------
    tuple of str
    """
    return tuple(f"{FIXED_SLIT}{each}" for each in types)


def with_fixed_slits(types: Sequence[str], meta: FlatMetadata, step: Any) -> tuple[str, ...]:
    """Types of references, and those of fixed slits if an exposure of shutters has such slits.

    Slits that are cut out tell; before, the metafile of the shutters does.

    Parameters
    ----------
    types : sequence of str
    meta : mapping
        Metadata of the exposure by dotted name.
    step : Step
        The step that asks.

    Returns
    -------
    tuple of str
    """
    if meta.get(_KIND) != SHUTTERS:
        return tuple(types)
    known = [v for n, v in meta.items() if n.startswith("slits.") and n.endswith(".quadrant")]
    found = FIXED_QUADRANT in known if known else _is_planned(meta, step)
    return (*types, *of_fixed_slits(types)) if found else tuple(types)


def _is_planned(meta: FlatMetadata, step: Any) -> bool:
    """Whether a metafile that is there opens a fixed slit in the exposure."""
    resolver: Resolver = step.context.resolver
    if isinstance(resolver, FixedResolver):
        return False
    given, pipeline = None, step.parent
    while pipeline is not None:
        given = given or getattr(pipeline.steps.get("assign_wcs"), f"override_{METAFILE}", None)
        pipeline = pipeline.parent
    try:
        path = select_metafile(given, step.context, meta).path
        return path is not None and bool(opened_fixed_slits(path, meta))
    except InputError:
        return False  # assign_wcs says so


def is_fixed_among_shutters(meta: FlatMetadata) -> bool:
    """Whether a slit is a fixed one in an exposure of shutters.

    Parameters
    ----------
    meta : mapping
        Metadata of the slit by dotted name, over those of the exposure.

    Returns
    -------
    bool
    """
    return meta.get(_KIND) == SHUTTERS and meta.get("quadrant") == FIXED_QUADRANT


def as_fixed(meta: FlatMetadata) -> FlatMetadata:
    """Metadata of a slit: of a fixed one among shutters with EXP_TYPE NRS_FIXEDSLIT.

    Parameters
    ----------
    meta : mapping
        Metadata of the slit by dotted name, over those of the exposure.

    Returns
    -------
    mapping
    """
    if not is_fixed_among_shutters(meta):
        return meta
    found = cast("FlatDict", meta).over({})
    found[_KIND] = ALONE
    return found


def for_slit(meta: FlatMetadata, references: Mapping[str, Each]) -> Mapping[str, Each]:
    """What there is for a slit: for a fixed one among shutters its own, by the plain types.

    Parameters
    ----------
    meta : mapping
        Metadata of the slit by dotted name, over those of the exposure.
    references : mapping
        References of the step by type, those of fixed slits as `fixed_slit_<type>`.

    Returns
    -------
    mapping
        Empty if the rules have none for a fixed slit (N/A).
    """
    return _OfFixedSlits(references) if is_fixed_among_shutters(meta) else references


class _OfFixedSlits(Mapping[str, Each]):
    """References by their plain types, opened when they are asked for."""

    def __init__(self, references: Mapping[str, Each]) -> None:
        self._references = references

    def __getitem__(self, reference_type: str) -> Each:
        return self._references[f"{FIXED_SLIT}{reference_type}"]

    def __iter__(self) -> Iterator[str]:
        return (t.removeprefix(FIXED_SLIT) for t in self._references if t.startswith(FIXED_SLIT))

    def __len__(self) -> int:
        return sum(1 for _ in self)
