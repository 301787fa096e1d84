"""Cubes in calwebb_spec2: planned from the header, and made."""

from __future__ import annotations

from pathlib import Path

from cube_references import cubepar
from sliced_light import exposure

from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.steps.stage2.cube_build.step import CubeBuildStep


def test_a_cube_for_each_channel(tmp_path: Path) -> None:
    """Its name says of which channel and band it is; nothing else of the exposure is changed."""
    others = set(Spec2Pipeline.step_defs) - {"cube_build", "master_background_mos"}
    steps = {name: {"skip": True} for name in others}
    limits = {"wavemin": 5.01, "wavemax": 5.02}
    steps["cube_build"] = {"override_cubepar": cubepar(tmp_path / "c.fits", "MIRI"), **limits}
    path = exposure().save(tmp_path / "x_rate.fits")
    made = Spec2Pipeline(steps=steps, save_results=True, output_dir=str(tmp_path)).run(path)

    assert len(made.rectified) == 1
    assert (tmp_path / "x_ch1-short_s3d.fits").is_file()
    assert made.calibrated.meta.cal_step.cube_build is None


def test_without_cube_parameters_exposures_are_calibrated_alone(tmp_path: Path) -> None:
    """The step is skipped with its reason, and there is nothing to extract."""
    others = set(Spec2Pipeline.step_defs) - {"cube_build", "extract_1d", "master_background_mos"}
    steps: dict[str, dict[str, object]] = {name: {"skip": True} for name in others}
    steps["cube_build"] = {"override_cubepar": "N/A"}
    path = exposure().save(tmp_path / "x_rate.fits")

    made = Spec2Pipeline(steps=steps).run(path)

    assert made.rectified is None
    assert made.spectra is None
    assert made.calibrated.meta.model_type == "IFUImageModel"


def test_a_project_knows_the_cubes_from_headers() -> None:
    """Of all members: each band once; of one exposure of NIRSpec the cube needs no label."""
    bands = {"meta.instrument.name": "MIRI", "meta.instrument.channel": "12"}
    headers = [{**bands, "meta.instrument.band": band} for band in ("SHORT", "LONG", "SHORT")]
    expected = ["ch1-short", "ch1-long", "ch2-short", "ch2-long"]
    assert CubeBuildStep().parts(headers, {}) == expected
    assert CubeBuildStep(channel="2", output_type="channel").parts(headers, {}) == ["ch2-shortlong"]
    nirspec = {"meta.instrument.name": "NIRSPEC", "meta.instrument.grating": "PRISM"}
    nirspec |= {"meta.instrument.filter": "CLEAR"}
    assert CubeBuildStep().parts([nirspec], {}) == [""]
    assert CubeBuildStep().parts([nirspec] * 2, {}) == ["prism-clear"]
