"""Projects that `stflow` makes, run by the real Snakemake."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SCENE = '''
"""A pipeline of one's own, in a file of one's own."""
from stpipe import Pipeline, Step
from stpipe.pipelines.sloper import SloperPipeline


class WcsStep(Step):
    """Stand-in for a step that arrives later."""
    alias = "mywcs"
    suffix = "mywcs"

    def process(self, model):
        model.meta.wcsinfo.wcsaxes = 2
        return model


class FlatStep(Step):
    """Double."""
    alias = "myflat"
    suffix = "myflat"
    spec = "factor = float(default=2.0)  # By how much"

    def process(self, image):
        image.data = image.data * self.factor  # twice as bright
        return image


class MyPipeline(Pipeline):
    """The seed's nested example."""
    step_defs = {"sloper": SloperPipeline, "wcs": WcsStep, "flat": FlatStep}

    def process(self, input):
        slope_model = self.sloper(input)
        slope_model = self.wcs(slope_model)
        result = self.flat(slope_model)
        return result
'''


@pytest.fixture(scope="module")
def made(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished project of two exposures of different instruments; tests work on copies."""
    folder = tmp_path_factory.mktemp("made") / "project"
    chosen = [e for e in exposures if "nis" in e.name or "mirimage" in e.name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        run("stflow", "init", folder, "--pipeline=calwebb_detector1", *chosen, cwd=folder.parent)
        run("snakemake", "--cores", "2", "cal/*.fits", cwd=folder)
    return folder


def planned(run: Run, folder: Path, *words: str) -> set[str]:
    """`rule:instrument` of every job of a dry run."""
    text = run("snakemake", "-n", "--cores", "2", *words, cwd=folder).stdout
    jobs = re.findall(r"rule (\w+):\n.*?wildcards: root=\S*_(\w+)\n", text, re.DOTALL)
    return {f"{rule}:{detector}" for rule, detector in jobs}


def products(folder: Path) -> set[str]:
    return {p.name for p in (folder / "cal").iterdir()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def cfg(folder: Path) -> Path:
    return folder / "config/calwebb_detector1.cfg"


def set_jump(folder: Path, name: str, value: object) -> None:
    """Take the # off a parameter of the jump step and change it."""
    text = cfg(folder).read_text()
    head, section = text.split("[[jump]]")
    assert re.search(rf"# {name} = ", section)
    cfg(folder).write_text(
        head + "[[jump]]" + re.sub(rf"# {name} = [^#]*", f"{name} = {value} ", section, count=1)
    )


def test_one_project_holds_exposures_of_different_instruments(project: Path) -> None:
    """Each exposure takes the steps that apply to it."""
    names = products(project)

    assert any(n.endswith("_mirimage_reset.fits") for n in names)
    assert not any(n.endswith("_nis_reset.fits") for n in names)
    assert any(n.endswith("_nis_superbias.fits") for n in names)
    assert 2 == sum(n.endswith("_rate.fits") for n in names)


@pytest.mark.parametrize(
    "pattern", ["'cal/*.fits'", "cal/*.fits", "cal", "", "'./cal/*_rate.fits'"]
)
def test_a_second_run_does_nothing(run: Run, project: Path, pattern: str) -> None:
    """Whether the shell expands the pattern or not."""
    done = run("sh", "-c", f"snakemake --cores 2 {pattern}", cwd=project)

    assert "Nothing to be done" in done.stdout + done.stderr


def test_an_expanded_pattern_still_means_everything(run: Run, project: Path) -> None:
    """After an interrupted run the shell expands to what is there; the rest is made as well."""
    for path in project.glob("cal/*_r*[es].fits"):
        path.unlink()

    run("sh", "-c", "snakemake --cores 2 cal/*.fits", cwd=project)

    assert 4 == sum("_rate" in n for n in products(project))


def test_a_parameter_reruns_what_depends_on_it_and_back(run: Run, project: Path) -> None:
    """Only the step and those after it; changing back restores."""
    set_jump(project, "rejection_threshold", 9.0)
    assert {"jump:nis", "ramp_fit:nis", "jump:mirimage", "ramp_fit:mirimage"} == planned(
        run, project
    )

    target = next(p.name for p in project.glob("cal/*_nis_rate.fits"))
    why = run("stflow", "why", f"cal/{target}", cwd=project).stdout
    assert "jump: rejection_threshold changed from 4.0 to 9.0 (config/calwebb_detector1.cfg:" in why
    assert why.rstrip().endswith("jump, ramp_fit.")

    run("snakemake", "--cores", "2", "cal", cwd=project)
    assert set() == planned(run, project)
    with models.open(project / "cal" / target) as rate:
        record = next(r for r in rate.provenance if r["step"] == "jump")
    assert 9.0 == record["parameters"]["rejection_threshold"]
    assert record["sources"]["rejection_threshold"].startswith("config/calwebb_detector1.cfg:")


def test_touching_a_file_reruns_nothing(run: Run, project: Path) -> None:
    """Content decides: a new time on the same bytes is no change."""
    (project / "config/config.yaml").touch()
    cfg(project).touch()

    assert set() == planned(run, project)


def test_skipping_is_an_edit_of_the_graph(run: Run, project: Path) -> None:
    """The step's rule is absent, the next one reads the file before, the product says SKIPPED."""
    head, section = cfg(project).read_text().split("[[linearity]]")
    cfg(project).write_text(
        head + "[[linearity]]" + section.replace("# skip = False", "skip = True", 1)
    )

    jobs = planned(run, project)
    assert not any(job.startswith("linearity") for job in jobs)
    assert {"dark_current:nis", "jump:nis", "ramp_fit:nis"} <= jobs

    run("snakemake", "--cores", "2", "cal", cwd=project)
    for path in project.glob("cal/*_rate.fits"):
        with models.open(path) as rate:
            assert "SKIPPED" == rate.meta.cal_step.linearity
            record = next(r for r in rate.provenance if r["step"] == "linearity")
        assert "skip = True" == record["reason"]
        assert record["source"].startswith("config/calwebb_detector1.cfg:")


def test_generated_snakefiles_are_clean(run: Run, project: Path) -> None:
    """As `snakemake --lint` and snakefmt want them."""
    run("snakemake", "--lint", cwd=project)
    run("snakefmt", "--check", "workflow/Snakefile", cwd=project)


def test_generate_writes_the_same_again(run: Run, project: Path) -> None:
    """The Snakefile follows from the configuration alone."""
    before = (project / "workflow/Snakefile").read_text()
    (project / "workflow/Snakefile").unlink()

    run("stflow", "generate", cwd=project)

    assert before == (project / "workflow/Snakefile").read_text()
    assert set() == planned(run, project)


def test_the_graph_is_drawn(run: Run, project: Path) -> None:
    """Mermaid text and an SVG picture; shares are counted."""
    text = run("stflow", "graph", cwd=project).stdout
    assert text.startswith("flowchart TD")
    assert 'reset["reset (1 of 2)"]' in text
    assert "jump --> ramp_fit" in text

    run("stflow", "graph", "--format=svg", "--output=graph.svg", cwd=project)
    boxes = ET.parse(project / "graph.svg").getroot().findall("{http://www.w3.org/2000/svg}rect")
    assert len(re.findall(r'\["', text)) + 1 == len(boxes)


def test_why_an_up_to_date_product_stays(run: Run, project: Path) -> None:
    target = next(project.glob("cal/*_nis_rate.fits"))
    assert "is up to date" in run("stflow", "why", target, cwd=project).stdout

    target.unlink()
    assert "is missing" in run("stflow", "why", target, cwd=project).stdout


def test_rules_of_ones_own_survive(run: Run, project: Path) -> None:
    """workflow/rules.smk is included and never rewritten."""
    (project / "workflow/rules.smk").write_text(
        'rule copy:\n    input: "cal/{root}_rate.fits"\n    output: "copies/{root}.fits"\n'
        '    log: "logs/{root}_copy.log"\n    shell: "cp {input} {output} 2> {log}"\n'
    )
    run("stflow", "generate", cwd=project)
    root = next(project.glob("cal/*_nis_rate.fits")).name.removesuffix("_rate.fits")

    run("snakemake", "--cores", "1", f"copies/{root}.fits", cwd=project)

    assert (project / f"copies/{root}.fits").is_file()


# --- the seed's nested pipeline --------------------------------------------------------------------


@pytest.fixture
def own(run: Run, exposures: list[Path], crds: Path, tmp_path: Path) -> Path:
    """A project of a user's pipeline that nests another one."""
    del crds
    (tmp_path / "scene.py").write_text(SCENE)
    miri = next(e for e in exposures if "mirimage" in e.name)
    words = ["--steps.sloper.save_cal", "--steps.flat.factor=4"]
    run("stflow", "init", "own", "--pipeline=scene.py:MyPipeline", miri, *words, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "own")
    return tmp_path / "own"


def test_a_nested_pipeline_of_ones_own_unfolds(own: Path) -> None:
    """Steps of the inner pipeline are rules of their own; `save` on the way is one too."""
    suffixes = {re.sub(r".*_mirimage_|\.fits", "", n) for n in products(own)}
    assert {
        "dq_init",
        "ipc",
        "reset",
        "lastframe",
        "jump",
        "cal",
        "rate",
        "rateints",
        "mywcs",
        "myflat",
    } == suffixes

    with models.open(next(own.glob("cal/*_myflat.fits"))) as flat:
        names = [r["step"] for r in flat.provenance]
    assert ["sloper.jump", "sloper.ramp_fit", "wcs", "flat"] == names[-4:]


def test_memory_agrees_for_a_pipeline_of_ones_own(
    run: Run, own: Path, exposures: list[Path], tmp_path: Path
) -> None:
    """`strun scene.py:MyPipeline` saves the product of its last step."""
    miri = next(e for e in exposures if "mirimage" in e.name)
    run(
        "strun",
        "scene.MyPipeline",
        miri,
        "--output_file=x.fits",
        "--steps.flat.factor=4",
        cwd=tmp_path,
    )

    with (
        models.open(tmp_path / "x.fits") as one,
        models.open(next(own.glob("cal/*_myflat.fits"))) as other,
    ):
        assert (one.data == other.data)[one.dq & 1 == 0].all()


def test_code_counts_and_comments_do_not(run: Run, own: Path) -> None:
    """An edited comment or docstring reruns nothing, edited arithmetic its step and no other."""
    edit(own.parent / "scene.py", "# twice as bright", "# much brighter")
    edit(own.parent / "scene.py", '"""Double."""', '"""Multiply."""')
    assert set() == planned(run, own)

    edit(own.parent / "scene.py", "image.data * self.factor", "self.factor * image.data + 1")
    # Both steps of the file: a file is the unit whose code is compared.
    assert {"wcs:mirimage", "flat:mirimage"} == planned(run, own)


# --- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--pipeline=calweb_detector1", "EXPOSURE"], 2, 'did you mean "calwebb_detector1"'),
        (["--pipeline=calwebb_detector1", "no.fits"], 3, "no file no.fits"),
        (["--pipeline=calwebb_detector1", "damaged.fits"], 3, "damaged.fits"),
        (
            ["--pipeline=calwebb_detector1", "EXPOSURE", "--steps.jmp.skip"],
            2,
            'did you mean "jump"',
        ),
        (
            ["--pipeline=calwebb_detector1", "EXPOSURE", "--override_dark=no.fits"],
            4,
            "override_dark: there is no file no.fits",
        ),
        (["--pipeline=bad.py:Bad", "EXPOSURE"], 1, "bad.py:5: process touches the model.data"),
        (["--pipeline=bad.py:Bda", "EXPOSURE"], 2, 'did you mean "Bad"'),
    ],
)
@pytest.mark.usefixtures("crds")
def test_init_fails_with_one_message_and_leaves_nothing(
    run: Run, exposures: list[Path], tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    """The right exit code, what to do, no traceback, no folder."""
    (tmp_path / "bad.py").write_text(
        "from stpipe import Pipeline\n"
        "class Bad(Pipeline):\n"
        "    step_defs = {}\n"
        "    def process(self, image):\n"
        "        return image.data.mean()\n"
    )
    (tmp_path / "damaged.fits").write_bytes(exposures[0].read_bytes()[:20000])
    files = {p.name for p in tmp_path.iterdir()}
    given = [str(exposures[0]) if w == "EXPOSURE" else w for w in words]

    done = run("stflow", "init", "project", *given, cwd=tmp_path, code=code)

    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert files == {p.name for p in tmp_path.iterdir()} - {"__pycache__"}


@pytest.mark.usefixtures("crds")
def test_a_reference_that_is_gone_is_named(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path: Path
) -> None:
    """CRDS selects a file that is not in the cache: exit code 4, which file, what to do."""
    import os

    cache = tmp_path / "crds"
    shutil.copytree(demo_folder / "crds", cache)
    next(cache.rglob("jwst_niriss_gain_*.fits")).unlink()
    os.environ["CRDS_PATH"] = str(cache)
    nis = next(e for e in exposures if "nis" in e.name)

    done = run("strun", "calwebb_detector1", nis, cwd=tmp_path, code=4)

    assert "jwst_niriss_gain_0001.fits (gain)" in done.stderr
    assert "--override_gain=PATH" in done.stderr
    assert not list(tmp_path.glob("*.fits"))


@pytest.mark.usefixtures("crds")
def test_awkward_names_and_compressed_exposures(
    run: Run, exposures: list[Path], tmp_path: Path
) -> None:
    """Blanks, quotes, brackets and dollars in names of files and folders; gzip."""
    import gzip

    nis = next(e for e in exposures if "nis" in e.name)
    awkward = tmp_path / "it's $x [1]_uncal.fits"
    shutil.copyfile(nis, awkward)
    packed = tmp_path / "packed_uncal.fits.gz"
    packed.write_bytes(gzip.compress(nis.read_bytes(), 1))
    words = ["--pipeline=calwebb_detector1", awkward.name, packed.name]

    run("stflow", "init", "my project", *words, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "my project")

    assert {"it's $x [1]_rate.fits", "packed_rate.fits"} <= products(tmp_path / "my project")
    done = run("sh", "-c", "snakemake --cores 2 cal/*.fits", cwd=tmp_path / "my project")
    assert "Nothing to be done" in done.stdout + done.stderr
