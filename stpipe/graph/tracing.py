"""Trace: call `process` with a placeholder for the exposure and note which steps it takes.

The placeholder's `meta` is the exposure's real header, so branches on metadata go the way that this
exposure goes. Each step that `process` calls becomes a `Node`; nested pipelines unfold. Touching
pixels while tracing is an error that names the line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from stpipe import naming
from stpipe.core.configured import SKIP_PARAMETER
from stpipe.core.headers import with_counts
from stpipe.core.inputs import check_header, unreadable
from stpipe.core.products import Output, Placeholder, Products, first_product
from stpipe.core.recording import nothing
from stpipe.core.step import Step
from stpipe.errors import TraceError
from stpipe.graph.nodes import (
    ANY,
    Member,
    Node,
    Part,
    Place,
    Refinement,
    SkippedStep,
    shape_of,
    stands_for_all,
)
from stpipe.models import history
from stpipe.models.flat import FlatDict
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from stpipe.references.selection import Reference

__all__ = [
    "Graph",
    "ModelPlaceholder",
    "PlaceholderList",
    "member_of",
    "trace",
    "trace_many",
]


@dataclass(eq=False)
class Graph:
    """Everything that a pipeline does to one exposure, or to one association, in order."""

    pipeline: Step
    members: tuple[Member, ...]
    root: str  # of the names of what is made of all
    nodes: list[Node] = field(default_factory=list)
    saves: list[tuple[ModelPlaceholder, str]] = field(default_factory=list)  # product, suffix
    results: list[ModelPlaceholder | PlaceholderList] = field(default_factory=list)
    template: str = ""  # the root as the association has it, if it says where labels of parts go
    _flat: dict[int, FlatDict] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        """The exposure, or the first member."""
        return self.members[0].source

    def run(self, step: Step, inputs: Sequence[Any]) -> Any:
        """Add a node for `step`; return placeholders for its products. Pipelines are unfolded."""
        given = self.placeholder_of(first_product(inputs[0]))
        if given is None:
            return nothing(step, "there is no input")
        if step.composes and not step.skip:
            return step.process(given, *inputs[1:])
        return self.record(step, given, inputs[1:])

    def placeholder_of(self, given: Any) -> ModelPlaceholder | PlaceholderList | None:
        """The placeholder for the input of a step, which may be a list of some; None for nothing."""
        if isinstance(given, (ModelPlaceholder, PlaceholderList)):
            return given
        listed = given if isinstance(given, (list, tuple)) else ()
        found = [one for one in listed if isinstance(one, (ModelPlaceholder, PlaceholderList))]
        if len(listed) == 1 and isinstance(found[0], PlaceholderList):
            return found[0]
        several = (one.members if isinstance(one, PlaceholderList) else [one] for one in found)
        members = [member for group in several for member in group]
        places = tuple(member.places[0] for member in members)
        return PlaceholderList(self, members, places, self.root) if members else None

    def record(
        self, step: Step, given: ModelPlaceholder | PlaceholderList, more: Sequence[Any] = ()
    ) -> Any:
        """Add a node for `step` on `given` and `more`; return placeholders for its products."""
        if isinstance(given, PlaceholderList) and not (step.takes_many or step.combines):
            raise TraceError(
                f"{step.qualified_name} takes one exposure, but is given {len(given.members)} or more: "
                "loop over them, or derive the step from LibraryStep."
            )
        if step.skip and step.parent is not None:
            return given.skipping(step, SKIP_PARAMETER)
        self._check(step, given)
        meta = given.flat_meta()
        selected = step.select_references(meta)
        if reason := step.not_applicable(selected) or step.not_needed(meta, selected):
            return given.skipping(step, reason)
        if step.refining and isinstance(given, ModelPlaceholder) and given.node is not None:
            refinement = Refinement(step, given.index, selected, given.skipped)
            given.node.refinements.append(refinement)
            return given.refined()
        return self._add(step, (given, *self._further(step, more)), selected)

    def _check(self, step: Step, given: ModelPlaceholder | PlaceholderList) -> None:
        """Refuse files that `step` would refuse when it runs."""
        listed = given.members if isinstance(given, PlaceholderList) else (given,)
        for member in (self.members[one.index] for one in listed if one.node is None):
            if not step.reads(member.model):
                raise unreadable(step, member.model, member.source)
            if member.source == member.origin:  # others are yet to be made
                check_header(step, member.metadata, member.shape, str(member.source))

    def _further(
        self, step: Step, more: Sequence[Any]
    ) -> Iterator[ModelPlaceholder | PlaceholderList]:
        """Further arguments of a step; a list of placeholders is one."""
        for one in more:
            placeholder = self.placeholder_of(one)
            if placeholder is None:
                raise TraceError(
                    f"{step.qualified_name} is given {with_article(type(one).__name__)}, which is no "
                    "product. Give a step products of other steps, and all else as parameters."
                )
            yield placeholder

    def _add(
        self,
        step: Step,
        arguments: Sequence[ModelPlaceholder | PlaceholderList],
        selected: Mapping[str, Reference],
    ) -> Any:
        given = arguments[0]
        places = tuple(place for one in arguments for place in one.places)
        declared = step.products(given.model, given.flat_meta())
        products = tuple(replace(o, model=o.model or given.model) for o in declared)
        node = Node(step, places, given.root, products, selected, given.skipped)
        node.arguments = tuple(one.length for one in arguments)
        asked = step.side_outputs(given.flat_meta())
        node.side = tuple(replace(o, model=o.model or given.model) for o in asked)
        self.nodes.append(node)
        made = [self._made(given, node, i, selected) for i in range(len(products))]
        return Products([o.name for o in declared], made) if declared[1:] else made[0]

    def _made(
        self,
        given: ModelPlaceholder | PlaceholderList,
        node: Node,
        index: int,
        selected: Mapping[str, Reference],
    ) -> ModelPlaceholder | PlaceholderList:
        """The placeholder for a product of a node."""
        product = node.products[index]
        if not product.many:
            return ModelPlaceholder(self, given.metadata, (node, index), product.model, node.root)
        if isinstance(given, PlaceholderList) and not node.step.regroups:
            members = given.members
        else:
            root = self.template if node.step.regroups and self.template else node.root
            members = [
                ModelPlaceholder(
                    self, given.metadata, given.places[0], given.model, naming.of_part(root, label)
                )
                for label in self.labels(node, given, selected)
            ]
        parts = [self._part(node, index, member) for member in members]
        return PlaceholderList(self, parts, ((node, index),), node.root)

    def _part(self, node: Node, index: int, member: ModelPlaceholder) -> ModelPlaceholder:
        product = node.products[index]
        own = Output(product.name, product.model, product.suffix)
        part = Part(node.step, ((node, index),), member.root, (own,))
        return ModelPlaceholder(self, member.metadata, (part, 0), product.model, member.root)

    def labels(
        self,
        node: Node,
        given: ModelPlaceholder | PlaceholderList,
        selected: Mapping[str, Reference],
    ) -> list[str]:
        """Labels of the parts that a node makes; one for all if only pixels decide."""
        meta: Any = given.flat_meta()
        if node.step.regroups:
            many = given.members if isinstance(given, PlaceholderList) else [given]
            meta = [member.flat_meta() for member in many]
        known = node.step.parts(meta, selected)
        return [ANY] if known is None else [str(label) for label in known]

    def flat(self, metadata: Any) -> FlatDict:
        """Metadata by dotted name, made once: nothing changes it while a graph is traced."""
        if id(metadata) not in self._flat:
            flat = metadata.to_flat_dict()
            self._flat[id(metadata)] = with_counts(flat, shape_of(metadata))
        return self._flat[id(metadata)]

    def placeholder(self, number: int = 0) -> ModelPlaceholder:
        """The placeholder for the exposure, or for a member."""
        member = self.members[number]
        return ModelPlaceholder(self, member.metadata, (None, number), member.model, member.root)

    def placeholder_list(self) -> PlaceholderList:
        """The placeholder for all members."""
        members = [self.placeholder(number) for number in range(len(self.members))]
        return PlaceholderList(self, members, tuple(m.places[0] for m in members), self.root)

    def model_at(self, place: Place) -> str:
        """Class of the model that a node, or a member, has there."""
        node, index = place
        return self.members[index].model if node is None else node.products[index].model

    def finish(self, result: Any) -> None:
        """Take what `process` returned as the pipeline's results."""
        self.results = [
            r for r in _flatten(result) if isinstance(r, (ModelPlaceholder, PlaceholderList))
        ]
        for product in self.results:
            for node, _ in product.places:
                if node is not None:
                    node.skipped_after.extend(product.skipped)


