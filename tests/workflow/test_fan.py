"""Fan-out and fan-in: steps that make several products, take several, or make none."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from comparing import same
from slitless import make as make_scene

from stpipe import models

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SLITS = '''
"""Slits of an exposure: cut, calibrated one by one, and added up again."""
import numpy as np

from stpipe import LibraryPipeline, LibraryStep, Output, Pipeline, Step, models
from stpipe.errors import NoProduct


class CutStep(Step):
    """Cut an image into rows; the header says how many."""
    alias = "cut"
    outputs = (Output("slits", "ImageModel", "slit", many=True),)

    def parts(self, meta, selected):
        return [f"s{n}" for n in range(meta["meta.exposure.ngroups"])]

    def process(self, image):
        return _cut(image, range(image.meta.exposure.ngroups))


def _cut(image, rows):
    found = {}
    for n in rows:
        slit = models.ImageModel(np.array(image.data[n : n + 1]))
        slit.update(image)
        found[f"s{n}"] = slit
    return found




class FindStep(Step):
    """Cut out the rows that are bright: only pixels tell how many."""
    alias = "find"
    outputs = (Output("slits", "ImageModel", "slit", many=True),)
    spec = "limit = float(default=0.0)  # Brightness of a row"

    def process(self, image):
        return _cut(image, [n for n in range(len(image.data)) if image.data[n, 0] > self.limit])


class ScaleStep(Step):
    """Multiply."""
    alias = suffix = "scale"
    spec = """
        factor = float(default=2.0)  # By how much
        faintest = float(default=-1e9)  # Nothing is made of fainter slits
    """

    def process(self, slit):
        if slit.data[0, 0] < self.faintest:
            raise NoProduct(f"the slit is fainter than {self.faintest}")
        slit.data = slit.data * self.factor
        return slit


class SumStep(LibraryStep):
    """Add everything up."""
    alias = suffix = "total"

    def process(self, library):
        total = sum(np.array(member.data, dtype=np.float64).sum() for member in library)
        return models.ImageModel(np.full((1, 1), total, np.float32))


class KnownPipeline(Pipeline):
    """Counts that the header knows."""
    step_defs = {"cut": CutStep, "scale": ScaleStep, "total": SumStep}

    def process(self, image):
        return self.total([self.scale(slit) for slit in self.cut(image)])


class FoundPipeline(Pipeline):
    """Counts that only pixels know."""
    step_defs = {"find": FindStep, "scale": ScaleStep, "total": SumStep}

    def process(self, image):
        return self.total([self.scale(slit) for slit in self.find(image)])


class LoosePipeline(Pipeline):
    """The slits are the results."""
    step_defs = {"find": FindStep, "scale": ScaleStep}

    def process(self, image):
        return [self.scale(slit) for slit in self.find(image)]


class LevelStep(LibraryStep):
    """Subtract the mean of each member."""
    alias = "level"
    outputs = (Output("members", "", "level", many=True),)

    def process(self, library):
        for number, member in enumerate(library):
            member.data = member.data - np.float32(np.mean(member.data))
            library[number] = member
        return library


class DoubleStep(ScaleStep):
    """Double."""
    alias = suffix = "double"


class FirstPipeline(Pipeline):
    """The stage before."""
    step_defs = {"double": DoubleStep}

    def process(self, image):
        return self.double(image)


class MosaicPipeline(LibraryPipeline):
    """Many exposures, levelled and added up."""
    step_defs = {"level": LevelStep, "scale": ScaleStep, "total": SumStep}

    def process(self, library):
        library = self.level(library)
        return self.total([self.scale(member) for member in library])
'''


def write(path: Path, rows: list[float], instrument: str = "NIRCAM") -> Path:
    model = models.ImageModel(np.repeat(np.array(rows, np.float32)[:, None], 3, axis=1))
    model.meta.instrument.name = instrument
    model.meta.exposure.ngroups = len(rows)
    return model.save(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two exposures with different numbers of slits, and the pipelines."""
    monkeypatch.delenv("CRDS_PATH", raising=False)
    (tmp_path / "slits.py").write_text(SLITS)
    write(tmp_path / "a_rate.fits", [1, 2, 3])
    write(tmp_path / "b_rate.fits", [5, -1])
    return tmp_path


