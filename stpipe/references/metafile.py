"""The metafile of NIRSpec's shutters: tracked and recorded like a reference, but none of CRDS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stpipe.errors import InputError
from stpipe.references.selection import FixedResolver, Reference, Resolver, override

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = ["METAFILE", "select_metafile"]

METAFILE = "msametafile"  # its reference type


class Run(Protocol):
    """What is known of the run of a step."""

    @property
    def resolver(self) -> Resolver:
        """What selects references; that of a plan knows the metafile."""

    @property
    def source(self) -> Path | None:
        """The file of the exposure."""

    @property
    def origin(self) -> Path | None:
        """The exposure as it came, where its file is a product of the run."""


def select_metafile(given: str | None, run: Run, meta: FlatMetadata) -> Reference:
    """The metafile of an exposure: that of the user, of the plan, or the one beside the exposure.

    Parameters
    ----------
    given : str or None
        What the user says with `override_msametafile`.
    run : Run
    meta : mapping
        Metadata of the exposure by dotted name; MSAMETFL names the metafile.

    Returns
    -------
    Reference

    Raises
    ------
    InputError
        When the exposure names none, or there is no such file.
    ReferenceMissing
        When there is no file that the user names.
    """
    if given:
        return override(METAFILE, given)
    if isinstance(run.resolver, FixedResolver):
        return run.resolver.select(meta, (METAFILE,))[METAFILE]
    return Reference(METAFILE, _beside(run.origin or run.source, meta), origin="MSAMETFL")


def _beside(source: Path | None, meta: FlatMetadata) -> Path:
    name = meta.get("meta.instrument.msa_metadata_file")
    if not name:
        raise InputError(
            f"{meta.get('meta.filename')}: MSAMETFL is not set; it names the metafile of the shutters. "
            "Give it with override_msametafile=PATH."
        )
    folder = source.parent if source is not None else Path()
    path = folder / Path(str(name)).name  # never out of the exposure's own folder
    if not path.is_file():
        raise InputError(
            f"{meta.get('meta.filename')}: there is no file {path}, which MSAMETFL names. Put the "
            "metafile of the shutters beside the exposure, or give it with override_msametafile=PATH."
        )
    return path
