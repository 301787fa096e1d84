"""Change a random sample of lines, one at a time, and count what the tests do not notice.

`python tests/mutants [SAMPLE [SEED]]`, in a checkout: a copy is changed. A change is noticed when a
test fails or takes for ever. Tests that name the module are run first; where all pass, those of
units and contracts.
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from operators import operators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cosmic_ray.operators.operator import Operator

ROOT = Path(__file__).resolve().parents[2]
# What decides pixels, files and reruns; not the simulator, nor what draws pages.
PACKAGES = (
    "core",
    "engine",
    "models",
    "parameters",
    "pipelines",
    "project",
    "references",
    "science",
    "steps",
)
GOAL = 0.92
FIRST, ALL = ("unit", "contract", "science"), ("unit", "contract")
LIMITS = {"first": 600, "all": 1800}  # s: many times what tests take


@dataclass(frozen=True)
class Mutant:
    """A change of a module: which operator does it, at which of the places where it could."""

    module: Path
    operator: Operator
    occurrence: int
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {type(self.operator).__name__}"


def main() -> int:
    """Print a line for each change, and the share that was noticed; 1 below the goal."""
    sample, seed = [*(int(word) for word in sys.argv[1:]), *(100, 0)[len(sys.argv) - 1 :]]
    chance = random.Random(seed)
    chosen = [chance.choice(changes) for changes in chance.sample(places(), sample)]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        home = copied(Path(folder) / "checkout")
        found = sum(noticed(home, mutant) for mutant in chosen)
    print(f"{found} of {sample} changes were noticed; the goal is {GOAL:.0%}")
    return int(found < GOAL * sample)


def places() -> list[list[Mutant]]:
    """The places where something can be changed, with the changes that are possible there."""
    found: dict[tuple[Path, int, int], list[Mutant]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / "stpipe" / package).rglob("*.py")):
            for mutant, place in mutants(path.relative_to(ROOT)):
                found.setdefault((mutant.module, *place), []).append(mutant)
    return list(found.values())


def mutants(module: Path) -> Iterator[tuple[Mutant, tuple[int, int]]]:
    """The changes of a module, but for what only types and messages see."""
    nodes = list(ast_nodes(get_ast_from_path(ROOT / module)))
    quiet = unseen_lines(ROOT / module)
    for operator in operators():
        positions = (start for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, (line, column) in enumerate(positions):
            if line not in quiet:
                yield Mutant(module, operator, occurrence, line), (line, column)


def unseen_lines(path: Path) -> set[int]:
    """Lines of signatures, of imports for types, and of messages: what they say is for people."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            lines |= set(range(node.lineno, node.body[0].lineno))
        elif _is_unseen(node):
            lines |= set(range(node.lineno, node.end_lineno + 1))
    return lines


def _is_unseen(node: ast.AST) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Raise() | ast.AnnAssign(value=None):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="log"))):
            return True
    return False


def copied(home: Path) -> Path:
    """A copy of the files that git knows, with the compiled kernels."""
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    kernels = [str(path.relative_to(ROOT)) for path in (ROOT / "stpipe").rglob("*.so")]
    for name in [*names.stdout.splitlines(), *kernels]:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, home / name)
    return home


def noticed(home: Path, mutant: Mutant) -> bool:
    """Does a test fail?"""
    path = home / mutant.module
    code = path.read_text()
    rewrite(path, mutate_code(code, mutant.operator, mutant.occurrence))
    try:
        first = tests_of(home, mutant.module)
        seen = bool(first) and fails(home, first, LIMITS["first"])
        seen = seen or fails(home, [f"tests/{name}" for name in ALL], LIMITS["all"])
    finally:
        rewrite(path, code)
    print("noticed " if seen else "MISSED  ", mutant, flush=True)
    return seen


def rewrite(path: Path, code: str) -> None:
    """Change a module; bytecode of a text of the same length and second would be taken for its own."""
    path.write_text(code)
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def tests_of(home: Path, module: Path) -> list[str]:
    """Files of tests that are called like a module or name it."""
    dotted = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    same = f"test_{module.parent.name if module.stem == 'step' else module.stem.strip('_')}"
    files = (path for name in FIRST for path in sorted((home / "tests" / name).rglob("test_*.py")))
    return [
        str(path.relative_to(home))
        for path in files
        if path.stem.startswith(same) or dotted in path.read_text()
    ]


def fails(home: Path, tests: list[str], limit: float) -> bool:
    """Run tests of the copy; what takes too long fails."""
    words = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-n", str(os.cpu_count() or 1)]
    command = [sys.executable, *words, "--dist=loadfile", *tests]
    environment = {**os.environ, "PYTHONPATH": str(home)}
    try:
        subprocess.run(
            command, cwd=home, env=environment, check=True, capture_output=True, timeout=limit
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
