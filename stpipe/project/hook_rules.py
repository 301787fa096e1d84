"""Hook rules: shell hooks of steps as nodes of their own, between the steps of a traced graph.

A command that contains `{output}` comes between the file that it reads and all steps that read that
file. One that only inspects makes no file; later nodes wait until it has succeeded. Python hooks stay
in the job of their step, unless a shell hook has to run between them and the step: hooks keep their
order. So do hooks that change a result of the pipeline, or a product that is refined in its rule: the
step gives that file its name.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stpipe import hooks
from stpipe.core.products import Output
from stpipe.core.step import Step
from stpipe.errors import UsageError
from stpipe.graph.nodes import Node, Place
from stpipe.graph.tracing import Graph
from stpipe.parameters.resolution import resolve
from stpipe.parameters.settings import Raw, Settings
from stpipe.project.steps import HookStep, LookStep

__all__ = ["files_of", "interpose"]

Hook = str | Callable[..., Any]


def interpose(graph: Graph) -> None:
    """Give shell hooks nodes of their own and take them from their steps."""
    kept: dict[Step, tuple[list[Hook], list[Hook]]] = {}
    for node in list(graph.nodes):
        before, inside = _split_before(node.step.pre_hooks)
        split = _split_result if _keeps_its_name(graph, node) else _split_after
        made_inside, after = split(node.step.post_hooks)
        kept[node.step] = (inside, made_inside)
        if before:
            _put_before(graph, node, before)
        if after:
            _put_after(graph, node, after)
    for step, (inside, made_inside) in kept.items():
        step.pre_hooks, step.post_hooks = inside, made_inside


def files_of(command: str) -> Iterator[Path]:
    """Files that a command names, such as a script that it runs or a table that it reads."""
    try:
        words = shlex.split(command.removeprefix("shell:"))
    except ValueError:  # quotes that only the shell understands
        words = command.split()
    for word in words:
        path = Path(word).expanduser()
        if {"/", "."} & set(word) and path.is_file():
            yield path


# --- which hooks go where --------------------------------------------------------------------------


def _split_before(given: Sequence[Hook]) -> tuple[list[Hook], list[Hook]]:
    """Hooks up to the last shell command, and those that run in the step's job."""
    last = max((n for n, hook in enumerate(given) if hooks.is_shell(hook)), default=-1)
    return list(given[: last + 1]), list(given[last + 1 :])


def _split_after(given: Sequence[Hook]) -> tuple[list[Hook], list[Hook]]:
    """Hooks that run in the step's job, and those from the first shell command on."""
    first = next((n for n, hook in enumerate(given) if hooks.is_shell(hook)), len(given))
    return list(given[:first]), list(given[first:])


def _split_result(given: Sequence[Hook]) -> tuple[list[Hook], list[Hook]]:
    """Hooks up to the last one that changes the data, and those that only inspect the result."""
    last = max((n for n, hook in enumerate(given) if hooks.replaces(hook)), default=-1)
    return list(given[: last + 1]), list(given[last + 1 :])


def _keeps_its_name(graph: Graph, node: Node) -> bool:
    """Whether the file of a node's first product has to hold the result of its hooks."""
    results = {maker for result in graph.results for maker, index in result.places if index == 0}
    return node in results or any(r.product == 0 for r in node.refinements)


# --- putting them there ----------------------------------------------------------------------------


@dataclass
class _Row:
    """Hooks in a row: the place of the last result, and the inspections that later nodes wait for."""

    place: Place
    model: str
    root: str
    nodes: list[Node] = field(default_factory=list)
    looks: tuple[Node, ...] = ()

    def add(self, step: HookStep) -> None:
        """Append a hook."""
        product = Output("product", self.model, step.suffix)
        node = Node(step, (self.place,), self.root, (product,), waits_for=self.looks)
        self.nodes.append(node)
        if isinstance(step, LookStep):
            self.looks = (*self.looks, node)
        else:
            self.place, self.looks = (node, 0), ()


def _put_before(graph: Graph, node: Node, given: Sequence[Hook]) -> None:
    place = node.inputs[0]
    if node.step.takes_many or node.arguments[0]:
        raise _many_files(node, given[0])
    row = _Row(place, graph.model_at(place), node.root)
    for number, hook in enumerate(given, start=1):
        row.add(_step(node.step, "pre_hooks", hook, f"pre{number}"))
    _let_read(node, place, row)
    # The first file after skipped steps records them.
    for made in [n for n in row.nodes if not isinstance(n.step, LookStep)][:1]:
        made.skipped_before, node.skipped_before = node.skipped_before, ()
    start = graph.nodes.index(node)
    graph.nodes[start:start] = row.nodes


def _put_after(graph: Graph, node: Node, given: Sequence[Hook]) -> None:
    place = (node, 0)
    if node.products[0].many:
        raise _many_files(node, given[0])
    readers = [n for n in graph.nodes if place in n.inputs]
    row = _Row(place, graph.model_at(place), node.root)
    for number, hook in enumerate(given, start=1):
        row.add(_step(node.step, "post_hooks", hook, f"post{number}"))
    for reader in readers:
        _let_read(reader, place, row)
    for saved, _ in graph.saves:
        if (saved.node, saved.index) == place:
            saved.node, saved.index = row.place
    start = graph.nodes.index(node) + 1
    graph.nodes[start:start] = row.nodes


def _many_files(node: Node, hook: Hook) -> UsageError:
    return UsageError(
        f"{node.name}: the hook {hooks.text(hook)} is a command, which takes one file, but this step "
        "works on many. Give it to a step before or after."
    )


def _let_read(reader: Node, place: Place, row: _Row) -> None:
    """Let a node read the result of hooks, and wait for those that inspect."""
    reader.inputs = tuple(row.place if i == place else i for i in reader.inputs)
    reader.waits_for = (*reader.waits_for, *row.looks)


def _step(owner: Step, when: str, hook: Hook, label: str) -> HookStep:
    """The step of a hook, with the parent of its owner, also in a nested pipeline."""
    values = {
        "hook": hooks.text(hook),
        "owner": owner.qualified_name,
        "owner_class": owner.target(),
        "when": when,
        "hook_timeout": owner.hook_timeout,
        "suffix": f"{owner.name}_{label}",
    }
    settings = Settings({name: Raw(value, owner.source_of(when)) for name, value in values.items()})
    cls = HookStep if hooks.replaces(hook) else LookStep
    step = cls.__new__(cls)
    # As pipelines do with their steps.
    step._configure(resolve(cls, settings), f"{owner.name}_{label}", owner.parent)  # noqa: SLF001
    return step
