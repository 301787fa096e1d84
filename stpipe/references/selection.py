"""Reference files: which one applies to an exposure, and the part of it that the exposure needs.

Selection has three origins: an override given by the user, the plan of a Snakemake project, or the
rules of CRDS. Whatever the origin, a step sees a mapping from reference type to an opened model cut
to the exposure's subarray.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stpipe.errors import ReferenceMissing
from stpipe.naming import located
from stpipe.references.checksums import sha256

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = [
    "FIXED_SLIT",
    "Candidate",
    "Explanation",
    "FixedResolver",
    "Reference",
    "Resolver",
    "listed",
    "override",
    "select",
]

NOT_APPLICABLE = "N/A"
FIXED_SLIT = "fixed_slit_"  # before types that are for NIRSpec's fixed slits among shutters


@dataclass(frozen=True)
class Reference:
    """A selected reference file; `path` is None when the rules say that none applies (N/A)."""

    type: str
    path: Path | None
    context: str = ""  # CRDS context that selected it; empty for an override
    origin: str = "override"  # what selected it, if not CRDS
    pending: bool = False  # a product of a project's plan, which need not be there yet

    @property
    def recorded_name(self) -> str:
        """The value of R_<type>: `crds://<name>` if CRDS selected it, else the bare name."""
        if self.path is None:
            return NOT_APPLICABLE
        return f"crds://{self.path.name}" if self.context else self.path.name

    def record(self) -> dict[str, str]:
        """Name, checksum and origin for a product's provenance."""
        origin = {"context": self.context} if self.context else {"origin": self.origin}
        if self.path is None:
            return {"name": NOT_APPLICABLE, **origin}
        return {"name": self.path.name, "sha256": sha256(self.path), **origin}


@dataclass(frozen=True)
class Candidate:
    """A file that the rules choose from, with its criteria."""

    file: str
    asks: Mapping[str, str]


@dataclass(frozen=True)
class Explanation:
    """Why the rules choose a file: the criteria, and all candidates."""

    rules: str  # the file that holds the rules
    criteria: Mapping[str, Any]
    candidates: tuple[Candidate, ...]


class Resolver(Protocol):
    """Selects reference files for an exposure; `meta` maps dotted metadata names to values."""

    def select(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """One `Reference` for each of `types`; ReferenceMissing when there is none for one."""
        ...

    def find(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """A `Reference` for those of `types` for which there is one."""
        ...

    def explain(self, meta: FlatMetadata, reference_type: str) -> Explanation:
        """How the file of a type is selected."""
        ...


def override(reference_type: str, value: str) -> Reference:
    """The reference that a user named with `override_<type>`.

    Raises
    ------
    ReferenceMissing
        When the file is not there.
    """
    if value.upper() == NOT_APPLICABLE:
        return Reference(reference_type, None)
    path = Path(value).expanduser()
    if not path.is_file():
        raise ReferenceMissing(
            f"override_{reference_type}: there is no file {path} (looked in {Path.cwd()}). "
            "Give the path of a reference file, or N/A to use none."
        )
    return Reference(reference_type, located(path))


def listed(name: str, paths: Iterable[str], pending: Collection[str] = ()) -> dict[str, Reference]:
    """Exposures that a parameter lists, as references: inputs that are tracked and recorded like them.

    They are `name`_1 and so on. Those that are `pending` are made by jobs of a project before they
    are read.

    Raises
    ------
    ReferenceMissing
        When one of the others is not there.
    """
    named = ((f"{name}_{number}", path) for number, path in enumerate(paths, 1))
    return {
        reference_type: Reference(reference_type, Path(path), pending=True)
        if path in pending
        else override(reference_type, path)
        for reference_type, path in named
    }


@dataclass(frozen=True)
class FixedResolver:
    """References that a plan has selected before; jobs of a Snakemake project get these."""

    references: Mapping[str, Reference]

    def select(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """The planned references."""
        del meta
        wanted = list(types)
        if missing := [t for t in wanted if t not in self.references]:
            raise ReferenceMissing(
                f"the plan names no reference file of type {', '.join(missing)}: run stflow generate."
            )
        return {t: self.references[t] for t in wanted}

    def find(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """None: planning has read the parameter files already."""
        del meta, types
        return {}

    def explain(self, meta: FlatMetadata, reference_type: str) -> Explanation:
        """The one file that the plan names."""
        del meta
        name = self.references[reference_type].recorded_name
        return Explanation("plan", {}, (Candidate(name, {}),))


def select(resolver: Resolver, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
    """A `Reference` for each of `types`; those of fixed slits as for an exposure of such slits.

    Raises
    ------
    ReferenceMissing
        When there is none for one.
    """
    wanted = list(types)
    if isinstance(resolver, FixedResolver):
        return resolver.select(meta, wanted)
    fixed = [t.removeprefix(FIXED_SLIT) for t in wanted if t.startswith(FIXED_SLIT)]
    found = resolver.select(meta, [t for t in wanted if not t.startswith(FIXED_SLIT)])
    if not fixed:
        return found
    try:
        alone = resolver.select({**meta, "meta.exposure.type": "NRS_FIXEDSLIT"}, fixed)
    except ReferenceMissing as error:
        named = str(error).replace("--override_", f"--override_{FIXED_SLIT}")
        raise ReferenceMissing(f"a fixed slit among shutters: {named}") from None
    of_slits = {f"{FIXED_SLIT}{t}": replace(r, type=f"{FIXED_SLIT}{t}") for t, r in alone.items()}
    return found | of_slits
