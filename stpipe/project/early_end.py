"""Why Snakemake ended before any job: what the user can do about it, or Snakemake's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from stpipe.errors import StpipeError, UsageError, did_you_mean

__all__ = ["explained"]

_KEPT = 12  # lines
_OF_SYSTEM = re.compile(r"^\s*\w+: \[Errno \d+\] ([^:]+)(?:: '(.*)')?\s*$")
_EXCEPTION = re.compile(r"^\s*[A-Za-z_.]+(?:Error|Exception): ")
_NO_RULE = re.compile(r"^\s*No rule to produce (.*?)(?: \(if you use input functions.*)?$")


def explained(lines: Sequence[str], products: Iterable[str]) -> StpipeError:
    """The error for the output of a Snakemake that failed in the current folder.

    `products` are those of the project, for a target that is none of them.
    """
    said = [line for line in lines if line.strip()]
    for line in reversed(said):
        if found := _NO_RULE.match(line):
            return _no_rule(found[1], list(products))
        if found := _OF_SYSTEM.match(line):
            return _of_system(*found.groups())
    if not any('  File "' in line for line in said):
        return StpipeError("\n".join(["snakemake ended early:", *said[-_KEPT:]]))
    last = next((line.strip() for line in reversed(said) if _EXCEPTION.match(line)), said[-1])
    return StpipeError(f"snakemake ended early: {last}\nRun snakemake itself for the traceback.")


def _no_rule(target: str, products: Sequence[str]) -> UsageError:
    """A target that is no product: misspelt, or of a step or parameter that is not in force."""
    some = f", such as {products[-1]}" if products else ""
    return UsageError(
        f"no rule makes {target}{did_you_mean(target, products)}. Targets are products of the "
        f"project{some}. Side products are made when a parameter asks for them (save_opt = True)."
    )


def _of_system(reason: str, path: str | None) -> StpipeError:
    return StpipeError(
        f"snakemake, run in {Path.cwd()}, cannot write {path or 'a file'}: {reason}. It needs room in "
        "the project, in its cache (~/.cache, or the folder that XDG_CACHE_HOME names) and for "
        "temporary files (TMPDIR)."
    )
