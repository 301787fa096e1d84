"""CRDS through the stock client: with a server on loopback, offline, and with a read-only cache."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crds_server import serving

from stpipe import models
from stpipe.errors import ReferenceMissing
from stpipe.references.crds import CrdsResolver

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SUPERBIAS = "jwst_niriss_superbias_0001.fits"
RULES = "jwst_niriss_superbias_0001.rmap"


@pytest.fixture
def server(demo_folder: Path) -> Iterator[Any]:
    """A server of the demo's rules and files."""
    with serving(demo_folder / "crds", "jwst_0001.pmap") as running:
        yield running


@pytest.fixture
def cache(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that is filled from the server."""
    for name in ("CRDS_CONTEXT", "CRDS_READONLY_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("CRDS_SERVER_URL", server.url)
    return tmp_path / "cache"


@pytest.fixture
def niriss(exposures: list[Path]) -> Path:
    return next(path for path in exposures if "nis" in path.name)


def same_file(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def test_rules_and_files_come_from_a_server_once(
    server: Any, cache: Path, niriss: Path, run: Run, tmp_path: Path, demo_folder: Path
) -> None:
    """The context is the server's; what came down is what it has, and is not fetched again."""
    run("strun", "superbias", niriss, cwd=tmp_path)

    (fetched,) = cache.rglob(SUPERBIAS)
    (original,) = (demo_folder / "crds").rglob(SUPERBIAS)
    assert same_file(original, fetched)
    with models.open(next(tmp_path.glob("*_superbias.fits"))) as model:
        assert "jwst_0001.pmap" == model.meta.ref_file.crds.context_used
        assert f"crds://{SUPERBIAS}" == model.meta.ref_file.superbias.name

    before = len(server.asked)
    run("strun", "superbias", niriss, cwd=tmp_path)
    again = server.asked[before:]
    assert not [name for name in again if name.startswith("jwst_")]


def test_what_was_fetched_serves_without_the_server(
    server: Any,
    cache: Path,
    niriss: Path,
    run: Run,
    tmp_path: Path,
) -> None:
    """Offline with the cache of an earlier day: the same pixels; what it lacks is named."""
    run("strun", "superbias", niriss, "--output_file=online.fits", cwd=tmp_path)
    server.shutdown()
    server.server_close()

    run("strun", "superbias", niriss, "--output_file=offline.fits", cwd=tmp_path)
    with models.open(tmp_path / "online.fits") as a, models.open(tmp_path / "offline.fits") as b:
        np.testing.assert_array_equal(a.data, b.data)

    done = run("strun", "jump", niriss, cwd=tmp_path, code=4)
    assert "jwst_niriss_gain_0001.fits (gain)" in done.stderr
    assert "--override_gain=PATH" in done.stderr
    assert not list(cache.rglob("*gain*.fits"))


@pytest.mark.parametrize("name", [SUPERBIAS, RULES])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="half"),
        pytest.param(lambda content: content[:-9] + b"#########", id="changed"),
    ],
)
def test_a_bad_download_leaves_nothing_behind(
    server: Any, cache: Path, niriss: Path, run: Run, tmp_path: Path, name: str, damage: Any
) -> None:
    """Whether the server fails in the middle or sends other bytes.

    An error names the file, nothing is there that the next run would take, and that run succeeds.
    """
    server.damage[name] = damage

    done = run("strun", "superbias", niriss, cwd=tmp_path, code=4)

    assert name in done.stderr
    assert re.search("checksum|sha1sum|size", done.stderr)
    assert "Traceback" not in done.stderr
    assert not list(cache.rglob(f"*{name}*"))
    assert not list(tmp_path.glob("*.fits"))

    server.damage.clear()
    run("strun", "superbias", niriss, cwd=tmp_path)


def test_a_file_that_the_server_lost_is_named(
    server: Any, cache: Path, niriss: Path, run: Run, tmp_path: Path
) -> None:
    """The rules select it, the server answers 404."""
    server.find = lambda name: None if name == SUPERBIAS else type(server).find(server, name)

    done = run("strun", "superbias", niriss, cwd=tmp_path, code=4)

    assert f"{SUPERBIAS} (superbias)" in done.stderr
    assert "did not send" in done.stderr
    assert not list(cache.rglob(SUPERBIAS))


