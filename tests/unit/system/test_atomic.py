"""Files are whole or not there, and what a killed process leaves is not kept for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from stpipe.errors import StpipeError
from stpipe.system.atomic import replacing


def write_slowly(target: Path, letter: bytes, count: int) -> None:
    with replacing(target) as stream:
        for _ in range(count):
            stream.write(letter * 1000)
            stream.flush()
            time.sleep(0.001)


def started(target: Path, letter: bytes, count: int) -> multiprocessing.Process:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write_slowly, args=(target, letter, count))
    process.start()
    return process  # type: ignore[return-value]


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_a_leftover_of_a_killed_process_is_used_again(tmp_path: Path) -> None:
    target = tmp_path / "x.fits"
    process = started(target, b"a", 100_000)
    while not any(p.stat().st_size for p in tmp_path.iterdir()):
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert [".x.fits.0"] == hidden(tmp_path)

    with replacing(target) as stream:
        stream.write(b"b")

    assert b"b" == target.read_bytes()
    assert [] == hidden(tmp_path)


def test_two_writers_never_mix(tmp_path: Path) -> None:
    """Each file that is ever visible is one writer's, from its beginning to its end."""
    target = tmp_path / "x.fits"
    writers = [started(target, letter, 200) for letter in (b"a", b"b", b"c")]
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if target.exists():
            content = target.read_bytes()
            assert 200_000 == len(content)
            seen.add(content[:1])
            assert {content[0]} == set(content)
    for writer in writers:
        writer.join()
        assert 0 == writer.exitcode
    assert seen
    assert [] == hidden(tmp_path)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "x.fits"
    target.write_bytes(b"old")

    with pytest.raises(ZeroDivisionError), replacing(target) as stream:
        stream.write(b"new" * (1 // 0))

    assert b"old" == target.read_bytes()
    assert [] == hidden(tmp_path)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StpipeError, match=r"nowhere/x\.fits cannot be written"),
        replacing(tmp_path / "nowhere/x.fits"),
    ):
        pass
