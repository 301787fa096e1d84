"""Whatever is killed, full or edited meanwhile: the next run makes the undisturbed products."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from comparing import same

from stpipe import models

pytestmark = pytest.mark.usefixtures("crds")

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# STPIPE_KILLS=50 is the full form, which takes ten minutes.
KILLS = int(os.environ.get("STPIPE_KILLS", "3"))
REPLACED = "has changed since it was opened"
SNAKEMAKE = ["snakemake", "--cores", "2", "--nocolor", "cal"]


@pytest.fixture(scope="module")
def first_run(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """A finished project of one small exposure, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    chosen = next(e for e in exposures if "_nis_" in e.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        run("stflow", "init", "project", "--pipeline=calwebb_detector1", chosen, cwd=folder)
        started = time.monotonic()
        assert 0 == start(folder / "project").wait()
        return folder / "project", time.monotonic() - started


@pytest.fixture(scope="module")
def undisturbed(first_run: tuple[Path, float]) -> Path:
    return first_run[0]


@pytest.fixture
def fresh(undisturbed: Path, tmp_path: Path) -> Path:
    """The same project before its first run."""
    # Beside the original, so that the relative path to the exposure holds.
    return _fresh(undisturbed, undisturbed.parent / tmp_path.name)


def _fresh(undisturbed: Path, folder: Path) -> Path:
    for name in ("config", "workflow"):
        shutil.copytree(undisturbed / name, folder / name)
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A run in the background, in a process group of its own."""
    with (folder / "run.log").open("ab") as log:
        return subprocess.Popen(
            SNAKEMAKE, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def resume(run: Run, folder: Path) -> None:
    """What a user does after a crash.

    A step that survived its snakemake may replace a file while the new run reads it: the reader then
    stops and says so rather than mix two files, and that run has to be started once more.
    """
    run("snakemake", "--unlock", cwd=folder)
    done = subprocess.run(SNAKEMAKE, cwd=folder, capture_output=True, text=True, check=False)
    if REPLACED in done.stderr:
        done = subprocess.run(SNAKEMAKE, cwd=folder, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


def assert_undisturbed(folder: Path, undisturbed: Path) -> None:
    expected = sorted(p.name for p in (undisturbed / "cal").iterdir())
    # Nor is anything hidden left behind.
    assert expected == sorted(p.name for p in (folder / "cal").iterdir())
    for name in expected:
        same(undisturbed / "cal" / name, folder / "cal" / name)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Open each product as soon as its name is there; collects what was wrong with any."""
    problems: list[str] = []
    done = threading.Event()

    def watch() -> None:
        seen: set[tuple[str, int, int, int]] = set()
        while not done.is_set():
            for path in folder.glob("cal/[!.]*"):
                with contextlib.suppress(FileNotFoundError):  # snakemake takes failed ones away
                    status = path.stat()
                    state = (path.name, status.st_ino, status.st_size, status.st_mtime_ns)
                    if state not in seen:
                        seen.add(state)
                        problems.extend(whole(path))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield problems
    finally:
        done.set()
        watcher.join()


def whole(path: Path) -> Iterator[str]:
    """Nothing, or why this is no complete product."""
    try:
        with models.open(path) as model:
            for name in model.shapes:
                getattr(model, name)
    except FileNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it is what we look for
        if REPLACED not in str(error):  # by a whole one, which is looked at next
            yield f"{path.name}: {error}"


def kill(process: subprocess.Popen[bytes], victim: str) -> None:
    """End a step, snakemake, or everything at once, with no chance to tidy up."""
    if victim == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif victim == "snakemake":
        process.kill()
    else:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any(word.endswith("strun") for word in child.cmdline()):
                        child.kill()


def end_orphans(group: int) -> None:
    """Wait for steps that survived their snakemake, so that the next round starts clean."""
    for _ in range(600):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def test_kills_at_random_moments(
    run: Run,
    first_run: tuple[Path, float],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """By kill -9 of a step, of snakemake, or of both: the next run completes, bit for bit."""
    chance = random.Random(20261124)  # noqa: S311 - moments, not secrets
    undisturbed, longest = first_run

    for number in range(KILLS):
        folder = _fresh(undisturbed, undisturbed.parent / f"{tmp_path.name}-{number}")
        victim = ("step", "snakemake", "all")[number % 3]
        with watched(folder) as problems:
            process = start(folder)
            time.sleep(chance.uniform(0.1, 1.0) * longest)
            kill(process, victim)
            process.wait()
            resume(run, folder)
            end_orphans(process.pid)
        assert not problems, f"kill {number} ({victim})"
        assert_undisturbed(folder, undisturbed)
        shutil.rmtree(folder)
    record_property("kills", KILLS)


def test_two_runs_at_once(run: Run, fresh: Path, undisturbed: Path) -> None:
    """Both plan, one of them is refused or both succeed; nothing is damaged."""
    with watched(fresh) as problems:
        both = [start(fresh), start(fresh)]
        codes = sorted(process.wait() for process in both)
        if codes[0] != 0:
            resume(run, fresh)

    assert not problems
    assert codes in ([0, 0], [0, 1], [1, 1])
    text = (fresh / "run.log").read_text()
    assert "Traceback" not in text
    assert codes == [0, 0] or "LockException" in text or "IncompleteFiles" in text
    assert_undisturbed(fresh, undisturbed)


def test_an_edit_during_a_run_changes_nothing_in_it(
    run: Run, fresh: Path, undisturbed: Path
) -> None:
    """The run ends as it was planned; the next one makes what was edited."""
    process = start(fresh)
    while not any(fresh.glob("cal/*_dq_init.fits")):
        assert process.poll() is None, (fresh / "run.log").read_text()
        time.sleep(0.01)
    cfg = fresh / "config/calwebb_detector1.cfg"
    text = cfg.read_text()
    cfg.write_text(text.replace("# rejection_threshold = 4.0", "rejection_threshold = 9.0", 1))
    assert cfg.read_text() != text
    assert not any(fresh.glob("cal/*_jump.fits"))
    assert 0 == process.wait()

    assert_undisturbed(fresh, undisturbed)
    planned = run("snakemake", "-n", "cal", cwd=fresh).stdout
    assert ["jump", "ramp_fit", "cal"] == re.findall(
        r"^ *(?:local)?rule (\w+):", planned, re.MULTILINE
    )


@pytest.fixture
def small_disk(fresh: Path) -> Iterator[Callable[[str], None]]:
    """`cal/` on a disk of its own; call it with another size."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = fresh / "cal"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")

    def resize(size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)

    yield resize
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    run: Run, fresh: Path, undisturbed: Path, small_disk: Callable[[str], None]
) -> None:
    """The message names the file and the reason; what was made stays, and nothing half-made."""
    with watched(fresh) as problems:
        failed = run(*SNAKEMAKE, cwd=fresh, code=1)
        before = {p.name: p.stat().st_mtime_ns for p in (fresh / "cal").iterdir()}
        small_disk("50m")
        run(*SNAKEMAKE, cwd=fresh)

    assert not problems
    said = re.search(r"strun: error: (.*)", failed.stderr)
    assert said, failed.stderr
    assert "cannot be written: No space left on device" in said[1]
    assert before
    assert not [name for name in before if name.startswith(".")]
    after = {p.name: p.stat().st_mtime_ns for p in (fresh / "cal").iterdir()}
    assert before.items() <= after.items()
    assert_undisturbed(fresh, undisturbed)
