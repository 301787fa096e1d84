"""Many exposures, one at a time.

>>> from stpipe import models
>>> with models.ModelLibrary("jw01234-a3001_image3_asn.json") as library:  # doctest: +SKIP
...     for number, model in enumerate(library):
...         model.data = model.data - 1.0
...         library[number] = model
...     library.save("levelled")

However many members there are, one of them at a time is in memory. Members that were replaced go to
a scratch folder, never over the files that they came from.
"""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stpipe.errors import InputError
from stpipe.models.associations import Association, Member, is_there, load_association
from stpipe.models.base import DataModel
from stpipe.models.metadata import HasMetadata, Metadata
from stpipe.models.opening import open_metadata, open_model
from stpipe.naming import writable
from stpipe.system.text import counted, with_article

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = ["ModelLibrary"]

Source = (
    str
    | os.PathLike[str]
    | Association
    | Mapping[str, Any]
    | Iterable[str | os.PathLike[str] | DataModel]
)
_PLAIN = (str, int, float, bool, type(None))
# What tells exposures apart: detectors that saw the sky together have all of it in common.
_EXPOSURE = (
    "program_number",
    "observation_number",
    "visit_number",
    "visit_group",
    "sequence_id",
    "activity_id",
    "exposure_number",
)


@dataclass(frozen=True)
class _Amendment:
    """A change of one member, or of all: metadata, and what else is to be done."""

    number: int | None
    values: FlatMetadata
    change: Callable[[DataModel], None] | None


class _Folder:
    """A temporary folder for replaced members, gone with the last library that uses it."""

    def __init__(self, parent: Path | None) -> None:
        import shutil
        import tempfile

        self.path = Path(tempfile.mkdtemp(prefix="stpipe-library-", dir=parent))
        self._keeper = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _keep_alive(model: DataModel, folders: tuple[object, ...]) -> None:
    """Keep folders as long as arrays of a model are still to be read from them."""
    source = model._content.source  # noqa: SLF001 - a part of the same package
    if source is not None:
        object.__setattr__(source, "owner", folders)


