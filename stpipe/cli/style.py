"""Text for terminals: headings stand out, columns line up, long lines wrap."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["heading", "rows", "wrap"]

WIDTH = 100
_BOLD, _PLAIN = "\033[1m", "\033[0m"


def heading(text: str) -> str:
    """`text` in bold on a terminal that wants colours (see no-color.org), else as it is."""
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return f"{_BOLD}{text}{_PLAIN}" if wanted and os.environ.get("TERM") != "dumb" else text


def wrap(text: str, indent: str = "") -> str:
    """`text` in lines of the terminal's width, all but the first indented."""
    import textwrap

    return textwrap.fill(
        text,
        _width(),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def rows(table: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Lines of columns; the last column wraps below itself."""
    import textwrap

    widths = [max(map(len, column)) for column in list(zip(*table, strict=True))[:-1]]
    start = len(indent) + sum(width + 2 for width in widths)
    lines = []
    for *cells, last in table:
        padded = "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True))
        first, *more = textwrap.wrap(
            last, max(30, _width() - start), break_long_words=False, break_on_hyphens=False
        ) or [""]
        lines.append(f"{indent}{padded}  {first}".rstrip())
        lines += [" " * start + line for line in more]
    return lines


def _width() -> int:
    try:
        return min(WIDTH, os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError):
        return WIDTH
