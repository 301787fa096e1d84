"""Wrong uses, hundreds of them, made from the specs: the right exit code, the nearest right thing in
the message, no traceback, no file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.cli.stflow import main as stflow
from stpipe.cli.strun.main import main
from stpipe.core.loading import load
from stpipe.parameters.specs import Rule, rules
from stpipe.registry import PIPELINES, STEPS

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.usefixtures("crds")


@dataclass(frozen=True)
class Wrong:
    """A parameter as it must not be given, and what the message has to say."""

    alias: str
    name: str
    value: str
    says: str

    def __str__(self) -> str:
        return f"{self.alias}-{self.name}={self.value}"


WRONG_TYPE = {
    "float": "many",
    "integer": "1.5",
    "boolean": "maybe",
    "option": "nosuchthing",
    "int_list": "one, two",
    "float_list": "one, two",
    "bool_list": "maybe, never",
    "input_file": "nosuchfile.fits",
}


def misspelt(name: str) -> str:
    """A slip of the pen: a letter of the middle is left out."""
    middle = len(name) // 2
    return name[:middle] + name[middle + 1 :]


def beyond(rule: Rule) -> Iterator[str]:
    """Values just out of bounds."""
    bounds = dict(re.findall(r"(min|max)\s*=\s*(-?[\d.]+)", rule.check))
    step = 1 if rule.kind == "integer" else 0.5
    convert = int if rule.kind == "integer" else float
    if rule.kind in ("float", "integer"):
        if "min" in bounds:
            yield str(convert(float(bounds["min"]) - step))
        if "max" in bounds:
            yield str(convert(float(bounds["max"]) + step))


def wrong_parameters() -> Iterator[Wrong]:
    """Every parameter of every registered step: misspelt, of the wrong type, out of bounds."""
    for alias in (*STEPS, *PIPELINES):
        known = rules(load(alias))
        for name, rule in known.items():
            slip = misspelt(name)
            if slip not in known:
                yield Wrong(alias, slip, "1", f'unknown parameter "{slip}"')
            if rule.kind in WRONG_TYPE:
                allowed = "there is no file" if rule.kind == "input_file" else rule.allowed
                yield Wrong(alias, name, WRONG_TYPE[rule.kind], allowed)
            for value in beyond(rule):
                yield Wrong(alias, name, value, rule.allowed)


def wrong_steps() -> Iterator[Wrong]:
    """The same for steps of pipelines, one parameter of each, and names of steps."""
    for alias in PIPELINES:
        for step, cls in load(alias).step_defs.items():
            slip = misspelt(step)
            if slip not in load(alias).step_defs:
                yield Wrong(alias, f"steps.{slip}.skip", "1", f'has no step "{slip}"')
            yield Wrong(alias, f"steps.{step}.skp", "1", 'did you mean "skip"')
            name = next(n for n, r in rules(cls).items() if r.kind in WRONG_TYPE)
            yield Wrong(
                alias, f"steps.{step}.{name}", WRONG_TYPE[rules(cls)[name].kind], "allowed:"
            )


PARAMETERS = [*wrong_parameters()]
STEPS_OF_PIPELINES = [*wrong_steps()]


def test_there_are_enough_of_them() -> None:
    """Two hundred at least, on each of the two ways."""
    assert len(PARAMETERS) + len(STEPS_OF_PIPELINES) >= 200


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # every command puts its folder there
    return tmp_path


@pytest.fixture(scope="session")
def niriss(exposures: list[Path]) -> str:
    return str(next(path for path in exposures if "nis" in path.name))


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def fails(words: list[str], code: int, capsys: Output, tool: str = "strun") -> str:
    """Run a command that must fail; its message, after checking what holds for every failure."""
    before = files(Path.cwd())
    run = main if tool == "strun" else stflow.main
    try:
        found = run(words)
    except SystemExit as end:  # argparse ends the process itself
        found = int(end.code or 0)
    error = capsys.readouterr().err
    assert code == found, error
    assert "Traceback" not in error
    assert before == files(Path.cwd()), "a file was left"
    return error


# --- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [*PARAMETERS, *STEPS_OF_PIPELINES], ids=str)
def test_on_the_command_line(wrong: Wrong, niriss: str, capsys: Output) -> None:
    """Exit code 2, the value and what is allowed, or the nearest name."""
    error = fails([wrong.alias, niriss, f"--{wrong.name}={wrong.value}"], 2, capsys)

    assert wrong.says in error
    assert "command line" in error
    if "unknown parameter" in wrong.says:
        assert "did you mean" in error


@pytest.mark.parametrize("wrong", PARAMETERS, ids=str)
def test_in_a_file(wrong: Wrong, niriss: str, capsys: Output, here: Path) -> None:
    """The same with file and line."""
    (here / "wrong.cfg").write_text(f"class = {wrong.alias}\n\n{wrong.name} = {wrong.value}\n")

    error = fails(["wrong.cfg", niriss], 2, capsys)

    assert wrong.says in error
    assert "wrong.cfg:3: " in error


@pytest.mark.parametrize("wrong", STEPS_OF_PIPELINES, ids=str)
def test_in_a_section_of_a_file(wrong: Wrong, niriss: str, capsys: Output, here: Path) -> None:
    _, step, name = wrong.name.split(".")
    (here / "wrong.cfg").write_text(
        f"class = {wrong.alias}\n[steps]\n  [[{step}]]\n  {name} = {wrong.value}\n"
    )

    error = fails(["wrong.cfg", niriss], 2, capsys)

    assert wrong.says in error
    assert re.search(r"wrong\.cfg:[34]: ", error)


@pytest.mark.parametrize("alias", [*STEPS, *PIPELINES])
def test_all_at_once(alias: str, niriss: str, capsys: Output) -> None:
    """Everything that is wrong with a command is said in one go."""
    chosen = [w for w in PARAMETERS if w.alias == alias][:6]
    names = list({w.name: w for w in chosen}.values())

    error = fails([alias, niriss, *(f"--{w.name}={w.value}" for w in names)], 2, capsys)

    assert len(names) == error.count("command line: ")


# --- files of parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class = jump\n[steps\n", "wrong.cfg:2: not valid: [steps"),
        ("class = jump\nrejection_threshold 5\n", "wrong.cfg:2: not valid"),
        ("class = jump\nskip = 'no\n", "wrong.cfg:2: not valid"),
        ("class = jump\nskip = True\nskip = False\n", "wrong.cfg:3: not valid"),
        ("class = jump\n[[jump]]\nskip = True\n", "wrong.cfg:2: not valid"),
        ("rejection_threshold = 5\n", "add a line such as class = calwebb_detector1"),
        ("", "add a line such as class = calwebb_detector1"),
        ("class = jmp\n", 'did you mean "jump"'),
        ("class = stpipe.steps.stage1.jump.step.JumpStp\n", 'did you mean "JumpStep"'),
        ("class = nosuch.module.Class\n", 'there is no module "nosuch.module"'),
        ("class = nosuch.py:Class\n", "there is no file nosuch.py"),
        ("class = calwebb_detector1\n[jump]\nskip = 1\n", "[steps] as [[jump]]"),
        ("class = calwebb_detector1\n[steps]\njump = 1\n", "wrong.cfg:3: [steps] holds sections"),
        (
            "class = calwebb_detector1\n[steps]\n[[jmp]]\n",
            "wrong.cfg:3: calwebb_detector1 has no step",
        ),
        ("class = calwebb_detector1\nconfig_file = nosuch.cfg\n", "nosuch.cfg: No such file"),
        ("class = jump\nconfig_file = wrong.cfg\n", "leads back"),
        (
            "class = jump\n[logging]\nlevl = INFO\n",
            'unknown setting "levl" (did you mean "level"?)',
        ),
        ("class = jump\n[logging]\nlevel = LOUD\n", "log level: found 'LOUD'"),
        ("class = jump\nlogging = INFO\n", "wrong.cfg:2: logging is a section"),
        ("class = jump\noverride_gian = x.fits\n", 'did you mean "override_gain"'),
    ],
)
def test_files_that_are_wrong(
    text: str, says: str, niriss: str, capsys: Output, here: Path
) -> None:
    """Exit code 2, file and line."""
    (here / "wrong.cfg").write_text(text)
    assert says in fails(["wrong.cfg", niriss], 2, capsys)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\x00class", "not a text file"),
        (None, "No such file or directory"),
        ("folder", "Is a directory"),
    ],
)
@pytest.mark.parametrize("name", ["wrong.cfg", "wrong.asdf"])
def test_files_that_are_no_files(
    content: bytes | str | None, says: str, name: str, niriss: str, capsys: Output, here: Path
) -> None:
    if isinstance(content, bytes):
        (here / name).write_bytes(content)
        says = says if name.endswith("cfg") else "not a valid ASDF file"
    elif content == "folder":
        (here / name).mkdir()

    assert says in fails([name, niriss], 2, capsys)


# --- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["jmp"], 'did you mean "jump"'),
        (["calwebb_detecter1"], 'did you mean "calwebb_detector1"'),
        (["nosuch.package.Step"], 'there is no module "nosuch.package"'),
        (["nosuch::jump"], "is not a step or pipeline"),
        (["nosuch.py:Step"], "there is no file nosuch.py"),
        (["stpipe.steps.stage1.jump.step.JumpSetp"], 'did you mean "JumpStep"'),
        (["stpipe.steps.stage1.jump.step.np"], "it has JumpStep"),
        (["jump"], "no input given"),
        (["jump", "-x"], 'unknown option "-x"'),
        (["jump", "NIRISS", "--log-file"], "--log-file needs a value"),
        (["jump", "NIRISS", "--log-level=LOUD"], "allowed: DEBUG, INFO"),
        (["jump", "NIRISS", "--log-stream=tty"], "allowed: stderr, stdout, null"),
        (["jump", "NIRISS", "--log-file=no/where.log"], "no/where.log: No such file"),
        (["jump", "NIRISS", "--log-format=%(nosuch)s"], "log format"),
        (["jump", "NIRISS", "--save-parameters=x.txt"], ".cfg or .asdf"),
        (
            ["jump", "NIRISS", "--save-parameters=no/x.cfg"],
            "no/x.cfg cannot be written: No such file",
        ),
        (["jump", "NIRISS", "--output_file=x"], "a name that ends in .fits.gz, .fits, .asdf"),
        (["jump", "NIRISS", "--output_file=x.jpg"], "a name that ends in .fits.gz, .fits, .asdf"),
        (["jump", "NIRISS", "NIRISS", "--output_file=x.fits"], "several inputs"),
        (["jump", "NIRISS", "--verbos"], 'did you mean "verbose"'),
        (["jump", "NIRISS", "--dryrun"], 'did you mean "dry-run"'),
        (["jump", "NIRISS", "--steps.jump.skip"], "jump has no step"),
        (["--completion=tcsh"], "allowed: bash, zsh, fish"),
        (["NIRISS"], "the step or pipeline comes first"),
        (["calwebb_detector1", "--help", "jmp"], 'did you mean "jump"'),
    ],
)
def test_words_that_are_wrong(words: list[str], says: str, niriss: str, capsys: Output) -> None:
    given = [niriss if word == "NIRISS" else word for word in words]
    assert says in fails(given, 2, capsys)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "COMMAND"),
        (["int"], 2, "invalid choice: 'int'"),
        (["generate"], 2, "is not a project"),
        (["generate", "--directory=nosuch"], 2, "is not a project"),
        (["graph"], 2, "stflow init"),
        (["why", "cal/x_rate.fits"], 2, "is not a project"),
        (["lock"], 2, "is not a project"),
        (["lock", "--context=jwst_0001.pmap"], 2, "--context needs --update"),
        (["generate", "--nosuch"], 2, "unknown arguments: --nosuch"),
        (["init", "p", "NIRISS"], 2, "--pipeline"),
        (["init", "p", "--pipeline=jump"], 2, "INPUT"),
        (["init", "p", "--pipeline=jmp", "NIRISS"], 2, 'did you mean "jump"'),
        (["init", "p", "--pipeline=sloper", "no.fits"], 3, "there is no file no.fits"),
        (["init", "p", "--pipeline=sloper", "NIRISS", "--steps.jmp.skip"], 2, "did you mean"),
        (["init", "p", "--pipeline=sloper", "NIRISS", "--references=no"], 4, "is not a folder"),
        (["init", "p", "--pipeline=sloper", "NIRISS", "--parameters=no.cfg"], 2, "no.cfg"),
        (
            ["init", "p", "--pipeline=sloper", "NIRISS", "--pre_hooks=shell:true"],
            2,
            "Give them to a step: --steps.dq.pre_hooks, --steps.ramp_fit.post_hooks",
        ),
        (["references", "no.fits"], 3, "no.fits"),
        (["references", "NIRISS", "--pipeline=jmp"], 2, 'did you mean "jump"'),
        (["references", "NIRISS", "--references=no"], 4, "is not a folder"),
        (["references", "NIRISS", "--context=jwst_9999.pmap"], 4, "jwst_9999.pmap"),
    ],
)
def test_words_of_stflow_that_are_wrong(
    words: list[str], code: int, says: str, niriss: str, capsys: Output
) -> None:
    given = [niriss if word == "NIRISS" else word for word in words]
    assert says in fails(given, code, capsys, "stflow")


# --- inputs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def rate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = models.ImageModel(np.zeros((4, 4), dtype=np.float32))
    return model.save(tmp_path_factory.mktemp("rate") / "x_rate.fits")


@pytest.fixture(scope="session")
def spectrum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.SpecModel().save(tmp_path_factory.mktemp("spec") / "x_x1d.fits")


@pytest.mark.parametrize("alias", [*STEPS])
def test_the_wrong_kind_of_model(
    alias: str, rate: Path, spectrum: Path, niriss: str, capsys: Output
) -> None:
    """Exit code 3 from the header: what it holds, what the step reads, what to give."""
    read = load(alias).input_models
    given = rate if "ImageModel" not in read else niriss if "RampModel" not in read else spectrum

    error = fails([alias, str(given), "--log-stream=null"], 3, capsys)

    assert f"allowed: {load(alias).input_models[0]}" in error
    assert "Give the product of an earlier step" in error


def damaged(kind: str, niriss: str, folder: Path) -> str:
    """A file that is no exposure."""
    path, whole = folder / "bad_uncal.fits", Path(niriss).read_bytes()
    made: dict[str, Callable[[], object]] = {
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("no picture\n" * 500),
        "zeros": lambda: path.write_bytes(bytes(28800)),
        "half": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "header": lambda: path.write_bytes(whole[:1000]),
        "block": lambda: path.write_bytes(whole[:2880]),
        "folder": path.mkdir,
        "missing": lambda: None,
        "dangling": lambda: path.symlink_to("nowhere"),
        "loop": lambda: path.symlink_to(path),
    }
    made[kind]()
    return str(path)


KINDS = [
    *["empty", "text", "zeros", "half", "header", "block"],
    *["folder", "missing", "dangling", "loop"],
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alias", ["jump", "calwebb_detector1"])
def test_files_that_are_no_exposures(
    kind: str, alias: str, niriss: str, here: Path, capsys: Output
) -> None:
    """Exit code 3, which file."""
    path = damaged(kind, niriss, here)
    assert "bad_uncal.fits" in fails([alias, path, "--log-stream=null"], 3, capsys)


@pytest.mark.parametrize("option", ["--explain-parameters", "--dry-run", "--save-parameters=x.cfg"])
@pytest.mark.parametrize("kind", ["half", "text", "missing"])
def test_looking_at_them_fails_alike(
    option: str, kind: str, niriss: str, here: Path, capsys: Output
) -> None:
    path = damaged(kind, niriss, here)
    assert "bad_uncal.fits" in fails(["jump", path, option], 3, capsys)


# --- references ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("no.fits", "override_gain: there is no file no.fits"),
        (".", "override_gain: there is no file"),
        ("text.fits", "text.fits"),
        ("half.fits", "half.fits"),
        ("uncal.fits", "uncal.fits is a "),
        ("dark.fits", "dark.fits is a reference file of type dark, allowed:"),
    ],
)
def test_overrides_that_are_no_references(
    value: str, says: str, niriss: str, here: Path, capsys: Output, crds: Path
) -> None:
    """Exit code 4: missing, damaged, or something else than a reference file."""
    (here / "text.fits").write_text("no picture\n" * 500)
    (here / "half.fits").write_bytes(Path(niriss).read_bytes()[:1500])
    shutil.copyfile(niriss, here / "uncal.fits")
    shutil.copyfile(next(crds.rglob("jwst_niriss_dark_*.fits")), here / "dark.fits")

    error = fails(["jump", niriss, f"--override_gain={value}", "--log-stream=null"], 4, capsys)

    assert says in error


@pytest.mark.parametrize("cache", ["nosuch", "empty", "file"])
def test_a_cache_that_is_none(
    cache: str, niriss: str, here: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, with the variables to set; in a process of its own."""
    (here / "empty").mkdir()
    (here / "file").write_text("")
    monkeypatch.setenv("CRDS_PATH", str(here / cache))
    from crds.core import utils

    utils.clear_function_caches()
    try:
        error = fails(["jump", niriss, "--log-stream=null"], 4, capsys)
    finally:
        utils.clear_function_caches()

    assert "CRDS_PATH" in error


