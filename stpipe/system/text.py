"""Parts of messages."""

from __future__ import annotations

__all__ = ["counted", "with_article"]


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is one: `1 file`, `0 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def with_article(name: str) -> str:
    """A name, such as that of a type, with its article: `an int`, `a RampModel`."""
    return f"{'an' if name[:1] in 'aeioAEIO' else 'a'} {name}"
