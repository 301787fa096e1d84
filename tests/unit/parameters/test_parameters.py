"""Parameters: sources, precedence, checks, export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configobj.validate import ValidateError
from hypothesis import given
from hypothesis import strategies as st

from stpipe import Pipeline, Step
from stpipe.errors import ParameterError
from stpipe.parameters.readers import from_keywords, from_options, read_cfg
from stpipe.parameters.resolution import resolve
from stpipe.parameters.settings import Settings
from stpipe.parameters.specs import Rule, rules
from stpipe.parameters.writer import export


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
    with pytest.raises(
        ParameterError, match=r"seed: required, but not set; allowed: integer\(min=1\)"
    ):
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


class Masked(Step):
    """A step that reads and names files."""

    alias = "masked"
    spec = """
        mask = input_file(default=None)  # Pixels to leave out
        table = output_file(default=None)  # Where the table goes
    """


def test_an_input_file_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    """A parameter file and its neighbours can be moved together; it must be there."""
    write(tmp_path / "mask.reg", "")
    path = write(tmp_path / "masked.cfg", "class = masked\nmask = mask.reg\n")

    assert str(tmp_path / "mask.reg") == resolve(Masked, read_cfg(path).settings).values["mask"]
    with pytest.raises(ParameterError, match=r"command line: mask: there is no file mask\.reg"):
        resolve(Masked, from_options([("mask", "mask.reg")]))


def test_paths_may_hold_the_home_folder_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As shells expand them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NIGHT", "n1")
    write(tmp_path / "mask.reg", "")
    given = from_keywords({"mask": "~/mask.reg", "table": "$NIGHT/t.csv", "output_dir": "~/out"})

    values = resolve(Masked, given).values

    assert (str(tmp_path / "mask.reg"), "n1/t.csv") == (values["mask"], values["table"])
    assert str(tmp_path / "out") == values["output_dir"]


@pytest.mark.parametrize("value", ["None", "", None])
def test_none_can_be_said_where_it_is_the_default(value: Any) -> None:
    """So that an exported file can say it against a file of lower rank."""
    assert None is resolve(Blur, from_keywords({"label": value})).values["label"]


@pytest.mark.parametrize("value", [None, "None"])
def test_none_may_be_an_option(value: Any) -> None:
    """Also where it is not the default; elsewhere it is refused."""
    assert Rule("option('box', None, default='box')", "").parse(value) is None
    with pytest.raises(ValidateError):
        Rule("option('box', 'None of these', default='box')", "").parse(value)


@pytest.mark.parametrize(
    ("value", "expected"), [("7", [7]), ("7,8", [7, 8]), ("7,", [7]), ("", [])]
)
def test_lists_on_the_command_line_are_separated_by_commas(value: str, expected: list[int]) -> None:
    """One element needs no comma."""
    assert expected == resolve(Blur, from_options([("sizes", value)])).values["sizes"]


@pytest.mark.parametrize("value", ["nan", float("nan"), "1e999", [1], {"a": 1}, True, None])
def test_what_is_no_number_within_bounds_is_refused(value: Any) -> None:
    """Not-a-number compares with no bound."""
    settings = from_keywords({"width": value})
    if value is True:
        assert 1.0 == resolve(Blur, settings).values["width"]
        return
    with pytest.raises(ParameterError, match="width: found"):
        resolve(Blur, settings)


def test_numbers_of_numpy_count_as_numbers() -> None:
    """Notebooks pass them."""
    given = from_keywords({"width": np.float32(2), "sizes": [3]})

    assert 2.0 == resolve(Blur, given).values["width"]


def test_a_comma_in_a_hook_of_a_file_is_kept(tmp_path: Path) -> None:
    """Quotes make one command of it."""
    path = write(tmp_path / "blur.cfg", "pre_hooks = 'shell:sort -k1,2 {input}'\n")

    assert ["shell:sort -k1,2 {input}"] == resolve(Blur, read_cfg(path).settings).values[
        "pre_hooks"
    ]


def test_names_of_steps_are_pointed_out_where_parameters_stand(tmp_path: Path) -> None:
    """`[blur]` instead of `[steps] [[blur]]`, a parameter of a step given to the pipeline."""
    path = write(tmp_path / "scene.cfg", "width = 3\n[blur]\nwidth = 3\n[steps]\n[[blurr]]\n")

    with pytest.raises(ParameterError) as caught:
        resolve(Scene, read_cfg(path).settings)

    width, section, step = caught.value.problems
    assert (
        f'{path}:1: unknown parameter "width" of scene (did you mean --steps.blur.width?)' == width
    )
    assert f'{path}:2: "blur" is a step of scene: set its parameters under [steps]' in section
    assert f'{path}:5: scene has no step "blurr" (did you mean "blur"?)' == step


def test_files_that_include_each_other_are_found_out(tmp_path: Path) -> None:
    """Instead of reading for ever."""
    path = write(tmp_path / "a.cfg", "config_file = a.cfg\n")
    with pytest.raises(ParameterError, match="leads back"):
        read_cfg(path)


def test_config_file_works_from_everywhere(tmp_path: Path) -> None:
    """Command line and keyword, for a pipeline's step; what is said beside it wins."""
    path = write(tmp_path / "blur.cfg", "width = 1.5\nround = False\n")
    options = from_options([("steps.blur.config_file", str(path)), ("steps.blur.width", "2")])
    keywords = from_keywords({"steps": {"blur": {"config_file": str(path), "width": 2}}})

    for settings in (options, keywords):
        blur = resolve(Scene, settings).steps["blur"]
        assert (2.0, False) == (blur.values["width"], blur.values["round"])
        assert f"{path}:2" == blur.sources["round"]


