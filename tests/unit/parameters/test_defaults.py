"""Parameter files of CRDS and of the package, under what users give."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stpipe import models
from stpipe.cli.strun.main import main
from stpipe.errors import ParameterError
from stpipe.models.formats import asdf_yaml
from stpipe.parameters import defaults
from stpipe.parameters.readers import from_keywords, read_cfg
from stpipe.parameters.settings import Settings
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.references.crds import CrdsResolver
from stpipe.steps.stage1.jump.step import JumpStep

RMAP = """header = {{
    'classes' : ('Match', 'UseAfter'),
    'derived_from' : 'a test',
    'filekind' : '{kind}',
    'instrument' : '{instrument}',
    'mapping' : 'REFERENCE',
    'name' : '{name}',
    'observatory' : 'JWST',
    'parkey' : (('META.EXPOSURE.TYPE',), ('META.OBSERVATION.DATE', 'META.OBSERVATION.TIME')),
    'sha1sum' : 'x',
}}

selector = Match({{
    'N/A' : UseAfter({{
        '2000-01-01 00:00:00' : '{file}',
    }}),
}})
"""


def signed(text: str) -> str:
    """Rules with the checksum that the client verifies, made of all other lines."""
    lines = text.splitlines(keepends=True)
    plain = "".join(line for line in lines if "sha1sum" not in line)
    number = hashlib.sha1(plain.encode()).hexdigest()  # noqa: S324 - what CRDS uses
    return re.sub(r"('sha1sum' : ')\w+'", rf"\g<1>{number}'", text)


def add_file(cache: Path, instrument: str, kind: str, tree: Mapping[str, Any]) -> None:
    """Put a parameter file, and the rules that choose it, into a cache."""
    stem = f"jwst_{instrument}_{kind}_0001"
    mappings = cache / "mappings/jwst"
    imap = mappings / f"jwst_{instrument}_0001.imap"
    old = f"'{kind.upper()}' : 'N/A'"
    assert old in imap.read_text()
    imap.write_text(signed(imap.read_text().replace(old, f"'{kind.upper()}' : '{stem}.rmap'")))
    (mappings / f"{stem}.rmap").write_text(
        signed(
            RMAP.format(kind=kind, instrument=instrument, name=f"{stem}.rmap", file=f"{stem}.asdf")
        )
    )
    (cache / "references/jwst" / instrument / f"{stem}.asdf").write_bytes(asdf_yaml.dump(tree))


@pytest.fixture
def cache(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own that a test may add to.

    The client remembers rules for as long as a process lives, so its memory is emptied.
    """
    from crds.core import utils

    folder = tmp_path / "crds"
    shutil.copytree(demo_folder / "crds", folder)
    monkeypatch.setenv("CRDS_PATH", str(folder))
    for name in ("CRDS_SERVER_URL", "CRDS_CONTEXT", defaults.SWITCH):
        monkeypatch.delenv(name, raising=False)
    utils.clear_function_caches()
    return folder


@pytest.fixture
def niriss(exposures: list[Path]) -> Path:
    return next(path for path in exposures if "nis" in path.name)


@pytest.fixture
def jump_file(cache: Path) -> Path:
    """CRDS says something about the jump step."""
    tree = {
        "class": "jwst.jump.JumpStep",
        "name": "JumpStep",
        "parameters": {"rejection_threshold": 9.5, "flag_4_neighbors": False},
    }
    add_file(cache, "niriss", "pars-jumpstep", tree)
    return cache


def meta(path: Path) -> dict[str, Any]:
    return models.open_metadata(path).to_flat_dict()


def settled(step: JumpStep | Detector1Pipeline, path: Path) -> JumpStep | Detector1Pipeline:
    step.resolve_for(meta(path))
    return step


@pytest.mark.usefixtures("jump_file")
def test_crds_is_heard_below_the_user_and_above_the_defaults(niriss: Path) -> None:
    """Parameter by parameter, with the file as the source."""
    step = settled(JumpStep(flag_4_neighbors=True), niriss)

    assert (9.5, "CRDS jwst_niriss_pars-jumpstep_0001.asdf") == (
        step.rejection_threshold,
        step.source_of("rejection_threshold"),
    )
    assert (True, "keyword") == (step.flag_4_neighbors, step.source_of("flag_4_neighbors"))
    assert "default" == step.source_of("min_diffs_single_pass")


