"""Reference files that are given to one step of a pipeline, and the steps that they count for, too."""

from __future__ import annotations

from pathlib import Path

from stpipe.core.pipeline import Pipeline
from stpipe.core.step import Step

META = {"meta.exposure.type": "NRS_MSASPEC"}


class OpticsStep(Step):
    """Takes the optics."""

    alias = "optics"
    reference_types = ("camera",)


class TracingStep(Step):
    """Takes the same."""

    alias = "tracing"
    reference_types = ("camera",)
    references_of = "optics"


class InnerPipeline(Pipeline):
    """Has a step that the outer one has."""

    alias = "inner"
    step_defs = {"optics": OpticsStep}


class OuterPipeline(Pipeline):
    """Takes the optics twice, and within another pipeline."""

    alias = "outer"
    step_defs = {"optics": OpticsStep, "tracing": TracingStep, "inner": InnerPipeline}


def given(tmp_path: Path, *names: str) -> list[str]:
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_text("SIMPLE")
    return [str(path) for path in paths]


def camera(step: Step) -> str:
    return str(step.select_references(META)["camera"].path)


def test_overrides_count_for_steps_that_go_together(tmp_path: Path) -> None:
    """A file for one step counts for its companion, and for the same step of a pipeline within."""
    (one,) = given(tmp_path, "one.asdf")
    outer = OuterPipeline(steps={"optics": {"override_camera": one}})

    assert one == camera(outer.optics)
    assert one == camera(outer.tracing)
    assert one == camera(outer.inner.optics)


def test_an_override_of_its_own_goes_first(tmp_path: Path) -> None:
    """Each step may have another file."""
    one, two, three = given(tmp_path, "one.asdf", "two.asdf", "three.asdf")
    steps = {
        "optics": {"override_camera": one},
        "tracing": {"override_camera": two},
        "inner": {"steps": {"optics": {"override_camera": three}}},
    }
    outer = OuterPipeline(steps=steps)

    assert [one, two, three] == [
        camera(s) for s in (outer.optics, outer.tracing, outer.inner.optics)
    ]
