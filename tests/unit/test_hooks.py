"""Hooks: what runs before and after a step, and everything that can go wrong there."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import LibraryStep, Output, Pipeline, Skip, Step, hooks, models
from stpipe.cli.strun.main import main
from stpipe.errors import HookError
from stpipe.pipelines.sloper import SloperPipeline

log = logging.getLogger("stpipe.test")
DOUBLE = (
    "python -c 'import sys; from astropy.io import fits; h = fits.open(sys.argv[1]); "
    'h["SCI"].data *= 2; h.writeto(sys.argv[2])\' {input} {output}'
)


class Halve(Step):
    """Halve."""

    alias = "halve"
    suffix = "halve"

    def process(self, image: Any) -> Any:
        image.data = image.data / 2
        return image


class Never(Step):
    """A step that finds that it has nothing to do."""

    alias = "never"
    reference_types = ()

    def not_needed(self, meta: Any, selected: Any) -> str:
        del meta, selected
        return "no need"


class Outer(Pipeline):
    """Both."""

    step_defs = {"halve": Halve, "never": Never}

    def process(self, image: Any) -> Any:
        return self.never(self.halve(image))


def image() -> models.ImageModel:
    model = models.ImageModel(np.full((4, 4), 8.0, dtype=np.float32))
    model.dq = np.arange(16, dtype=np.uint32).reshape(4, 4)
    model.meta.instrument.name = "NIRCAM"
    model.meta.filename = "x_cal.fits"
    return model


def plus_one(model: Any) -> Any:
    """A hook in Python."""
    made = model.copy()
    made.data = model.data + 1
    return made


def looks(model: Any) -> None:
    """A hook that only looks."""
    log.info("saw %s", model.shape)


class Negate(Step):
    """A step as a hook."""

    def process(self, model: Any) -> Any:
        model.data = -model.data
        return model


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`myhooks`, a module of the user's in the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "myhooks.py").write_text(
        "THING = 3\n"
        "def plus(model):\n    made = model.copy()\n    made.data = model.data + 10\n    return made\n"
        "def fails(model):\n    raise ValueError('no luck')\n"
        "def number(model):\n    return 3\n"
    )
    (tmp_path / "broken.py").write_text("import nosuchpackage\n")


def value(**parameters: Any) -> float:
    return float(Halve(**parameters).run(image()).data[0, 0])


# --- what hooks may be -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        ("python:a.b", "python"),
        ("shell:a.b", "shell"),
        ("a.b.c", "python"),
        ("sort {input}", "shell"),
        ("fitsverify", "shell"),
        ("./check.sh {input}", "shell"),
    ],
)
def test_python_and_shell_are_told_apart(hook: str, kind: str) -> None:
    """A bare dotted name is Python, any other bare string a command."""
    parsed = hooks.parse(hook)
    assert isinstance(parsed, hooks.Hook)
    assert kind == parsed.kind


@pytest.mark.parametrize(
    ("hook", "before", "after"),
    [
        (plus_one, 4.5, 5.0),
        ("python:myhooks.plus", 9.0, 14.0),
        ("myhooks.plus", 9.0, 14.0),
        (Negate, -4.0, -4.0),
        (Negate(), -4.0, -4.0),
        (looks, 4.0, 4.0),
        (f"shell:{DOUBLE}", 8.0, 8.0),
        (DOUBLE, 8.0, 8.0),
        ("shell:test -s {input}", 4.0, 4.0),
    ],
)
def test_a_hook_replaces_or_looks(hook: Any, before: float, after: float) -> None:
    """Functions, dotted names, steps and commands; before the step and after it."""
    assert before == value(pre_hooks=[hook])
    assert after == value(post_hooks=[hook])


def test_several_run_in_their_order() -> None:
    """Each on what the one before left."""
    assert 9.0 == value(pre_hooks=[plus_one, DOUBLE])
    assert 8.5 == value(pre_hooks=[DOUBLE, plus_one])


def test_hooks_come_from_files_keywords_and_the_command_line(tmp_path: Path) -> None:
    """With commas and quotes, which are the command's own."""
    source = image().save(tmp_path / "x_cal.fits")
    (tmp_path / "halve.cfg").write_text(
        f"class = {Halve.__module__}\npre_hooks = 'python:myhooks.plus', 'shell:true {{input}}'\n"
    )
    (tmp_path / "steps.py").write_text(
        "from stpipe import Step\nclass Same(Step):\n    suffix = 'same'\n"
        "    def process(self, model):\n        return model\n"
    )
    command = "shell:printf '%s, %s' a \"b\" > seen, && cp {input} {output}"

    words = ["--pre_hooks=python:myhooks.plus", f"--post_hooks={command}", "--log-stream=null"]
    assert 0 == main(["steps.py:Same", str(source), *words])

    assert "a, b" == (tmp_path / "seen,").read_text()
    with models.open(tmp_path / "x_same.fits") as made:
        assert 18.0 == made.data[0, 0]
        hooked = [(r["when"], r["hook"]) for r in made.provenance if r["status"] == "HOOK"]
    assert [("pre_hooks", "python:myhooks.plus"), ("post_hooks", command)] == hooked