@pytest.mark.usefixtures("jump_file")
def test_a_file_of_the_user_is_heard_above_crds(niriss: Path, tmp_path: Path) -> None:
    path = tmp_path / "jump.cfg"
    path.write_text("class = jump\nrejection_threshold = 7\n")

    step = settled(JumpStep.from_settings(read_cfg(path).settings), niriss)

    assert (7.0, f"{path}:2") == (step.rejection_threshold, step.source_of("rejection_threshold"))
    assert step.flag_4_neighbors is False


def test_a_file_for_the_pipeline_is_heard_above_one_for_its_step(
    jump_file: Path, niriss: Path
) -> None:
    """And the file's steps are found by name."""
    steps = [{"name": "jump", "class": "jwst.jump.JumpStep", "parameters": {"skip": True}}]
    steps[0]["parameters"]["rejection_threshold"] = 3.0  # type: ignore[index]
    tree = {"class": "jwst.pipeline.Detector1Pipeline", "parameters": {}, "steps": steps}
    add_file(jump_file, "niriss", "pars-detector1pipeline", tree)

    jump = settled(Detector1Pipeline(), niriss).jump

    assert (True, 3.0, False) == (jump.skip, jump.rejection_threshold, jump.flag_4_neighbors)
    assert "CRDS jwst_niriss_pars-detector1pipeline_0001.asdf" == jump.source_of("skip")


@pytest.mark.usefixtures("jump_file")
def test_the_exposure_chooses_the_file(exposures: list[Path]) -> None:
    """What holds for one instrument does not leak to the next exposure of the same instance."""
    miri = next(path for path in exposures if "mirimage" in path.name)
    niriss = next(path for path in exposures if "nis" in path.name)
    step = JumpStep()

    thresholds = [settled(step, path).rejection_threshold for path in (niriss, miri, niriss)]

    assert [9.5, 4.0, 9.5] == thresholds


@pytest.mark.usefixtures("jump_file")
def test_what_python_sets_on_the_instance_stays(niriss: Path) -> None:
    step = JumpStep()
    step.rejection_threshold = 2.0

    settled(step, niriss)

    assert (2.0, "set in Python") == (
        step.rejection_threshold,
        step.source_of("rejection_threshold"),
    )


