"""One definition, three runners: the same names, the same pixels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from comparing import same, same_arrays

from stpipe import models

pytestmark = pytest.mark.usefixtures("crds")

ORDER = {
    "NIR": "group_scale dq_init saturation ipc superbias refpix linearity dark_current jump ramp_fit",
    "MIRI": "group_scale dq_init saturation ipc lastframe reset linearity rscd dark_current refpix "
    "jump ramp_fit",
}


def by_hand(run: Callable[..., object], exposure: Path, folder: Path) -> None:
    """The steps one after another, as a person would type them."""
    folder.mkdir()
    source = exposure
    miri = "mirimage" in exposure.name
    for step in ORDER["MIRI" if miri else "NIR"].split():
        run("strun", step, source, cwd=folder)
        suffix = {"ramp_fit": "rate"}.get(step, step)
        source = folder / exposure.name.replace("_uncal", f"_{suffix}")
        assert source.is_file(), f"{step} did not write {source.name}"


def test_memory_files_and_hand_agree(
    run: Callable[..., object], shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every instrument: `strun PIPELINE`, the Snakemake project, and steps by hand."""
    project, memory = shown / "demo", tmp_path / "memory"
    exposures = sorted(project.glob("uncal/*_uncal.fits"))
    monkeypatch.setenv("CRDS_PATH", str(project / "crds"))
    run("strun", "calwebb_detector1", *exposures, f"--output_dir={memory}", cwd=tmp_path)

    assert len(exposures) == 5
    for exposure in exposures:
        hand = tmp_path / exposure.stem
        by_hand(run, exposure, hand)
        for suffix in ("rate", "rateints"):
            name = exposure.name.replace("_uncal", f"_{suffix}")
            same(project / "cal" / name, memory / name)
        # By hand, steps that do nothing leave a file too, which says so; a project has none.
        kept = [p for p in hand.glob("*.fits") if (project / "cal" / p.name).is_file()]
        assert len(kept) > 8
        for product in kept:
            if "nrs1_rate" not in product.name:
                same_arrays(project / "cal" / product.name, product)


def test_gain_is_scaled_in_the_rule_of_the_fit(
    run: Callable[..., object], exposures: list[Path], tmp_path: Path
) -> None:
    """A step that refines rates keeps their name in a pipeline, and has its own by hand."""
    nirspec = next(e for e in exposures if "nrs1" in e.name)
    run("strun", "calwebb_detector1", nirspec, cwd=tmp_path)
    hand = tmp_path / "hand"
    by_hand(run, nirspec, hand)
    rate = hand / nirspec.name.replace("_uncal", "_rate")
    run("strun", "gain_scale", rate, cwd=hand)

    same_arrays(tmp_path / rate.name, hand / rate.name.replace("_rate", "_gain_scale"))


