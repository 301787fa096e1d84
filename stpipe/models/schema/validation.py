"""Whether values and arrays conform to the schema, and messages if they do not.

`check_value` knows the vocabulary of `stpipe.models.schema.schema` and nothing else, so that
assigning is cheap. Schemas may use any other keyword of JSON Schema (``pattern``, ``minimum``,
``items`` ...); those are checked with the `jsonschema` library before a file is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from stpipe.errors import ValidationError
from stpipe.models.formats.asdf_yaml import Tagged
from stpipe.models.schema.fields import Field
from stpipe.models.storage.arrays import Array, Stored
from stpipe.system.text import counted, with_article

__all__ = [
    "array_problem",
    "cast_array",
    "check_value",
    "different_shapes",
    "extra_problems",
    "from_header",
    "plain",
    "read_as",
    "shape_problem",
]

# The columns of binary tables, beside text.
_COLUMNS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "c8", "c16")
# Each with what makes a value of its subclasses one of its own.
_SCALARS: Mapping[type, Callable[[Any], Any]] = {
    bool: bool,
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
}
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def check_value(field: Field, value: Any) -> str:
    """What is wrong with a metadata value: one sentence, or nothing."""
    conforms = _TYPES.get(field.type or "")
    if conforms and not conforms(value):
        found = f"{value!r} ({type(value).__name__})"
        return f"{_named(field)} is {found}; allowed is {with_article(field.type or '')}."
    if field.enum and not any(_equal(value, allowed) for allowed in field.enum):
        allowed = ", ".join(map(repr, field.enum))
        return f"{_named(field)} is {value!r}; allowed is one of {allowed}."
    return ""


def from_header(field: Field, value: Any, token: str) -> Any:
    """A header's value in the schema's type if that is clearly meant, else None.

    Files exist that hold numbers as text and text as numbers; ``token`` is the text on the card.
    """
    if field.type == "string" and not isinstance(value, str):
        value = token
    elif field.type in ("integer", "number", "boolean") and isinstance(value, str):
        value = _parsed(field.type, value.strip())
    elif field.type == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or check_value(field, value) else value


def plain(value: Any, path: str) -> Any:
    """``value`` in the types that metadata may have: str, bool, int, float, list, dict, None.

    Objects that the asdf library can store stay as they are.

    Raises
    ------
    ValidationError
        When it, or something in it, is of another type.
    """
    if value is None or isinstance(value, Tagged):
        return value  # nodes of a file hold nothing else, and may be shared
    if isinstance(value, np.generic) and value.dtype.kind in "biufcSU":
        return plain(float(value) if value.dtype.kind == "f" else value.item(), path)
    if isinstance(value, (bool, int, float, str)):
        return _plain_scalar(value, path)
    if isinstance(value, (bytes, PurePath)):
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if isinstance(value, (Mapping, list, tuple)):
        return _plain_children(value, path)
    return accepted(value, path)


def _plain_scalar(value: bool | float | str, path: str) -> Any:
    """A value of a subclass, such as a member of an enumeration, as its base has it."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValidationError(f"{path} is {value!r}; no file can hold such text.") from None
    if type(value) in _SCALARS:
        return value
    return next(exact(value) for kind, exact in _SCALARS.items() if isinstance(value, kind))


def _plain_children(value: Any, path: str) -> Any:
    """A plain dictionary or list."""
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{path}.{key}") for key, item in value.items()}
    return [plain(item, f"{path}.{number}") for number, item in enumerate(value)]


def extra_problems(fields: Mapping[str, Field], values: Mapping[str, Any]) -> Iterator[str]:
    """Problems with the JSON Schema keywords beyond this package's dialect."""
    demanding = [path for path in values if path in fields and fields[path].extra]
    if not demanding:
        return
    from jsonschema import Draft202012Validator

    for path in demanding:
        for error in Draft202012Validator(dict(fields[path].extra)).iter_errors(values[path]):
            rule = {error.validator: error.validator_value}
            yield f"{_named(fields[path])} is {error.instance!r}; the schema demands {rule}."


def cast_array(field: Field, array: Any, model: str) -> Array:
    """``array`` with the schema's number of dimensions and dtype; not copied when it conforms.

    Raises
    ------
    ValidationError
        When dimensions or columns differ, or the cast would lose more than precision.
    """
    found = _as_array(field, array, model)
    if problem := shape_problem(field, found.shape):
        raise ValidationError(f"{model}: {problem}")
    if field.dtype is None or (found.dtype == field.dtype and not field.cell_ndim):
        return found
    if field.is_table:
        if problem := _column_problem(field, found.dtype):
            raise ValidationError(f"{model}: {problem}")
        return _cast_table(field, _with_text_in_bytes(found), model)
    if not _safe(found, field.dtype):
        raise ValidationError(
            f"{model}: {_named(field)} is an array of {found.dtype}; "
            f"allowed is {field.dtype} or what casts to it without loss."
        )
    return found.astype(field.dtype)


