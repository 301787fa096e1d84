"""Trace: call `process` with a stand-in for the exposure and note which steps it takes.

The stand-in's `meta` is the exposure's real header, so branches on metadata go the way that this
exposure goes. Each step that `process` calls becomes a `Node`; nested pipelines unfold. Touching
pixels while tracing is an error that names the line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from stpipe import naming
from stpipe.errors import TraceError
from stpipe.step import SKIP_PARAMETER, Products, StandIn, Step

if TYPE_CHECKING:
    from stpipe.references import Reference

__all__ = ["Graph", "Node", "Product", "Refinement", "SkippedStep", "Traced", "trace"]


@dataclass(frozen=True)
class SkippedStep:
    """A step that is not in the graph, and why; the next product says so."""

    step: Step
    reason: str


@dataclass(frozen=True)
class Product:
    """A file that a node makes: its name in code, model class and suffix."""

    name: str
    model: str
    suffix: str


@dataclass(frozen=True)
class Refinement:
    """A step that works on one product of a node before the product is written."""

    step: Step
    product: int
    references: Mapping[str, Reference]


@dataclass(eq=False)
class Node:
    """One run of a step: what it reads, what it makes, with which references."""

    step: Step
    inputs: tuple[tuple[Node | None, int], ...]  # (node, index of its product); None: the exposure
    products: tuple[Product, ...]
    references: Mapping[str, Reference] = field(default_factory=dict)
    skipped_before: tuple[SkippedStep, ...] = ()
    skipped_after: list[SkippedStep] = field(default_factory=list)
    refinements: list[Refinement] = field(default_factory=list)
    waits_for: tuple[Node, ...] = ()  # nodes that have to end well before this one starts

    @property
    def name(self) -> str:
        """The step's name, with those of pipelines between it and the outermost one."""
        return self.step.qualified_name


@dataclass(eq=False)
class Graph:
    """Everything that a pipeline does to one exposure, in order."""

    pipeline: Step
    source: Path
    model: str  # class of the exposure's model
    metadata: Any  # of the exposure
    nodes: list[Node] = field(default_factory=list)
    saves: list[tuple[Traced, str]] = field(default_factory=list)  # product, suffix
    results: list[Traced] = field(default_factory=list)

    def record(self, step: Step, given: Traced) -> Any:
        """Note that `step` runs on `given`; return stand-ins for its products."""
        if step.skip and step.parent is not None:
            return given.skipping(step, SKIP_PARAMETER)
        meta = given.flat_meta()
        selected = step.select_references(meta)
        if reason := step.not_applicable(selected) or step.not_needed(meta, selected):
            return given.skipping(step, reason)
        if step.refining and given.node is not None:
            given.node.refinements.append(Refinement(step, given.index, selected))
            return given
        return self._add(step, given, selected)

    def _add(self, step: Step, given: Traced, selected: Mapping[str, Reference]) -> Any:
        declared = step.products(given.model)
        products = tuple(Product(o.name, o.model, o.suffix) for o in declared)
        node = Node(step, ((given.node, given.index),), products, selected, given.skipped)
        self.nodes.append(node)
        made = [given.made_by(node, i) for i in range(len(products))]
        return Products([o.name for o in declared], made) if step.outputs[1:] else made[0]

    def again(self, model: Any = None) -> Traced:
        """A stand-in for the exposure, or for `model`, in a graph of its own."""
        graph = Graph(self.pipeline, self.source, self.model, self.metadata)
        known = self.model if model is None else type(model).__name__
        return Traced(graph, self.metadata if model is None else model, (None, 0), known)

    def model_at(self, place: tuple[Node | None, int]) -> str:
        """Class of the model that a node, or the exposure, has there."""
        node, index = place
        return self.model if node is None else node.products[index].model

    def finish(self, result: Any) -> None:
        """Take what `process` returned as the pipeline's results."""
        self.results = [r for r in _flatten(result) if isinstance(r, Traced)]
        for product in self.results:
            if product.node is not None:
                product.node.skipped_after.extend(product.skipped)


def _flatten(result: Any) -> Iterator[Any]:
    if isinstance(result, (tuple, list)):
        for item in result:
            yield from _flatten(item)
    else:
        yield result


class Traced(StandIn):
    """Stand-in for a model: real metadata, no pixels."""

    def __init__(
        self,
        graph: Graph,
        meta: Any,
        place: tuple[Node | None, int],
        model: str,
        skipped: tuple[SkippedStep, ...] = (),
    ) -> None:
        self._graph = graph
        self._metadata = meta
        self.node, self.index = place
        self.model = model
        self.skipped = skipped

    @property
    def meta(self) -> TracedMeta:
        """The exposure's metadata; read-only."""
        return TracedMeta(self._metadata.meta)

    @property
    def suffix(self) -> str:
        """The suffix of the product that this stands for."""
        if self.node is None:
            return naming.split(self._graph.source).suffix
        return self.node.products[self.index].suffix

    def flat_meta(self) -> dict[str, Any]:
        """Metadata by dotted name."""
        return dict(self._metadata.to_flat_dict())

    def record(self, step: Step) -> Any:
        """Note that `step` runs on what this stands for."""
        return self._graph.record(step, self)

    def made_by(self, node: Node, index: int) -> Traced:
        """The stand-in for a product of `node`."""
        return Traced(self._graph, self._metadata, (node, index), node.products[index].model)

    def skipping(self, step: Step, reason: str) -> Traced:
        """The same data with a step left out; the next product will say so."""
        skipped = (*self.skipped, SkippedStep(step, reason))
        return Traced(self._graph, self._metadata, (self.node, self.index), self.model, skipped)

    def save(self, path: str | Path) -> str:
        """Ask for the product under one more name."""
        suffix = naming.split(path).suffix or naming.split(self._graph.source).root
        root = naming.split(self._graph.source).root
        stem = Path(path).name.removesuffix(naming.split(path).extension)
        self._graph.saves.append((self, stem.removeprefix(f"{root}_") or suffix))
        return str(path)

    def copy(self) -> Traced:
        """The same stand-in: there is nothing to share."""
        return self

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> NoReturn:
        _touched(f".{name}")


class TracedMeta:
    """Read-only view of a metadata node."""

    def __init__(self, node: Any) -> None:
        object.__setattr__(self, "_node", node)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._node, name)
        plain = value is None or isinstance(value, (str, int, float, bool, list))
        return value if plain else TracedMeta(value)

    def __setattr__(self, name: str, value: object) -> None:
        _touched(f"meta, by setting {name} = {value!r}")


_OPERATIONS = (
    "array len iter getitem setitem add radd sub rsub mul rmul truediv rtruediv pow neg "
    "lt le gt ge float int contains and or invert"
)


def _operation(name: str) -> Any:
    def touched(self: Traced, *_: object) -> NoReturn:
        del self
        _touched(f" ({name})")

    return touched


for _name in _OPERATIONS.split():
    setattr(Traced, f"__{_name}__", _operation(_name))


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

    Raises
    ------
    InputError
        When the file is missing or damaged.
    TraceError
        When `process` touches pixels.
    ReferenceMissing
        When a step that this exposure takes lacks a reference file.
    """
    from stpipe import models

    metadata = models.open_metadata(source)
    graph = Graph(pipeline, Path(source), metadata.model_type, metadata)
    pipeline.source = Path(source)
    pipeline.settle_for(metadata.to_flat_dict())
    graph.finish(pipeline.run(Traced(graph, metadata, (None, 0), metadata.model_type)))
    return graph
