"""Metadata by dotted name, as arithmetic asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Self

from stpipe.errors import MetadataMissing
from stpipe.models.schema.schema import Schema

__all__ = ["FlatDict"]


class FlatDict(dict[str, Any]):
    """Values by dotted name; one that is asked for and not set is an error that names its keyword."""

    def __init__(self, values: Mapping[str, Any], schema: Schema, where: str) -> None:
        super().__init__(values)
        self._schema = schema
        self._where = where  # the file

    def __missing__(self, name: str) -> NoReturn:
        keyword = getattr(self._schema.fields.get(name), "keyword", None)
        asked = f"{keyword} ({name})" if keyword else name
        raise MetadataMissing(
            f"{self._where} lacks {asked}, which is needed. Add it, or take a file that has it."
        )

    def over(self, values: Mapping[str, Any]) -> Self:
        """These values, and others for what is not set here."""
        return type(self)({**values, **self}, self._schema, self._where)