def _flatten(result: Any) -> Iterator[Any]:
    if isinstance(result, (tuple, list)):
        for item in result:
            yield from _flatten(item)
    else:
        yield result


class ModelPlaceholder(Placeholder):
    """Placeholder for a model: real metadata, no pixels."""

    def __init__(
        self,
        graph: Graph,
        meta: Any,
        place: Place,
        model: str,
        root: str,
        *,
        skipped: tuple[SkippedStep, ...] = (),
    ) -> None:
        self._graph = graph
        self.metadata = meta
        self.node, self.index = place
        self.model = model
        self.root = root
        self.skipped = skipped

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the product is made."""
        return ((self.node, self.index),)

    @property
    def meta(self) -> PlaceholderMeta:
        """The exposure's metadata; read-only."""
        return PlaceholderMeta(self.metadata.meta)

    @property
    def suffix(self) -> str:
        """The suffix of the product."""
        if self.node is None:
            return naming.split(self._graph.members[self.index].source).suffix
        return self.node.products[self.index].suffix

    def flat_meta(self) -> dict[str, Any]:
        """Metadata by dotted name."""
        return self._graph.flat(self.metadata).over({})

    def skipping(self, step: Step, reason: str) -> ModelPlaceholder:
        """The same data with a step skipped; the next product will record it."""
        skipped = (*self.skipped, SkippedStep(step, reason))
        place = (self.node, self.index)
        return ModelPlaceholder(
            self._graph, self.metadata, place, self.model, self.root, skipped=skipped
        )

    def refined(self) -> ModelPlaceholder:
        """The same data after a step has refined it, which has recorded the skipped steps."""
        place = (self.node, self.index)
        return ModelPlaceholder(self._graph, self.metadata, place, self.model, self.root)

    def save(self, path: str | Path) -> str:
        """Note that the product is saved under one more name."""
        suffix = naming.split(path).suffix or naming.split(self._graph.source).root
        root = naming.split(self._graph.source).root
        stem = Path(path).name.removesuffix(naming.split(path).extension)
        self._graph.saves.append((self, stem.removeprefix(f"{root}_") or suffix))
        return str(path)

    def copy(self) -> ModelPlaceholder:
        """The same placeholder: there is nothing to share."""
        return self

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> NoReturn:
        _touched(f".{name}")