def project(run: Run, here: Path, pipeline: str, *words: str) -> Path:
    run("stflow", "init", "p", f"--pipeline=slits.py:{pipeline}", *words, cwd=here)
    return here / "p"


def make(run: Run, folder: Path) -> str:
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=folder)
    done = run("snakemake", "--cores", "2", "cal/*.fits", cwd=folder)
    assert "Nothing to be done" in done.stdout + done.stderr
    return done.stdout


def planned(run: Run, folder: Path) -> list[str]:
    text = run("snakemake", "-n", "--cores", "2", "cal", cwd=folder).stdout
    return sorted(re.findall(r"rule (\w+):\n.*?wildcards: root=(\S+)\n", text, re.DOTALL))  # type: ignore[arg-type]


def value(path: Path) -> float:
    with models.open(path) as model:
        return float(model.data[0, 0])


@pytest.mark.parametrize(
    ("pipeline", "a", "b"), [("KnownPipeline", 36.0, 24.0), ("FoundPipeline", 36.0, 30.0)]
)
def test_a_loop_over_parts_is_rules_and_is_collected_again(
    run: Run, here: Path, pipeline: str, a: float, b: float
) -> None:
    """Every slit has its files; in memory and by files alike."""
    folder = project(run, here, pipeline, "a_rate.fits", "b_rate.fits")
    make(run, folder)

    assert (a, b) == tuple(value(folder / f"cal/{x}_total.fits") for x in "ab")
    assert {"a_s0_slit.fits", "a_s1_slit.fits", "a_s2_slit.fits"} == {
        p.name for p in folder.glob("cal/a_slit/*.fits")
    }
    assert 2.0 == value(folder / "cal/a_s0_scale.fits")

    run("strun", f"slits.py:{pipeline}", "a_rate.fits", "b_rate.fits", cwd=here)
    for x in "ab":
        with (
            models.open(here / f"{x}_total.fits") as one,
            models.open(folder / f"cal/{x}_total.fits") as other,
        ):
            np.testing.assert_array_equal(one.data, other.data)
            assert [(r["step"], r.get("part")) for r in one.provenance] == [
                (r["step"], r.get("part")) for r in other.provenance
            ]


def test_only_what_depends_on_a_change_is_made_again(run: Run, here: Path) -> None:
    """The parts of the exposure that changed; a parameter of the loop's step for all parts."""
    folder = project(run, here, "KnownPipeline", "a_rate.fits", "b_rate.fits")
    make(run, folder)

    write(here / "b_rate.fits", [5, -2])
    assert [("cut", "b"), ("scale", "b_s0"), ("scale", "b_s1"), ("total", "b")] == planned(
        run, folder
    )
    make(run, folder)
    path = folder / "config/KnownPipeline.cfg"
    path.write_text(path.read_text().replace("# factor = 2.0", "factor = 3.0"))
    jobs = planned(run, folder)
    assert 5 == sum(rule == "scale" for rule, _ in jobs)
    assert "cut" not in {rule for rule, _ in jobs}


def test_counts_that_pixels_decide_follow_the_pixels(run: Run, here: Path) -> None:
    """One checkpoint for the run; another count means other rules, and none is a count too."""
    folder = project(run, here, "FoundPipeline", "a_rate.fits", "b_rate.fits")
    text = run("snakemake", "-n", "--cores", "2", cwd=folder).stdout
    assert 1 == len(re.findall(r"^checkpoint parts:", text, re.MULTILINE))
    make(run, folder)

    write(here / "b_rate.fits", [5, 1, 1])
    make(run, folder)
    assert 42.0 == value(folder / "cal/b_total.fits")
    write(here / "a_rate.fits", [-5, -1, -1])
    make(run, folder)
    with models.open(folder / "cal/a_total.fits") as total:
        assert "NothingModel" == type(total).__name__
        assert "there is no input" == total.provenance[-1]["reason"]


