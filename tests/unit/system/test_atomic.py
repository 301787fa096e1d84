"""Files are whole or not there, and what a killed process leaves is not kept for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from stpipe.errors import StpipeError
from stpipe.system import atomic
from stpipe.system.atomic import replacing, write_text


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


@pytest.fixture(params=["nameless", "named"], autouse=True)
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems with and without files that have no name."""
    if request.param == "named":
        monkeypatch.setattr(atomic, "_NAMELESS", 0)
    return str(request.param)


def test_a_killed_process_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "x.fits"
    process = started(target, b"a", 100_000)
    while not any(size(p) for p in open_files(process.pid or 0, tmp_path)):
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()

    assert [] == list(tmp_path.iterdir())


def size(file: Path) -> int:
    """Bytes in an open file; 0 if it has been closed."""
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def open_files(process: int, folder: Path) -> list[Path]:
    """Files without a name that a process writes in a folder."""
    found = []
    for file in Path(f"/proc/{process}/fd").glob("*"):
        with suppress(FileNotFoundError):  # closed in the meantime
            if str(file.readlink()).startswith(f"{folder}/#"):
                found.append(file)
    return found


@pytest.mark.parametrize("name", [".x.fits.0", ".x.fits.1", ".stpipe-0", "x.fits"])
def test_no_link_is_followed(tmp_path: Path, name: str) -> None:
    """Whoever may write into the folder cannot have another file overwritten."""
    victim, folder = tmp_path / "victim", tmp_path / "out"
    victim.write_bytes(b"precious")
    folder.mkdir()
    (folder / name).symlink_to(victim)

    with replacing(folder / "x.fits") as stream:
        stream.write(b"product")

    assert b"precious" == victim.read_bytes()
    assert b"product" == (folder / "x.fits").read_bytes()
    assert not (folder / "x.fits").is_symlink()


def test_names_are_new_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None that somebody could have taken before."""
    names: list[str] = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b, **k: (names.append(a), real(a, b, **k)))
    for _ in range(20):
        with replacing(tmp_path / "x.fits") as stream:
            stream.write(b"x")

    assert 20 == len(set(names))


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250 + ".fits")
    with replacing(target) as stream:
        stream.write(b"x")

    assert target.is_file()


def test_text_is_whole_or_not_there(tmp_path: Path) -> None:
    write_text(tmp_path / "x.json", "ä")
    assert "ä" == (tmp_path / "x.json").read_text("utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "x.json", "\ud800")
    assert "ä" == (tmp_path / "x.json").read_text("utf-8")
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