def test_hooks_are_repeated_from_an_exported_file(tmp_path: Path) -> None:
    """A function is written as its name, a command with both kinds of quotes as it is."""
    command = """shell:awk 'BEGIN { print "x, y" }'; cp {input} {output}"""
    step = Halve(pre_hooks=[plus_one], post_hooks=[command])

    for extension in (".cfg", ".asdf"):
        again = Halve.call(image(), step.export_config(tmp_path / f"halve{extension}"))
        before, after = again.provenance[0], again.provenance[-1]
        assert ("pre_hooks", f"python:{__name__}.plus_one") == (before["when"], before["hook"])
        assert ("post_hooks", command) == (after["when"], after["hook"])


def test_braces_of_the_command_survive(caplog: pytest.LogCaptureFixture) -> None:
    """Only the two placeholders are ours."""
    with caplog.at_level(logging.INFO):
        value(pre_hooks=["shell:echo a b | awk '{print $2}'; X=1; echo ${X}{c}"])
    assert "  b\n" in caplog.text
    assert "  1{c}\n" in caplog.text


@pytest.mark.parametrize(
    "name", ["my file.fits", "it's; touch gone $(x).fits", 'a"b`c`.fits', "é*"]
)
@pytest.mark.parametrize("quotes", ["", "'", '"'])
def test_awkward_names_are_quoted(name: str, quotes: str, tmp_path: Path) -> None:
    """Whether the user quotes the placeholder or not, nothing of a name is run."""
    model = image()
    model.meta.filename = name
    command = f"shell:cp {quotes}{{input}}{quotes} {quotes}{{output}}{quotes}"

    made = Halve(pre_hooks=[command]).run(model)

    assert 4.0 == made.data[0, 0]
    assert {"myhooks.py", "broken.py"} == {
        p.name for p in tmp_path.iterdir() if p.name != "__pycache__"
    }


def test_a_command_sees_the_name_of_the_exposure(caplog: pytest.LogCaptureFixture) -> None:
    """Tools derive names of catalogues from it."""
    with caplog.at_level(logging.INFO):
        value(pre_hooks=["shell:basename {input}"])
    assert "  x_cal.fits\n" in caplog.text


def test_megabytes_of_output_go_through(caplog: pytest.LogCaptureFixture) -> None:
    """No pipe fills up, no line is too long; both streams, in order."""
    command = (
        "shell:python -c \"import sys; print('x' * 3_000_000); sys.stdout.flush(); "
        "[print(i, 'y' * 99, file=sys.stderr) for i in range(20_000)]\""
    )
    with caplog.at_level(logging.INFO):
        assert 4.0 == value(pre_hooks=[command])

    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("  ")]
    assert 3_000_000 == sum(line.count("x") for line in lines)
    assert 20_000 == sum("yyy" in line for line in lines)


