"""Read a file, whatever its format, before it is known which model it holds."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.errors import InputError
from stpipe.models.formats.fits_hdus import Hdu, scan
from stpipe.models.io.content import Content, blaming, lookup
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.packed import source_of
from stpipe.models.storage.source import Source
from stpipe.naming import EXTENSIONS

if TYPE_CHECKING:
    from stpipe.models.io.columns import Table

__all__ = ["File", "inspect"]


@dataclass(frozen=True)
class File:
    """A file before it is known which model to read it as."""

    source: Source
    units: list[Hdu]
    tree: dict[str, Any]
    table: Table | None = None  # of ECSV

    @property
    def model_type(self) -> str:
        """What DATAMODL says, or nothing."""
        if self.units and (named := self.units[0].header.get("DATAMODL")):
            return str(named)
        return str(lookup(self.tree or self._tree_in_fits, "meta.model_type") or "")

    @functools.cached_property
    def _tree_in_fits(self) -> dict[str, Any]:
        """The tree that names the model, when its schema has no keyword for that."""
        from stpipe.models.io.fits_reader import tree_of

        with blaming(self.source.path):
            return tree_of(self.units, "meta.model_type")

    def content(self, schema: Schema) -> Content:
        """The content as ``schema`` sees it."""
        with blaming(self.source.path):
            if self.units:
                from stpipe.models.io.fits_reader import read_fits

                return read_fits(self.source, self.units, schema)
            from stpipe.models.io.asdf_reader import sort_tree

            content = sort_tree(self.source, self.tree, schema)
            if self.table is not None:
                from stpipe.models.io.ecsv import put_table

                put_table(content, schema, self.table)
            return content


def inspect(path: Path) -> File:
    """The file at ``path``, its headers or tree read.

    Raises
    ------
    InputError
        When it is missing, damaged, or neither FITS, ASDF nor ECSV.
    """
    source = source_of(path)
    with source.open() as stream:
        start = stream.read(9)
    if start.startswith(b"SIMPLE  ="):
        return File(source, scan(source), {})
    if start.startswith(b"#ASDF"):
        from stpipe.models.io.asdf_reader import read_tree

        return File(source, [], read_tree(source))
    if start.startswith(b"# %ECSV"):
        from stpipe.models.io.ecsv import read_ecsv

        return File(source, [], *read_ecsv(source))
    found = "is empty" if not source.size else f"starts with {start!r}"
    raise InputError(
        f"{path} is neither FITS, ASDF nor ECSV: it {found}; give a file with one of the endings "
        f"{', '.join(EXTENSIONS)}."
    )
