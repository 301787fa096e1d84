"""Logs: the format, the level and where records go.

Imported as a library, stpipe only emits records under the logger "stpipe" and leaves handlers to the
program; what a Python call shows goes through handlers of that logger and never through the root. The
command line owns its process and, while it runs, logs everything in it.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TextIO

from stpipe.errors import ParameterError, did_you_mean
from stpipe.system import progress, software

__all__ = [
    "COST",
    "LEVELS",
    "STREAMS",
    "for_call",
    "log_cost",
    "log_platform",
    "noticed",
    "of_process",
]

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-8s %(name)s: %(message)s"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
STREAMS = ("stderr", "stdout", "null")
KEPT = 100  # warnings of a step
COST = r"Used ([\d.]+) s of processor time and at most (\d+) MB"  # as `log_cost` says it
_SETTINGS = ("level", "file", "stream", "format")


@contextlib.contextmanager
def of_process(settings: Mapping[str, str]) -> Iterator[None]:
    """Log everything of this process, warnings too, while the block runs.

    `settings` has `level` (a name), `file` (a path, made anew), `stream` (stderr, stdout or null) and
    `format`, as in the `[logging]` section of a parameter file.

    Raises
    ------
    ParameterError
        With everything that is wrong with `settings`, or when the file cannot be made.
    """
    with _logging_to(logging.getLogger(), settings):
        logging.captureWarnings(capture=True)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)


@contextlib.contextmanager
def for_call(settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Show records of stpipe while a Python call runs, unless the program logs already."""
    log = logging.getLogger("stpipe")
    if not settings and (log.hasHandlers() or log.level != logging.NOTSET):
        yield
        return
    with _logging_to(log, settings or {}):
        yield


@contextlib.contextmanager
def noticed() -> Iterator[list[str]]:
    """Collect the warnings of a step, to be kept in its product.

    Paths among the arguments of a record are cut to their names: a product does not describe the
    machine that made it.
    """
    collector = _Collector(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("stpipe", "py.warnings")]
    for log in loggers:
        log.addHandler(collector)
    try:
        yield collector.found
    finally:
        for log in loggers:
            log.removeHandler(collector)


class _Collector(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect the text; show the record if no other handler does."""
        text = record.msg % tuple(map(_name, record.args)) if record.args else record.msg
        if len(self.found) < KEPT and text not in self.found:
            self.found.append(str(text))
        if logging.lastResort is not None and not self._others(record.name):
            logging.lastResort.handle(record)

    @staticmethod
    def _others(name: str) -> bool:
        """Whether the program has a handler of its own for a logger."""
        log: logging.Logger | None = logging.getLogger(name)
        while log is not None:
            if any(not isinstance(h, (_Collector, logging.NullHandler)) for h in log.handlers):
                return True
            log = log.parent if log.propagate else None
        return False


def _name(argument: object) -> object:
    path = isinstance(argument, (str, PurePath)) and str(argument).startswith("/")
    return PurePath(str(argument)).name if path else argument


@contextlib.contextmanager
def _logging_to(log: logging.Logger, settings: Mapping[str, str]) -> Iterator[None]:
    """Give a logger handlers and a level while the block runs.

    Warnings are always made: products record them, whether they are shown or not.
    """
    handlers = _handlers(settings)
    level, shown = log.level, settings.get("level", "INFO").upper()
    log.setLevel(min(logging.getLevelNamesMapping()[shown], logging.WARNING))
    for handler in handlers:
        handler.setLevel(shown)
        log.addHandler(handler)
    try:
        yield
    finally:
        log.setLevel(level)
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def _handlers(settings: Mapping[str, str]) -> list[logging.Handler]:
    formatter = _formatter(settings)
    stream = settings.get("stream", "stderr")
    handlers: list[logging.Handler] = []
    if stream != "null":
        handlers.append(_Beside(getattr(sys, stream)))
    if path := settings.get("file"):
        try:
            handlers.append(_ToFile(path, mode="w", encoding="utf-8"))
        except OSError as error:
            raise ParameterError(f"log file {path}: {error.strerror}.") from None
    for handler in handlers:
        handler.setFormatter(formatter)
    return handlers or [logging.NullHandler()]


class _OneLine(logging.Formatter):
    """Quotes names, metadata and what commands print so that they cannot pass for lines of the log."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        if isinstance(record.args, tuple):
            record = copy.copy(record)
            record.args = tuple(map(_escaped, record.args or ()))
        return super().format(record)


_CONTROL = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160), 0x2028, 0x2029)}
_CONTROL |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\t"}


def _escaped(value: object) -> object:
    """A value as it is; its text with control characters escaped when it has any."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = str(value)
    quoted = text.translate(_CONTROL)
    return value if quoted == text else quoted


class _Beside(logging.StreamHandler[TextIO]):
    """Writes records beside a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Erase the bar before the record."""
        progress.make_way()
        super().emit(record)


class _ToFile(logging.FileHandler):
    """Writes records into a file until the disk is full: products matter more than their log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say once that the file is not complete, and go on without it."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.setLevel(logging.CRITICAL + 1)
        sys.stderr.write(
            f"warning: the log file {self.baseFilename} cannot be written: {error.strerror}; the run "
            "goes on without it.\n"
        )

    def close(self) -> None:
        """Close the file, also when what was left to be written has no room."""
        with contextlib.suppress(OSError):
            super().close()


def _formatter(settings: Mapping[str, str]) -> logging.Formatter:
    """The formatter, if all settings are valid."""
    problems = [
        f'[logging]: unknown setting "{name}"{did_you_mean(name, _SETTINGS)}'
        for name in settings
        if name not in _SETTINGS
    ]
    problems += _not_one_of("level", settings.get("level", "INFO").upper(), LEVELS)
    problems += _not_one_of("stream", settings.get("stream", "stderr"), STREAMS)
    text = settings.get("format", FORMAT)
    formatter = _OneLine(text, "%Y-%m-%dT%H:%M:%S", validate=False)
    try:
        formatter.format(logging.LogRecord("stpipe", logging.INFO, "", 0, "", (), None))
    except (ValueError, KeyError, TypeError) as error:
        problems.append(
            f"log format: found {text!r} ({error}), allowed: fields of Python's logging, such as "
            "%(asctime)s %(levelname)s %(name)s %(message)s"
        )
    if problems:
        raise ParameterError(problems)
    formatter.converter = time.gmtime
    return formatter


def _not_one_of(name: str, value: str, allowed: Sequence[str]) -> Iterator[str]:
    if value not in allowed:
        hint = did_you_mean(value, allowed)
        yield f"log {name}: found {value!r}, allowed: {', '.join(allowed)}{hint}"


def log_platform(log: logging.Logger) -> None:
    """Log a line about versions and platform."""
    packages = ", ".join(f"{name} {number}" for name, number in software.installed().items())
    log.info(
        "%s; Python %s on %s %s",
        packages,
        platform.python_version(),
        platform.system(),
        platform.release(),
    )


def log_cost(log: logging.Logger) -> None:
    """Log a line about the time and memory that this process has used."""
    log.info(
        "Used %.2f s of processor time and at most %.0f MB of memory", time.process_time(), _peak()
    )


def _peak() -> float:
    """The largest resident set of this process, in MB.

    Not `getrusage`, on Linux: its figure includes the process that started this one.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024e-6
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024e-6