# --- places for products ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option", ["--output_dir=file", "--output_dir=file/inside", "--output_file=file/x.fits"]
)
def test_places_that_cannot_be_written(
    option: str, niriss: str, here: Path, capsys: Output
) -> None:
    """Exit code 2, the place and the reason."""
    (here / "file").write_text("")

    error = fails(["group_scale", niriss, option, "--log-stream=null"], 2, capsys)

    assert "file" in error
    assert "--debug" not in error


def test_the_input_is_never_overwritten(niriss: str, here: Path, capsys: Output) -> None:
    shutil.copyfile(niriss, here / "x_uncal.fits")

    error = fails(
        ["jump", "x_uncal.fits", "--output_file=x_uncal.fits", "--log-stream=null"], 2, capsys
    )

    assert "would overwrite its input" in error


# --- real processes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["jump", "NIRISS", "--rejection_threshold=-1"], 2),
        (["jump", "no.fits"], 3),
        (["jump", "NIRISS", "--override_gain=no.fits"], 4),
        (["jump", "NIRISS", "--pre_hooks=shell:false"], 5),
        (["fails.py:Fails", "NIRISS"], 1),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_exit_codes_of_processes(
    words: list[str], code: int, debug: bool, niriss: str, run: Run, here: Path
) -> None:
    """The documented ones, with --debug as well, which adds the traceback."""
    (here / "fails.py").write_text(
        "from stpipe import Step\nclass Fails(Step):\n    def process(self, model):\n"
        "        return 1 / 0\n"
    )
    given = [niriss if word == "NIRISS" else word for word in words]

    done = run("strun", *given, *(["--debug"] if debug else []), cwd=here, code=code)

    assert "strun: error: " in done.stderr
    assert debug is ("Traceback" in done.stderr)
    assert not list(here.glob("*.fits"))