def _as_array(field: Field, array: Any, model: str) -> Array:
    """As numpy has it, unless that would lose something."""
    table = array.as_array() if hasattr(array, "as_array") else array  # of astropy
    try:
        if not (problem := _would_lose(table)):
            return np.asarray(table)
    except (TypeError, ValueError) as error:
        problem = f"is not an array: {error}"
    raise ValidationError(f"{model}: {_named(field)} {problem}.")


def _would_lose(array: Any) -> str:
    """What a plain array would lose, such as a mask or a unit."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.getmaskarray(array).tobytes().strip(b"\0"):
        return "has masked values; give them values first: array.filled(...)"
    unit = str(getattr(array, "unit", None) or "")
    if unit:
        return f"has the unit {unit}; give its values in the model's unit: array.to_value(...)"
    return ""


def read_as(field: Field, stored: Stored, model: str) -> Array:
    """A stored array with the schema's dtype; integers of the wrong sign keep their bits.

    Raises
    ------
    ValidationError
        When the file's dtype does not cast to the schema's.
    """
    if problem := array_problem(field, stored):
        raise ValidationError(f"{model}: {problem}")
    if field.is_table:
        return cast_array(field, stored.read(), model)
    return stored.read(field.dtype)


def array_problem(field: Field, array: Array | Stored) -> str:
    """What is wrong with an array's dimensions or dtype: one sentence, or nothing."""
    if problem := shape_problem(field, tuple(array.shape)):
        return problem
    if field.is_table:
        return _column_problem(field, array.dtype)
    if field.dtype is None or _castable(array.dtype, field):
        return ""
    return (
        f"{_named(field)} is an array of {array.dtype}; "
        f"allowed is {field.dtype} or what casts to it."
    )


def shape_problem(field: Field, shape: tuple[int, ...]) -> str:
    """What is wrong with the number of dimensions: one sentence, or nothing."""
    if not shape:
        return f"{_named(field)} is a single value; allowed are arrays of one dimension and more."
    ndim = 1 if field.is_table else field.ndim
    if ndim is not None and len(shape) != ndim:
        return f"{_named(field)} has shape {shape}; allowed: {counted(ndim, 'dimension')}."
    most = field.max_ndim
    if most is not None and len(shape) > most:
        return f"{_named(field)} has shape {shape}; allowed: at most {counted(most, 'dimension')}."
    return ""


def different_shapes(
    fields: Mapping[str, Field], arrays: Mapping[str, Array | Stored]
) -> Iterator[str]:
    """Arrays of another shape than the one whose shape they must have: a sentence for each."""
    for path, array in arrays.items():
        like = fields[path].shape_like if path in fields else None
        if (
            like is not None
            and like in arrays
            and not _agree(tuple(array.shape), tuple(arrays[like].shape))
        ):
            yield (
                f"{path} in the extension {fields[path].hdu} has the shape {tuple(array.shape)}; "
                f"allowed is that of {like} in {fields[like].hdu}, {tuple(arrays[like].shape)}."
            )


def _agree(shape: tuple[int, ...], like: tuple[int, ...]) -> bool:
    """Whether the images are of one size, and there are as many of them, or one for all."""
    if shape == like:
        return True
    if shape[-2:] != like[-2:]:
        return False
    leading = zip(shape[:-2], like[:-2], strict=True) if len(shape) == len(like) else ()
    return all(size in (1, expected) for size, expected in leading)


def _column_problem(field: Field, table: np.dtype[Any]) -> str:
    """Which column is of a type that no file can hold, if any."""
    for name in table.names or ():
        base = table[name].base
        if base.kind not in "SU" and base.str[1:] not in _COLUMNS:
            return (
                f"{_named(field)} has in column {name} values of {base}; allowed are truth values, "
                "integers, numbers of 32 and 64 bits, complex ones of these, and text."
            )
    return ""


def _with_text_in_bytes(table: Array) -> Array:
    """The table with text as files have it: in UTF-8, and at least one byte wide."""
    texts = [n for n in table.dtype.names or () if table.dtype[n].base.kind in "SU"]
    columns = {n: np.char.encode(table[n], "utf-8") for n in texts if table[n].dtype.kind == "U"}
    columns |= {n: table[n].astype("S1") for n in texts if not table.dtype[n].base.itemsize}
    if not columns:
        return table
    names = table.dtype.names or ()
    found = [columns.get(name, table[name]) for name in names]
    typed = [(n, c.dtype, c.shape[table.ndim :]) for n, c in zip(names, found, strict=True)]
    changed = np.empty(table.shape, typed)
    for name, column in zip(names, found, strict=True):
        changed[name] = column
    return changed


