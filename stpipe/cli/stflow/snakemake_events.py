"""Snakemake for `stflow run`: as always, and what happens is told in JSON, a line for each event.

`python -m stpipe.cli.stflow.snakemake_events PIPE WORD...`, PIPE being a number of an open file.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import IO, TYPE_CHECKING, Any

from snakemake.cli import main as snakemake
from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

if TYPE_CHECKING:
    import logging

__all__ = ["LogHandler", "events", "main"]

OPTION, NAME = "--logger", "stflow"
_CODE = re.compile(r"returned non-zero exit status (\d+)")  # of Python; no event has it
_pipe: list[IO[str]] = []


class LogHandler(LogHandlerBase):
    """Tells who has started Snakemake about jobs."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write what matters of a record."""
        for told in events(record):
            for pipe in _pipe:
                print(json.dumps(told), file=pipe, flush=True)


def events(record: logging.LogRecord) -> list[dict[str, Any]]:
    """What a record of Snakemake's log says of jobs.

    Parameters
    ----------
    record : logging.LogRecord
        With the attributes of Snakemake's logger plugins.

    Returns
    -------
    list of dict
        `event` is started, ended, failed, progress, exit_code, kept or idle.
    """
    have = record.__dict__
    match have.get("event"):
        case LogEvent.JOB_INFO:
            root = (have["wildcards"] or {}).get("root")
            return [
                {"event": "started", "job": have["jobid"], "rule": have["rule_name"], "root": root}
            ]
        case LogEvent.JOB_FINISHED:
            return [{"event": "ended", "job": have["job_id"]}]
        case LogEvent.JOB_ERROR:  # of jobs of a group, too
            return [{"event": "failed", "rule": have["rule_name"], "logs": list(have["log"])}]
        case LogEvent.PROGRESS:
            return [{"event": "progress", "done": have["done"], "total": have["total"]}]
    message = record.getMessage()
    told: list[dict[str, Any]] = [
        {"event": "exit_code", "code": int(n)} for n in _CODE.findall(message)
    ]
    if "kept" in have:
        told.append({"event": "kept", "message": message})
    if message.startswith(NOTHING_TO_BE_DONE_MSG):
        told.append({"event": "idle"})
    return told


def main() -> None:
    """Run Snakemake with the words of the command line."""
    number, *words = sys.argv[1:]
    LoggerPluginRegistry().register_plugin(NAME, sys.modules[__name__])
    # Of several --logger the last counts.
    place = words.index(OPTION) + 1 if OPTION in words else 0
    words[place:place] = [NAME] if place else [OPTION, NAME]
    with os.fdopen(int(number), "w", encoding="utf-8") as pipe:
        _pipe.append(pipe)
        snakemake(words)


if __name__ == "__main__":
    main()
