"""Logs: the format, the level and where records go.

Imported as a library, stpipe only emits records under the logger "stpipe" and leaves handlers to the
program. The command line owns its process and sets up handlers for everything logged in it.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from stpipe.errors import ParameterError, did_you_mean

__all__ = ["LEVELS", "configure", "log_platform", "software", "to_stderr"]

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-8s %(name)s: %(message)s"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SETTINGS = ("level", "file", "format")
_PACKAGES = ("stpipe-flow", "numpy", "astropy", "asdf", "crds")


def configure(settings: Mapping[str, str]) -> None:
    """Send every record of this process to stderr and, when given, to a file.

    `settings` has `level` (a name), `file` (a path, made anew) and `format`, as in the `[logging]`
    section of a parameter file.
    """
    _check(settings)
    formatter = logging.Formatter(settings.get("format", FORMAT), "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path := settings.get("file"):
        try:
            handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
        except OSError as error:
            raise ParameterError(f"log file {path}: {error.strerror}.") from None
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=settings.get("level", "INFO").upper(), force=True)
    logging.captureWarnings(capture=True)


def _check(settings: Mapping[str, str]) -> None:
    problems = [
        f'[logging]: unknown setting "{name}"{did_you_mean(name, _SETTINGS)}'
        for name in settings
        if name not in _SETTINGS
    ]
    level = settings.get("level", "INFO").upper()
    if level not in LEVELS:
        problems.append(f"log level: found {level!r}, allowed: {', '.join(LEVELS)}")
    if problems:
        raise ParameterError(problems)


@contextlib.contextmanager
def to_stderr() -> Iterator[None]:
    """Show records of stpipe at INFO while a Python call runs, unless the program logs already."""
    log = logging.getLogger("stpipe")
    if log.hasHandlers() or log.level != logging.NOTSET:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S"))
    handler.formatter.converter = time.gmtime  # type: ignore[union-attr]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def log_platform(log: logging.Logger) -> None:
    """One line that says what runs where."""
    packages = ", ".join(f"{name} {number}" for name, number in software().items())
    log.info(
        "%s; Python %s on %s %s",
        packages,
        platform.python_version(),
        platform.system(),
        platform.release(),
    )


def software() -> dict[str, str]:
    """Versions of the packages that make a product; those not installed are left out."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