@pytest.mark.usefixtures("cache")
def test_no_server_and_no_cache_is_one_message(
    server: Any, niriss: Path, run: Run, tmp_path: Path
) -> None:
    """With the variables to set."""
    server.shutdown()
    server.server_close()

    done = run("strun", "superbias", niriss, cwd=tmp_path, code=4)

    assert "CRDS_PATH is" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("cache")
def test_a_server_that_never_answers_is_not_waited_for(
    niriss: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts, reads and is silent: asked again, then said. A hang would be ended after a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("CRDS_SERVER_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", "1")
        words = ("timeout", "60", "strun", "superbias", niriss)
        done = run(*words, cwd=tmp_path, code=4)

    assert "does not answer (within 1 s" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_cache_is_never_written(
    server: Any,
    cache: Path,
    niriss: Path,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it has is used; what it lacks is an error, with a server in reach or not."""
    run("strun", "superbias", niriss, cwd=tmp_path)
    monkeypatch.setenv("CRDS_READONLY_CACHE", "1")
    before = sorted(cache.rglob("*"))

    run("strun", "superbias", niriss, cwd=tmp_path)
    done = run("strun", "jump", niriss, cwd=tmp_path, code=4)

    assert "gain" in done.stderr
    assert before == sorted(cache.rglob("*"))
    assert not [name for name in server.asked if "gain" in name and name.endswith(".fits")]


@pytest.mark.usefixtures("cache")
def test_planning_fetches_everything_so_that_jobs_ask_nobody(
    server: Any, niriss: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of a project run side by side; none of them talks to the server."""
    run("stflow", "init", "project", "--pipeline=sloper", niriss, cwd=tmp_path)
    before = len(server.asked)
    monkeypatch.delenv("CRDS_PATH")

    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "project")

    assert before == len(server.asked)
    assert list((tmp_path / "project/cal").glob("*_rate.fits"))


# --- rules ----------------------------------------------------------------------------------------


def test_the_choice_is_explained(crds: Path, niriss: Path) -> None:
    """What the rules look at, its values, and every file with what it asks."""
    del crds
    meta = models.open_metadata(niriss).to_flat_dict()

    found = CrdsResolver().explain(meta, "dark")

    assert "jwst_niriss_dark_0001.rmap" == found.rules
    assert "NIS" == found.criteria["meta.instrument.detector"]
    assert "2024-03-01" == found.criteria["meta.observation.date"]
    (candidate,) = found.candidates
    assert "jwst_niriss_dark_0001.fits" == candidate.file
    assert "SUB80" == candidate.asks["meta.subarray.name"]


def test_metadata_of_a_slit_are_no_criteria(
    crds: Path, niriss: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slits have metadata beside `meta`, such as where they begin."""
    del crds
    monkeypatch.setenv("STPIPE_MEMORY", str(tmp_path))  # where no answer is kept yet
    meta = models.open_metadata(niriss).to_flat_dict()
    of_slit = {**meta, "name": "s1", "xstart": 1, "source_id": 7}

    found = CrdsResolver().select(of_slit, ["gain"])
    assert CrdsResolver().select(meta, ["gain"]) == found


def test_a_type_that_does_not_apply_has_no_candidates(crds: Path, niriss: Path) -> None:
    del crds
    meta = models.open_metadata(niriss).to_flat_dict()

    assert () == CrdsResolver().explain(meta, "reset").candidates


def test_an_exposure_that_no_rule_fits_is_told_what_was_asked(crds: Path, niriss: Path) -> None:
    """Exit code 4 material: the type, the values, the way out."""
    del crds
    meta = models.open_metadata(niriss).to_flat_dict()
    meta["meta.subarray.name"] = "SUB9"
    with pytest.raises(
        ReferenceMissing, match=r"gain: .*subarray\.name=SUB9.*--override_gain=PATH"
    ):
        CrdsResolver().select(meta, ["gain"])
