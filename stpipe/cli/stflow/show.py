"""`stflow show` and `stflow diff`: the content of a product, and the differences of two."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stpipe.errors import InputError

if TYPE_CHECKING:
    from stpipe.models import Verified
    from stpipe.models.compare import Difference

__all__ = ["add_commands", "diff", "show"]

_COLUMN = 30
_WIDTH = 80


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    refuse: Callable[[list[str]], None],
) -> None:
    """Add the two sub-commands; `refuse` reports unknown arguments."""
    text = "show the arrays, the metadata and the history of a file"
    shown = commands.add_parser("show", help=text, description=text, allow_abbrev=False)
    shown.add_argument("files", metavar="FILE", nargs="+")
    shown.add_argument("--statistics", action="store_true", help="read the arrays, too")
    shown.add_argument("--verify", action="store_true", help="compare the file with its checksums")
    shown.add_argument("--json", action="store_true", help="everything, as JSON")
    shown.set_defaults(action=_without_more(show, refuse))
    text = "show how two products differ; exit code 1 if they do"
    compared = commands.add_parser("diff", help=text, description=text, allow_abbrev=False)
    compared.add_argument("first", metavar="A")
    compared.add_argument("second", metavar="B")
    compared.add_argument(
        "--rtol", type=_tolerance, default=0.0, help="relative tolerance (default 0)"
    )
    compared.add_argument(
        "--atol", type=_tolerance, default=0.0, help="absolute tolerance (default 0)"
    )
    compared.add_argument("--json", action="store_true", help="as JSON")
    compared.set_defaults(action=_without_more(diff, refuse))


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def _without_more(
    action: Callable[[argparse.Namespace], None], refuse: Callable[[list[str]], None]
) -> Callable[[argparse.Namespace, list[str]], None]:
    """The action of a command that takes no unknown arguments."""

    def checked(options: argparse.Namespace, extra: list[str]) -> None:
        refuse(extra)
        action(options)

    return checked


def show(options: argparse.Namespace) -> None:
    """Print what every file holds; with `--verify` compare it with its checksums.

    Raises
    ------
    InputError
        When a file cannot be read, or its bytes are not those that were written.
    """
    found = []
    for number, path in enumerate(options.files):
        if options.json:
            found.append(_described(path, options))
        else:
            print("\n" * bool(number) + _text(path, options))
    if options.json:
        print(json.dumps(found, indent=2))


def diff(options: argparse.Namespace) -> None:
    """Print the differences of two files, and exit with 1 if there are any."""
    from stpipe import models
    from stpipe.models.compare import Tolerance, compare
    from stpipe.models.describe import printable

    tolerance = Tolerance(options.rtol, options.atol)
    with models.open(options.first) as first, models.open(options.second) as second:
        found = compare(first, second, tolerance)
    if options.json:
        from stpipe.models.describe import as_json

        print(json.dumps([as_json(each._asdict()) for each in found], indent=2))
    else:
        for line in _lines(found):
            print(printable(line))
    if found:
        raise SystemExit(1)


def _described(path: str, options: argparse.Namespace) -> dict[str, object]:
    from stpipe import models
    from stpipe.models.describe import describe

    found = describe(models.open_metadata(path), with_statistics=options.statistics)
    if options.verify:
        found["checksums"] = [each._asdict() for each in _verified(path)]
    return found


def _text(path: str, options: argparse.Namespace) -> str:
    from stpipe import models
    from stpipe.models.describe import text

    lines = text(models.open_metadata(path), with_statistics=options.statistics)
    if options.verify:
        present = sum(each.present for each in _verified(path))
        lines += f"\n\nchecksums: {present} verified" if present else "\n\nchecksums: none"
    return lines


def _verified(path: str) -> list[Verified]:
    from stpipe import models

    found = models.verify(path)
    if wrong := [f"{each.name}: {each.problem}" for each in found if each.problem]:
        raise InputError(f"{path} is damaged: {'; '.join(wrong)}. Download or rebuild it.")
    return found


def _lines(found: Sequence[Difference]) -> list[str]:
    """The differences under headings, each on one line where it fits."""
    lines: list[str] = []
    before = ""
    for each in found:
        if each.kind != before:
            lines.append(each.kind)
            before = each.kind
        lines += _line(each)
    return lines or ["no differences"]


def _line(each: Difference) -> list[str]:
    joined = f"{each.first} -> {each.second}" if each.second != "" else str(each.first)
    if each.note:
        joined = f"{each.first} {each.second}, {each.note}"
    line = f"  {each.name:<{_COLUMN}} {joined}"
    return [line] if len(line) <= _WIDTH else [f"  {each.name}", f"    {joined}"]
