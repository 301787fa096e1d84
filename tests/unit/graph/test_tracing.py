"""Tracing: `process` on a header becomes a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stpipe import Pipeline, Step, models
from stpipe.core.step import Output
from stpipe.errors import InputError, TraceError, UsageError
from stpipe.graph.tracing import Graph, trace
from stpipe.project.snakefile import of_stages


class Halve(Step):
    alias = "halve"
    suffix = "halve"


class Split(Step):
    alias = "split"
    outputs = (Output("low", "ImageModel", "low"), Output("high", "ImageModel", "high"))


class Polish(Step):
    alias = "polish"
    suffix = "polish"
    refines = True


class Inner(Pipeline):
    step_defs = {"one": Halve, "two": Halve}

    def process(self, image: Any) -> Any:
        return self.two(self.one(image))


class Outer(Pipeline):
    spec = "keep = boolean(default=False)"
    step_defs = {"inner": Inner, "miri": Halve, "split": Split, "polish": Polish, "last": Halve}
    keep: bool

    def process(self, image: Any) -> Any:
        image = self.inner(image)
        if image.meta.instrument.name == "MIRI":
            image = self.miri(image)
        if self.keep:
            image.save(self.product_name("cal"))
        products = self.split(image)
        polished = self.polish(products.high)
        return self.last(products.low), polished


@pytest.fixture
def image(tmp_path: Path) -> Path:
    model = models.ImageModel()
    model.data = [[1.0, 2.0], [3.0, 4.0]]
    model.meta.instrument.name = "MIRI"
    return model.save(tmp_path / "x_rate.fits")


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes]


def test_nested_pipelines_unfold_with_qualified_names(image: Path) -> None:
    """Every step is a node of its own, whatever pipeline it is in."""
    graph = trace(Outer(), image)

    assert ["inner.one", "inner.two", "miri", "split", "last"] == names(graph)
    assert [None, graph.nodes[0], graph.nodes[1]] == [n.inputs[0][0] for n in graph.nodes[:3]]


def test_branches_follow_the_header(image: Path) -> None:
    """The branch that this exposure takes is in the graph, the other is not."""
    with models.open(image) as model:
        model.meta.instrument.name = "NIRCAM"
        model.save(image)

    assert ["inner.one", "inner.two", "split", "last"] == names(trace(Outer(), image))


def test_products_are_told_apart(image: Path) -> None:
    """A step with two products feeds each to whoever asks; a refinement stays in its rule."""
    graph = trace(Outer(), image)
    split, last = graph.nodes[-2:]

    assert (split, 0) == last.inputs[0]
    assert [("polish", 1)] == [(r.step.name, r.product) for r in split.refinements]
    assert ["halve", "high"] == [r.suffix for r in graph.results]


def test_a_skipped_step_is_absent_and_noted(image: Path) -> None:
    """The next product will say that it was left out, and why."""
    graph = trace(Outer(steps={"miri": {"skip": True}, "polish": {"skip": True}}), image)

    assert "miri" not in names(graph)
    assert [("miri", "skip = True")] == [
        (s.step.name, s.reason) for s in graph.nodes[2].skipped_before
    ]
    assert ["polish"] == [s.step.name for s in graph.nodes[2].skipped_after]


def test_saving_on_the_way_is_noted(image: Path) -> None:
    """`save` in `process` asks for one more file."""
    graph = trace(Outer(keep=True), image)

    assert [("miri", "cal")] == [(p.node.name, suffix) for p, suffix in graph.saves if p.node]


@pytest.mark.parametrize(
    "touch",
    [
        lambda m: m.data.mean(),
        lambda m: m + 1,
        lambda m: 2 * m,
        lambda m: m[0],
        list,
        lambda m: setattr(m.meta.instrument, "name", "FGS"),
        models.ImageModel,
    ],
)
def test_touching_pixels_names_the_line_and_the_way_out(image: Path, touch: Any) -> None:
    """Whatever `process` does to pixels or metadata itself is refused."""

    class Toucher(Pipeline):
        step_defs = {"one": Halve}

        def process(self, image: Any) -> Any:
            touch(image)
            return self.one(image)

    with pytest.raises(TraceError, match=rf"{Path(__file__).name}:\d+: .*step of its own"):
        trace(Toucher(), image)


def test_an_unknown_attribute_of_metadata_is_still_an_error(image: Path) -> None:
    """A misspelt name is not silently None."""

    class Misspelt(Pipeline):
        def process(self, image: Any) -> Any:
            return image.meta.instrumnet.name

    with pytest.raises(AttributeError, match="instrument"):
        trace(Misspelt(), image)


def test_a_missing_exposure_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.fits"):
        trace(Outer(), tmp_path / "no.fits")


def test_a_step_of_two_stages_is_one_rule() -> None:
    """When it is the same step under the same name; another one of that name is refused."""

    class First(Pipeline):
        step_defs = {"halve": Halve, "split": Split}

    class Second(Pipeline):
        step_defs = {"halve": Halve}

    class Third(Pipeline):
        step_defs = {"halve": Polish, "split": Halve}

    rules = of_stages([First, Second])
    assert ["halve", "split"] == [rule.name for rule in rules]
    assert {"halve", "low", "high"} == rules[0].suffixes
    with pytest.raises(UsageError, match=r"split is in two pipelines .* different step in each"):
        of_stages([First, Third])
