"""A directory of references with rules of its own, instead of CRDS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stpipe import models
from stpipe.cli.strun.main import main
from stpipe.errors import ReferenceMissing
from stpipe.references.directory import DirectoryResolver

Run = Callable[..., "subprocess.CompletedProcess[str]"]
META = {"meta.instrument.name": "NIRISS", "meta.instrument.detector": "NIS", "meta.gain": 2.0}

AS_JSON = {
    "gain": "gain.fits",
    "dark": [
        {"file": "dark_a.fits", "instrument.detector": "MIRIMAGE"},
        {"file": "dark_b.fits", "meta.instrument.detector": "NRCA1|NIS", "gain": [1, 2]},
        {"file": "dark_c.fits"},
    ],
    "reset": [{"file": "N/A"}],
}
AS_CFG = """
gain = gain.fits
[dark]
[[dark_a.fits]]
instrument.detector = MIRIMAGE
[[dark_b.fits]]
meta.instrument.detector = NRCA1|NIS
gain = 1|2
[[dark_c.fits]]
[reset]
[[N/A]]
"""


@pytest.fixture(params=["rules.json", "rules.cfg"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same rules in either form."""
    text = json.dumps(AS_JSON) if request.param == "rules.json" else AS_CFG
    (tmp_path / request.param).write_text(text)
    for name in ("gain", "dark_a", "dark_b", "dark_c"):
        (tmp_path / f"{name}.fits").write_bytes(b"")
    return tmp_path


def test_the_first_file_that_fits_is_taken(folder: Path) -> None:
    """With alternatives, numbers, and files that ask nothing."""
    resolver = DirectoryResolver(folder)

    found = resolver.select(META, ["gain", "dark", "reset"])

    assert folder / "gain.fits" == found["gain"].path
    assert folder / "dark_b.fits" == found["dark"].path
    assert found["reset"].path is None
    other = resolver.select({**META, "meta.gain": 3.0}, ["dark"])
    assert folder / "dark_c.fits" == other["dark"].path


def test_records_say_whose_rules_they_were(folder: Path) -> None:
    """Neither an override nor a context of CRDS."""
    record = DirectoryResolver(folder).select(META, ["dark"])["dark"].record()

    assert ("dark_b.fits", DirectoryResolver(folder).rules_file.name) == (
        record["name"],
        record["origin"],
    )


def test_all_that_is_missing_is_said_at_once(folder: Path) -> None:
    """Unknown types with the nearest name, and files that are gone."""
    (folder / "gain.fits").unlink()

    with pytest.raises(ReferenceMissing) as caught:
        DirectoryResolver(folder).select(META, ["gain", "drak"])

    text = str(caught.value)
    assert f"names {folder / 'gain.fits'}: no such file" in text
    assert "drak: " in text
    assert 'did you mean "dark"?' in text


def test_nothing_fits(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text('{"dark": [{"file": "d.fits", "exposure.type": "X"}]}')

    with pytest.raises(
        ReferenceMissing, match=r"no file in .*rules\.json fits meta\.exposure\.type"
    ):
        DirectoryResolver(tmp_path).select(META, ["dark"])


def test_the_choice_is_explained(folder: Path) -> None:
    found = DirectoryResolver(folder).explain(META, "dark")

    assert ["dark_a.fits", "dark_b.fits", "dark_c.fits"] == [c.file for c in found.candidates]
    assert {"meta.instrument.detector": "NIS", "meta.gain": 2.0} == found.criteria


@pytest.mark.parametrize("text", ["{", "[]", '{"dark": 3}', '{"dark": [{"fiel": "x"}]}'])
def test_rules_that_cannot_be_understood_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.json").write_text(text)

    with pytest.raises(ReferenceMissing, match=r"rules\.json cannot be understood"):
        DirectoryResolver(tmp_path)


def test_a_folder_without_rules_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ReferenceMissing, match=r"has no rules; allowed: a folder with rules\.json or rules\.cfg"
    ):
        DirectoryResolver(tmp_path)
    with pytest.raises(ReferenceMissing, match="is not a folder"):
        DirectoryResolver(tmp_path / "nowhere")


# --- in a run -------------------------------------------------------------------------------------


@pytest.fixture
def own_references(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's files for one detector under rules of one's own; no CRDS anywhere."""
    for name in ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "references"
    folder.mkdir()
    rules: dict[str, object] = {"reset": "N/A", "rscd": "N/A", "ipc": "N/A", "lastframe": "N/A"}
    for path in (demo_folder / "crds").rglob("jwst_niriss_*.fits"):
        kind = path.name.split("_")[2]
        (folder / f"{kind}.fits").symlink_to(path)
        rules[kind] = [{"file": f"{kind}.fits", "instrument.detector": "NIS"}]
    rules["pars-jumpstep"] = "jump.asdf"
    (folder / "jump.asdf").write_text(
        "#ASDF 1.0.0\n--- {class: jump, parameters: {rejection_threshold: 8.0}}\n"
    )
    (folder / "rules.json").write_text(json.dumps(rules))
    return folder


def test_a_run_without_crds(
    own_references: Path, exposures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--references=DIR`: references and parameter files come from there, and the product says so."""
    niriss = next(path for path in exposures if "nis" in path.name)
    monkeypatch.chdir(tmp_path)

    words = ["calwebb_detector1", str(niriss), f"--references={own_references}"]
    assert 0 == main([*words, "--log-stream=null"])

    with models.open(next(tmp_path.glob("*_rate.fits"))) as rate:
        record = next(r for r in rate.provenance if r["step"] == "jump")
        assert "gain.fits" == rate.meta.ref_file.gain.name
    assert "rules.json" == record["references"]["gain"]["origin"]
    assert 8.0 == record["parameters"]["rejection_threshold"]


def test_a_project_without_crds(
    own_references: Path, exposures: list[Path], run: Run, tmp_path: Path
) -> None:
    """`stflow init --references=DIR`: chosen in config.yaml, held by the lock."""
    niriss = next(path for path in exposures if "nis" in path.name)
    words = ["--pipeline=sloper", niriss, f"--references={own_references}"]
    run("stflow", "init", "project", *words, cwd=tmp_path)
    assert "references: ../references" in (tmp_path / "project/config/config.yaml").read_text()

    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "project")

    with models.open(next((tmp_path / "project/cal").glob("*_rate.fits"))) as rate:
        record = next(r for r in rate.provenance if r["step"] == "jump")
    assert 8.0 == record["parameters"]["rejection_threshold"]
    lock = json.loads((tmp_path / "project/config/references.lock").read_text())
    (held,) = lock["exposures"].values()
    assert ("gain.fits", "jump.asdf") == (held["gain"], held["pars-jumpstep"])