def test_parts_may_be_the_results(run: Run, here: Path) -> None:
    folder = project(run, here, "LoosePipeline", "a_rate.fits", "b_rate.fits")
    make(run, folder)

    assert {"a_s0", "a_s1", "a_s2", "b_s0"} == {
        p.name.removesuffix("_scale.fits") for p in folder.glob("cal/*_scale.fits")
    }
    run("strun", "slits.py:LoosePipeline", "a_rate.fits", cwd=here)
    assert {"a_s0", "a_s1", "a_s2"} == {
        p.name.removesuffix("_scale.fits") for p in here.glob("*_scale.fits")
    }


def test_slitless_spectra(run: Run, here: Path) -> None:
    """extract_2d: cutouts of sources in one file, calibrated and extracted, and with strun."""
    scene = make_scene(here)
    types = {
        "assign_wcs": ("distortion", "filteroffset", "specwcs"),
        "flat_field": ("flat",),
        "extract_2d": ("specwcs", "wavelengthrange"),
        "photom": ("photom", "area"),
        "extract_1d": ("apcorr",),
    }
    words = [f"--steps.extract_2d.source_catalog={scene.catalog}"]
    words += ["--steps.extract_2d.source_ids=4,9"]
    for step, names in types.items():
        words += [f"--steps.{step}.{n}={p}" for n, p in scene.parameters(*names).items()]
    run("strun", "calwebb_spec2", scene.rate, *words, "--output_dir=memory", cwd=here)
    run("stflow", "init", "p", "--pipeline=calwebb_spec2", scene.rate, *words, cwd=here)
    make(run, here / "p")

    names = {f"jw01_nis_{suffix}.fits" for suffix in ("cal", "x1d")}
    assert names == {path.name for path in (here / "memory").glob("*.fits")}
    for name in names:
        same(here / "p/cal" / name, here / "memory" / name)


def test_a_step_that_makes_nothing_is_no_failure(run: Run, here: Path) -> None:
    """Its files say why; what comes after goes on without it."""
    words = ["a_rate.fits", "b_rate.fits", "--steps.scale.faintest=1.5"]
    folder = project(run, here, "KnownPipeline", *words)
    make(run, folder)

    with models.open(folder / "cal/a_s0_scale.fits") as nothing:
        assert "NothingModel" == type(nothing).__name__
        record = nothing.provenance[-1]
    assert ("scale", "NOTHING") == (record["step"], record["status"])
    assert "the slit is fainter than 1.5" == record["reason"]
    assert (30.0, 30.0) == tuple(value(folder / f"cal/{x}_total.fits") for x in "ab")

    run("strun", "slits.py:KnownPipeline", *words, cwd=here)
    assert 30.0 == value(here / "a_total.fits")
    done = run("strun", "slits.py:ScaleStep", folder / "cal/a_s0_scale.fits", cwd=here, code=3)
    assert "NothingModel" in done.stderr


def test_parts_by_hand_have_the_same_names(run: Run, here: Path) -> None:
    """Steps one after another, as a person would type them."""
    run("strun", "slits.py:CutStep", "a_rate.fits", cwd=here)
    slits = sorted(here.glob("a_s?_slit.fits"))
    assert 3 == len(slits)
    run("strun", "slits.py:ScaleStep", *slits, cwd=here)
    run("strun", "slits.py:SumStep", *sorted(here.glob("a_s?_scale.fits")), cwd=here)

    (total,) = here.glob("*_total.fits")
    assert 36.0 == value(total)


def test_pipelines_with_parts_start_and_stop(run: Run, here: Path) -> None:
    """What the seed says cannot be done: a stop in a loop, and a start after it."""
    for pipeline, first in (("KnownPipeline", "cut"), ("FoundPipeline", "find")):
        words = [f"slits.py:{pipeline}", "a_rate.fits"]
        for stop, start in ((first, "scale"), ("scale", "total")):
            run("strun", *words, f"--stop-step={stop}", cwd=here)
            assert not (here / "a_total.fits").exists()
            run("strun", *words, f"--start-step={start}", cwd=here)
            assert 36.0 == value(here / "a_total.fits")
            for path in here.glob("a_*_*.fits"):
                path.unlink()
            (here / "a_total.fits").unlink()


