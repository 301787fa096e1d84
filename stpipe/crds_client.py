"""Selection of reference files by the rules of CRDS, through the stock client."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stpipe.errors import ReferenceMissing
from stpipe.references import Reference

__all__ = ["CrdsResolver"]


class CrdsResolver:
    """Selection by the rules of CRDS, through the stock client (cache on disk, server if any)."""

    def __init__(self, context: str | None = None) -> None:
        self._wanted_context = context

    @property
    def context(self) -> str:
        """The CRDS context (`.pmap`) in force."""
        if self._wanted_context:
            return self._wanted_context
        client = _client()
        try:
            return str(client.get_context_name("jwst"))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the client raises anything, and exits
            raise ReferenceMissing(_no_crds(error)) from None

    def select(self, meta: Mapping[str, Any], types: Iterable[str]) -> dict[str, Reference]:
        """Ask CRDS for the best references; the client fetches files that the cache lacks.

        Raises
        ------
        ReferenceMissing
            When the rules cannot be had, have no reference for the exposure, or name a file that
            is not in the cache and cannot be fetched.
        """
        wanted = list(types)
        if not wanted:
            return {}
        criteria = {k: v for k, v in meta.items() if isinstance(v, (str, int, float, bool))}
        asked = {"context": self.context, "observatory": "jwst", "ignore_cache": False}
        client = _client()
        try:
            names = client.getrecommendations(criteria, reftypes=wanted, **asked)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the client raises anything, and exits
            raise ReferenceMissing(_no_crds(error)) from None
        found = {t: _recommended(t, names[t], self.context, meta) for t in wanted}
        absent = [t for t, r in found.items() if r.path is not None and not r.path.is_file()]
        if absent:
            _fetch(found, absent, criteria, asked)
        return found


def _fetch(
    found: Mapping[str, Reference],
    absent: list[str],
    criteria: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> None:
    """Have the client download selected files."""
    try:
        _client().getreferences(criteria, reftypes=absent, **asked)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the client raises anything, and exits
        files = ", ".join(f"{found[t].path} ({t})" for t in absent)
        raise ReferenceMissing(
            f"CRDS ({asked['context']}) selects files that are not in the cache and cannot be "
            f"fetched: {files}. {_reason(error)} Connect to a server (CRDS_SERVER_URL), or give "
            f"{' '.join(f'--override_{t}=PATH' for t in absent)}."
        ) from None


def _recommended(
    reference_type: str, answer: str, context: str, meta: Mapping[str, Any]
) -> Reference:
    """What CRDS answers for one type: a file name, N/A, or that there is none."""
    from crds.core import config

    if not answer.startswith("NOT FOUND"):
        return Reference(reference_type, Path(config.locate_file(answer, "jwst")), context)
    reason = answer.removeprefix("NOT FOUND").strip()
    # Instruments without rules for a type, and rules that say N/A: the type does not apply.
    if reason.lower().endswith("n/a") or reason.startswith("No mapping"):
        return Reference(reference_type, None, context)
    names = ("instrument.name", "instrument.detector", "instrument.filter", "subarray.name")
    criteria = ", ".join(f"{n}={meta.get(f'meta.{n}')}" for n in names)
    raise ReferenceMissing(
        f"{reference_type}: CRDS ({context}) has no reference file for {criteria} ({reason}). "
        f"Give --override_{reference_type}=PATH."
    )


@cache
def _client() -> Any:
    """The client's functions; what it says goes to our log and not through its own handler."""
    with _stdatamodels_for_crds():
        from crds.core import heavy_client
        from crds.jwst import locate  # noqa: F401 - imported while the stand-in is there
    logger = logging.getLogger("CRDS")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    # What matters comes as an exception, which we put into one message.
    logger.setLevel(logging.CRITICAL)
    logger.propagate = True
    return heavy_client


@contextlib.contextmanager
def _stdatamodels_for_crds() -> Iterator[None]:
    """Let crds.jwst be imported without stdatamodels.

    crds 14 imports the name of one warning from that package, which it does not require and does not
    need for selecting files.
    """
    if importlib.util.find_spec("stdatamodels") is not None:
        yield
        return
    stand_in = types.ModuleType("stdatamodels.exceptions")
    stand_in.ValidationWarning = type("ValidationWarning", (Warning,), {})  # type: ignore[attr-defined]
    names = {"stdatamodels": types.ModuleType("stdatamodels"), stand_in.__name__: stand_in}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _no_crds(error: BaseException) -> str:
    return (
        f"CRDS cannot select reference files. {_reason(error)} CRDS_PATH is "
        f"{os.environ.get('CRDS_PATH', 'not set')}: set it to a cache that holds the rules, or set "
        "CRDS_SERVER_URL, or give every file with --override_<type>=PATH."
    )


def _reason(error: BaseException) -> str:
    """First line of what the client says."""
    if isinstance(error, SystemExit):
        return "There is neither a server nor a cache."
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".") + "."
