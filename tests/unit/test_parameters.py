"""Parameters: sources, precedence, checks, export."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe import Pipeline, Step
from stpipe.errors import ParameterError
from stpipe.parameters import (
    Settings,
    export,
    from_keywords,
    from_options,
    read_cfg,
    resolve,
    rules,
)


class Blur(Step):
    """Blur an image."""

    alias = "blur"
    suffix = "blur"
    reference_types = ("kernel",)
    spec = """
        width = float(min=0, max=10, default=2.5)  # Width in pixels # and nothing else
        mode = option("near", "far, away", default="near")  # How
        sizes = int_list(default=list(1, 2))
        label = string(default=None)
        round = boolean(default=True)
    """


class Needy(Step):
    """A step with a required parameter."""

    alias = "needy"
    spec = "seed = integer(min=1)"


class Scene(Pipeline):
    """Two steps."""

    alias = "scene"
    spec = "keep = boolean(default=False)"
    step_defs = {"blur": Blur, "again": Blur}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_spec_gives_checks_defaults_and_help() -> None:
    """One line of a spec says everything about a parameter."""
    width = rules(Blur)["width"]

    assert width.default == 2.5
    assert width.help == "Width in pixels # and nothing else"
    assert width.allowed == "float(min=0, max=10)"
    assert rules(Blur)["mode"].allowed == 'option("near", "far, away")'


def test_the_highest_source_wins_and_every_source_is_kept(tmp_path: Path) -> None:
    """Command line over file over default, parameter by parameter."""
    path = write(tmp_path / "blur.cfg", "class = blur\nwidth = 3.5\nmode = near\n")
    settings = from_options([("width", "4.5")]).over(read_cfg(path).settings)

    parameters = resolve(Blur, settings)

    assert parameters.values["width"] == 4.5
    assert parameters.sources["width"] == "command line"
    assert parameters.sources["mode"] == f"{path}:3"
    assert parameters.sources["label"] == "default"


def test_substeps_take_sections_and_files_of_their_own(tmp_path: Path) -> None:
    """`[[blur]]` with `config_file` reads that file beside this one; the section still wins."""
    write(tmp_path / "inner.cfg", "width = 1.5\nmode = 'far, away'\n")
    outer = write(
        tmp_path / "outer.cfg",
        "class = scene\n[steps]\n  [[blur]]\n  config_file = inner.cfg\n  width = 9\n",
    )

    blur = resolve(Scene, read_cfg(outer).settings).steps["blur"]

    assert (9.0, "far, away") == (blur.values["width"], blur.values["mode"])
    assert blur.sources["width"] == f"{outer}:5"
    assert blur.sources["mode"] == f"{tmp_path / 'inner.cfg'}:2"


def test_all_mistakes_are_reported_together_with_place_and_way_out(tmp_path: Path) -> None:
    """Unknown names with the nearest one, wrong types and bounds with what is allowed."""
    path = write(
        tmp_path / "scene.cfg",
        "kep = True\n[steps]\n[[blur]]\nwidht = 3\nwidth = 99\nmode = up\n[[agian]]\nwidth = 1\n",
    )

    with pytest.raises(ParameterError) as caught:
        resolve(Scene, read_cfg(path).settings)

    text = str(caught.value)
    assert f'{path}:1: unknown parameter "kep" of scene (did you mean "keep"?)' in text
    assert f'{path}:4: unknown parameter "blur.widht" of blur (did you mean "width"?)' in text
    assert f"{path}:5: blur.width: found '99', allowed: float(min=0, max=10)" in text
    assert "blur.mode: found 'up', allowed: option(" in text
    assert 'scene has no step "agian" (did you mean "again"?)' in text
    assert len(caught.value.problems) == 5


def test_a_required_parameter_must_be_given() -> None:
    """Without a default somebody has to say it."""
    with pytest.raises(ParameterError, match=r"seed: required, allowed: integer\(min=1\)"):
        resolve(Needy, Settings())
    assert resolve(Needy, from_keywords({"seed": 3})).values["seed"] == 3


def test_an_override_of_the_pipeline_reaches_its_steps() -> None:
    """The step's own override is nearer and wins."""
    settings = from_keywords(
        {"override_kernel": "a.fits", "steps": {"again": {"override_kernel": "b.fits"}}}
    )

    steps = resolve(Scene, settings).steps

    assert steps["blur"].values["override_kernel"] == "a.fits"
    assert steps["again"].values["override_kernel"] == "b.fits"


def test_several_hooks_keep_their_order_and_their_commas() -> None:
    """Each option is one hook."""
    settings = from_options([("pre_hooks", "shell:a {input}, b"), ("pre_hooks", "python:m.f")])

    assert resolve(Blur, settings).values["pre_hooks"] == ["shell:a {input}, b", "python:m.f"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("[steps\nx = 1\n", ":1: not valid"), ("just words\n", ":1: not valid")],
)
def test_bad_syntax_is_named_by_line(tmp_path: Path, text: str, message: str) -> None:
    """A file that cannot be read says where."""
    path = write(tmp_path / "bad.cfg", text)
    with pytest.raises(ParameterError, match=f"{path.name}{message}"):
        read_cfg(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No traceback for a misspelt path."""
    with pytest.raises(ParameterError, match=r"no\.cfg: No such file"):
        read_cfg(tmp_path / "no.cfg")


VALUES = st.fixed_dictionaries(
    {
        "width": st.floats(0, 10),
        "mode": st.sampled_from(["near", "far, away"]),
        "sizes": st.lists(st.integers(-99, 99), min_size=1, max_size=4),
        "round": st.booleans(),
        "label": st.one_of(st.none(), st.text(st.characters(categories=["L", "N"]), min_size=1)),
    }
)


@given(values=VALUES)
def test_export_repeats_every_value(values: dict[str, Any]) -> None:
    """What is written and read again resolves to the same parameters."""
    first = resolve(Blur, from_keywords(values))
    import tempfile  # hypothesis refuses function-scoped fixtures

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "again.cfg", export("blur", first))
        again = resolve(Blur, read_cfg(path).settings)

    assert dict(first.values) == dict(again.values)


def test_export_of_a_pipeline_keeps_its_steps(tmp_path: Path) -> None:
    """With `only_given`, only what was asked for is written."""
    parameters = resolve(Scene, from_options([("steps.blur.width", "3")]))

    path = write(tmp_path / "scene.cfg", export("scene", parameters, only_given=True))

    assert path.read_text().split() == [
        "class",
        "=",
        "scene",
        "[steps]",
        "[[blur]]",
        "width",
        "=",
        "3.0",
    ]
    assert resolve(Scene, read_cfg(path).settings).steps["blur"].values["width"] == 3.0
