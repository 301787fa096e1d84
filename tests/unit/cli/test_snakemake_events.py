"""What `stflow run` hears of Snakemake's log."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake_interface_logger_plugins.common import LogEvent

from stpipe.cli.stflow.snakemake_events import events


def record(message: str = "", **extra: Any) -> logging.LogRecord:
    """A record of Snakemake's."""
    made = logging.makeLogRecord({"msg": message, "args": ()})
    made.__dict__.update(extra)
    return made


JOB = {"jobid": 7, "rule_name": "jump", "wildcards": {"root": "x{1}"}}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            record(event=LogEvent.JOB_INFO, **JOB),
            [{"event": "started", "job": 7, "rule": "jump", "root": "x{1}"}],
        ),
        (
            record(event=LogEvent.JOB_INFO, **JOB | {"wildcards": None}),
            [{"event": "started", "job": 7, "rule": "jump", "root": None}],
        ),
        (record(event=LogEvent.JOB_FINISHED, job_id=7), [{"event": "ended", "job": 7}]),
        (
            record(event=LogEvent.JOB_ERROR, rule_name="jump", log=["logs/a.log"]),
            [{"event": "failed", "rule": "jump", "logs": ["logs/a.log"]}],
        ),
        (
            record(event=LogEvent.PROGRESS, done=2, total=5),
            [{"event": "progress", "done": 2, "total": 5}],
        ),
        (
            record("Command 'strun' returned non-zero exit status 3."),
            [{"event": "exit_code", "code": 3}],
        ),
        (
            record("x is the previous one", kept="x"),
            [{"event": "kept", "message": "x is the previous one"}],
        ),
        (record(NOTHING_TO_BE_DONE_MSG), [{"event": "idle"}]),
        (record("Building DAG of jobs..."), []),
    ],
)
def test_what_matters_is_told(said: logging.LogRecord, told: list[dict[str, Any]]) -> None:
    """By the attributes of events, not by words, where there are any."""
    assert told == events(said)