def _equal(value: Any, allowed: Any) -> bool:
    """Equality as JSON has it, where true is not 1."""
    return bool(value == allowed) and isinstance(value, bool) == isinstance(allowed, bool)


def _named(field: Field) -> str:
    place = f"{field.hdu} " if field.hdu != "PRIMARY" else ""
    if field.is_array:
        return f"{field.path} (extension {field.hdu})"
    return f"{field.path} (FITS keyword {place}{field.keyword})" if field.keyword else field.path


def _parsed(kind: str, text: str) -> Any:
    if kind == "boolean":
        return {"T": True, "TRUE": True, "F": False, "FALSE": False}.get(text.upper())
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        return None


def _castable(found: np.dtype[Any], field: Field) -> bool:
    """Whether a file's dtype is read as the schema's; integers of the wrong sign keep their bits.

    Counts of a wider type are those of another kind of file. Flags are often written as int64: they are
    read, and refused where a value does not fit.
    """
    dtype = field.dtype
    if dtype is None:
        return True
    if found.kind in "iu" and dtype.kind in "iu":
        return found.itemsize <= dtype.itemsize or field.path.endswith("dq")
    return bool(np.can_cast(found, dtype, "same_kind"))


def _safe(array: Array, dtype: np.dtype[Any]) -> bool:
    if np.can_cast(array.dtype, dtype, "same_kind"):
        return True
    if array.dtype.kind not in "iu" or dtype.kind not in "iu":
        return False
    bounds = np.iinfo(dtype)
    return not array.size or (array.min() >= bounds.min and array.max() <= bounds.max)


def _cast_table(field: Field, array: Array, model: str) -> Array:
    """Columns of the schema in its order, by name in any case; further columns follow."""
    theirs = {name.lower(): name for name in array.dtype.names or ()}
    schema = field.dtype if field.dtype is not None else array.dtype
    wanted = list(schema.names or ())
    missing = [name for name in wanted if name.lower() not in theirs]
    if missing:
        raise ValidationError(
            f"{model}: {_named(field)} lacks the columns {', '.join(missing)}; "
            f"it has {', '.join(theirs.values()) or 'none'}."
        )
    rest = [name for name in array.dtype.names or () if name.lower() not in map(str.lower, wanted)]
    columns = [
        (name, _column(schema[name], array.dtype[theirs[name.lower()]], field.cell_ndim.get(name)))
        for name in wanted
    ]
    table = np.empty(array.shape, np.dtype([*columns, *((n, array.dtype[n]) for n in rest)]))
    for name, ndim in field.cell_ndim.items():
        if table.dtype[name].ndim != ndim:
            raise ValidationError(
                f"{model}: {_named(field)} has in column {name} cells of the shape "
                f"{table.dtype[name].shape}; allowed: {counted(ndim, 'dimension')}."
            )
    for name in (*wanted, *rest):
        column = array[theirs[name.lower()]]
        if not _safe_column(column, table.dtype[name].base):
            raise ValidationError(
                f"{model}: {_named(field)} has in column {name} values of {column.dtype}; "
                f"allowed is {table.dtype[name].base} or what casts to it without loss."
            )
        # FITS does not tell a cell of one value from a cell with axes of length 1.
        cells = table[name]
        cells[...] = column.reshape(cells.shape) if column.size == cells.size else column
    return table


def _column(schema: np.dtype[Any], found: np.dtype[Any], ndim: int | None) -> np.dtype[Any]:
    """The schema's type; text as wide as it is, and the found shape where the schema has none."""
    base = schema.base
    if base.kind == "S" and found.base.kind in "SU":
        width = found.base.itemsize // (4 if found.base.kind == "U" else 1)
        base = np.dtype(f"S{max(base.itemsize, width)}")
    return np.dtype((base, schema.shape or found.shape or (1,) * (ndim or 0)))


def _safe_column(column: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a column can become ``dtype`` without loss."""
    if "S" in (column.dtype.kind, dtype.kind):
        return column.dtype.kind == dtype.kind
    return _safe(column, dtype)


_STORABLE: set[type] = set()
"""Classes that the asdf library has been asked about; each time it reads through its extensions."""


def accepted(value: Any, path: str) -> Any:
    """``value`` if the asdf library can store objects of its class.

    Raises
    ------
    ValidationError
        When it cannot.
    """
    import asdf

    if type(value) in _STORABLE:
        return value
    if asdf.AsdfFile().extension_manager.handles_type(type(value)):
        _STORABLE.add(type(value))
        return value
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise ValidationError(
        f"{path} is {with_article(kind)}; metadata are text, numbers, booleans, lists, dictionaries, "
        "and objects that the asdf library can store."
    )
