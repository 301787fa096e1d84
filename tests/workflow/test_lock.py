"""`stflow lock`, `stflow references`: what a project is held to, and why a file is chosen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stpipe.cli.stflow import main
from stpipe.project import config as project_config
from stpipe.project import lock

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Output = pytest.CaptureFixture[str]
GAIN = "jwst_niriss_gain_0001.fits"


@pytest.fixture
def cache(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, whose files may change."""
    from crds.core import utils

    folder = tmp_path / "crds"
    shutil.copytree(demo_folder / "crds", folder)
    monkeypatch.setenv("CRDS_PATH", str(folder))
    for name in ("CRDS_SERVER_URL", "CRDS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    utils.clear_function_caches()
    return folder


@pytest.fixture
def niriss(exposures: list[Path]) -> Path:
    return next(path for path in exposures if "nis" in path.name)


@pytest.fixture
def made(cache: Path, niriss: Path, tmp_path: Path, capsys: Output) -> Path:
    """A project of one exposure."""
    del cache
    folder = tmp_path / "project"
    assert 0 == main.main(["init", str(folder), "--pipeline=sloper", str(niriss)])
    capsys.readouterr()
    return folder


@contextlib.contextmanager
def changed(path: Path) -> Iterator[None]:
    """Other bytes in the same place, as long as the block lasts."""
    before = path.read_bytes()
    path.write_bytes(before[:-2880] + os.urandom(2880))
    yield
    path.write_bytes(before)


def test_init_writes_what_it_selected(made: Path) -> None:
    """Context, names and checksums, nothing of the machine."""
    content = json.loads((made / lock.LOCK).read_text())

    assert "jwst_0001.pmap" == content["context"]
    (held,) = content["exposures"].values()
    assert GAIN == held["gain"]
    assert 64 == len(content["files"][GAIN])
    assert str(made.parent) not in (made / lock.LOCK).read_text()


def test_a_file_with_other_content_is_told_of_until_it_is_accepted(
    made: Path, cache: Path, capsys: Output, caplog: pytest.LogCaptureFixture
) -> None:
    """Which file, what to do; planning goes on, since what depends on the file is rebuilt."""
    with changed(next(cache.rglob(GAIN))):
        assert 0 == main.main(["generate", f"--directory={made}"])
        assert f"the content of {GAIN} (gain) changed: SHA-256" in caplog.text
        assert "stflow lock --update" in caplog.text
        assert 4 == main.main(["lock", f"--directory={made}"])
        assert f"the content of {GAIN} (gain) changed" in capsys.readouterr().err

        assert 0 == main.main(["lock", "--update", f"--directory={made}"])
        assert f"the content of {GAIN}" in capsys.readouterr().out
        assert 0 == main.main(["lock", f"--directory={made}"])


def test_a_changed_file_that_is_put_back_is_as_before(made: Path, cache: Path) -> None:
    with changed(next(cache.rglob(GAIN))):
        assert 4 == main.main(["lock", f"--directory={made}"])
    assert 0 == main.main(["lock", f"--directory={made}"])


def test_another_context_is_drift(made: Path, cache: Path, capsys: Output) -> None:
    """Edited in config.yaml: an error; through stflow lock: accepted, and written there."""
    mappings = cache / "mappings/jwst"
    text = (mappings / "jwst_0001.pmap").read_text().replace("jwst_0001.pmap", "jwst_0002.pmap")
    import hashlib
    import re

    plain = "".join(x for x in text.splitlines(keepends=True) if "sha1sum" not in x)
    number = hashlib.sha1(plain.encode()).hexdigest()  # noqa: S324 - what CRDS uses
    (mappings / "jwst_0002.pmap").write_text(
        re.sub(r"('sha1sum' : ')\w+'", rf"\g<1>{number}'", text)
    )
    config = made / project_config.CONFIG
    before = config.read_text()
    config.write_text(before.replace("jwst_0001.pmap", "jwst_0002.pmap"))

    assert 4 == main.main(["generate", f"--directory={made}"])
    assert (
        "the CRDS context is jwst_0002.pmap now, it was jwst_0001.pmap" in capsys.readouterr().err
    )

    config.write_text(before)
    words = ["lock", "--update", "--context=jwst_0002.pmap", f"--directory={made}"]
    assert 0 == main.main(words)
    assert "context: jwst_0001.pmap -> jwst_0002.pmap" in capsys.readouterr().out
    assert before.replace("jwst_0001.pmap", "jwst_0002.pmap") == config.read_text()
    assert 0 == main.main(["lock", f"--directory={made}"])


def test_new_exposures_are_added_and_put_in_files_are_free(
    made: Path, exposures: list[Path], cache: Path
) -> None:
    """A lock grows with the project; what a user puts in is the user's."""
    config = made / project_config.CONFIG
    miri = next(path for path in exposures if "mirimage" in path.name)
    config.write_text(config.read_text().replace("inputs:\n", f"inputs:\n- {miri}\n"))
    assert 0 == main.main(["generate", f"--directory={made}"])
    assert 2 == len(json.loads((made / lock.LOCK).read_text())["exposures"])

    own = made / "mygain.fits"
    shutil.copyfile(next(cache.rglob(GAIN)), own)
    cfg = made / "config/sloper.cfg"
    cfg.write_text(cfg.read_text().replace("# override_gain =", f"override_gain = {own} #", 1))
    assert 0 == main.main(["generate", f"--directory={made}"])


def test_without_a_lock_nothing_is_held(made: Path, cache: Path, capsys: Output) -> None:
    """A checkout that is used as a workflow has none."""
    (made / lock.LOCK).unlink()
    with changed(next(cache.rglob(GAIN))):
        assert 0 == main.main(["generate", f"--directory={made}"])
    assert not (made / lock.LOCK).exists()
    assert 2 == main.main(["lock", f"--directory={made}"])
    assert "stflow lock --update" in capsys.readouterr().err


def test_a_damaged_lock_is_named(made: Path, capsys: Output) -> None:
    (made / lock.LOCK).write_text("{")
    assert 4 == main.main(["lock", f"--directory={made}"])
    assert "cannot be understood" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["pipeline: x\ncrds: {}\n", "pipeline: x\n", "pipeline: x\ncrds:\n  context: a\n"]
)
def test_a_context_is_pinned_in_any_configuration(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the rest of the file stays as it is."""
    import yaml

    monkeypatch.chdir(tmp_path)
    project_config.CONFIG.parent.mkdir()
    project_config.CONFIG.write_text(f"# mine\n{text}")

    lock.pin("jwst_0009.pmap")

    assert {"pipeline": "x", "crds": {"context": "jwst_0009.pmap"}} == yaml.safe_load(
        project_config.CONFIG.read_text()
    )
    assert project_config.CONFIG.read_text().startswith("# mine\npipeline: x\n")


# --- stflow references -----------------------------------------------------------------------------


@pytest.mark.usefixtures("crds")
def test_references_are_shown_with_reasons(niriss: Path, capsys: Output) -> None:
    """Type, file, steps, rules, what the exposure has, and the files to choose from."""
    assert 0 == main.main(["references", str(niriss)])
    text = capsys.readouterr().out

    assert f"gain: {GAIN}" in text
    assert re.search(r"for +jump, .*ramp_fit, gain_scale", text)
    assert "rules     jwst_niriss_gain_0001.rmap" in text
    assert "instrument.detector = NIS" in text
    assert f"    * {GAIN}" in text
    assert "reset: N/A" in text


@pytest.mark.usefixtures("crds")
def test_references_for_programs_and_for_a_step(niriss: Path, capsys: Output) -> None:
    assert 0 == main.main(["references", str(niriss), "--pipeline=jump", "--json"])
    (found,) = json.loads(capsys.readouterr().out)

    gain, readnoise = found["references"]
    assert ("gain", GAIN, ["jump"]) == (gain["type"], gain["file"], gain["steps"])
    assert Path(gain["path"]).is_file()
    assert "NISRAPID" == readnoise["explanation"]["criteria"]["meta.exposure.readpatt"]


def test_a_missing_file_is_shown_beside_the_others(
    cache: Path, niriss: Path, capsys: Output
) -> None:
    """What can be said is said."""
    next(cache.rglob(GAIN)).unlink()

    assert 0 == main.main(["references", str(niriss), "--pipeline=jump"])

    text = capsys.readouterr().out
    assert f"{GAIN} (gain)" in text
    assert "readnoise: jwst_niriss_readnoise_0001.fits" in text