def test_hooks_and_names_from_outside_are_refused(
    cache: Path, niriss: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A file that comes over the network can run no command and write nowhere; it may skip."""
    marker = tmp_path / "ran"
    parameters = {
        "pre_hooks": [f"shell:touch {marker}"],
        "post_hooks": f"shell:touch {marker}",
        "output_dir": str(tmp_path / "elsewhere"),
        "override_gain": "N/A",
        "skip": True,
        "search_output_file": True,
        "rejection_treshold": 3,
    }
    add_file(cache, "niriss", "pars-jumpstep", {"class": "jump", "parameters": parameters})

    with caplog.at_level(logging.WARNING):
        step = settled(JumpStep(), niriss)

    assert ([], [], None, None) == (
        step.pre_hooks,
        step.post_hooks,
        step.output_dir,
        step.override_gain,
    )
    assert step.skip is True
    text = caplog.text
    for name in ("pre_hooks", "post_hooks", "output_dir", "override_gain"):
        assert f"{name} of jump is refused: only a user may set it." in text
    assert (
        '"rejection_treshold" is not a parameter of jump (did you mean "rejection_threshold"?)'
        in text
    )
    assert "search_output_file" not in text
    assert not marker.exists()


def test_a_value_that_is_not_allowed_stops_the_run(cache: Path, niriss: Path) -> None:
    """The file and the bounds are named."""
    tree = {"class": "jump", "parameters": {"rejection_threshold": -1}}
    add_file(cache, "niriss", "pars-jumpstep", tree)

    with pytest.raises(
        ParameterError,
        match=r"CRDS jwst_niriss_pars-jumpstep_0001\.asdf: rejection_threshold: found -1, allowed",
    ):
        settled(JumpStep(), niriss)


@pytest.mark.parametrize("word", ["1", "true", "True", "YES", "t", "on"])
@pytest.mark.usefixtures("jump_file")
def test_the_environment_switches_it_off(
    niriss: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv(defaults.SWITCH, word)

    assert 4.0 == settled(JumpStep(), niriss).rejection_threshold


@pytest.mark.parametrize("word", ["", "0", "false", "No", "off"])
@pytest.mark.usefixtures("jump_file")
def test_the_environment_may_say_no(
    niriss: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv(defaults.SWITCH, word)

    assert 9.5 == settled(JumpStep(), niriss).rejection_threshold


@pytest.mark.usefixtures("jump_file")
def test_every_way_to_run_resolves_alike(
    niriss: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command line, `call`, an instance, and a plan agree on values and sources."""
    from stpipe.graph.tracing import trace

    monkeypatch.chdir(tmp_path)
    assert 0 == main(["jump", str(niriss), "--log-stream=null"])
    with models.open(next(tmp_path.glob("*_jump.fits"))) as model:
        written = model.provenance[-1]
    called = JumpStep.call(str(niriss)).provenance[-1]
    instance = JumpStep().run(niriss).provenance[-1]
    (node,) = [n for n in trace(Detector1Pipeline(), niriss).nodes if n.name == "jump"]

    assert 9.5 == written["parameters"]["rejection_threshold"]
    assert written["parameters"] == called["parameters"] == instance["parameters"]
    planned = node.step.science_parameters()
    assert written["parameters"].items() <= planned.items()
    assert {"pre_hooks", "post_hooks"} == planned.keys() - written["parameters"].keys()
    assert written["sources"] == called["sources"] == instance["sources"]
    assert written["sources"]["rejection_threshold"] == node.step.source_of("rejection_threshold")


@pytest.mark.usefixtures("jump_file")
def test_explain_parameters_names_every_source(
    niriss: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Command line, file with line, CRDS, default; as a table and as JSON."""
    path = tmp_path / "jump.cfg"
    path.write_text("class = jump\n\nmin_diffs_single_pass = 3\n")
    words = [str(path), str(niriss), "--after_jump_flag_dn1=5", "--explain-parameters"]

    assert 0 == main(words)
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert ["9.5", "CRDS", "jwst_niriss_pars-jumpstep_0001.asdf"] == table["rejection_threshold"]
    assert ["3", f"{path}:3"] == table["min_diffs_single_pass"]
    assert ["5.0", "command", "line"] == table["after_jump_flag_dn1"]
    assert ["6.0", "default"] == table["three_group_rejection_threshold"]

    assert 0 == main([*words, "--json"])
    (explained,) = json.loads(capsys.readouterr().out)
    assert {"value": 3, "source": f"{path}:3"} == explained["parameters"]["min_diffs_single_pass"]

    assert 0 == main([*words, "--disable-crds-steppars"])
    assert "CRDS" not in capsys.readouterr().out


def test_without_crds_there_are_no_files(niriss: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to set up, nothing to fail."""
    for name in ("CRDS_PATH", "CRDS_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)

    assert {} == defaults.central_files(JumpStep, meta(niriss), CrdsResolver())


@pytest.mark.usefixtures("jump_file")
@pytest.mark.parametrize("known", [{}, {"meta.instrument.name": "TESTCAM"}])
def test_exposures_that_crds_does_not_know_have_none(known: dict[str, str]) -> None:
    """An image made in Python, an instrument of one's own."""
    assert {} == CrdsResolver().find(known, ["pars-jumpstep"])


def test_shipped_files_lie_below_everything(
    niriss: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_file: Path
) -> None:
    """`config/<alias>.cfg`: below CRDS, above the spec; the pipeline's above its step's."""
    del jump_file
    (tmp_path / "jump.cfg").write_text("rejection_threshold = 1\nmin_diffs_single_pass = 2\n")
    (tmp_path / "calwebb_detector1.cfg").write_text(
        "[steps]\n[[jump]]\nmin_diffs_single_pass = 4\n"
    )
    folder = defaults.package_data.folder
    monkeypatch.setattr(
        defaults.package_data, "folder", lambda n: tmp_path if n == "config" else folder(n)
    )
    defaults._shipped_file.cache_clear()
    try:
        jump = settled(Detector1Pipeline(), niriss).jump
    finally:
        defaults._shipped_file.cache_clear()

    assert (9.5, 4) == (jump.rejection_threshold, jump.min_diffs_single_pass)
    assert "shipped calwebb_detector1.cfg:3" == jump.source_of("min_diffs_single_pass")


def test_types_follow_the_classes() -> None:
    """As CRDS names them, steps first so that the pipeline's own file wins."""
    types = defaults.central_types(Detector1Pipeline)

    assert "pars-detector1pipeline" == types[-1]
    assert {"pars-jumpstep", "pars-dqinitstep", "pars-rampfitstep"} <= set(types)


def test_settings_say_where_they_were_first_heard_of() -> None:
    """For messages about sections that hold nothing."""
    assert "keyword" == from_keywords({}).place()
    assert "" == Settings().place()
