"""Every exception that a user can meet, and the exit code that it becomes.

::

    StpipeError                 1  a step failed
    ├── UsageError              2  the command cannot be understood
    │   └── ParameterError      2  parameters: unknown, misspelt, out of bounds, unreadable file
    ├── InputError              3  the input is missing, damaged or the wrong model
    │   ├── ValidationError     3  a value does not conform to the schema
    │   └── MetadataMissing     3  metadata that a step needs are not set
    ├── ReferenceMissing        4  a reference file is needed and not there
    ├── HookError               5  a hook failed
    └── TraceError              1  `process` touched pixels while it was being traced

`NoProduct` and `Skip` are not failures: a step raises them to say that it legitimately makes
nothing, or that it leaves the data as they are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "HookError",
    "InputError",
    "MetadataMissing",
    "NoProduct",
    "ParameterError",
    "ReferenceMissing",
    "Skip",
    "StpipeError",
    "TraceError",
    "UsageError",
    "ValidationError",
    "did_you_mean",
]


class StpipeError(Exception):
    """Something that the user can do something about; its text says what."""

    exit_code: ClassVar[int] = 1


class UsageError(StpipeError):
    """The command line cannot be understood."""

    exit_code = 2


class ParameterError(UsageError):
    """One or more parameters are unknown, of the wrong type or out of bounds."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class InputError(StpipeError):
    """The input file is missing, damaged, or holds the wrong model."""

    exit_code = 3


class ValidationError(InputError):
    """A value or a whole model does not conform to its schema."""


class MetadataMissing(InputError, KeyError):  # noqa: N818 - reads as what happened
    """Metadata that are asked for by name are not set; a KeyError for those who look for one."""

    def __str__(self) -> str:
        return str(self.args[0])


class ReferenceMissing(StpipeError):  # noqa: N818 - reads as what happened
    """A reference file is needed and cannot be had."""

    exit_code = 4


class HookError(StpipeError):
    """A pre- or post-hook failed."""

    exit_code = 5


class TraceError(StpipeError):
    """`process` did something with pixels while the pipeline was being traced."""


class NoProduct(Exception):  # noqa: N818 - not a failure
    """Raised by a step that legitimately yields nothing; the text is the reason."""


class Skip(Exception):  # noqa: N818 - not a failure
    """Raised by a step that leaves the data as they are; the text is the reason."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`' (did you mean "jump"?)'`, or nothing when no known name is close."""
    names = list(known)
    # The beginning of a long name, even misspelt, stands for that name.
    beginnings = {n[: len(name)]: n for n in reversed(names)}
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or [
        beginnings[b] for b in difflib.get_close_matches(name, beginnings, n=1, cutoff=0.8)
    ]
    return f' (did you mean "{close[0]}"?)' if close else ""
