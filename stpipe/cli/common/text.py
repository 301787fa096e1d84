"""Text for terminals: headings stand out, columns line up, long lines wrap."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["columns", "heading", "rows"]

WIDTH = 100
_BOLD, _PLAIN = "\033[1m", "\033[0m"


def heading(text: str) -> str:
    """`text` in bold on a terminal that wants colours (see no-color.org), else as it is."""
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"{_BOLD}{text}{_PLAIN}" if wanted and os.environ.get("TERM") != "dumb" else text


def columns(table: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Lines of columns, however long."""
    widths = [max(map(len, column)) for column in list(zip(*table, strict=True))[:-1]]
    return [
        indent + "  ".join([*(c.ljust(w) for c, w in zip(cells, widths, strict=True)), last])
        for *cells, last in table
    ]


def rows(table: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Lines of columns; the last column wraps below itself."""
    import textwrap

    lines = []
    for line, row in zip(columns(table, indent), table, strict=True):
        start = len(line) - len(row[-1])
        wrapped = textwrap.wrap(
            row[-1], max(30, _width() - start), break_long_words=False, break_on_hyphens=False
        )
        lines.append(line[:start] + "".join(wrapped[:1]))
        lines += [" " * start + more for more in wrapped[1:]]
    return lines


def _width() -> int:
    try:
        return min(WIDTH, os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError):
        return WIDTH
