"""`--like product.fits`: the parameters that a product was made with, from its own history."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from stpipe import models
from stpipe.cli.strun.main import main
from stpipe.errors import InputError, ReferenceMissing
from stpipe.parameters import from_product
from stpipe.parameters.readers import from_options
from stpipe.parameters.resolution import resolve
from stpipe.parameters.settings import Settings
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.sloper import SloperPipeline
from stpipe.steps.stage1.jump.step import JumpStep

pytestmark = pytest.mark.usefixtures("crds")


@pytest.fixture(scope="module")
def niriss(exposures: list[Path]) -> Path:
    return next(path for path in exposures if "nis" in path.name)


@pytest.fixture(scope="module")
def gain(demo_folder: Path) -> Path:
    return next((demo_folder / "crds").rglob("jwst_niriss_gain_*.fits"))


@pytest.fixture(scope="module")
def product(
    niriss: Path, gain: Path, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A rate of a pipeline in which things were changed, skipped and put in."""
    folder = tmp_path_factory.mktemp("like")
    shutil.copyfile(gain, folder / "mygain.fits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        words = ["--steps.jump.rejection_threshold=5", "--steps.refpix.skip", "--log-stream=null"]
        words += [f"--override_gain={folder / 'mygain.fits'}", "--override_readnoise=N/A"]
        words += ["--steps.jump.override_readnoise=", "--save_calibrated_ramp"]
        words += ["--steps.ramp_fit.override_readnoise="]
        assert 0 == main(["calwebb_detector1", str(niriss), f"--output_dir={folder}", *words])
    return next(folder.glob("*_rate.fits"))


def records(path: Path) -> list[tuple[object, ...]]:
    with models.open(path) as model:
        return [
            (r["step"], r["status"], r.get("parameters"), r.get("references"))
            for r in model.provenance
        ]


def test_a_run_is_repeated_from_the_product_alone(
    product: Path, niriss: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The product names the pipeline, too; values, skipped steps and files are the same."""
    monkeypatch.chdir(tmp_path)

    assert 0 == main(["--like", str(product), str(niriss), "--log-stream=null"])

    again = tmp_path / product.name
    assert records(product) == records(again)
    assert (tmp_path / product.name.replace("_rate", "_ramp")).is_file()


def test_every_value_has_the_product_as_its_source(product: Path) -> None:
    """Also the defaults of then, which another version may have changed."""
    found = from_product.from_product(Detector1Pipeline, product, Settings())

    jump = resolve(Detector1Pipeline, found).steps["jump"]
    assert (5.0, f"like {product.name}") == (
        jump.values["rejection_threshold"],
        jump.sources["rejection_threshold"],
    )
    assert f"like {product.name}" == jump.sources["min_diffs_single_pass"]


def test_a_single_step_is_repeated_from_a_pipeline(product: Path) -> None:
    found = from_product.from_product(JumpStep, product, Settings())

    assert 5.0 == resolve(JumpStep, found).values["rejection_threshold"]


def test_another_pipeline_takes_what_it_has_in_common(product: Path) -> None:
    """Steps are found by their class when the name is another."""
    steps = resolve(
        SloperPipeline, from_product.from_product(SloperPipeline, product, Settings())
    ).steps

    assert 5.0 == steps["jump"].values["rejection_threshold"]
    assert f"like {product.name}" == steps["bias"].sources["skip"]


def test_what_is_said_now_wins(
    product: Path, niriss: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line is heard above the product."""
    words = ["jump", str(niriss), f"--like={product}", "--rejection_threshold=6"]

    assert 0 == main([*words, "--explain-parameters"])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rejection_threshold", "6.0", "command", "line"] in lines
    assert ["min_diffs_single_pass", "10", "like", product.name] in lines


def test_a_file_that_was_put_in_must_be_found_with_its_content(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not found, or found changed: an error that says what to do, unless the user does."""
    alone = Path(shutil.copy(product, tmp_path))
    monkeypatch.chdir(tmp_path)
    message = "override_gain was mygain.fits"
    with pytest.raises(ReferenceMissing, match=message):
        from_product.from_product(JumpStep, alone, Settings())
    Path("mygain.fits").write_bytes(b"something else")
    with pytest.raises(ReferenceMissing, match=message):
        from_product.from_product(JumpStep, alone, Settings())

    said = from_options([("override_gain", "")])
    assert "override_gain" not in from_product.from_product(JumpStep, alone, said).values

    shutil.copyfile(product.with_name("mygain.fits"), "mygain.fits")
    found = from_product.from_product(JumpStep, alone, Settings())
    assert str(tmp_path / "mygain.fits") == found.values["override_gain"].value


def test_parameters_of_another_version_warn(
    product: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is gone from the specs is left out, and said."""
    with models.open(product) as model:
        copy = model.copy()
        history = list(copy.provenance)
        (index,) = [i for i, r in enumerate(history) if r["step"] == "jump"]
        parameters = {**history[index]["parameters"], "rejection_treshold": 4}
        copy.provenance = [
            *history[:index],
            {**history[index], "parameters": parameters, "references": {}},
            *history[index + 1 :],
        ]
        path = copy.save(tmp_path / "old_rate.fits")

    with caplog.at_level(logging.WARNING):
        from_product.from_product(JumpStep, path, Settings())

    assert 'no parameter "rejection_treshold" (did you mean "rejection_threshold"?)' in caplog.text


def test_a_file_without_the_step_says_what_it_has(niriss: Path, product: Path) -> None:
    with pytest.raises(InputError, match="its history has no record of jump; it has nothing"):
        from_product.from_product(JumpStep, niriss, Settings())
    with pytest.raises(InputError, match="it has no history to repeat"):
        from_product.target_of(niriss)
    assert "stpipe.pipelines.Detector1Pipeline" == from_product.target_of(product)


def test_the_product_keeps_no_folders(product: Path) -> None:
    """Paths stay with the machine: names and checksums are enough."""
    with models.open(product) as model:
        text = repr(list(model.provenance))

    assert str(product.parent) not in text
    assert "mygain.fits" in text


def test_a_product_starts_no_program_and_names_no_file(
    product: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever made it: hooks are told of, parameters that are the user's own are not heard."""
    with models.open(product) as model:
        copy = model.copy()
        history = list(copy.provenance)
    jump = next(r for r in history if r["step"] == "jump")
    steered = {**jump, "references": {}}
    steered["parameters"] = jump["parameters"] | {"output_dir": "/", "pre_hooks": ["shell:touch a"]}
    hook = {**jump, "status": "HOOK", "when": "post_hooks", "hook": "shell:touch owned"}
    copy.provenance = [steered, hook]
    path = copy.save(tmp_path / "x_rate.fits")

    with caplog.at_level(logging.WARNING):
        found = from_product.from_product(Detector1Pipeline, path, Settings()).steps["jump"]

    assert not {"output_dir", "pre_hooks", "post_hooks"} & found.values.keys()
    assert 5.0 == found.values["rejection_threshold"].value
    assert "--steps.jump.post_hooks=" in caplog.text
    assert "'shell:touch owned'; a product starts no program" in caplog.text


def test_a_product_names_no_code(product: Path, tmp_path: Path) -> None:
    """A class that is not installed is the user's to name."""
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    with models.open(product) as model:
        copy = model.copy()
        last = [r for r in copy.provenance if r["status"] == "COMPLETE"][-1]
        copy.provenance = [{**last, "class": "mine:MyStep", "pipelines": []}]
        path = copy.save(tmp_path / "x_rate.fits")

    with pytest.raises(InputError, match=r"made by mine:MyStep, .* strun mine:MyStep --like="):
        from_product.target_of(path)
