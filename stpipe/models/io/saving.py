"""Write the content of a model into a file, whole or not at all."""

from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from stpipe import naming
from stpipe.errors import UsageError
from stpipe.models.io.content import Content
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Stored
from stpipe.models.storage.source import identity_of
from stpipe.system.atomic import replacing

__all__ = ["SaveOptions", "kind_of", "write"]


class SaveOptions(NamedTuple):
    """How a model is saved, besides the name of the file."""

    checksum: bool
    compression: str


def write(content: Content, schema: Schema, path: Path, kind: str, options: SaveOptions) -> bool:
    """Write a model's content to ``path``, whole or not at all.

    Returns whether the file that was replaced still held arrays of the model, which are in the new
    one now.
    """
    before = None
    with suppress(OSError):  # most files are new
        before = identity_of(path.stat())
    with replacing(path) as stream:
        _write(kind, content, schema, stream, options)
    return before is not None and _reads(content, before)


def _reads(content: Content, file: tuple[int, int, int]) -> bool:
    """Whether some array was still to be read from the file that was replaced, whatever its name."""
    stored = [array for array in content.arrays.values() if isinstance(array, Stored)]
    parts = [part for parts in content.lists.values() for part in parts]
    return any(a.source.identity == file for a in stored) or any(_reads(p, file) for p in parts)


def kind_of(path: Path, schema: Schema, options: SaveOptions) -> str:
    """The format of a file, which is its extension.

    Raises
    ------
    UsageError
        When models of this schema cannot be saved in such a file, or it cannot be compressed.
    """
    compression = options.compression
    allowed: tuple[str, ...] = naming.EXTENSIONS if _fits_into_text(schema) else naming.ANY_MODEL
    for kind in allowed:
        if path.name.endswith(kind) and path.name != kind:
            break
    else:
        raise UsageError(f"{path} cannot be written: its name must end in {', '.join(allowed)}.")
    if compression not in ("", "zlib", "bzp2"):
        raise UsageError(f'compression is "{compression}"; allowed: zlib, bzp2.')
    if compression and kind != ".asdf":
        raise UsageError(
            f"{path}: only ASDF files have this compression; give a FITS file the ending .fits.gz."
        )
    return kind


def _fits_into_text(schema: Schema) -> bool:
    """Whether models have nothing but metadata and one table."""
    tables = [field.is_table for field in schema.arrays.values()]
    return tables in ([], [True]) and not schema.lists


def _write(
    kind: str, content: Content, schema: Schema, stream: BinaryIO, options: SaveOptions
) -> None:
    if kind == ".asdf":
        from stpipe.models.io.asdf_writer import write_asdf

        write_asdf(content, schema, stream, **options._asdict())
        return
    if kind in naming.TABLES:
        from stpipe.models.io.ecsv import write_ecsv

        write_ecsv(content, schema, stream, checksum=options.checksum)
        return
    from stpipe.models.io.fits_writer import write_fits

    if kind == ".fits":
        write_fits(content, schema, stream, checksum=options.checksum)
        return
    # No time stamp: the same model gives the same file.
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0) as packed:
        write_fits(content, schema, cast("BinaryIO", packed), checksum=options.checksum)
