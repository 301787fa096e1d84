"""Run a part of a pipeline, from one step to another, on saved products.

The pipeline is traced on the exposure's header first, so that it is known which steps depend on
which, also where `process` branches or joins. Then `process` runs with the steps of the part for
real and with placeholders for the products of all others: the first steps of the part get saved
products, and every product that a step after the part would have got is saved.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe import naming
from stpipe.core.inputs import is_there, opened
from stpipe.core.products import Placeholder, first_product
from stpipe.core.recording import hooked
from stpipe.core.run import run as in_memory
from stpipe.core.saving import save_members
from stpipe.core.step import Step
from stpipe.engine.chain import compute
from stpipe.errors import InputError, UsageError, did_you_mean
from stpipe.graph import saved_products
from stpipe.graph.nodes import ANY, Node, stands_for_all
from stpipe.graph.tracing import Graph, ModelPlaceholder, PlaceholderList, trace
from stpipe.models import ModelLibrary
from stpipe.models.history import suffix_of

if TYPE_CHECKING:
    from stpipe.models import DataModel
    from stpipe.references.selection import Reference

__all__ = ["PartialRun", "run"]


def run(pipeline: Step, source: str | Path, start: str | None, stop: str | None) -> list[Path]:
    """Run `pipeline` on the exposure `source` from step `start` to step `stop`; save the products.

    Returns the paths of what was saved: results of the pipeline, and the products from which the
    steps after `stop` can go on.

    Raises
    ------
    UsageError
        When there is no such step, the exposure does not take it, or `stop` comes before `start`.
    InputError
        When a saved product is missing, or does not match this exposure and these parameters.
    """
    if not pipeline.step_defs:
        raise UsageError(
            f"{pipeline.name} is a step; --start-step and --stop-step choose a part of a pipeline."
        )
    graph = trace(pipeline, source)
    part = PartialRun(pipeline, graph, _names(graph, start, stop))
    part.check()
    pipeline.use(runner=part)
    try:
        result = pipeline.process(part.given() if start is None else part.placeholder())
        results = result if isinstance(result, (tuple, list)) else (result,)
        return part.save(results, stopped=stop)
    finally:
        pipeline.use(runner=None)
        part.close()


@dataclass(eq=False)
class _OnDisk(Graph):
    """A graph that looks for parts, if only pixels decide their number, among the saved products."""

    suffixes: tuple[str, ...] = ()  # of the products of parts that the run starts from

    def _check(self, step: Step, given: ModelPlaceholder | PlaceholderList) -> None:
        """Nothing: exposures were checked when the whole pipeline was traced."""

    def labels(
        self,
        node: Node,
        given: ModelPlaceholder | PlaceholderList,
        selected: Mapping[str, Reference],
    ) -> list[str]:
        """Labels of the parts that a node made."""
        known = super().labels(node, given, selected)
        if known != [ANY] or not self.suffixes:
            return known
        start, end = f"{node.root}_", f"_{self.suffixes[0]}."
        folder = Path(self.pipeline.output_dir or ".")
        found = sorted(path.name for path in folder.glob(f"{glob.escape(start)}*{end}*"))
        if not found:
            raise InputError(
                f"the run starts from {start}*{end}fits, the parts that {node.name} "
                f"made, none of which is in {folder.resolve()}. Make them with "
                "--stop-step, or name their folder with --output_dir."
            )
        return [name.removeprefix(start).rpartition(end)[0] for name in found]


@dataclass
class PartialRun:
    """The steps that run, with the products that they get from the others and leave to them."""

    pipeline: Step
    graph: Graph
    names: frozenset[str]
    _opened: dict[Path, DataModel] = field(default_factory=dict)
    _leaving: dict[int, Any] = field(default_factory=dict)

    def run(self, step: Step, inputs: Sequence[Any]) -> Any:
        """Run a step if it belongs to the part; else return placeholders for its products."""
        first, *more = first_product(inputs[0]), *inputs[1:]
        if step.composes:
            unfolds = self.graph.placeholder_of(first) is not None and not step.skip
            return step.process(first, *more) if unfolds else in_memory(step, inputs)
        if not is_there(first):
            return in_memory(step, inputs)
        if step.qualified_name in self.names:
            return in_memory(step, [self._real(one) for one in (first, *more)])
        for one in (first, *more):
            self._leave(one)
        return self._on_disk().record(
            step, self._placeholder_for(first), [self._placeholder_for(one) for one in more]
        )

    def check(self) -> None:
        """Check every saved product that the run starts from, before anything runs."""
        reasons = [
            reason
            for place in self._entrances()
            for reason in saved_products.mismatches(
                self.graph, place, self._path(place), self.names
            )
        ]
        if reasons:
            raise InputError("\n".join(dict.fromkeys(reasons)))

    def given(self) -> Any:
        """The exposure itself, or the library, as the pipeline's own hooks leave it."""
        pipeline = self.pipeline
        if pipeline.takes_many:
            given: Any = opened(pipeline, [str(member.source) for member in self.graph.members])
        else:
            given = self._open(self.graph.source).copy()
        return hooked(pipeline, "pre_hooks", given)

    def placeholder(self) -> Placeholder:
        """The placeholder for the exposure, or the library, where it is not read."""
        graph = self._on_disk()
        return graph.placeholder_list() if self.pipeline.takes_many else graph.placeholder()

    def save(self, results: Sequence[Any], stopped: str | None) -> list[Path]:
        """Save what the pipeline returns and what later steps would have got."""
        real = [r for r in results if not isinstance(r, Placeholder) and r is not None]
        saved = []
        if len(real) == len(results):
            first, *rest = real
            saved = self.pipeline.save((hooked(self.pipeline, "post_hooks", first), *rest))
        else:
            for model in real:
                self._leave(model)
        for model in self._leaving.values():
            saved += self._save(model, stopped)
        return saved

    def _save(self, model: Any, stopped: str | None) -> list[Path]:
        if isinstance(model, ModelLibrary):
            return save_members(self.pipeline, model, suffix_of(model[0]))
        compute(model)
        if stopped:
            saved_products.record_stop(model, self.graph.source, self.pipeline, stopped)
        return self.pipeline.save(model, suffix_of(model))

    def close(self) -> None:
        """Close the files that were opened."""
        for model in self._opened.values():
            model.close()

    # --- what goes in ----------------------------------------------------------------------------

    def _entrances(self) -> Iterator[tuple[Node, int]]:
        """Products of earlier steps that steps of the part read."""
        for node in self.graph.nodes:
            for maker, index in node.inputs:
                inside = node.name in self.names
                # Parts are checked when they are opened: which there are may be known only then.
                if inside and maker is not None and maker.name not in self.names:
                    parted = maker.root != self.graph.root or maker.products[index].many
                    yield from () if parted else ((maker, index),)
        for node, index in self._refined():
            yield node, index

    def _on_disk(self) -> _OnDisk:
        """A graph for the steps outside the part."""
        parts = {
            maker.products[index].suffix: None
            for node in self.graph.nodes
            for maker, index in node.inputs
            if node.name in self.names
            and maker is not None
            and maker.name not in self.names
            and stands_for_all(maker.root)
        }
        graph = self.graph
        return _OnDisk(
            self.pipeline,
            graph.members,
            graph.root,
            template=graph.template,
            suffixes=tuple(parts),
        )

    def _refined(self) -> Iterator[tuple[Node, int]]:
        """Products whose step is outside, but which a step of the part refines."""
        for node in self.graph.nodes:
            for refinement in node.refinements:
                if node.name not in self.names and refinement.step.qualified_name in self.names:
                    yield node, refinement.product

    def _real(self, given: Any) -> Any:
        """The model, or the models, behind a placeholder."""
        if isinstance(given, (list, PlaceholderList)):
            return [self._real(one) for one in given]
        if not isinstance(given, ModelPlaceholder):
            return given
        if given.node is None:
            return self._open(self.graph.members[given.index].source)
        place = (given.node, given.index)
        path = self._path(place)
        if given.root != self.graph.root:
            for reason in saved_products.mismatches(self.graph, place, path, self.names):
                raise InputError(reason)
        model = self._open(path).copy()
        saved_products.remove_stop(model)
        return model

    def _path(self, place: tuple[Node, int]) -> Path:
        """The saved file of a product: the input itself, or the file of that name."""
        node, index = place
        product = node.products[index]
        suffix, usual = product.suffix, product.extension
        source = self.graph.source
        given = naming.split(source)
        if (given.root, given.suffix) == (node.root, suffix):
            return source
        folder = Path(self.pipeline.output_dir or ".")
        name = naming.Name(node.root, suffix, "")
        names = [name.with_suffix(suffix, each) for each in (usual, *naming.EXTENSIONS)]
        found = next((folder / n for n in names if (folder / n).is_file()), None)
        if found is None:
            raise InputError(
                f"the run starts from {name.with_suffix(suffix, usual)}, the product of "
                f"{node.name}, which is not in {folder.resolve()}. Make it with "
                f"--stop-step={node.name}, or say with --output_dir where it is."
            )
        return found

    def _open(self, path: Path) -> DataModel:
        from stpipe import models

        if path not in self._opened:
            self._opened[path] = models.open(path)
        return self._opened[path]

    # --- what goes out ---------------------------------------------------------------------------

    def _leave(self, given: Any) -> None:
        """Note a product that a step outside the part would have got."""
        if isinstance(given, ModelLibrary):
            if suffix_of(given[0]):
                self._leaving[id(given)] = given
        elif isinstance(given, (list, tuple)):
            for one in given:
                self._leave(one)
        elif given is not None and not isinstance(given, Placeholder) and suffix_of(given):
            self._leaving[id(given)] = given

    def _placeholder_for(self, given: Any) -> ModelPlaceholder | PlaceholderList:
        if isinstance(given, (ModelPlaceholder, PlaceholderList)):
            return given
        graph = self._on_disk()
        if isinstance(given, (list, tuple, ModelLibrary)):
            members: list[Any] = [self._placeholder_for(given[n]) for n in range(len(given))]
            return PlaceholderList(graph, members, ((None, 0),), self.graph.root)
        return ModelPlaceholder(graph, given, (None, 0), type(given).__name__, self.graph.root)


