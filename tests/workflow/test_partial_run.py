"""Start and stop: a part of a pipeline in one process, on saved products that belong to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import Pipeline, Step, models
from stpipe.cli.strun.main import main
from stpipe.core.step import Output
from stpipe.errors import InputError, UsageError
from stpipe.graph import partial_run
from stpipe.models.compare import Tolerance, compare

QUIET = "--log-stream=null"


@pytest.fixture
def here(tmp_path: Path, crds: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the demo's references."""
    del crds
    monkeypatch.chdir(tmp_path)
    return tmp_path


def exposure(exposures: list[Path], detector: str) -> Path:
    return next(e for e in exposures if detector in e.name)


def same(one: Path, other: Path) -> bool:
    with models.open(one) as a, models.open(other) as b:
        assert [r["step"] for r in a.provenance] == [r["step"] for r in b.provenance]
        return not list(compare(a, b, Tolerance(0, 0)))


@pytest.mark.parametrize("detector", ["nis", "mirimage", "nrs1"])
@pytest.mark.parametrize(("stop", "start"), [("jump", "ramp_fit"), ("ramp_fit", "gain_scale")])
def test_stopping_and_going_on_gives_the_whole_run(
    here: Path, exposures: list[Path], detector: str, stop: str, start: str
) -> None:
    """Bit for bit, metadata and history included."""
    source = exposure(exposures, detector)
    if start == "gain_scale" and detector != "nrs1":
        pytest.skip("only NIRSpec's gain is scaled")
    assert 0 == main(["calwebb_detector1", str(source), f"--stop-step={stop}", QUIET])
    made = {p.name.partition(f"_{detector}_")[2] for p in here.glob("*.fits")}
    assert made in ({"jump.fits"}, {"rate.fits", "rateints.fits"})

    assert 0 == main(["calwebb_detector1", str(source), f"--start-step={start}", QUIET])

    assert 0 == main(["calwebb_detector1", str(source), "--output_dir=whole", QUIET])
    for whole in here.glob("whole/*.fits"):
        assert same(whole, here / whole.name)


def test_what_an_exposure_went_through_before_is_no_part_of_the_run(
    here: Path, exposures: list[Path]
) -> None:
    """Rates have the history of the stage that made them; the next one stops and goes on, too."""
    source = exposure(exposures, "nrca1")
    root = source.name.removesuffix("_uncal.fits")
    assert 0 == main(["calwebb_detector1", str(source), QUIET])
    words = ["calwebb_image2", f"{root}_rate.fits", QUIET]
    assert 0 == main([*words, "--stop-step=flat_field"])
    assert 0 == main([*words, "--start-step=photom"])

    assert 0 == main([*words, "--output_dir=whole"])
    for suffix in ("cal", "i2d"):
        assert same(Path(f"whole/{root}_{suffix}.fits"), here / f"{root}_{suffix}.fits")