OLD_ASDF = b"""#ASDF 1.0.0
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !core/asdf-1.1.0
meta: {author: Karl, instrument: {name: MIRI}, date: !!timestamp '2019-07-18 20:01:09'}
parameters:
  class: jwst.blur.BlurStep
  name: blur
  width: 3.5
  steps:
    inner: {width: 2.5}
...
"""


def test_asdf_files_of_either_age_are_read(tmp_path: Path) -> None:
    """The oldest hold everything under `parameters`."""
    path = tmp_path / "old.asdf"
    path.write_bytes(OLD_ASDF)

    found = read_cfg(path)

    assert ("jwst.blur.BlurStep", "blur") == (found.target, found.name)
    assert {"width": 3.5} == {n: raw.value for n, raw in found.settings.values.items()}
    assert 2.5 == found.settings.steps["inner"].values["width"].value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#ASDF 1.0.0\n--- {\n", ": not a valid ASDF file"),
        (b"#ASDF 1.0.0\n--- {a: 1}\n", " is not a parameter file: it has no `parameters`"),
    ],
)
def test_a_damaged_asdf_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.asdf"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=f"bad.asdf{message}"):
        read_cfg(path)


@pytest.mark.parametrize("extension", [".cfg", ".asdf"])
def test_export_config_repeats_an_instance(tmp_path: Path, extension: str) -> None:
    """In either format, with substeps, also what was set in Python after the making."""
    scene = Scene(keep=True, steps={"blur": {"width": 9.0, "label": "x, y"}})
    scene.again.sizes = [5]

    path = scene.export_config(tmp_path / f"scene{extension}")
    again = Scene.from_settings(read_cfg(path).settings)

    assert scene.keep is again.keep is True
    for name in ("blur", "again"):
        assert scene.steps[name].science_parameters() == again.steps[name].science_parameters()
    assert [5] == again.again.sizes


def test_export_knows_two_formats(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"scene\.yaml: allowed: a name that ends in \.cfg or"):
        Scene().export_config(tmp_path / "scene.yaml")


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
