"""The data model: arrays and metadata behind one schema, wherever they are stored."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from stpipe.errors import InputError, ValidationError
from stpipe.models import dq_def, dqflags, history
from stpipe.models.formats.fits_cards import Header
from stpipe.models.io.content import LOCK, Content, flatten, remove
from stpipe.models.lists import ModelList
from stpipe.models.metadata import HasMetadata, Metadata
from stpipe.models.schema import validation
from stpipe.models.schema.fields import Field
from stpipe.models.schema.schema import Schema
from stpipe.models.storage.arrays import Array, Stored, read_only
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from stpipe.models.io.reading import File
    from stpipe.models.protocols import Section
    from stpipe.models.storage.scratch import Scratch

__all__ = ["REGISTRY", "DataModel", "Init", "Part", "check_readable", "is_readable"]

Init = str | os.PathLike[str] | Array | Mapping[str, Any] | HasMetadata | None

REGISTRY: dict[str, type[DataModel]] = {}
"""Model classes by name, as the keyword DATAMODL has it; the first of a name counts."""

# What belongs to one file and its model, not to the exposure.
_OWN = ("meta.filename", "meta.date", "meta.model_type")


class DataModel(HasMetadata):
    """Arrays and metadata as a schema describes them.

    A model class is a schema file and nothing else::

        class MyModel(models.DataModel):
            schema_name = "my.schema.json"

    Parameters
    ----------
    init
        A path, an array (the primary one), a nested dictionary, another model (metadata are
        copied, arrays shared), or None for an empty model.

    Raises
    ------
    InputError
        When the file is missing, damaged, or holds another model.
    ValidationError
        When an array or value does not conform to the schema.
    """

    schema_name: ClassVar[str] = "core.schema.json"
    primary: ClassVar[str] = "data"
    reads: ClassVar[tuple[str, ...] | None] = None
    """Names of other models that this one can be read from; None: whatever fits."""
    extension: ClassVar[str] = ".fits"
    """Of the file in which a step saves the model, unless a name is given."""

    def __init_subclass__(cls, *, register: bool = True, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if register:
            REGISTRY.setdefault(cls.__name__, cls)

    def __init__(self, init: Init = None) -> None:
        self._schema = self.load_schema()
        self._made: dict[str, Array] = {}
        self._lists: dict[str, ModelList[Part]] = {}
        self._content = Content()
        if isinstance(init, (str, os.PathLike)):
            self._content = self._read(Path(init))
        elif isinstance(init, DataModel):
            self._take(init)
        elif isinstance(init, Mapping):
            self._fill(init)
        elif init is not None:
            self.set(self.primary, init)

    def _read(self, path: Path) -> Content:
        """What the file at ``path`` holds, as this model sees it."""
        from stpipe.models.io.reading import inspect

        return self._content_of(inspect(path), path)

    @classmethod
    def _opened(cls, file: File, path: Path) -> Self:
        """The model in a file whose headers or tree have been read already."""
        if cls.__init__ is not DataModel.__init__:
            return cls(path)  # it may do more than we know
        model = cls()
        model._content = model._content_of(file, path)
        return model

    def _content_of(self, file: File, path: Path) -> Content:
        check_readable(type(self), file.model_type, str(path))
        content = file.content(self._schema)
        for name, array in content.arrays.items():
            if problem := validation.array_problem(self._schema.arrays[name], array):
                raise InputError(f"{path} is not a valid {type(self).__name__}: {problem}")
        if problems := list(_different_shapes(self._schema, content)):
            raise InputError(f"{path}: {' '.join(problems)} Rebuild these extensions.")
        return content

    @classmethod
    def load_schema(cls) -> Schema:
        """The schema of the class; a relative name is sought beside the module of the class."""
        import sys

        module = sys.modules.get(cls.__module__)
        beside = getattr(module, "__file__", None)
        name = cls.__dict__.get("schema_name", cls.schema_name)
        if beside and (Path(beside).parent / name).is_file():
            return Schema.load(name, Path(beside).parent)
        return Schema.load(name)

    # Arrays

    def has(self, name: str) -> bool:
        """Whether the array ``name`` is in the file or was assigned."""
        return name in self._content.arrays

    def read(self, name: str, section: Section = ...) -> Array:
        """A section of an array, native and cast to the schema's dtype.

        Of an array in a file only the bytes of the section are read, and nothing is kept.

        Raises
        ------
        AttributeError
            When the model has no such array.
        """
        field = self._field(name)
        stored = self._content.arrays.get(name)
        if isinstance(stored, Stored) and name not in self._made and not field.is_table:
            if self._translates(field):
                bits = stored.section(section)
                return dqflags.remap(bits, self._array(self._schema.arrays["dq_def"]))
            return stored.section(section, field.dtype)
        whole = self._array(field)
        if whole is None:
            raise AttributeError(f"{self._described}: there is no array {name} to read from")
        return read_only(np.asarray(whole[section]))

    def units(self, name: str) -> dict[str, str]:
        """The unit of each column of the table ``name`` that has one (TUNIT)."""
        from stpipe.models.io.units import UNIT, words_of

        return words_of(self._content, self._field(name), UNIT)

    def set_units(self, name: str, units: Mapping[str, str]) -> None:
        """Set the units of columns of the table ``name``, which FITS and ECSV files store.

        Raises
        ------
        ValidationError
            When the table has no such column, or a unit is not text that a header can hold.
        """
        from stpipe.models.io.units import UNIT

        self._describe(name, UNIT, units)

    def describe_columns(self, name: str, descriptions: Mapping[str, str]) -> None:
        """Set the descriptions (TCOMM) of columns of the table ``name``, in FITS and ECSV files."""
        from stpipe.models.io.units import DESCRIPTION

        self._describe(name, DESCRIPTION, descriptions)

    def _describe(self, name: str, keyword: str, words: Mapping[str, str]) -> None:
        from stpipe.models.io.units import problem_with, put_words

        field = self._field(name)
        if problem := problem_with(self._content, field, words):
            raise ValidationError(f"{self._described}: {problem}")
        put_words(self._content, field, keyword, words)

    def _field(self, name: str) -> Field:
        if name not in self._schema.arrays:
            raise AttributeError(self._unknown("", name))
        return self._schema.arrays[name]

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the primary array, from the header alone; None without one."""
        array = self._content.arrays.get(self.primary)
        return None if array is None else tuple(array.shape)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array that is in the file or was assigned, by attribute."""
        return {path: tuple(array.shape) for path, array in self._content.arrays.items()}

    def _array(self, field: Field) -> Array | None:
        """The array, read or made on first access."""
        path = field.path
        if path not in self._made:
            array = self._content.arrays.get(path)
            if isinstance(array, Stored):
                self._made[path] = read_only(self._loaded(field, array))
            elif array is not None:
                return array
            elif (default := self._default(field)) is not None:
                self._made[path] = read_only(default)
        return self._made.get(path)

    def _loaded(self, field: Field, stored: Stored) -> Array:
        if self._translates(field):
            return dqflags.remap(stored.read(), self._array(self._schema.arrays["dq_def"]))
        return validation.read_as(field, stored, self._described)

    def _translates(self, field: Field) -> bool:
        """Whether the bits of the array are those of the file's own table DQ_DEF."""
        return field.path == "dq" and self.has("dq_def")

    def _default(self, field: Field) -> Array | None:
        shape = self.shape
        if field.default is None or shape is None or field.path == self.primary:
            return None
        if field.ndim is not None:
            shape = shape[len(shape) - field.ndim :] if field.ndim <= len(shape) else shape
        if field.default == 0:
            return np.zeros(shape, field.dtype)
        return np.full(shape, field.default, field.dtype)

    def _take(self, other: DataModel) -> None:
        """Take metadata (copied) and arrays (shared) of ``other``."""
        check_readable(type(self), type(other).__name__, other._described)
        self._adopt(other)
        if type(self) is not type(other):
            remove(self._content.tree, "meta.model_type")

    def _adopt(self, other: DataModel) -> None:
        self._content = other._content.copy()
        lists, self._content.lists = self._content.lists, {}
        for path in lists.keys() & self._schema.lists.keys():
            if other._schema.lists[path] == self._schema.lists[path]:
                self._content.lists[path] = lists[path]
            else:
                self._parts_of(path).extend(other._parts_of(path))
        theirs, self._content.arrays = self._content.arrays, {}
        for path in theirs.keys() & self._schema.arrays.keys():
            array = theirs[path]
            if not isinstance(array, Stored):
                array = validation.cast_array(self._schema.arrays[path], array, self._described)
            self._content.arrays[path] = array
            if path in other._made and self._schema.arrays[path] == other._schema.arrays[path]:
                self._made[path] = other._made[path]

    def _fill(self, tree: Mapping[str, Any]) -> None:
        for path, value in flatten(tree):
            self.set(path, value)

    # Attributes

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._schema.arrays:
            return self._array(self._schema.arrays[name])
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_") or isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            self._assign("", name, value)

    def _attribute(self, group: str, name: str) -> Any:
        path = f"{group}.{name}" if group else name
        if path in self._schema.arrays:
            return self._array(self._schema.arrays[path])
        return super()._attribute(group, name)

    def _parts_of(self, path: str) -> ModelList[Part]:
        """The parts of a list; made once, so that they are the same on every access."""
        with LOCK:
            if path not in self._lists:
                if not self._content.lists.get(path):
                    self._content.complete()
                self._lists[path] = ModelList(Part, self._schema.lists[path], self._content, path)
            return self._lists[path]

    def set(self, path: str, value: object) -> None:
        """Set an array or a metadata value by dotted path; None removes it."""
        if path in self._schema.lists:
            if not isinstance(value, (Iterable, type(None))):
                raise ValidationError(
                    f"{self._described}: {path} is a list of parts, not {value!r}."
                )
            self._parts_of(path)[:] = () if value is None else value
            return
        if path == "provenance" and value is not None:
            self._check_history(value)
        if path not in self._schema.arrays:
            super().set(path, value)
            return
        if path == "dq_def" and isinstance(self._content.arrays.get("dq"), Stored):
            # The mask keeps its meaning if the table that it is stored with changes.
            self.set("dq", self._array(self._schema.arrays["dq"]))
        self._made.pop(path, None)
        if value is None:
            self._content.arrays.pop(path, None)
            self._content.headers.pop(self._schema.arrays[path].hdu, None)
        else:
            field = self._schema.arrays[path]
            cast_ = validation.cast_array(field, value, self._described)
            before = self._content.arrays.get(path, cast_).dtype.names
            self._content.arrays[path] = cast_
            if before != cast_.dtype.names:
                from stpipe.models.io.units import forget_columns

                forget_columns(self._content, field)

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """One dictionary for every step that made this product; append to it."""
        self._content.complete()
        found = self._content.tree.setdefault("provenance", [])
        self._check_history(found)
        return cast("list[dict[str, Any]]", found)

    @provenance.setter
    def provenance(self, entries: list[dict[str, Any]]) -> None:
        self._content.complete()
        self._check_history(entries)
        self._content.tree["provenance"] = list(entries)

    def _check_history(self, found: object) -> None:
        if problems := list(history.problems(found)):
            raise ValidationError(f"{self._described}: {' '.join(problems)}")

    # Copies and files

    def copy(self) -> Self:
        """The same model with metadata of its own; arrays are shared, read-only in both."""
        return type(self)(self)

    def metadata_alone(self) -> Metadata:
        """Its metadata and the shapes of its arrays, as `models.open_metadata` has those of a file."""
        own = vars(self.copy())
        return Metadata(own["_content"], own["_schema"], type(self).__name__)

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def update(self, other: HasMetadata) -> None:
        """Take over the metadata of ``other`` that this schema knows, and its provenance.

        Arrays, the file name, its date and the model type stay as they are. A model that was not
        read from a file gets the unknown keywords of the primary header, too.
        """
        known = self._schema.metadata
        for path, value in other.to_flat_dict().items():
            if path not in _OWN and (path in known or path.startswith("provenance")):
                self.set(path, value)
        header = other._content.headers.get("PRIMARY", Header())  # noqa: SLF001 - of the same class
        self._content.headers.setdefault("PRIMARY", Header(header))

    def set_aside(self, scratch: Scratch | None = None) -> Scratch:
        """Keep arrays in a scratch file, a new one if there is none yet, until they are used."""
        from stpipe.models.storage.scratch import Scratch

        scratch = scratch or Scratch()
        for path, array in self._content.arrays.items():
            if isinstance(array, np.ndarray):
                self._content.arrays[path] = scratch.stored(array)
        self._made.clear()
        for path in self._schema.lists:
            for part in self._parts_of(path):
                part.set_aside(scratch)
        return scratch

    def validate(self) -> None:
        """Check the whole model against its schema.

        Raises
        ------
        ValidationError
            With every problem, one a line: attribute, keyword, what was found, what is allowed.
        """
        if problems := list(self._problems()):
            raise ValidationError(
                f"{self._described} does not conform to {self._schema.path.name}:"
                + "".join(f"\n  {problem}" for problem in problems)
            )

    def save(
        self, path: str | os.PathLike[str], *, checksum: bool = False, compression: str = ""
    ) -> Path:
        """Write the model to a file, whole or not at all, and return its path.

        The extension decides: ``.fits``, ``.fits.gz``, ``.asdf``, or ``.ecsv`` for a model that is
        one table. The model is validated, and gets its file name, date and model type.

        Parameters
        ----------
        path
            Where to write to.
        checksum
            Write CHECKSUM and DATASUM into every extension of FITS, MD5 sums into ASDF and ECSV.
        compression
            Of the arrays in an ASDF file: ``zlib`` or ``bzp2``.

        Raises
        ------
        ValidationError
            When the model does not conform; an existing file stays as it was.
        """
        from stpipe.models.io import saving

        path = Path(path)
        options = saving.SaveOptions(checksum, compression)
        kind = saving.kind_of(path, self._schema, options)
        self._stamp(path.name)
        self.validate()
        if saving.write(self._encoded(), self._schema, path, kind, options):
            # The arrays that were not read yet are in the new file now.
            self._content = self._read(path)
            self._lists.clear()
        return path

    def _stamp(self, name: str) -> None:
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        self.set("meta.filename", name)
        self.set("meta.date", now.isoformat(timespec="milliseconds"))
        self.set("meta.model_type", type(self).__name__)

    def _encoded(self) -> Content:
        """The content with ``dq`` in the bits that the model's own table DQ_DEF defines."""
        mask = self._content.arrays.get("dq")
        if mask is None or isinstance(mask, Stored) or not self.has("dq_def"):
            return self._content
        arrays = self._content.arrays | {"dq": dq_def.encode(mask, self.dq_def)}
        return replace(self._content, arrays=arrays)

    def _problems(self) -> Iterator[str]:
        values = self.to_flat_dict()
        fields = self._schema.metadata
        for path, value in values.items():
            if path in fields and (problem := validation.check_value(fields[path], value)):
                yield problem
        yield from validation.extra_problems(fields, values)
        yield from history.problems(values.get("provenance", []))
        for path in sorted(self._schema.required):
            if self._raw(path) is None and not self.has(path):
                yield f"{path} is required and not set."
        for path, array in self._content.arrays.items():
            if problem := validation.array_problem(self._schema.arrays[path], array):
                yield problem
        yield from validation.different_shapes(self._schema.arrays, self._content.arrays)
        for path in self._schema.lists:
            for number, part in enumerate(self._parts_of(path)):
                problems = part._problems()  # noqa: SLF001 - a model, too
                yield from (f"{path}.{number}.{problem}" for problem in problems)

    def plot(
        self, name: str | None = None, index: int | Sequence[int] | None = None, axes: Any = None
    ) -> Any:
        """A quick look, with matplotlib (``pip install 'stpipe-flow[plot]'``).

        Without a name it is what the model is of: spectra with their errors (flagged values are
        crosses), a cube as the mean of its planes, slits where they are on the detector, or an image.

        Parameters
        ----------
        name
            An array; ``"brightest"`` is the spectrum of the brightest spaxel of a cube.
        index
            Which image of an array with more than two dimensions, such as ``(0, 4)`` for
            integration 0, group 4 of a ramp, or a plane of a cube; without it the last one.
        axes
            Where to draw; without it a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            For whatever is to be added.
        """
        from stpipe.models.display import plot

        return plot(self, name, index, axes)

    def close(self) -> None:
        """Release arrays that were read; they are read again on the next access."""
        self._made.clear()
        for path in self._schema.lists:
            for part in self._parts_of(path):
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = f" from {self.path.name}" if self.path else ""
        return f"<{type(self).__name__}{self.shape or ''}{where}>"