class ModelLibrary:
    """Exposures from an association file, or a list of files and models.

    Parameters
    ----------
    source
        An association file (``.json``), an `Association`, a dictionary with what such a file says, or
        a list of paths and models.
    exptypes
        The types of members that are wanted, such as ``science``; without them all. Others need not
        be there.
    scratch
        Folder for members that are replaced; without it, a temporary one that goes away with
        `close`.

    Raises
    ------
    InputError
        When the association cannot be read, or members are missing: all of them are named.
    """

    def __init__(
        self,
        source: Source,
        *,
        exptypes: Collection[str] = (),
        scratch: str | os.PathLike[str] | None = None,
    ) -> None:
        self._given = None if scratch is None else Path(scratch)
        self._own: Path | _Folder | None = self._given
        self._shared: tuple[object, ...] = ()  # folders of libraries that this is a copy of
        self._replaced: dict[int, Path] = {}
        self._held: dict[int, DataModel] = {}
        self._amendments: list[_Amendment] = []
        self._known: dict[int, tuple[tuple[Path, int], Metadata]] = {}  # and in which state
        self._amended: dict[int, int] = {}  # how many amendments a replaced member has already
        self.association = _association(source)
        if self.association is not None:
            self.association.require_members(exptypes)
            members = self.association.members
            self.members = tuple(m for m in members if not exptypes or m.exptype in exptypes)
        else:
            self.members = self._listed(source)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[DataModel]:
        """The members, one after the other; each is released when the next one is opened."""
        for number in range(len(self)):
            with self[number] as model:
                yield model

    def __getitem__(self, number: int) -> DataModel:
        """Open a member; it knows its association and what it is for."""
        held = self._held.get(self._place(number))
        model = open_model(self.path(number)) if held is None else held.copy()
        if self._place(number) in self._replaced:
            _keep_alive(model, (*self._shared, self._own))
        _set(model, self._about(number))
        for amendment in self._amendments_of(number):
            _set(model, amendment.values)
            if amendment.change is not None:
                amendment.change(model)
        return model

    def __setitem__(self, number: int, model: DataModel) -> None:
        """Replace a member for the rest of this library's life; its file stays as it is."""
        place = self._place(number)
        if not isinstance(model, DataModel):
            raise TypeError(
                f"A member is replaced by a model, not by {with_article(type(model).__name__)}."
            )
        folder = self._scratch / f"{place:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        self._replaced[place] = model.copy().save(folder / writable(self.members[place].path.name))
        self._amended[place] = len(self._amendments)
        self._held.pop(place, None)
        self._known.pop(place, None)

    def _place(self, number: int) -> int:
        """Counted from the beginning."""
        try:
            return range(len(self))[operator.index(number)]
        except IndexError:
            raise IndexError(f"{self!r} has no member {number}.") from None

    def amend(self, change: Callable[[DataModel], None]) -> None:
        """Change every member each time that it is opened from now on, such as its metadata."""
        self._amendments.append(_Amendment(None, {}, change))

    def amend_member(
        self,
        number: int,
        values: FlatMetadata | None = None,
        change: Callable[[DataModel], None] | None = None,
    ) -> None:
        """Lay changes over a member: they are made each time that it is opened.

        Nothing is written and nothing is kept but the changes, so that many exposures get new flags or
        coordinates in little memory.

        Parameters
        ----------
        number
            Which member.
        values
            New metadata by dotted name; None removes one.
        change
            What else is to be done to the opened member; `metadata` does not show it.
        """
        self._amendments.append(_Amendment(self._place(number), values or {}, change))

    def _amendments_of(self, number: int) -> Iterator[_Amendment]:
        place = self._place(number)
        later = self._amendments[self._amended.get(place, 0) :]
        return (one for one in later if one.number in (None, place))

    def copy(self) -> ModelLibrary:
        """The same members, with changes of its own from here on."""
        other = ModelLibrary.__new__(ModelLibrary)
        vars(other).update(
            vars(self),
            _own=None,
            _shared=(*self._shared, self._own),
            _replaced=dict(self._replaced),
            _held=dict(self._held),
            _amendments=list(self._amendments),
            _amended=dict(self._amended),
            _known=dict(self._known),
        )
        return other

    def __copy__(self) -> ModelLibrary:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelLibrary:
        return self.copy()

    def only(self, *exptypes: str) -> ModelLibrary:
        """The members of some types, such as ``science``, with changes of its own from here on."""
        kept = [n for n, member in enumerate(self.members) if member.exptype in exptypes]
        place = {old: new for new, old in enumerate(kept)}
        held = {
            name: {place[n]: value for n, value in vars(self)[name].items() if n in place}
            for name in ("_replaced", "_held", "_amended", "_known")
        }
        # Others' amendments keep their rank, as it is counted which of them a replaced member has.
        amendments = [
            one if one.number is None else replace(one, number=place.get(one.number, -1))
            for one in self._amendments
        ]
        other = self.copy()
        other.members = tuple(self.members[n] for n in kept)
        vars(other).update(held, _amendments=amendments)
        return other

    def path(self, number: int) -> Path:
        """The file that holds a member now."""
        return self._replaced.get(self._place(number), self.members[number].path)

    def metadata(self, number: int) -> Metadata:
        """The metadata of a member, without its pixels."""
        place = self._place(number)
        state = (self.path(number), len(self._amendments))
        if place not in self._known or self._known[place][0] != state:
            held = self._held.get(place)
            found = open_metadata(self.path(number)) if held is None else held.metadata_alone()
            _set(found, self._about(place))
            for amendment in self._amendments_of(number):
                plain = {p: v for p, v in amendment.values.items() if isinstance(v, _PLAIN)}
                _set(found, plain)
            self._known[place] = (state, found)
        return self._known[place][1]

    def _about(self, number: int) -> dict[str, Any]:
        """What a member's metadata say of its association."""
        if self.association is None:
            return {}
        about = {
            "table_name": self.association.path.name,
            "pool_name": self.association.asn_pool or None,
            "exptype": self.members[number].exptype,
        }
        return {f"meta.asn.{name}": value for name, value in about.items()}

    def of_type(self, exptype: str) -> list[int]:
        """The numbers of the members of a type, such as ``science`` or ``background``."""
        return [n for n, member in enumerate(self.members) if member.exptype == exptype]

    @property
    def groups(self) -> dict[str, list[int]]:
        """The numbers of the members of every exposure, by ``meta.group_id`` or what tells it."""
        found: dict[str, list[int]] = {}
        for number in range(len(self)):
            found.setdefault(self._group(number), []).append(number)
        return found

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write all members, replaced or not, into a folder under their own names.

        Raises
        ------
        InputError
            When two members have the same name, or the folder is that of an input.
        """
        target = Path(folder)
        names = [writable(member.path.name) for member in self.members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{target}: two members have the name {', '.join(twice)}.")
        here = [m.path for m in self.members if m.path.resolve().parent == target.resolve()]
        if over := [path for path in here if path.exists()]:  # not so for models without a file
            raise InputError(f"{over[0]} would be overwritten; give another folder than {target}.")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {target} cannot be made: {error.strerror}.") from None
        return [model.save(target / name) for name, model in zip(names, self, strict=True)]

    def close(self) -> None:
        """Remove the temporary folder; members are again what their files hold."""
        self._replaced.clear()
        self._amended.clear()
        self._own, self._shared = self._given, ()

    def _group(self, number: int) -> str:
        metadata = self.metadata(number)
        # What the association says goes before the header.
        if group := self.members[number].more.get("group_id") or metadata.get("meta.group_id"):
            return str(group)
        parts = [metadata.get(f"meta.observation.{name}") for name in _EXPOSURE]
        if None in parts:
            return f"exposure{number:04d}"
        program, observation, visit, *parallel, exposure = map(str, parts)
        return f"jw{program}{observation}{visit}_{''.join(parallel)}_{exposure}"

    def _listed(self, source: object) -> tuple[Member, ...]:
        """Members from a list; models stay in memory, where they are already."""
        if not isinstance(source, Iterable) or isinstance(source, bytes):
            raise InputError(
                f"A library is made from an association file or a list; found: {type(source).__name__}."
            )
        entries = list(source)
        paths = [_path_of(entry, number) for number, entry in enumerate(entries)]
        missing = [
            str(path)
            for path, entry in zip(paths, entries, strict=True)
            if not isinstance(entry, DataModel) and not is_there(path)
        ]
        if missing:
            raise InputError("Members are missing:" + "".join(f"\n  {name}" for name in missing))
        for number, entry in enumerate(entries):
            if isinstance(entry, DataModel):
                self._held[number] = entry.copy()
        return tuple(Member(path) for path in paths)

    @property
    def _scratch(self) -> Path:
        """The folder for what this library replaces; its copies have others."""
        if self._own is None:
            if self._given is not None:
                self._given.mkdir(parents=True, exist_ok=True)
            self._own = _Folder(self._given)
        return self._own.path if isinstance(self._own, _Folder) else self._own

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
        where = f" of {self.association.path.name}" if self.association else ""
        return (
            f"<ModelLibrary{where}: {counted(len(self), 'member')}, {len(self._replaced)} replaced>"
        )


def _set(model: HasMetadata, values: FlatMetadata) -> None:
    for path, value in values.items():
        model.set(path, value)


def _association(source: Source) -> Association | None:
    if isinstance(source, (str, os.PathLike, Association, Mapping)):
        return load_association(source)
    return None


def _path_of(entry: str | os.PathLike[str] | DataModel, number: int) -> Path:
    if isinstance(entry, DataModel):
        return Path(entry.get("meta.filename") or f"member{number:05d}.fits")
    if not isinstance(entry, (str, os.PathLike)):
        raise InputError(
            f"Member {number} is {with_article(type(entry).__name__)}; members are paths and models."
        )
    return Path(entry)
