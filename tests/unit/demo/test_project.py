"""The demo folder and its command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stpipe.demo import DEMO, plan, write_demo
from stpipe.demo.__main__ import main


@pytest.fixture
def folder(demo_folder: Path, tmp_path: Path) -> Path:
    """A copy of the demo folder that a test may spoil."""
    return shutil.copytree(demo_folder, tmp_path / "demo")


def test_folder_holds_exposures_truth_and_cache(demo_folder: Path) -> None:
    roots = {observation.root for observation in DEMO}

    assert {f"{root}_uncal.fits" for root in roots} == {
        path.name for path in (demo_folder / "uncal").iterdir()
    }
    assert {f"{root}_truth.fits" for root in roots} == {
        path.name for path in (demo_folder / "truth").iterdir()
    }
    assert (demo_folder / "crds/mappings/jwst/jwst_0001.pmap").is_file()


def test_names_are_those_of_the_archive() -> None:
    assert [
        "jw01234001001_02101_00001_nrca1",
        "jw01234001001_02101_00002_nrca1",
        "jw01234002001_02101_00001_nis",
        "jw01234003001_02101_00001_nrs1",
        "jw01234004001_02101_00001_mirimage",
    ] == [observation.root for observation in DEMO]


def test_nothing_is_written_twice(folder: Path) -> None:
    assert [] == list(write_demo(folder))


def test_only_what_is_missing_or_changed_is_written_again(folder: Path) -> None:
    """A deleted exposure and a damaged reference come back; all other files keep their times."""
    lost = folder / "uncal" / f"{DEMO[2].root}_uncal.fits"
    lost.unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.fits")}

    written = set(write_demo(folder))

    assert {lost, folder / "truth" / f"{DEMO[2].root}_truth.fits"} == written
    kept = {path: time for path, time in before.items() if path not in written}
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_a_damaged_reference_is_replaced(folder: Path) -> None:
    damaged = folder / "crds/references/jwst/niriss/jwst_niriss_gain_0001.fits"
    damaged.write_bytes(b"")

    assert damaged in set(write_demo(folder))
    assert damaged.stat().st_size > 0


def test_another_plan_is_another_exposure(folder: Path) -> None:
    """A changed plan of an exposure that is there is carried out."""
    changed = plan("NIRISS", ngroups=3)

    written = {path.name for path in write_demo(folder, [changed])}

    assert f"{changed.root}_uncal.fits" in written


def test_command_says_what_it_wrote_and_that_nothing_is_left_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = folder / "truth" / f"{DEMO[0].root}_truth.fits"
    lost.unlink()

    assert 0 == main([str(folder)])
    first = capsys.readouterr().out
    assert 0 == main([str(folder)])
    second = capsys.readouterr().out

    # An exposure and its truth are one part, written together.
    assert [f"wrote 1 file in {folder / part}" for part in ("truth", "uncal")] == first.splitlines()
    assert f"Nothing to do: everything in {folder} is there and unchanged.\n" == second


def test_no_temporary_file_is_left(demo_folder: Path) -> None:
    expected = {".asdf", ".fits", ".pmap", ".imap", ".rmap", ".txt", ".json", ""}
    assert expected >= {path.suffix for path in demo_folder.rglob("*") if path.is_file()}
