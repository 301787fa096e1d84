"""Parts of messages."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is one: `1 file`, `0 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