class _UncountedError(TraceError, TypeError):
    """A TypeError, so that `list` goes on without a length."""


class PlaceholderList(Placeholder):
    """Placeholder for many models: the parts of an exposure, or the members of an association.

    A loop over it takes each; if only pixels decide how many there will be, one stands for all.
    """

    def __init__(
        self,
        graph: Graph,
        members: Sequence[ModelPlaceholder],
        places: tuple[Place, ...],
        root: str,
    ) -> None:
        self._graph = graph
        self.members = list(members)
        self.model = members[0].model if members else ""  # the class of their models
        self.places = places
        self.root = root

    def __iter__(self) -> Iterator[ModelPlaceholder]:
        return iter(self.members)

    def __len__(self) -> int:
        if any(stands_for_all(member.root) for member in self.members):
            raise _UncountedError(
                "only pixels decide how many parts there will be: loop over them, do not count them."
            )
        return len(self.members)

    def __getitem__(self, number: int) -> ModelPlaceholder:
        if number >= len(self):
            raise IndexError(number)
        return self.members[number]

    @property
    def length(self) -> int:
        """How many files there are; -1 if only pixels decide."""
        return -1 if any(stands_for_all(m.root) for m in self.members) else len(self.places)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names that tell the parts apart."""
        return tuple(member.root.removeprefix(f"{self.root}_") for member in self.members)

    @property
    def metadata(self) -> Any:
        """Metadata of the first, by which references and steps are chosen."""
        return self.members[0].metadata if self.members else self._graph.members[0].metadata

    @property
    def skipped(self) -> tuple[SkippedStep, ...]:
        """Steps that were skipped before the first."""
        return self.members[0].skipped if self.members else ()

    def flat_meta(self) -> dict[str, Any]:
        """Metadata by dotted name."""
        return self._graph.flat(self.metadata).over({})

    def skipping(self, step: Step, reason: str) -> PlaceholderList:
        """The same with a step skipped; the next product will record it."""
        members = [member.skipping(step, reason) for member in self.members]
        return PlaceholderList(self._graph, members, self.places, self.root)

    def __getattr__(self, name: str) -> NoReturn:
        _touched(f".{name}")


class PlaceholderMeta:
    """Read-only view of a metadata node."""

    def __init__(self, node: Any) -> None:
        object.__setattr__(self, "_node", node)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._node, name)
        plain = value is None or isinstance(value, (str, int, float, bool, list))
        return value if plain else PlaceholderMeta(value)

    def __setattr__(self, name: str, value: object) -> None:
        _touched(f"meta, by setting {name} = {value!r}")


_OPERATIONS = (
    "array len iter getitem setitem add radd sub rsub mul rmul truediv rtruediv pow neg "
    "lt le gt ge float int contains and or invert"
)


def _operation(name: str) -> Any:
    def touched(self: ModelPlaceholder, *_: object) -> NoReturn:
        del self
        _touched(f" ({name})")

    return touched


for _name in _OPERATIONS.split():
    setattr(ModelPlaceholder, f"__{_name}__", _operation(_name))


def _touched(what: str) -> NoReturn:
    place = _place()
    raise TraceError(
        f"{place.f_code.co_filename}:{place.f_lineno}: {place.f_code.co_name} touches the model{what} "
        "while the pipeline is traced. Only metadata can be read there; move the computation into a "
        "step of its own and list it in step_defs."
    )


def _place() -> FrameType:
    """The line of the nearest `process`, from which the model was touched, however deep below."""
    here = sys._getframe(2)  # noqa: SLF001 - the message is about a line of the user's code
    frame: FrameType | None = here
    while frame is not None:
        if frame.f_code.co_name == "process":
            return frame
        frame = frame.f_back
    return here


def trace(pipeline: Step, source: str | Path) -> Graph:
    """Find out what `pipeline` does to the exposure in `source`, from its header alone.

    `source` may be an association, for a pipeline that takes many exposures.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    TraceError
        When `process` touches pixels.
    ReferenceMissing
        When a step that this exposure takes lacks a reference file.
    """
    if Path(source).suffix != ".json":
        member = member_of(source)
        return trace_many(pipeline, [member], member.root)
    from stpipe.models import load_association

    association = load_association(source)
    wanted = pipeline.member_types
    association.require_members(wanted)
    listed = [m.path for m in association.members if not wanted or m.exptype in wanted]
    members = [member_of(path) for path in listed]
    return trace_many(pipeline, members, association.products[0].name)


def trace_many(pipeline: Step, members: Sequence[Member], root: str) -> Graph:
    """The same for the members of an association, or for an exposure that is yet to be made."""
    template, root = root, naming.of_part(root, "")
    graph = Graph(pipeline, tuple(members), root, template=template)
    source = Path(f"{template}.fits") if len(members) > 1 else members[0].source
    pipeline.use(source=source, origin=members[0].origin, runner=graph)
    pipeline.resolve_for(members[0].metadata.to_flat_dict())
    graph.finish(
        pipeline.run(graph.placeholder_list() if pipeline.takes_many else graph.placeholder())
    )
    return graph


def member_of(source: str | Path) -> Member:
    """A member from the headers of a file.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    """
    from stpipe import models

    metadata = models.open_metadata(source)
    known = history.suffixes_in(metadata.get("provenance") or [])
    root = naming.split(source, known).root
    return Member(Path(source), metadata, root, metadata.model_type, Path(source))