def _different_shapes(schema: Schema, content: Content) -> Iterator[str]:
    """Arrays whose shapes contradict each other, those of parts included."""
    yield from validation.different_shapes(schema.arrays, content.arrays)
    for path, parts in content.lists.items():
        arrays = schema.lists[path].arrays
        for number, part in enumerate(parts, start=1):
            problems = validation.different_shapes(arrays, part.arrays)
            yield from (f"{path} {number}: {problem}" for problem in problems)


def is_readable(model: type[DataModel], found: str) -> bool:
    """Whether ``model`` reads files of the model called ``found``; it tries unknown ones."""
    there = REGISTRY.get(found)
    if there is None or model.reads is None or found in model.reads:
        return True
    return issubclass(there, model) or issubclass(model, there)


def check_readable(model: type[DataModel], found: str, what: str) -> None:
    """Refuse to read one known model as another that it does not fit.

    Raises
    ------
    InputError
        Naming both models.
    """
    if not is_readable(model, found):
        accepted = ", ".join((model.__name__, *(model.reads or ())))
        raise InputError(
            f"{what} is of the model {found}; {model.__name__} reads {accepted}. "
            "Use models.open to open a file as what it is."
        )


class Part(DataModel, register=False):
    """One part of a list: arrays and metadata as the ``items`` of the schema describe them.

    Give it to a model class to make it a model of its own: ``SlitModel(exposure.slits[0])``.
    """

    def __init__(self, schema: Schema, content: Content | None = None) -> None:
        self._schema = schema
        self._content = content or Content()
        self._made = {}
        self._lists = {}

    @property
    def primary(self) -> str:  # type: ignore[override]
        """The array ``data``, or the first one of the schema."""
        arrays = self._schema.arrays
        return "data" if "data" in arrays else next(iter(arrays), "data")

    def copy(self) -> Self:
        """The same part with metadata of its own; arrays are shared, read-only in both."""
        self._content.complete()
        return type(self)(self._schema, self._content.copy())

    @classmethod
    def of(cls, schema: Schema, value: object) -> Part:
        """A part from a dictionary, another part, or a model of which it takes what it knows.

        Raises
        ------
        ValidationError
            When a value does not conform, or ``value`` is none of these.
        """
        if isinstance(value, Part) and value.schema == schema:
            return value.copy()
        part = cls(schema)
        if isinstance(value, DataModel):
            part._take_known(value)
        elif isinstance(value, Mapping):
            part._fill(value)
        else:
            raise ValidationError(
                f"A part of {'.'.join(schema.inside)} is made from a model or a dictionary, "
                f"not from {with_article(type(value).__name__)}."
            )
        return part

    @property
    def _described(self) -> str:
        return f"A part of {'.'.join(self._schema.inside)}"

    def _take_known(self, other: DataModel) -> None:
        self._adopt(other)
        self._content = Content(arrays=self._content.arrays, lists=self._content.lists)
        for path, value in other.to_flat_dict().items():
            if path in self._schema.metadata:
                self.set(path, value)