# --- what a command leaves out ---------------------------------------------------------------------


def test_what_a_tool_does_not_write_is_kept() -> None:
    """A tool that writes one image and three keywords loses neither flags nor history."""
    command = (
        "shell:python -c 'import sys; from astropy.io import fits; d = fits.getdata(sys.argv[1], "
        '"SCI"); h = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(d + 1, name="SCI")]); '
        "h.writeto(sys.argv[2])' {input} {output}"
    )
    before = image()
    made = Halve(pre_hooks=[command]).run(before)

    assert 4.5 == made.data[0, 0]
    np.testing.assert_array_equal(before.dq, made.dq)
    assert "NIRCAM" == made.meta.instrument.name
    assert "x_cal.fits" == made.meta.filename


# --- when hooks do not run -------------------------------------------------------------------------


def test_hooks_of_skipped_steps_do_not_run(tmp_path: Path) -> None:
    """Skipped by parameter, or because there is nothing to do."""
    hook = ["shell:touch ran"]
    steps = {
        "halve": {"skip": True, "pre_hooks": hook, "post_hooks": hook},
        "never": {"pre_hooks": hook, "post_hooks": hook},
    }

    Outer(steps=steps).run(image())

    assert not (tmp_path / "ran").exists()


def test_hooks_of_a_step_in_a_streamed_chain_see_its_data(
    crds: Path, exposures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    """A hook between two steps has the pixels of that moment, and changes those of the next."""
    del crds
    niriss = next(path for path in exposures if "nis" in path.name)
    plain = SloperPipeline().run(str(niriss))

    def saw(model: Any) -> None:
        log.info("mean %s", float(np.nanmean(model.data)))

    def scaled(model: Any) -> Any:
        made = model.copy()
        made.data = model.data * np.float32(2)
        return made

    with caplog.at_level(logging.INFO):
        hooked = SloperPipeline(steps={"bias": {"post_hooks": [saw, scaled, saw]}}).run(str(niriss))

    means = [float(r.getMessage().split()[1]) for r in caplog.records if "mean " in r.getMessage()]
    assert means[1] == pytest.approx(2 * means[0], rel=1e-5)
    good = np.isfinite(plain[0].data) & (plain[0].dq == 0) & (hooked[0].dq == 0)
    ratio = np.median(hooked[0].data[good] / plain[0].data[good])
    assert ratio == pytest.approx(2, rel=1e-3)


# --- what goes wrong -------------------------------------------------------------------------------


def save_ramp(path: str) -> str:
    return (
        "python -c 'import sys, numpy; from stpipe import models; "
        f'models.RampModel(numpy.zeros((1, 2, 4, 4), "f4")).save(sys.argv[1])\' {path}'
    )


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("python:nosuchmodule.f", "importing it failed: ModuleNotFoundError"),
        ("nosuch.script.sh", 'write "shell:nosuch.script.sh" if it is a command'),
        ("python:broken.f", "nosuchpackage"),
        ("python:myhooks.nosuch", "importing it failed: AttributeError"),
        ("python:myhooks.THING", "is an int, allowed: a function"),
        ("python:nodots", "importing it failed"),
        ("python:myhooks.fails", "failed: ValueError: no luck"),
        ("python:myhooks.number", "returned an int, allowed: an ImageModel"),
        ("shell:exit 3", "failed with exit code 3"),
        ("shell:kill -9 $$", "failed with signal SIGKILL"),
        ("shell:nosuchcommand {input}", "failed with exit code 127"),
        ("shell:true {input} {output}", "made no {output} file"),
        ("shell:echo x > {output}", "made an unusable file"),
        ("shell:head -c 4000 {input} > {output}", "made an unusable file"),
        (f"shell:{save_ramp('{output}')}", "made a RampModel, allowed: an ImageModel"),
    ],
)
@pytest.mark.parametrize("when", ["pre_hooks", "post_hooks"])
def test_a_failing_hook_stops_the_step(
    hook: str, message: str, when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 5, one message, no product, no traceback."""
    image().save(tmp_path / "x_cal.fits")
    (tmp_path / "steps.py").write_text(
        "from stpipe import Step\nclass Same(Step):\n    suffix = 'same'\n"
        "    def process(self, model):\n        return model\n"
    )

    assert 5 == main(["steps.py:Same", "x_cal.fits", f"--{when}={hook}", "--log-stream=null"])

    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "x_same.fits").exists()


def test_a_name_that_does_not_import_never_reaches_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a command of that name exists."""
    script = tmp_path / "tool.run"
    script.write_text("#!/bin/sh\ntouch ran\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(HookError):
        value(pre_hooks=["tool.run"])

    assert not (tmp_path / "ran").exists()


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    """`hook_timeout` in seconds; nothing is left running."""
    started = time.monotonic()
    command = f"shell:(sleep 3; touch {tmp_path / 'late'}) & sleep 30"

    with pytest.raises(HookError, match=r"took longer than 0\.3 s \(hook_timeout\)"):
        value(pre_hooks=[command], hook_timeout=0.3)

    assert time.monotonic() - started < 3
    time.sleep(3.2)
    assert not (tmp_path / "late").exists()


def test_a_command_within_its_time_is_left_alone() -> None:
    assert 4.0 == value(pre_hooks=["shell:sleep 0.1"], hook_timeout=20)


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a good and a bad end."""
    import tempfile

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    value(pre_hooks=["shell:true {input}"])
    with pytest.raises(HookError):
        value(pre_hooks=["shell:false {input}"])
    assert [] == list((tmp_path / "tmp").iterdir())


def test_a_hook_never_changes_the_input(tmp_path: Path) -> None:
    """A command that writes into its {input} writes into a copy."""
    path = image().save(tmp_path / "x_cal.fits")
    before = path.read_bytes()

    made = Halve(pre_hooks=["shell:rm {input}; echo gone > {input}"]).run(path)

    assert before == path.read_bytes()
    assert 4.0 == made.data[0, 0]


def test_a_hook_may_not_skip_its_step() -> None:
    """Skipping is the step's to decide; a hook that raises fails."""

    def skips(model: Any) -> None:
        del model
        raise Skip("not today")

    with pytest.raises(HookError, match="not today"):
        value(pre_hooks=[skips])


def test_library_steps_record_hooks_and_warnings_as_other_steps_do() -> None:
    """What was run before a step over many exposures, and what it warned of, is in its products."""

    class Mean(LibraryStep):
        alias = suffix = "mean"
        outputs = (Output("mean", "ImageModel", "mean"),)

        def process(self, library: Any) -> Any:
            self.log.warning("one of %d is odd", len(library))
            return models.ImageModel(np.mean([member.data for member in library], axis=0))

    class Same(Mean):
        alias = suffix = "same"
        outputs = (Output("same", "ImageModel", "same", many=True),)

        def process(self, library: Any) -> Any:
            self.log.warning("one of %d is odd", len(library))
            return library

    members = [models.ImageModel(np.full((4, 4), value, np.float32)) for value in (1, 3)]
    for number, member in enumerate(members):
        member.meta.filename = f"x{number}_cal.fits"

    mean = Mean.call(members, pre_hooks=[looked_at])
    same = Same.call(members, pre_hooks=[looked_at])

    for product in (mean, *same):
        hook, ran = product.provenance
        assert ("HOOK", "pre_hooks") == (hook["status"], hook["when"])
        assert "looked_at" in hook["hook"]
        assert ["one of 2 is odd"] == ran["warnings"]


def looked_at(library: Any) -> None:
    """A hook that changes nothing."""
    assert 2 == len(library)