def test_the_part_may_be_anywhere_and_products_of_single_steps_do(
    here: Path, exposures: list[Path]
) -> None:
    """From a step to a later one; a product that was made by hand or in a project serves."""
    source = exposure(exposures, "nis")
    words = ["calwebb_detector1", str(source), QUIET]
    assert 0 == main([*words, "--stop-step=refpix"])
    assert 0 == main([*words, "--start-step=linearity", "--stop-step=dark_current"])
    root = source.name.removesuffix("_uncal.fits")
    assert 0 == main(["jump", f"{root}_dark_current.fits", QUIET])
    assert 0 == main([*words, "--start-step=ramp_fit"])

    assert 0 == main([*words, "--output_dir=whole"])
    assert np.array_equal(
        models.open(f"whole/{root}_rate.fits").data, models.open(f"{root}_rate.fits").data, True
    )
    assert not (here / f"{root}_linearity.fits").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--steps.jump.rejection_threshold=5"], "jump: rejection_threshold was 4.0, now 5.0"),
        (
            ["--steps.linearity.skip"],
            "would be dq_init, saturation, superbias, refpix, dark",
        ),
        (["--steps.jump.pre_hooks=shell:cp {input} {output}"], "jump (pre_hooks shell:cp"),
        (
            ["--override_gain=own_gain.fits"],
            "jump: the gain reference was jwst_niriss_gain_0001.fits",
        ),
    ],
)
def test_a_product_of_other_parameters_is_refused(
    here: Path,
    crds: Path,
    exposures: list[Path],
    words: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the reason, exit code 3, and nothing made."""
    source = exposure(exposures, "nis")
    gain = bytearray(next(crds.rglob("jwst_niriss_gain_0001.fits")).read_bytes())
    gain[-1] ^= 1
    Path("own_gain.fits").write_bytes(gain)
    assert 0 == main(["calwebb_detector1", str(source), "--stop-step=jump", QUIET])

    given = ["calwebb_detector1", str(source), "--start-step=ramp_fit", QUIET, *words]
    assert 3 == main(given)

    assert reason in capsys.readouterr().err
    assert not list(here.glob("*_rate*.fits"))


def test_a_product_of_another_exposure_is_refused(
    here: Path, exposures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another visit under the same name, and of the same exposure with other pixels."""
    del here
    one, other = (e for e in exposures if "nrca1" in e.name)
    assert 0 == main(["calwebb_detector1", str(one), "--stop-step=jump", QUIET])
    (jump,) = Path().glob("*_jump.fits")
    jump.rename(other.name.replace("uncal", "jump"))

    assert 3 == main(["calwebb_detector1", str(other), "--start-step=ramp_fit", QUIET])
    assert "meta.observation" in capsys.readouterr().err or "start_time" in capsys.readouterr().err

    shutil.copyfile(one, "x_uncal.fits")
    assert 0 == main(["calwebb_detector1", "x_uncal.fits", "--stop-step=jump", QUIET])
    with models.open("x_uncal.fits") as raw:
        raw.data = np.array(raw.data) + np.uint16(1)
        raw.save("x_uncal.fits")
    assert 3 == main(["calwebb_detector1", "x_uncal.fits", "--start-step=ramp_fit", QUIET])
    assert "it was made from x_uncal.fits before that file changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--start-step=ramp_fi"], 2, 'did you mean "ramp_fit"'),
        (["--stop-step=reset"], 2, 'there is no step "reset"'),
        (["--stop-step=persistence"], 2, "does not take persistence (skip = True)"),
        (["--start-step=ramp_fit", "--stop-step=jump"], 2, "jump comes before ramp_fit"),
        (["--start-step=ramp_fit"], 3, "Make it with --stop-step=jump"),
    ],
)
def test_what_cannot_be_started_or_stopped_is_said(
    here: Path,
    exposures: list[Path],
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One message, no file."""
    source = exposure(exposures, "nis")
    assert code == main(["calwebb_detector1", str(source), *words, QUIET])
    assert message in capsys.readouterr().err
    assert not list(here.iterdir())


def test_a_single_step_has_no_parts(here: Path, exposures: list[Path]) -> None:
    del here
    assert 2 == main(["jump", str(exposures[0]), "--stop-step=jump", QUIET])


# --- pipelines that branch and join ----------------------------------------------------------------


class Split(Step):
    """Two halves."""

    alias = "split"
    outputs = (Output("low", "ImageModel", "low"), Output("high", "ImageModel", "high"))

    def process(self, image: Any) -> Any:
        other = image.copy()
        image.data, other.data = image.data / 2, other.data / 2
        return image, other


class Add(Step):
    """Add a number."""

    suffix = "add"
    spec = "number = float(default=1.0)"
    number: float

    def process(self, image: Any) -> Any:
        image.data = image.data + self.number
        return image


class Other(Add):
    """The same on the other branch."""

    suffix = "other"


class Sum(Step):
    """Join both branches."""

    alias = suffix = "sum"

    def process(self, image: Any, other: Any) -> Any:
        image.data = image.data + other.data
        return image


class Diamond(Pipeline):
    """A pipeline that splits and joins."""

    step_defs = {"first": Add, "split": Split, "one": Add, "two": Other, "sum": Sum}

    def process(self, image: Any) -> Any:
        low, high = self.split(self.first(image))
        if low.meta.instrument.name == "MIRI":
            low = self.one(low)
        return self.sum(low, self.two(high))


class First(Add):
    """Suffixes of its own."""

    suffix = "first"


Diamond.step_defs["first"] = First


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    model = models.ImageModel(np.full((2, 2), 8.0, np.float32))
    model.meta.instrument.name = "MIRI"
    return model.save(tmp_path / "x_rate.fits")


@pytest.mark.parametrize(
    ("stop", "start", "saved"),
    [
        ("first", "split", {"first"}),
        ("split", "one", {"low", "high"}),
        ("one", "sum", {"add", "high"}),
    ],
)
def test_non_linear_pipelines_start_and_stop_as_well(
    image: Path, stop: str, start: str, saved: set[str]
) -> None:
    """What the steps after need is saved, what the steps before made is read."""
    partial_run.run(Diamond(), image, None, stop)
    assert saved == {p.stem.removeprefix("x_") for p in Path().glob("x_*.fits")} - {"rate"}
    if start in {"one", "sum"}:
        # The other branch is not before `one`: it is made by a run of its own.
        partial_run.run(Diamond(), image, None, "two")

    (made,) = partial_run.run(Diamond(), image, start, None)

    with models.open(made) as result:
        assert 11.0 == result.data[0, 0]


def test_a_branch_that_is_missing_is_named(image: Path) -> None:
    """Which file, and how to make it."""
    partial_run.run(Diamond(), image, None, "one")

    with pytest.raises(InputError, match=r"x_other\.fits, the product of two") as error:
        partial_run.run(Diamond(), image, "sum", None)
    assert "--stop-step=two" in str(error.value)
    with pytest.raises(UsageError, match="no step"):
        partial_run.run(Diamond(), image, "three", None)
