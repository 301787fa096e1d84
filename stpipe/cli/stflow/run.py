"""`stflow run` and `stflow verify`: run a project under Snakemake, and check its products."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from stpipe.errors import HookError, InputError, ReferenceMissing, StpipeError, UsageError
from stpipe.system.text import counted

if TYPE_CHECKING:
    from stpipe.project.plan import Plan

__all__ = ["run", "verify"]

_CORES = re.compile(r"--cores\b|-c\d*$|--jobs\b|-j\d*$|--executor\b|-n$|--dry-run$|--profile\b")
_WIDTH = 30  # characters of the bar
_LINES_KEPT = 40  # of what snakemake says
EVENTS = "stpipe.cli.stflow.snakemake_events"


# The errors behind exit codes of jobs, if all that failed have the same.
_KINDS = {e.exit_code: e for e in (UsageError, InputError, ReferenceMissing, HookError)}


def run(folder: str, words: Sequence[str]) -> None:
    """Run a project; words are handed to snakemake.

    Raises
    ------
    StpipeError
        Whatever planning finds wrong, before anything runs; or, when jobs failed, the error of each,
        with the exit code of the jobs where all have the same.
    """
    from stpipe.project import config as project_config
    from stpipe.project import early_end

    config = project_config.read(folder)
    project_config.require_current(folder)
    with project_config.inside(folder):
        if "--unlock" in words:
            _snakemake(["--unlock"])
            return
        from stpipe.project.plan import load

        plan = load(config)  # what is wrong with the project is said in one message
        _refuse_locked()
        # A pattern without a match arrives unexpanded; no target at all means everything.
        cores = [] if any(_CORES.match(word) for word in words) else ["--cores", "all"]
        watched = _Watched()
        code = watched.follow([*cores, *words])
        if code and not watched.failed:
            raise early_end.explained(watched.last, plan.products())
        if code:
            raise _KINDS.get(watched.exit_code, StpipeError)(watched.summary())


def verify(options: argparse.Namespace) -> None:
    """Set aside products that were truncated or changed; exit code 1 if there are any."""
    from stpipe.project import config as project_config
    from stpipe.project import integrity
    from stpipe.project.plan import load

    config = project_config.read(options.directory)
    with project_config.inside(options.directory):
        integrity.refuse_while_running()
        plan: Plan = load(config)
        known = plan.products()
        found = list(integrity.verify(known))
        for product, problem in found:
            place = product if options.keep else integrity.set_aside(product)
            print(f"{product}: {problem}" + ("" if options.keep else f"; set aside as {place}"))
        changed = plan.changed_inputs()
        for path in changed:
            print(f"{path}: its content is not what products were made from")
        there = sum(Path(product).exists() for product in known)
        print(f"{counted(there, 'product')} intact.")
        if found:
            advice = "" if options.keep else " The next run rebuilds what was set aside."
            raise StpipeError(f"{counted(len(found), 'product')} truncated or changed.{advice}")
        if changed:
            raise StpipeError("Inputs have changed. The next run rebuilds what was made from them.")


def _refuse_locked() -> None:
    """Say what to do about locks, which name neither their owner nor their age."""
    from stpipe.project import integrity

    if integrity.LOCKS.is_dir() and any(integrity.LOCKS.iterdir()):
        here = list(_snakemakes())
        if here:
            raise UsageError(
                f"a run is in progress in {Path.cwd()} (process {', '.join(here)}). Wait for its end."
            )
        raise UsageError(
            f"{Path.cwd()} is locked, by a run that was killed or one on another machine. If none is "
            "at work elsewhere: stflow run --unlock, then run again; what was made is kept."
        )


def _snakemakes() -> Iterator[str]:
    """Processes of this machine that run snakemake in the current folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if b"snakemake" in command and (entry / "cwd").resolve() == Path.cwd():
                yield entry.name
        except OSError:  # it has ended, or is another user's
            continue


def _snakemake(words: Sequence[str]) -> None:
    from stpipe.project import early_end
    from stpipe.project.config import SNAKEMAKE

    command = [*SNAKEMAKE, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise early_end.explained(done.stderr.splitlines(), ())
    print("unlocked")


@dataclass
class _Watched:
    """A run of snakemake: its events as a progress bar and as a summary."""

    jobs: dict[int, tuple[str, str]] = field(default_factory=dict)  # rule and exposure by number
    kept: list[str] = field(default_factory=list)  # sentences about previous products that stay
    codes: set[int] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)  # rule by log
    last: list[str] = field(default_factory=list)  # lines of output

    @property
    def exit_code(self) -> int:
        """The exit code of the jobs that failed, if it is the same for all."""
        return next(iter(self.codes)) if len(self.codes) == 1 else 0

    def follow(self, words: Sequence[str]) -> int:
        """Run snakemake and show its progress; returns its exit code."""
        reading, writing = os.pipe()
        command = [sys.executable, "-P", "-m", EVENTS, str(writing), "--nocolor", *words]
        with tempfile.TemporaryFile("w+", errors="replace") as output, os.fdopen(reading) as events:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, pass_fds=[writing]
            )
            os.close(writing)
            try:
                self._read(events)
                return process.wait()
            except KeyboardInterrupt:
                # Snakemake has received the signal, too, and ends its jobs.
                self._read(events)
                process.wait()
                raise
            finally:
                _show("", final=True)
                output.seek(0)
                self.last = list(deque((line.rstrip() for line in output), _LINES_KEPT))

    def _read(self, events: IO[str]) -> None:
        for line in events:
            event = json.loads(line)
            getattr(self, f"on_{event.pop('event')}")(**event)

    def on_started(self, job: int, rule: str, root: str | None) -> None:
        """A job begins; rules without an exposure only gather what is wanted."""
        if root is not None:
            self.jobs[job] = rule, root

    def on_progress(self, done: int, total: int) -> None:
        """How many jobs are done."""
        _show(_bar(done, total))

    def on_ended(self, job: int) -> None:
        """A job has succeeded."""
        if job in self.jobs and not sys.stderr.isatty():
            rule, root = self.jobs[job]
            print(f"{rule:<20} {root}")

    def on_failed(self, rule: str, logs: Sequence[str]) -> None:
        """A job has failed."""
        for log in logs:
            self.failed.setdefault(log, rule)

    def on_exit_code(self, code: int) -> None:
        """The exit code of a job."""
        self.codes.add(code)

    def on_kept(self, message: str) -> None:
        """A previous product was put back."""
        self.kept.append(message)

    def on_idle(self) -> None:
        """There was nothing to do."""
        print("Nothing to be done: all products are there and up to date.")

    def summary(self) -> str:
        """What failed and why, in a few lines."""
        errors = [f"{rule}: {_last_error(Path(log))} ({log})" for log, rule in self.failed.items()]
        return "\n".join([f"{counted(len(errors), 'job')} failed:", *errors, *self.kept])


def _last_error(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log"
    errors = [line for line in lines if ": error:" in line]
    return (errors or lines or ["the log is empty"])[-1]


def _bar(done: int, total: int) -> str:
    filled = _WIDTH * done // max(total, 1)
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done} of {total} jobs"


def _show(text: str, *, final: bool = False) -> None:
    """A line that replaces itself on a terminal; elsewhere nothing."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}" if not final else "\r\x1b[K")
        sys.stderr.flush()
