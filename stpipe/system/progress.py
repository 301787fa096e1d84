"""A progress bar on the terminal.

It is drawn on stderr if that is a terminal, never into a log or a file, and only for work that takes
some seconds. It is erased before log records and when the work is done.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO, TypeVar

__all__ = ["follow", "make_way"]

Item = TypeVar("Item")

LONG = 2.0  # s; shorter work has no bar
FIRST = 0.5  # s after which the rest can be estimated
INTERVAL = 0.1  # s between two drawings
WIDTH = 30
ERASE = "\r\x1b[K"


def follow(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """The items, while a bar shows how many of `total` are done."""
    stream = sys.stderr
    if not _is_terminal(stream):
        yield from items
        return
    bar = _Bar(what, total, stream, time.monotonic())
    try:
        for item in items:
            yield item
            bar.advance()
    finally:
        bar.erase()


def make_way() -> None:
    """Erase the bar, if there is one, before something else is written to the terminal."""
    if _drawn:
        _drawn[-1].erase()


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


@dataclass
class _Bar:
    what: str
    total: int
    stream: TextIO
    started: float
    done: int = 0
    drawn: float = 0.0

    def advance(self) -> None:
        """Count one more item."""
        self.done += 1
        now = time.monotonic()
        spent = now - self.started
        long = spent >= FIRST and spent * self.total / self.done >= LONG
        if long and now - self.drawn >= INTERVAL and self.done < self.total:
            self.drawn = now
            self._draw(spent * (self.total - self.done) / self.done)

    def erase(self) -> None:
        """Erase the bar."""
        if self in _drawn:
            _drawn.remove(self)
            self.stream.write(ERASE)
            self.stream.flush()

    def _draw(self, left: float) -> None:
        full = WIDTH * self.done // self.total
        bar = "#" * full + "." * (WIDTH - full)
        share = 100 * self.done // self.total
        self.stream.write(f"{ERASE}{self.what} [{bar}] {share} %, {_time(left)} left")
        self.stream.flush()
        if self not in _drawn:
            _drawn.append(self)


_drawn: list[_Bar] = []


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
