"""Selection of reference files by the rules of CRDS, with the stock client."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import socket
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.errors import ReferenceMissing
from stpipe.references.crds_recommendations import NOT_FOUND, Answers, Grounds, Question, situation
from stpipe.references.selection import Candidate, Explanation, Reference
from stpipe.system.process import loading

if TYPE_CHECKING:
    from stpipe.models.protocols import FlatMetadata

__all__ = ["CrdsResolver"]

_log = logging.getLogger("stpipe.references")
_DEFAULTS: dict[str, str] = {}  # what the client puts into the environment itself, once imported


class CrdsResolver:
    """Selection by the rules of CRDS, through the stock client (cache on disk, server if any)."""

    def __init__(self, context: str | None = None, *, parameters: bool = True) -> None:
        self._wanted_context = context
        self._together: frozenset[str] = frozenset()
        self._last: tuple[dict[str, Any], Answers] | None = None  # what was asked together
        self._situations: dict[tuple[tuple[str, str], ...], list[Any] | None] = {}
        self._parameters = parameters  # whether its parameter files count

    @property
    def context(self) -> str:
        """The current CRDS context (`.pmap`)."""
        if self._wanted_context:
            return self._wanted_context
        client = _client()
        with _explained():
            return str(client.get_context_name("jwst"))

    def expect(self, types: Iterable[str]) -> None:
        """Ask for all of `types` when one is needed: an exposure's steps ask one after the other."""
        self._together = frozenset(types)

    def select(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """Ask CRDS for the best references; the client fetches files that the cache lacks.

        Raises
        ------
        ReferenceMissing
            When the rules cannot be loaded, have no file for the exposure, or name a file that
            is not in the cache and cannot be fetched.
        """
        wanted = list(types)
        if not wanted:
            return {}
        answers = self._ask_together(meta, wanted)
        found = {t: _recommended(t, answers, meta) for t in wanted}
        self._fetch_absent(found, meta)
        return found

    def find(self, meta: FlatMetadata, types: Iterable[str]) -> dict[str, Reference]:
        """Files of those `types` that CRDS has for the exposure, such as parameter files.

        Empty if CRDS is not set up, or the exposure names no instrument.

        Raises
        ------
        ReferenceMissing
            When the rules cannot be loaded, or name a file that cannot be fetched.
        """
        wanted = list(types)
        if not (
            self._parameters and meta.get("meta.instrument.name") and _may_have_parameters(wanted)
        ):
            return {}
        try:
            answers = self._ask(meta, wanted)
        except _UnknownInstrument:
            return {}
        found = {t: answers.reference(t) for t in answers.names if answers.has(t)}
        self._fetch_absent(found, meta)
        return found

    def explain(self, meta: FlatMetadata, reference_type: str) -> Explanation:
        """The criteria of the rules for an exposure, and the files they choose from."""
        with _explained():
            rules = _rules(self.context, str(meta.get("meta.instrument.name")), reference_type)
        if rules is None:
            return Explanation(self.context, {}, ())
        content = rules.todict()
        *asked, since, _ = content["parameters"]
        names = [name.lower() for name in asked]
        when = ("meta.observation.date", "meta.observation.time")
        return Explanation(
            rules.basename,
            {name: meta.get(name) for name in (*names, *when)},
            tuple(
                Candidate(row[-1], dict(zip((*names, since.lower()), row[:-1], strict=True)))
                for row in content["selections"]
            ),
        )

    def _ask_together(self, meta: FlatMetadata, types: list[str]) -> Answers:
        if not self._together.issuperset(types):
            return self._ask(meta, types)
        if self._last is None or self._last[0] != meta:
            self._last = (dict(meta), self._ask(meta, sorted(self._together)))
        return self._last[1]

    def _ask(self, meta: FlatMetadata, types: list[str]) -> Answers:
        """The client's recommendations, or those that are cached and still valid."""
        found = self._situation()
        question = Question(meta, types, found) if found else None
        if question and (kept := question.recall()):
            return kept
        asked = self._asked
        with _explained(), _whole_rules():
            names: Mapping[str, str] = _client().getrecommendations(
                _criteria(meta), reftypes=types, **asked
            )
        answers = Answers(asked["context"], names, _places(names.values()))
        if question:
            question.keep(answers, _grounds(asked["context"], meta, types))
        return answers

    def _situation(self) -> list[Any] | None:
        """What recommendations depend on; the client's configuration is read once for all settings."""
        settings = self._settings()
        key = tuple(sorted(settings.items()))
        if key not in self._situations:
            self._situations[key] = situation(settings)
        return self._situations[key]

    def _settings(self) -> dict[str, str]:
        """The client's environment variables, and the context that was asked for."""
        own = {k: v for k, v in os.environ.items() if k.startswith("CRDS_")}
        wanted = {} if self._wanted_context is None else {"context": self._wanted_context}
        # The client changes the case of some of its defaults as it goes.
        return wanted | {k: v for k, v in own.items() if _DEFAULTS.get(k, "").lower() != v.lower()}

    @property
    def _asked(self) -> dict[str, Any]:
        return {"context": self.context, "observatory": "jwst", "ignore_cache": False}

    def _fetch_absent(self, found: Mapping[str, Reference], meta: FlatMetadata) -> None:
        absent = {t: r.path for t, r in found.items() if r.path and not r.path.is_file()}
        if absent:
            _fetch(absent, _criteria(meta), self._asked)


class _UnknownInstrument(ReferenceMissing):
    """The context has no rules for the instrument."""


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn any error of the client into one message."""
    try:
        with _quiet():
            yield
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the client raises anything, and exits
        kind = ReferenceMissing
        if type(error).__name__ == "CrdsUnknownInstrumentError":
            kind = _UnknownInstrument
        raise kind(_no_crds(error)) from None


def _rules(context: str, instrument: str, reference_type: str) -> Any | None:
    """The client's rules for a type; None when it does not apply to the instrument."""
    from crds.core.exceptions import CrdsUnknownReftypeError, IrrelevantReferenceTypeError

    instruments = _client().get_symbolic_mapping(context, "jwst").get_imap(instrument.lower())
    try:
        return instruments.get_rmap(reference_type)
    except (CrdsUnknownReftypeError, IrrelevantReferenceTypeError):
        return None


# How long a server may be silent, and how often it is asked; the client's own would be an hour.
_PATIENCE = {"CRDS_CLIENT_TIMEOUT_SECONDS": "60", "CRDS_CLIENT_RETRY_COUNT": "2"}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Log what the client prints, such as tracebacks, at level DEBUG; it does not wait for ever."""
    printed = io.StringIO()
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    before = socket.getdefaulttimeout()
    # The client limits its questions, but no downloads.
    socket.setdefaulttimeout(float(os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"]))
    try:
        with contextlib.redirect_stderr(printed):
            yield
    finally:
        socket.setdefaulttimeout(before)
        for line in printed.getvalue().splitlines():
            _log.debug("crds: %s", line)


def _criteria(meta: FlatMetadata) -> dict[str, Any]:
    """Metadata that rules may use; the client fails on other names."""
    plain = (str, int, float, bool)
    return {k: v for k, v in meta.items() if k.startswith("meta.") and isinstance(v, plain)}


def _may_have_parameters(types: Iterable[str]) -> bool:
    """Whether CRDS is set up and may have rules for one of `types` of parameter files.

    Without a server, all rules are files of the cache. A look at their names saves the time that the
    client takes to be imported, half a second that a small step would notice.
    """
    if os.environ.get("CRDS_SERVER_URL"):
        return True
    cache = os.environ.get("CRDS_PATH")
    if not cache or "CRDS_MAPPATH" in os.environ:
        return bool(cache)
    rules = Path(cache, "mappings").rglob("*_pars-*.rmap")
    there = {path.name.split("_")[2] for path in rules}
    return bool(there & set(types))


def _fetch(
    absent: Mapping[str, Path], criteria: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """Let the client download selected files."""
    reason = ""
    try:
        with _quiet():
            _client().getreferences(criteria, reftypes=list(absent), **asked)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the client raises anything, and exits
        reason = _reason(error)
    arrived = [path for path in absent.values() if path.is_file()]
    lacking = {t: path for t, path in absent.items() if not _sound(path)}
    if wrong := [path.name for path in arrived if path in lacking.values()]:
        reason = (
            f"The size or the checksum of {', '.join(wrong)} is not the one that the server lists; "
            "what came was removed."
        )
    elif not reason:
        reason = "The cache is read-only, or the server did not send them."
    if lacking:
        files = ", ".join(f"{path} ({t})" for t, path in lacking.items())
        raise ReferenceMissing(
            f"CRDS ({asked['context']}) selects files that are not in the cache and cannot be "
            f"fetched: {files}. {reason} Connect to a server (CRDS_SERVER_URL), or give "
            f"{' '.join(f'--override_{t}=PATH' for t in lacking)}."
        )


@contextlib.contextmanager
def _whole_rules() -> Iterator[None]:
    """Remove damaged rules from the cache if the client fails."""
    folder = Path(os.environ.get("CRDS_PATH", ""), "mappings")
    before = set(folder.rglob("*.*map"))
    try:
        yield
    except BaseException:
        for path in set(folder.rglob("*.*map")) - before:
            _sound(path)
        raise


def _sound(path: Path) -> bool:
    """Whether a file was downloaded completely.

    The client checks after it has put a file in its place, and leaves a bad one there, where the next
    run would take it; such a file is removed.
    """
    from crds.client import api
    from crds.core import utils

    if not path.is_file():
        return False
    try:
        expected = api.get_download_metadata()[path.name]["sha1sum"]
    except Exception:  # noqa: BLE001 - a server that does not know cannot be asked
        return True
    if expected in ("", "none", utils.checksum(str(path))):
        return True
    path.unlink(missing_ok=True)
    return False


def _recommended(reference_type: str, answers: Answers, meta: FlatMetadata) -> Reference:
    """The answer of CRDS for one type: a file or N/A; an error if there is neither."""
    if answers.has(reference_type):
        return answers.reference(reference_type)
    reason = answers.names[reference_type].removeprefix(NOT_FOUND).strip()
    # Instruments without rules for a type, and rules that say N/A: the type does not apply.
    if reason.lower().endswith("n/a") or reason.startswith("No mapping"):
        return Reference(reference_type, None, answers.context)
    names = ("instrument.name", "instrument.detector", "instrument.filter", "subarray.name")
    criteria = ", ".join(f"{n}={meta.get(f'meta.{n}')}" for n in names)
    raise ReferenceMissing(
        f"{reference_type}: CRDS ({answers.context}) has no reference file for {criteria} ({reason}). "
        f"Give --override_{reference_type}=PATH."
    )


def _places(names: Iterable[str]) -> dict[str, str]:
    """The paths of files in the cache, whether they are there or not."""
    from crds.core import config

    found = [name for name in names if not name.startswith(NOT_FOUND)]
    return {name: str(config.locate_file(name, "jwst")) for name in found}


def _grounds(context: str, meta: FlatMetadata, types: Iterable[str]) -> Grounds:
    """What the recommendations for an exposure depend on."""
    from crds.core import config

    instrument = str(meta.get("meta.instrument.name")).lower()
    mappings = _client().get_symbolic_mapping(context, "jwst")
    of_instrument = mappings.get_imap(instrument)
    of_types = [found for t in types if (found := _rules(context, instrument, t)) is not None]
    asks = {mappings.instrument_key, *of_instrument.get_required_parkeys()}
    files = [r.basename for r in (mappings, of_instrument, *of_types)]
    return Grounds(
        sorted(name.lower() for name in asks),
        sorted({row[-2] for r in of_types for row in r.todict()["selections"]} - {"N/A"}),
        [str(config.locate_mapping(name, "jwst")) for name in files],
    )


def _client() -> Any:
    """The client's functions, without what it remembers of an earlier CRDS_PATH."""
    client, place = _loaded(), os.environ.get("CRDS_PATH", "")
    if _PLACES and _PLACES[0] != place:
        from crds.core import utils

        # The client remembers rules by their names alone.
        utils.clear_function_caches()
    _PLACES[:] = [place]
    return client


_PLACES: list[str] = []  # the cache that was asked last


@cache
def _loaded() -> Any:
    """The client, whose records go to our log and not to its own handler."""
    before = dict(os.environ)
    with _quiet(), _stdatamodels_for_crds(), loading():
        from crds.core import heavy_client
        from crds.jwst import locate  # noqa: F401 - imported while the stand-in is there
    _DEFAULTS.update(dict(os.environ.items() - before.items()))
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
    """The first line of the client's message."""
    if isinstance(error, SystemExit):
        if server := os.environ.get("CRDS_SERVER_URL"):
            limit = os.environ["CRDS_CLIENT_TIMEOUT_SECONDS"]
            return (
                f"The server {server} does not answer (within {limit} s, "
                "CRDS_CLIENT_TIMEOUT_SECONDS), and the cache is empty."
            )
        return "There is neither a server nor a cache."
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".") + "."