# --- which steps -----------------------------------------------------------------------------------


def _names(graph: Graph, start: str | None, stop: str | None) -> frozenset[str]:
    """Names of the steps from `start` to `stop`."""
    before = _before(graph)
    for option, step in (("--start-step", start), ("--stop-step", stop)):
        if step is not None and step not in before:
            raise UsageError(_no_step(graph, before, option, step))
    names = set(before)
    if start is not None:
        names = {name for name in names if name == start or start in before[name]}
    if stop is not None:
        names &= {stop, *before[stop]}
    if not names:
        raise UsageError(
            f"--stop-step: {stop} comes before {start} (--start-step); allowed: a step after it."
        )
    # A skipped step is recorded where the next one runs.
    left_out = (
        s.step.qualified_name
        for node in graph.nodes
        if node.name in names
        for s in (*node.skipped_before, *node.skipped_after)
    )
    return frozenset({*names, *left_out})


def _before(graph: Graph) -> dict[str, frozenset[str]]:
    """For each step the steps that it depends on."""
    found: dict[str, frozenset[str]] = {}
    for node in graph.nodes:
        makers = [(maker, index) for maker, index in node.inputs if maker is not None]
        known = {n for maker, _ in makers for n in (maker.name, *found[maker.name])}
        known |= {
            r.step.qualified_name
            for maker, index in makers
            for r in maker.refinements
            if r.product == index
        }
        found[node.name] = found.get(node.name, frozenset()) | known
        for refinement in node.refinements:
            name = refinement.step.qualified_name
            found[name] = found.get(name, frozenset()) | found[node.name] | {node.name}
    return found


def _no_step(graph: Graph, known: Mapping[str, Any], option: str, step: str) -> str:
    skipped = {
        s.step.qualified_name: s.reason
        for n in graph.nodes
        for s in (*n.skipped_before, *n.skipped_after)
    }
    if step in skipped:
        return (
            f"{option}: {graph.source} does not take {step} ({skipped[step]}); it takes "
            f"{', '.join(known)}."
        )
    return f'{option}: there is no step "{step}"{did_you_mean(step, known)}; {", ".join(known)}.'
