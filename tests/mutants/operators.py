"""Small changes of code that the tests must notice, beside those of Cosmic Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cosmic_ray import plugins
from cosmic_ray.operators.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["operators"]

Position = tuple[tuple[int, int], tuple[int, int]]
# Change nothing, or what types and lint notice.
LEFT_OUT = ("VariableReplacer", "VariableInserter", "RemoveDecorator", "ExceptionReplacer")


class DropStatement(Operator):
    """A statement that is left out: an assignment to something that exists, or a call."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Statements of functions."""
        if node.type != "simple_stmt" or node.parent.type != "suite":
            return
        alone = sum(child.type != "newline" for child in node.parent.children) == 1
        statement = node.children[0]
        called = statement.type == "atom_expr" and statement.children[-1].type == "trailer"
        # A name that is not assigned would be an error, which proves nothing.
        changed = statement.type == "expr_stmt" and (
            statement.children[0].type != "name" or statement.children[1].get_code().strip() != "="
        )
        annotated = changed and statement.children[1].type == "annassign"
        if not alone and (called or changed) and not annotated:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> None:
        """Nothing in its place."""

    @classmethod
    def examples(cls) -> tuple[()]:
        """None: Cosmic Ray asks for them in its own tests alone."""
        return ()


class SwapArguments(Operator):
    """The first two arguments of a call, the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Calls with two arguments by position that are not the same."""
        if node.type == "arglist" and len(_by_position(node)) >= 2:
            first, second = _by_position(node)[:2]
            if first.get_code().strip() != second.get_code().strip():
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Exchange them, each with the blanks before it."""
        del index
        first, second = _by_position(node)[:2]
        here, there = node.children.index(first), node.children.index(second)
        node.children[here], node.children[there] = second, first
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """None: Cosmic Ray asks for them in its own tests alone."""
        return ()


def operators() -> Iterator[Operator]:
    """Those of Cosmic Ray that need no arguments, and ours."""
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if not name.endswith(LEFT_OUT) and not kind.arguments():
            yield kind()
    yield from (DropStatement(), SwapArguments())


def _by_position(node: Any) -> list[Any]:
    children = [child for child in node.children if child.type != "operator"]
    named = [n for n, child in enumerate(children) if child.type == "argument"]
    return children[: named[0]] if named else children