def test_many_exposures_are_joined(run: Run, here: Path) -> None:
    """An association: in one process, and as rules with many inputs and many outputs."""
    asn = here / "both_asn.json"
    asn.write_text(
        '{"asn_type": "x", "products": [{"name": "both", "members": ['
        '{"expname": "a_rate.fits", "exptype": "science"},'
        '{"expname": "b_rate.fits", "exptype": "science"}]}]}'
    )
    write(here / "a_rate.fits", [1, 2, 6])

    run("strun", "slits.py:MosaicPipeline", asn.name, cwd=here)
    folder = project(run, here, "MosaicPipeline", asn.name)
    make(run, folder)

    assert 0.0 == value(here / "both_total.fits") == value(folder / "cal/both_total.fits")
    assert {"a_level.fits", "b_level.fits"} == {
        p.name for p in folder.glob("cal/both_level/*.fits")
    }
    assert -4.0 == value(folder / "cal/a_scale.fits")
    shutil.rmtree(folder / "cal/both_level")
    make(run, folder)


def test_stages_follow_each_other(run: Run, here: Path) -> None:
    """Exposures and an association of what is made of them, in one project."""
    asn = here / "both_asn.json"
    asn.write_text(
        '{"asn_type": "x", "products": [{"name": "both", "members": ['
        '{"expname": "a_double.fits", "exptype": "science"},'
        '{"expname": "b_double.fits", "exptype": "science"}]}]}'
    )
    words = ["--pipeline=slits.py:FirstPipeline", "--pipeline=slits.py:MosaicPipeline"]
    inputs = ["a_rate.fits", "b_rate.fits", asn.name]
    run("stflow", "init", "p", *words, *inputs, "--steps.double.factor=4", cwd=here)
    folder = here / "p"
    make(run, folder)

    assert -8.0 == value(folder / "cal/a_scale.fits")  # 2 (4 - 8)
    assert 0.0 == value(folder / "cal/both_total.fits")
    write(here / "b_rate.fits", [5, -2])
    jobs = {rule for rule, root in planned(run, folder) if root != "a"}
    assert {"double", "level", "scale", "total"} == jobs

    done = run("stflow", "init", "q", words[1], "a_rate.fits", asn.name, cwd=here, code=3)
    assert "takes associations" in done.stderr


def test_a_suffix_may_end_like_another(run: Run, here: Path) -> None:
    """`X_group_scale.fits` is not the product `scale` of `X_group`."""
    (here / "ends.py").write_text(
        "from slits import ScaleStep\n"
        "from stpipe import Pipeline\n"
        "class GroupScale(ScaleStep):\n"
        "    alias = suffix = 'group_scale'\n"
        "class Ends(Pipeline):\n"
        "    step_defs = {'one': GroupScale, 'two': ScaleStep}\n"
        "    def process(self, image):\n"
        "        return self.two(self.one(image))\n"
    )
    run("stflow", "init", "p", "--pipeline=ends.py:Ends", "a_rate.fits", cwd=here)
    make(run, here / "p")
    run("snakemake", "--cores", "1", "cal/a_group_scale.fits", cwd=here / "p")

    assert 4.0 == value(here / "p/cal/a_scale.fits")


@pytest.mark.parametrize("suffix", ["piece", "my_scale", "rate"])
def test_a_parameter_may_give_another_suffix(run: Run, here: Path, suffix: str) -> None:
    """The rule is named for it; also where it ends like the usual one, or is that of the input."""
    words = [f"--steps.scale.suffix={suffix}", "--steps.cut.suffix=strip"]
    folder = project(run, here, "KnownPipeline", "a_rate.fits", *words)
    make(run, folder)

    made = sorted(p.relative_to(folder).as_posix() for p in folder.glob("cal/**/*.fits"))
    parts = [f"cal/a_s{n}_{suffix}.fits" for n in range(3)]
    strips = [f"cal/a_strip/a_s{n}_strip.fits" for n in range(3)]
    assert sorted([*parts, *strips, "cal/a_total.fits"]) == made
    run(
        "snakemake", "--cores", "1", "cal/a_total.fits", "--forcerun", f"scale_{suffix}", cwd=folder
    )
    assert [] == planned(run, folder)
    run("strun", "slits.py:KnownPipeline", "a_rate.fits", *words, "--output_dir=hand", cwd=here)
    assert value(here / "hand/a_total.fits") == value(folder / "cal/a_total.fits")