def test_spectra_of_all_runners_agree(
    run: Callable[..., object],
    spectra_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From raw ramps to spectra, with and without a slit: two pipelines in one project, and strun."""
    monkeypatch.setenv("CRDS_PATH", str(spectra_folder / "crds"))
    uncal = sorted(spectra_folder.glob("uncal/*.fits"))
    pipelines = ("--pipeline=calwebb_detector1", "--pipeline=calwebb_spec2")
    run("stflow", "init", "project", *pipelines, *uncal, cwd=tmp_path)
    project = tmp_path / "project"
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=project)
    for exposure in uncal:
        rate = project / "cal" / exposure.name.replace("_uncal", "_rate")
        run("strun", "calwebb_spec2", rate, "--output_dir=memory", cwd=tmp_path)
        suffixes = ("cal", "x1d") if "_00001_" in rate.name else ("cal", "s2d", "x1d")
        for suffix in suffixes:
            name = rate.name.replace("_rate", f"_{suffix}")
            same(project / "cal" / name, tmp_path / "memory" / name)
        made = {p.name for p in (tmp_path / "memory").glob(rate.name.replace("_rate", "_*"))}
        assert {rate.name.replace("_rate", f"_{s}") for s in suffixes} == made
    again = run("snakemake", "-n", "--cores", "2", "cal/*.fits", cwd=project)
    assert "Nothing to be done" in again.stdout  # type: ignore[attr-defined]


def test_slopes_are_unbiased(
    run: Callable[..., object], demo_folder: Path, exposures: list[Path], tmp_path: Path
) -> None:
    """Against the truth that the simulator kept, for every instrument."""
    (tmp_path / "truth").symlink_to(demo_folder / "truth")
    run("strun", "calwebb_detector1", *exposures, "--output_dir=cal", cwd=tmp_path)

    out = run("python", "-m", "stpipe.demo.compare", ".", cwd=tmp_path)
    assert f"{len(exposures)} comparisons, unbiased within errors" in out.stdout  # type: ignore[attr-defined]


MY_PIPELINE = '''
"""The published example: a pipeline within a pipeline, and two more steps."""

from stpipe import Pipeline
from stpipe.pipelines.sloper import SloperPipeline
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.flat_field.step import FlatFieldStep


class MyPipeline(Pipeline):
    """Slopes with coordinates, divided by the response."""

    step_defs = {"sloper": SloperPipeline, "wcs": AssignWcsStep, "flat": FlatFieldStep}

    def process(self, input):
        slope_model = self.sloper(input)
        slope_model = self.wcs(slope_model)
        return self.flat(slope_model)
'''


@pytest.fixture(scope="module")
def imagers(exposures: list[Path]) -> list[Path]:
    """An exposure each of the near and of the middle infrared that is an image."""
    names = ("00001_nrca1_", "00001_mirimage_")
    return [e for e in exposures if any(name in e.name for name in names)]


def test_the_published_pipeline_of_pipelines(
    run: Callable[..., object], imagers: list[Path], tmp_path: Path
) -> None:
    """A user's file: in memory, as a project, and the last two steps by hand."""
    (tmp_path / "my.py").write_text(MY_PIPELINE)
    run("stflow", "init", "project", "--pipeline=my.py:MyPipeline", *imagers, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "project")
    memory = tmp_path / "memory"
    run("strun", "my.py:MyPipeline", *imagers, f"--output_dir={memory}", cwd=tmp_path)

    for exposure in imagers:
        name = exposure.name.replace("_uncal", "_flat_field")
        same(tmp_path / "project/cal" / name, memory / name)
        rate = tmp_path / "project/cal" / exposure.name.replace("_uncal", "_rate")
        run("strun", "assign_wcs", rate, cwd=tmp_path)
        run("strun", "flat_field", rate.name.replace("_rate", "_assign_wcs"), cwd=tmp_path)
        same_arrays(memory / name, tmp_path / name)
        with models.open(memory / name) as one, models.open(tmp_path / name) as other:
            assert one.meta.wcs(10, 20) == other.meta.wcs(10, 20)


def test_calibrated_images(run: Callable[..., object], imagers: list[Path], tmp_path: Path) -> None:
    """Rates become calibrated images, in memory, as a project and by hand; so do integrations."""
    rates, memory = tmp_path / "rates", tmp_path / "memory"
    run("strun", "calwebb_detector1", *imagers, f"--output_dir={rates}", cwd=tmp_path)
    sources = sorted(rates.glob("*_rate.fits"))
    run("stflow", "init", "project", "--pipeline=calwebb_image2", *sources, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "project")
    both = sorted(rates.glob("*_rate*.fits"))
    run("strun", "calwebb_image2", *both, f"--output_dir={memory}", cwd=tmp_path)

    for source in sources:
        name = source.name.replace("_rate", "_cal")
        same(tmp_path / "project/cal" / name, memory / name)
    for first, kind, product in ((both[0], "_rate", "_cal"), (both[1], "_rateints", "_calints")):
        hand = first
        for step in ("assign_wcs", "flat_field", "photom"):
            run("strun", step, hand, cwd=tmp_path)
            suffix = product if step == "photom" else f"_{step}"
            hand = tmp_path / first.name.replace(kind, suffix)
        same_arrays(memory / hand.name, hand)
    # By the header a product may have another suffix than the rule of its step.
    run("stflow", "init", "ints", "--pipeline=calwebb_image2", both[1], cwd=tmp_path)
    for _ in range(2):
        done = run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "ints")
    assert "Nothing to be done" in str(done)
    same(next(tmp_path.glob("ints/cal/*_calints.fits")), memory / hand.name)


def test_from_raw_ramps_to_a_mosaic(
    run: Callable[..., object], shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw exposures and an association in, a mosaic and a catalogue out: one project, three stages."""
    field, project = tmp_path / "field", shown / "demo/field"
    for name in ("uncal", "asn"):
        shutil.copytree(project / name, field / name)
    monkeypatch.setenv("CRDS_PATH", str(project / "crds"))
    stages = ("calwebb_detector1", "calwebb_image2", "calwebb_image3")
    raw, asn = sorted(field.glob("uncal/*.fits")), next(field.glob("asn/*.json"))
    kept, made = project / "cal", field / "cal"
    run("strun", stages[0], *raw, "--output_dir=cal", cwd=field)
    run("strun", stages[1], *sorted(made.glob("*_rate.fits")), "--output_dir=cal", cwd=field)
    run("strun", stages[2], asn, "--output_dir=cal", cwd=field)
    for ending in ("i2d.fits", "cat.ecsv"):
        name = next(kept.glob(f"*_t001_*_{ending}")).name
        same_arrays(kept / name, made / name)
    members = sorted(kept.glob("*_crf/*.fits"))
    assert len(members) == 4
    run("strun", "resample", *members, "--output_file=hand_i2d.fits", cwd=tmp_path)
    same_arrays(next(kept.glob("*_t001_*_i2d.fits")), tmp_path / "hand_i2d.fits")
    one = raw[0].name.replace("_uncal", "_i2d")
    same_arrays(kept / one, made / one)
    with models.open(next(kept.glob("*_cat.ecsv"))) as catalog:
        assert len(catalog.catalog) > 40
