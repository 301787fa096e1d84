"""Save a model: stamped, validated whole, and written so that nobody sees half of it."""

from __future__ import annotations

import datetime as dt
import gzip
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from stpipe import naming
from stpipe.errors import UsageError
from stpipe.models import dq_def
from stpipe.models.base import DataModel
from stpipe.models.io.content import Content
from stpipe.models.opening import content_for
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Stored, identity_of
from stpipe.system.atomic import replacing

__all__ = ["save"]


def save(model: DataModel, path: Path, *, checksum: bool = False, compression: str = "") -> Path:
    """Write ``model`` to ``path``; see `DataModel.save`."""
    kind = _kind(path, model.schema, compression)
    _stamp(model, path.name)
    model.validate()
    content = _encoded(model)
    before = None
    with suppress(OSError):  # most files are new
        before = identity_of(path.stat())
    with replacing(path) as stream:
        _write(kind, content, model.schema, stream, _Wishes(checksum, compression))
    if before and _reads(content, before):
        # The arrays that were not read yet are in the new file now.
        model._content = content_for(type(model), path)  # noqa: SLF001 - this is its save method
        model._lists.clear()  # noqa: SLF001
    return path


def _reads(content: Content, file: tuple[int, int, int]) -> bool:
    """Whether some array was still to be read from the file that was replaced, whatever its name."""
    stored = [array for array in content.arrays.values() if isinstance(array, Stored)]
    parts = [part for parts in content.lists.values() for part in parts]
    return any(a.source.identity == file for a in stored) or any(_reads(p, file) for p in parts)


class _Wishes(NamedTuple):
    """What a file may have on request."""

    checksum: bool
    compression: str


def _kind(path: Path, schema: Schema, compression: str) -> str:
    allowed: tuple[str, ...] = naming.EXTENSIONS if _fits_into_text(schema) else naming.ANY_MODEL
    for kind in allowed:
        if path.name.endswith(kind) and path.name != kind:
            break
    else:
        raise UsageError(f"{path} cannot be written: its name must end in {', '.join(allowed)}.")
    if compression not in ("", "zlib", "bzp2"):
        raise UsageError(f'compression is "{compression}"; allowed are zlib and bzp2.')
    if compression and kind != ".asdf":
        raise UsageError(
            f"{path}: only ASDF has compression; give a FITS file the ending .fits.gz."
        )
    return kind


def _fits_into_text(schema: Schema) -> bool:
    """Whether models have nothing but metadata and one table."""
    tables = [field.is_table for field in schema.arrays.values()]
    return tables in ([], [True]) and not schema.lists


def _stamp(model: DataModel, name: str) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    model.set("meta.filename", name)
    model.set("meta.date", now.isoformat(timespec="milliseconds"))
    model.set("meta.model_type", type(model).__name__)


def _encoded(model: DataModel) -> Content:
    """The content with ``dq`` in the bits that the model's own table DQ_DEF defines."""
    content = model._content  # noqa: SLF001
    mask = content.arrays.get("dq")
    if mask is None or isinstance(mask, Stored) or not model.has("dq_def"):
        return content
    arrays = content.arrays | {"dq": dq_def.encode(mask, model.dq_def)}
    return replace(content, arrays=arrays)


def _write(kind: str, content: Content, schema: Schema, stream: BinaryIO, wishes: _Wishes) -> None:
    if kind == ".asdf":
        from stpipe.models.io.asdf_writer import write_asdf

        write_asdf(content, schema, stream, **wishes._asdict())
        return
    if kind in naming.TABLES:
        from stpipe.models.io.ecsv import write_ecsv

        write_ecsv(content, schema, stream, checksum=wishes.checksum)
        return
    from stpipe.models.io.fits_writer import write_fits

    if kind == ".fits":
        write_fits(content, schema, stream, checksum=wishes.checksum)
        return
    # No time stamp: the same model gives the same file.
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6, mtime=0) as packed:
        write_fits(content, schema, cast("BinaryIO", packed), checksum=wishes.checksum)
