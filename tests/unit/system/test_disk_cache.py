"""What is kept between runs: checksums of files and answers of CRDS, as long as they hold."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe import models
from stpipe.errors import ReferenceMissing
from stpipe.references import checksums
from stpipe.references.crds import CrdsResolver
from stpipe.system import disk_cache

TYPES = ["gain", "readnoise"]
ASK_AGAIN = """
import sys
from stpipe import models
from stpipe.references.crds import CrdsResolver
meta = models.open_metadata(sys.argv[1]).to_flat_dict()
print({t: str(r.path) for t, r in CrdsResolver().select(meta, sys.argv[2:]).items()})
print("crds" in sys.modules)
"""


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STPIPE_MEMORY", str(tmp_path / "memory"))
    checksums._sha256.cache_clear()
    return tmp_path / "memory"


@pytest.fixture
def cache(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the demo's CRDS cache that a test may change."""
    shutil.copytree(demo_folder / "crds", tmp_path / "crds")
    for name in ("CRDS_SERVER_URL", "CRDS_CONTEXT", "CRDS_READONLY_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "crds"))
    return tmp_path / "crds"


def select_in_a_new_process(exposure: Path) -> tuple[str, bool]:
    """What a later run selects, and whether it needed the client."""
    command = [sys.executable, "-c", ASK_AGAIN, str(exposure), *TYPES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, needed = done.stdout.splitlines()
    return found, needed == "True"


def test_a_checksum_is_that_of_the_file_as_it_is(tmp_path: Path, own_memory: Path) -> None:
    """Kept for a file that has been left alone; computed again once anything about it changes."""
    path = tmp_path / "reference.fits"
    path.write_bytes(b"one")
    old = time.time() - 100
    assert hashlib.sha256(b"one").hexdigest() == checksums.sha256(path)
    assert not list(own_memory.rglob("*.json"))  # written a moment ago: not trusted

    state = disk_cache.state_of(path)
    disk_cache.keep("kept", "sha256", path, state)
    checksums._sha256.cache_clear()
    assert "kept" == checksums.sha256(path)

    path.write_bytes(b"two")
    os.utime(path, (old, old))  # not even a forged time helps: ctime is the system's
    assert hashlib.sha256(b"two").hexdigest() == checksums.sha256(path)


def test_what_follows_from_a_file_is_found_once_for_each_state_of_it(
    tmp_path: Path, own_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may still change within a tick of the clock is looked at each time."""
    path = tmp_path / "x.py"
    path.write_text("one")
    finds = iter(range(9))

    def found() -> int:
        return int(disk_cache.of_file(path, lambda: next(finds), "what"))

    assert [0, 1] == [found(), found()]
    assert not list(own_memory.rglob("*.json"))
    monkeypatch.setattr(disk_cache, "SETTLED", -1)
    assert [2, 2] == [found(), found()]
    path.write_text("two")
    assert [3, 3] == [found(), found()]
    assert 4 == disk_cache.of_file(path, lambda: next(finds), "something else")


@pytest.mark.usefixtures("cache")
def test_answers_of_crds_are_kept(exposures: list[Path]) -> None:
    """The second process gets the same files without the client."""
    first, needed = select_in_a_new_process(exposures[0])
    assert needed
    assert (first, False) == select_in_a_new_process(exposures[0])


def _with_another_date(gain: Path, since: str) -> None:
    """Let the gain of the demo be used from a date on."""
    text = gain.read_text()
    gain.write_text(re.sub(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d'", f"'{since}'", text))


MOMENTS = ["2023-05-05 00:00:00", "2024-01-01 11:59:59.999", "2024-01-01 12:00:00.000"]
MOMENTS += ["2024-01-01 12:00:00.001", "2024-01-02 00:00:00", "someday noon"]


def test_exposures_of_the_same_time_share_answers(
    cache: Path, exposures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules look at whether their dates lie before an exposure: the memory does the same."""
    monkeypatch.setenv("CRDS_IGNORE_MAPPING_CHECKSUM", "1")  # the rules are changed
    (rules,) = cache.rglob("jwst_nircam_gain_0001.rmap")
    _with_another_date(rules, "2024-01-01 12:00:00")
    nircam = next(path for path in exposures if "nrc" in path.name)
    header = models.open_metadata(nircam).to_flat_dict()

    def answer(moment: str) -> str:
        date, time_ = moment.split(" ")
        meta = header | {"meta.observation.date": date, "meta.observation.time": time_}
        try:
            return str(CrdsResolver().select(meta, ["gain"])["gain"].path)
        except ReferenceMissing as error:
            return str(error).partition("(")[0]

    asked = []
    really = CrdsResolver._asked.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(CrdsResolver, "_asked", property(lambda r: (asked.append(1), really(r))[1]))
    kept = [answer(moment) for moment in MOMENTS]
    counted = len(asked)
    monkeypatch.setenv("STPIPE_MEMORY", "off")
    assert [answer(moment) for moment in MOMENTS] == kept
    assert len(set(kept[:3])) == 2
    assert counted < len(MOMENTS)


def test_checksums_are_computed_ahead(tmp_path: Path) -> None:
    """In a thread beside the work, in order; a file that is gone is said when it is asked for."""
    paths = [tmp_path / f"{n}.fits" for n in range(4)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 100_000)
    checksums.hash_ahead([*paths, paths[0], tmp_path / "none.fits", paths[1]])
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert expected == [checksums.sha256(path) for path in paths]
    with pytest.raises(FileNotFoundError):
        checksums.sha256(tmp_path / "none.fits")

    paths[0].write_bytes(b"changed")
    assert hashlib.sha256(b"changed").hexdigest() == checksums.sha256(paths[0])


def _write_rules_again(cache: Path) -> None:
    (rules,) = cache.rglob("jwst_nircam_gain_0001.rmap")
    rules.write_text(rules.read_text())


def _change_configuration(cache: Path) -> None:
    (bad_files,) = cache.rglob("bad_files.txt")
    bad_files.write_text("jwst_unknown_0000.fits\n")


@pytest.mark.parametrize("change", [_write_rules_again, _change_configuration])
def test_answers_do_not_outlive_what_they_rest_on(
    cache: Path, exposures: list[Path], change: Callable[[Path], None]
) -> None:
    """Rules written anew in place, or another configuration of the cache: the client is asked."""
    nircam = next(path for path in exposures if "nrc" in path.name)
    select_in_a_new_process(nircam)
    change(cache)
    _, needed = select_in_a_new_process(nircam)
    assert needed


def test_files_that_are_gone_are_not_answered(cache: Path, exposures: list[Path]) -> None:
    """What was kept does not hide that a reference file is missing."""
    nircam = next(path for path in exposures if "nrc" in path.name)
    meta = models.open_metadata(nircam).to_flat_dict()
    select_in_a_new_process(nircam)
    (gain,) = cache.rglob("jwst_nircam_gain_0001.fits")
    gain.unlink()
    with pytest.raises(ReferenceMissing, match="jwst_nircam_gain_0001"):
        CrdsResolver().select(meta, TYPES)


@pytest.mark.usefixtures("cache")
def test_another_exposure_is_another_question(
    exposures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was asked before: every exposure, in every state, has the files that CRDS names."""
    headers = [models.open_metadata(path).to_flat_dict() for path in exposures]
    for changes in ({}, {"meta.observation.date": "2025-01-01"}, {"meta.visit.tsovisit": True}):
        for meta in headers:
            for _ in range(2):
                found = CrdsResolver().select(meta | changes, TYPES)
            with monkeypatch.context() as patch:
                patch.setenv("STPIPE_MEMORY", "off")
                assert CrdsResolver().select(meta | changes, TYPES) == found


@pytest.mark.usefixtures("cache")
def test_nothing_is_kept_when_it_is_off(
    own_memory: Path, exposures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """STPIPE_MEMORY=off: every process asks for itself."""
    monkeypatch.setenv("STPIPE_MEMORY", "off")
    select_in_a_new_process(exposures[0])
    assert select_in_a_new_process(exposures[0])[1]
    assert not own_memory.exists()


def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory spares time; without it things are found out again."""
    monkeypatch.setenv("STPIPE_MEMORY", "/proc/nowhere")
    disk_cache.keep(1, "key")
    assert disk_cache.recall("key") is None
