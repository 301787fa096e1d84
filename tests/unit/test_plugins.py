"""Steps and pipelines of other packages: found without importing them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stpipe import plugins
from stpipe.cli.strun.main import main
from stpipe.core import loading
from stpipe.errors import UsageError

Output = pytest.CaptureFixture[str]
STEP = '''"""Take the speckles away."""
import sys
from stpipe import Step
print("imported", file=sys.stderr)
class DespeckleStep(Step):
    """Take the speckles away."""
    alias = "despeckle"
    suffix = "despeckle"
    def process(self, model):
        return model
'''
LITERAL = '''"""Entry points."""
raise RuntimeError("imported")
def get_steps():
    """The steps."""
    return [("speckle.step.DespeckleStep", "unspeckle", False), ("speckle.step.All", None, True)]
'''
COMPUTED = """def get_steps():
    names = ["a", "b"]
    return [(f"speckle.step.{n}", n, False) for n in names]
"""


def install(folder: Path, name: str, entry_points: str, **modules: str) -> None:
    """A package as pip leaves it: modules and metadata."""
    package = folder / name.replace("-", "_")
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    for module, text in modules.items():
        (package / f"{module}.py").write_text(text)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.found.cache_clear()
    yield tmp_path
    plugins.found.cache_clear()
    for name in [n for n in sys.modules if n.split(".")[0] in ("speckle", "other")]:
        del sys.modules[name]


def found() -> dict[str, plugins.Plugin]:
    return {plugin.alias: plugin for plugin in plugins.found()}


def test_the_simple_form_names_a_class(site: Path, capsys: Output) -> None:
    """Listed with the first line of its module, run by its alias, imported only then."""
    points = "[stpipe_flow.steps]\ndespeckle = speckle.step:DespeckleStep\n"
    install(site, "speckle", points, step=STEP)

    assert 0 == main(["--list"])
    output = capsys.readouterr()
    listed = [line.split(maxsplit=1) for line in output.out.splitlines()]
    assert ["despeckle", "Take the speckles away. (speckle)"] in listed
    assert "imported" not in output.err
    assert "speckle.step" not in sys.modules

    assert 0 == main(["despeckle", "--help"])
    assert "usage: strun despeckle" in capsys.readouterr().out


def test_stscis_form_is_read_where_it_is_literal(site: Path) -> None:
    """A function that returns a list as it is need not be imported."""
    install(site, "speckle", "[stpipe.steps]\nspeckle = speckle.points:get_steps\n", points=LITERAL)

    assert ("speckle.step.DespeckleStep", "step") == (
        found()["unspeckle"].target,
        found()["unspeckle"].kind,
    )
    assert "pipeline" == found()["All"].kind


def test_stscis_form_is_called_where_it_computes(site: Path) -> None:
    install(
        site, "speckle", "[stpipe.steps]\nspeckle = speckle.points:get_steps\n", points=COMPUTED
    )

    assert {"a", "b"} <= set(found())


def test_a_broken_plugin_does_not_take_the_rest_with_it(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named, with the reason."""
    install(site, "speckle", "[stpipe.steps]\nspeckle = speckle.nosuch:get_steps\n")
    points = "[stpipe_flow.steps]\nfine = other.step:DespeckleStep\n"
    install(site, "other", points, step=STEP)

    assert {"fine"} == set(found())
    assert "plugin speckle.nosuch:get_steps of speckle is ignored" in caplog.text


def test_an_alias_that_is_taken_is_reached_through_its_package(site: Path, capsys: Output) -> None:
    """Ours stays ours; two others have to be told apart."""
    for name in ("speckle", "other"):
        points = f"[stpipe_flow.steps]\njump = {name}.step:DespeckleStep\n"
        points += f"clean = {name}.step:DespeckleStep\n"
        install(site, name, points, step=STEP)

    assert "stpipe.steps.stage1.jump.step" == loading.load("jump").__module__
    assert "speckle.step" == loading.load("speckle::jump").__module__
    with pytest.raises(UsageError, match=r"choose one: other::clean, speckle::clean"):
        loading.load("clean")
    assert 0 == main(["--list", "--json"])
    assert "speckle::jump" in {e["alias"] for e in json.loads(capsys.readouterr().out)}


def test_names_of_stscis_classes_lead_to_ours() -> None:
    """Parameter files of the old system name them."""
    assert "JumpStep" == loading.load("jwst.jump.JumpStep").__name__
    assert "Detector1Pipeline" == loading.load("jwst.pipeline.Detector1Pipeline").__name__


def test_stscis_package_beside_ours_is_pointed_out(site: Path) -> None:
    """Instead of failing oddly; in a process of its own, as a user would meet it."""
    assert "" == plugins.conflict()
    install(site, "stpipe", "")
    (site / "stpipe/__init__.py").unlink()
    (site / "stpipe").rmdir()

    done = subprocess.run(
        [sys.executable, "-m", "stpipe.cli.strun.main", "--version"],
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "stpipe-flow" in done.stdout
    assert "STScI's stpipe 1.0 is installed in this environment, too" in done.stderr


def test_a_class_of_something_else_is_refused(site: Path) -> None:
    install(site, "speckle", "", step="class Thing:\n    pass\n")
    with pytest.raises(UsageError, match="is not a step of stpipe-flow"):
        loading.load("speckle.step:Thing")
