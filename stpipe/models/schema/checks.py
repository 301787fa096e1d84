"""Checks of users' schemas: by the meta-schema, and for what it cannot express.

Those that ship with the package are checked by its tests.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from stpipe.errors import InputError, did_you_mean
from stpipe.models.formats.fits_cards import Card
from stpipe.models.schema.validation import check_value
from stpipe.system import package_data

if TYPE_CHECKING:
    from stpipe.models.schema.fields import Field

__all__ = ["check_document", "check_places"]

_COMMENTARY = ("", "COMMENT", "CONTINUE", "END", "HIERARCH", "HISTORY")
# Extensions that are reserved.
_TAKEN = ("PRIMARY", "ASDF")
# A slit's own source type stands where other models have that of the exposure's target.
_SHARED = ("SCI", "SRCTYPE")


def check_document(document: dict[str, Any], path: Path) -> None:
    """Check the content of a schema file with the meta-schema.

    Raises
    ------
    InputError
        With the first thing that is not of the dialect.
    """
    from jsonschema.exceptions import best_match

    try:
        error = best_match(_validator().iter_errors(document))
    except RecursionError:
        raise InputError(f"The schema {path} is nested too deeply.") from None
    if error is not None:
        place = "/".join(map(str, error.absolute_path)) or "the top"
        raise InputError(f"The schema {path}: at {place}, {_words(error)}.")


class Checked(Protocol):
    """What is checked of a schema."""

    @property
    def path(self) -> Path:
        """The file that it is in."""
        ...

    @property
    def fields(self) -> Mapping[str, Field]:
        """Every attribute."""
        ...

    @property
    def lists(self) -> Mapping[str, Self]:
        """The schema of the parts of each list."""
        ...

    @property
    def arrays(self) -> Mapping[str, Field]:
        """The arrays and tables."""
        ...


def check_places(schema: Checked) -> None:
    """Check that every keyword and extension of a schema has one attribute, and may have it.

    Raises
    ------
    InputError
        With the first one that has two, or belongs to FITS itself; or with a default of another
        type, or a list that FITS has no place for.
    """
    extensions: dict[tuple[str, str], str] = {}
    for at, each in (("", schema), *((f"{path}.", part) for path, part in schema.lists.items())):
        taken = dict(extensions)
        for field in each.fields.values():
            for problem in (*_problems(field, taken, at), *_shape_problems(field, each)):
                raise InputError(f'The schema {schema.path}: "{at}{field.path}" {problem}.')
        extensions |= {place: path for place, path in taken.items() if not place[1]}
        if at and (each.lists or not each.arrays):
            found = f"the list {next(iter(each.lists))}" if each.lists else "no array"
            raise InputError(
                f'The schema {schema.path}: the parts of "{at[:-1]}" have {found}; FITS has a place '
                "for parts with arrays and without lists of their own."
            )


def _problems(field: Field, taken: dict[tuple[str, str], str], at: str) -> Iterator[str]:
    place = (field.hdu, field.keyword or "")
    if field.is_array and field.hdu in _TAKEN:
        yield f"cannot be in the extension {field.hdu}, which is reserved"
    if field.keyword and _belongs_to_fits(field.keyword):
        yield f"cannot have the keyword {field.keyword}, which FITS reserves"
    has_place = (field.is_array or field.keyword) and place != _SHARED
    path = f"{at}{field.path}"
    if has_place and taken.setdefault(place, path) != path:
        named = f"keyword {field.keyword}" if field.keyword else f"extension {field.hdu}"
        yield f'has the {named}, which "{taken[place]}" has, too'
    if field.default is not None and (problem := _default_problem(field)):
        yield f"has a default that it does not allow: {problem}"


def _shape_problems(field: Field, schema: Checked) -> Iterator[str]:
    like = field.shape_like
    if like is not None and like not in schema.arrays:
        hint = did_you_mean(like, schema.arrays)
        yield f'should have the shape of "{like}", which is no array{hint}'
    if like is not None and field.is_table:
        yield f'is a table; only images have the shape of another array, such as "{like}"'


def _belongs_to_fits(keyword: str) -> bool:
    # The shape of cells (TDIM) is one that schemas of the archive name.
    is_structural = Card(keyword, "").is_structural and not keyword.startswith("TDIM")
    return is_structural or keyword in _COMMENTARY


def _default_problem(field: Field) -> str:
    if field.is_array:
        is_number = isinstance(field.default, (bool, int, float)) and not field.is_table
        return "" if is_number else f"{field.default!r} is not one number for all items"
    return check_value(field, field.default).rstrip(".")


def _words(error: Any, limit: int = 300) -> str:
    if error.validator == "not":  # {}
        return "this keyword is not allowed here"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        unknown = next(name for name in error.instance if name not in known)
        return f"the keyword {unknown} is unknown{did_you_mean(unknown, known)}"
    line = " ".join(error.message.split())
    return line if len(line) <= limit else f"{line[:limit]}..."


@functools.cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    meta = json.loads((package_data.folder("schemas") / "meta.schema.json").read_text("utf-8"))
    return Draft202012Validator(meta, format_checker=Draft202012Validator.FORMAT_CHECKER)