def test_names_that_a_project_cannot_give_are_refused(run: Run, here: Path) -> None:
    """All of them at once, with what to give instead; nothing is left behind."""
    words = ["--suffix=mine", "--steps.total.output_file=x.fits", "--steps.cut.output_dir=y"]
    init = ("stflow", "init", "p", "--pipeline=slits.py:KnownPipeline", "a_rate.fits")
    done = run(*init, *words, cwd=here, code=2)

    for expected in ("--steps.total.suffix", "output_file = x.fits", "output_dir = y"):
        assert expected in done.stderr
    for wrong in ("../x", "a/b", "{root}", "a b"):
        done = run(*init, f"--steps.scale.suffix={wrong}", cwd=here, code=2)
        assert "letters, digits, _, + and -" in done.stderr
    assert not (here / "p").exists()


TWO = """
import numpy as np
from slits import DoubleStep
from stpipe import Output, Pipeline, Step
from stpipe.core.products import Products

class HalvesStep(Step):
    "Upper and lower half."
    alias = "halves"
    outputs = (Output("upper", "ImageModel", "upper"), Output("lower", "ImageModel", "lower"))
    def process(self, image):
        upper, lower = image.copy(), image.copy()
        upper.data, lower.data = np.array(image.data[:1]), np.array(image.data[-1:])
        return Products(("upper", "lower"), (upper, lower))

class Two(Pipeline):
    step_defs = {"halves": HalvesStep, "double": DoubleStep}
    def process(self, image):
        return self.double(self.halves(image).lower)
"""


def test_a_first_product_with_another_suffix_leaves_the_others_their_names(
    run: Run, here: Path
) -> None:
    """Whatever the first is called; and no two rules make one file."""
    (here / "two.py").write_text(TWO)
    init = ("stflow", "init", "p", "--pipeline=two.py:Two", "a_rate.fits")
    done = run(*init, "--steps.halves.suffix=double", cwd=here, code=2)
    assert "halves_double and double would both make cal/a_double.fits" in done.stderr
    run(*init, "--steps.halves.suffix=head", cwd=here)
    make(run, here / "p")

    names = {path.name for path in (here / "p/cal").glob("*.fits")}
    assert {"a_head.fits", "a_lower.fits", "a_double.fits"} == names


def test_a_step_skipped_before_one_that_refines_is_noted_before_it(run: Run, here: Path) -> None:
    """As in memory: the history has the order in which the steps stand."""
    (here / "refined.py").write_text(
        "from slits import DoubleStep, ScaleStep, Step\n"
        "from stpipe import Pipeline\n"
        "class Add(Step):\n"
        "    'Add one.'\n"
        "    alias = 'add'\n"
        "    refines = True\n"
        "    def process(self, image):\n"
        "        image.data = image.data + 1\n"
        "        return image\n"
        "class Refined(Pipeline):\n"
        "    step_defs = {'scale': ScaleStep, 'double': DoubleStep, 'add': Add}\n"
        "    def process(self, image):\n"
        "        return self.add(self.double(self.scale(image)))\n"
    )
    words = ["refined.py:Refined", "--steps.double.skip=True"]
    run("stflow", "init", "p", f"--pipeline={words[0]}", words[1], "a_rate.fits", cwd=here)
    make(run, here / "p")
    run("strun", words[0], "a_rate.fits", words[1], "--output_dir=memory", cwd=here)
    (hand,) = (here / "memory").iterdir()
    for path in (hand, here / "p/cal/a_scale.fits"):
        with models.open(path) as model:
            assert [r["step"] for r in model.provenance] == ["scale", "double", "add"]
            assert 3.0 == float(model.data[0, 0])
