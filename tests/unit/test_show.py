"""`stflow show` and `stflow diff`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import asdf
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.cli.stflow.main import main
from stpipe.errors import ValidationError
from stpipe.models import describe
from stpipe.models.compare import Difference, Tolerance, compare

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def image() -> models.ImageModel:
    model = models.ImageModel(np.arange(12, dtype=np.float32).reshape(3, 4))
    model.dq = np.zeros((3, 4), np.uint32)
    model.meta.instrument.name = "MIRI"
    model.meta.program.title = (
        "A title that is so long that it does not fit on a line of a terminal"
    )
    model.set("meta.exposure.start_time", float("nan"))
    reference = {"name": "jwst_miri_gain_0001.fits", "sha256": "0123456789abcdef" * 4}
    jump = {"step": "jump", "status": "COMPLETE", "finished": "2026-01-02T03:04:05.678Z"}
    jump |= {"parameters": {"rejection_threshold": 5.0, "min_sat_area": 1}}
    jump |= {"sources": {"rejection_threshold": "command line", "min_sat_area": "default"}}
    jump |= {"references": {"gain": reference}, "software": {"numpy": "2.0"}}
    skip = {"step": "ipc", "status": "SKIPPED", "reason": "the user wished it"}
    model.provenance = [jump, skip]
    return model


def test_a_person_reads_what_a_file_holds(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Arrays, a tree of metadata, steps with what was changed, references; within 80 columns."""
    path = image.save(tmp_path / "x_rate.fits", checksum=True)
    assert 0 == main(["show", str(path), "--statistics", "--verify"])
    lines = capsys.readouterr().out.splitlines()
    assert "x_rate.fits: ImageModel" == lines[0]
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for part in [
        "  data  float32   3 x 4               SCI\n      min 0, max 11, mean 5.5, std 3.4521",
        "  instrument\n    name                        MIRI",
        "  jump                 COMPLETE   2026-01-02 03:04:05",
        "      rejection_threshold = 5.0  (command line)\n",
        "      gain: jwst_miri_gain_0001.fits sha256:0123456789ab",
        "      the user wished it",
        "checksums: 4 verified",
    ]:
        assert part in text
    assert "min_sat_area" not in text


def test_programs_read_everything(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """`--json` holds whole values of every file, as JSON without NaN."""
    paths = [str(image.save(tmp_path / name)) for name in ("a.fits", "b.asdf")]
    assert 0 == main(["show", *paths, "--json", "--statistics"])
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert paths == [each["path"] for each in found]
    for each in found:
        assert image.meta.program.title == each["metadata"]["meta.program.title"]
        assert [[3, 4], [3, 4]] == [array["shape"] for array in each["arrays"]]
        assert 11.0 == each["arrays"][0]["statistics"]["max"]
        assert image.provenance == each["provenance"]


def test_damage_is_an_error_of_show(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Bytes that are not those that were written end in exit code 3 and the extension's name."""
    path = image.save(tmp_path / "x.fits", checksum=True)
    path.write_bytes(path.read_bytes().replace(b"'MIRI    '", b"'NIRISS  '"))
    assert 0 == main(["show", str(path)])
    assert 3 == main(["show", str(path), "--verify"])
    assert "PRIMARY,1: header and data do not add up" in capsys.readouterr().err


def test_parts_of_lists_are_shown(tmp_path: Path, capsys: Capture) -> None:
    """The first parts stand for the others in text; JSON has them all."""
    model = models.MultiSlitModel()
    model.slits = [{"data": np.zeros((2, number + 1))} for number in range(30)]
    path = str(model.save(tmp_path / "x.fits"))
    main(["show", path])
    shown = capsys.readouterr().out
    assert "slits.4.data  float32   2 x 5" in shown
    assert "and 25 more, in further parts" in shown
    main(["show", path, "--json"])
    assert 30 == len(json.loads(capsys.readouterr().out)[0]["arrays"])


@hypothesis.given(
    arrays.arrays(
        st.sampled_from([np.dtype("f4"), np.dtype("f8"), np.dtype("u2")]),
        arrays.array_shapes(max_dims=3),
        elements=None,
    )
)
def test_statistics_are_those_of_numpy(array: np.ndarray) -> None:
    """Read in pieces, the numbers are what numpy makes of the finite values."""
    wide = array.astype(np.float64)
    hypothesis.assume(np.all(np.abs(wide[np.isfinite(wide)]) < 1e100))
    found = describe.statistics(array)
    values = wide[np.isfinite(wide)]
    assert array.size - values.size == found["not_finite"]
    if values.size:
        assert (values.min(), values.max()) == (found["min"], found["max"])
        scale = max(float(np.abs(values).max()), 1e-300)
        assert abs(values.mean() - found["mean"]) <= 1e-6 * scale
        assert abs(values.std() - found["std"]) <= 1e-6 * scale


def test_equal_products_do_not_differ(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Format, file name and date of writing are no differences; exit code 0."""
    paths = [str(image.save(tmp_path / name)) for name in ("a.fits", "b.asdf")]
    assert 0 == main(["diff", *paths])
    assert "no differences\n" == capsys.readouterr().out
    assert 0 == main(["diff", *paths, "--json"])
    assert [] == json.loads(capsys.readouterr().out)


def changed(image: models.ImageModel) -> models.ImageModel:
    """The same image, with one thing of every kind changed."""
    other = image.copy()
    data = np.array(image.data)
    data[1, 2] = np.nan
    data[2, 0] += 0.5
    other.data = data
    other.err = np.ones((3, 4))
    other.dq = np.zeros((2, 4), np.uint32)
    other.meta.instrument.name = "FGS"
    other.provenance[0]["parameters"]["rejection_threshold"] = 4.0
    other.provenance[0]["references"]["gain"]["sha256"] = "f" * 64
    return other


def test_every_difference_is_found(image: models.ImageModel) -> None:
    """Metadata, parameters, references by content, shapes, missing arrays, values."""
    gain, most = "jwst_miri_gain_0001.fits sha256:", "by at most 0.5, 1 not finite in one"
    assert [
        Difference("metadata", "meta.instrument.name", "MIRI", "FGS"),
        Difference("parameter", "jump.rejection_threshold", 5.0, 4.0),
        Difference("reference", "jump.gain", f"{gain}0123456789ab", f"{gain}ffffffffffff"),
        Difference("array", "data", "2 of 12 differ", most, "first at [1, 2]"),
        Difference("array", "dq", "uint32 3 x 4", "uint32 2 x 4"),
        Difference("array", "err", "absent", "float32 3 x 4"),
    ] == sorted(compare(image, changed(image)), key=rank)


def rank(each: Difference) -> tuple[int, str]:
    return ["metadata", "parameter", "reference", "array"].index(each.kind), each.name


def test_tolerances(image: models.ImageModel) -> None:
    """Relative and absolute tolerances are for floating-point values; NaN equals NaN."""
    other = image.copy()
    other.data = np.array(image.data) * np.float32(1.001)
    assert [] != compare(image, other)
    assert [] == compare(image, other, Tolerance(relative=0.01))
    assert [] == compare(image, other, Tolerance(absolute=0.1))
    other.dq = np.ones((3, 4), np.uint32)
    assert ["dq"] == [each.name for each in compare(image, other, Tolerance(absolute=10))]
    image.data = other.data = np.full((3, 4), np.nan)
    other.dq = image.dq
    assert [] == compare(image, other)


def test_differences_on_the_command_line(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Headings and a line for each difference; exit code 1."""
    paths = [str(image.save(tmp_path / "a.fits")), str(changed(image).save(tmp_path / "b.fits"))]
    with pytest.raises(SystemExit) as caught:
        main(["diff", *paths])
    assert 1 == caught.value.code
    lines = capsys.readouterr().out.splitlines()
    assert ["metadata", "  meta.instrument.name           MIRI -> FGS"] == lines[:2]
    at = lines.index("  data")
    most = "by at most 0.5, 1 not finite in one"
    assert f"    2 of 12 differ {most}, first at [1, 2]" == lines[at + 1]
    assert "  err                            absent -> float32 3 x 4" in lines
    for wrong in ("-1", "nan", "x"):
        with pytest.raises(SystemExit) as caught:
            main(["diff", *paths, f"--rtol={wrong}"])
        assert 2 == caught.value.code
        assert f"--rtol: {wrong} is not a number from 0 up" in capsys.readouterr().err
    assert 2 == main(["diff", *paths, "--rtoll=5"])


def test_differences_in_parts_and_tables() -> None:
    """Parts of lists and columns of tables are compared, too."""
    first = models.MultiSpecModel()
    schema = first.schema.lists["spec"].fields["spec_table"]
    first.spec.append({"spec_table": np.zeros(3, schema.dtype), "name": "one"})
    second = first.copy()
    table = np.array(first.spec[0].spec_table)
    table["FLUX"][1] = 2.0
    second.spec[0].spec_table = table
    second.spec[0].name = "two"
    found = [(each.kind, each.name, each.first) for each in compare(first, second)]
    assert [
        ("metadata", "spec.0.name", "one"),
        ("array", "spec.0.spec_table[FLUX]", "1 of 3 cells differ"),
    ] == found
    second.spec = []
    assert ("array", "spec.0.spec_table", "table 3") in [
        (each.kind, each.name, each.first) for each in compare(first, second)
    ]


def test_statistics_of_small_spreads() -> None:
    """Times and levels far from zero keep their spread, over several pieces."""
    times = 60_000 + np.linspace(0, 1e-4, 1_000_000)
    assert describe.statistics(times)["std"] == pytest.approx(times.std(), rel=1e-6)


def test_every_run_of_a_step_is_compared(image: models.ImageModel) -> None:
    """A step that ran twice has two records, a hook one of its own."""
    image.provenance.append({"step": "jump", "status": "SKIPPED"})
    image.provenance.append({"step": "jump", "status": "HOOK", "when": "post_hooks", "hook": "a"})
    other = image.copy()
    other.provenance[0]["parameters"]["rejection_threshold"] = 4.0
    other.provenance[2]["status"] = "COMPLETE"
    other.provenance[3]["hook"] = "b"
    assert [
        ("jump.rejection_threshold", 5.0, 4.0),
        ("jump (2).status", "SKIPPED", "COMPLETE"),
        ("jump hook.hook", "a", "b"),
    ] == [each[1:4] for each in compare(image, other)]


def test_tables_of_other_columns_and_units() -> None:
    """Columns that one lacks, cells of another shape or type, and units."""

    def spectrum(*more: tuple[str, str]) -> models.SpecModel:
        model = models.SpecModel()
        known = model.schema.arrays["spec_table"].dtype
        model.spec_table = np.zeros(2, [*((n, known[n]) for n in known.names), *more])
        return model

    first = spectrum(("a", "3f4"), ("b", "f4"), ("c", "S2"), ("d", "i4"))
    second = spectrum(("a", "4f4"), ("b", "S3"), ("c", "S9"))
    second.set_units("spec_table", {"FLUX": "Jy"})
    assert [
        ("array", "spec_table[a]", "float32 x 3", "float32 x 4", ""),
        ("array", "spec_table[b]", "float32", "text", ""),
        ("array", "spec_table[d]", "int32", "absent", ""),
        ("unit", "spec_table[FLUX]", "absent", "Jy", ""),
    ] == compare(first, second)


def test_what_the_schema_does_not_know_is_compared(
    image: models.ImageModel, tmp_path: Path
) -> None:
    """Keywords and extensions of a file that nobody declared, in FITS and in ASDF."""
    plain = image.save(tmp_path / "plain.fits")
    for number in (1, 2):
        with fits.open(plain) as file:
            file[0].header["MINE"] = number
            file.append(fits.ImageHDU(np.array([number]), name="EXTRA"))
            file.writeto(tmp_path / f"{number}.fits")
    one, two = (models.open(tmp_path / f"{number}.fits") for number in (1, 2))
    same = models.open(one.copy().save(tmp_path / "one.asdf"))
    assert [] == compare(one, same)
    names = [("keyword", "PRIMARY MINE"), ("extension", "EXTRA,1")]
    assert names == [each[:2] for each in compare(same, two)]
    assert names == [each[:2] for each in compare(one, image)]
    assert (1, 2) == compare(one, two)[0][2:4]


@pytest.mark.parametrize("history", ["abc", 3, ["x"], [{"step": 5}], [{"references": {"gain": 1}}]])
def test_a_history_that_is_none(
    image: models.ImageModel, tmp_path: Path, capsys: Capture, history: Any
) -> None:
    """It is refused when it is given; one in a foreign file is no reason not to show the rest."""
    with pytest.raises(ValidationError, match="provenance"):
        image.provenance = history
    with pytest.raises(ValidationError, match="provenance"):
        image.set("provenance", history)
    image.save(tmp_path / "x.asdf")
    with asdf.open(tmp_path / "x.asdf") as file:
        file["provenance"] = history
        file.write_to(tmp_path / "y.asdf")
    path = str(tmp_path / "y.asdf")
    assert 0 == main(["show", path])
    assert "jump" not in capsys.readouterr().out
    assert 3 == main(["diff", path, path])
    assert "y.asdf: provenance" in capsys.readouterr().err
    image.provenance.append("x")
    with pytest.raises(ValidationError, match="'x'; allowed is a dictionary"):
        image.save(tmp_path / "z.fits")


def test_nothing_in_a_file_steers_the_terminal(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Control characters are shown as what they are."""
    image.set("meta.mine", "\x1b[31mred")
    other = image.copy()
    other.set("meta.mine", "a\nb")
    paths = [str(m.save(tmp_path / n)) for m, n in ((image, "a.fits"), (other, "b.fits"))]
    main(["show", paths[0]])
    with pytest.raises(SystemExit):
        main(["diff", *paths])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31mred -> a\\nb" in shown


def test_objects_are_compared_by_what_they_hold(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Not by where a file keeps their arrays; not a number is the same as itself in a list."""
    image.set("meta.mine", {"first": np.arange(50), "second": [math.nan, 1]})
    paths = [image.save(tmp_path / name) for name in ("a.fits", "b.asdf")]
    other = models.open(paths[0])
    assert [] == compare(models.open(paths[1]), other)
    assert 50 == other.get("meta.mine.first").size
    assert [] == compare(models.open(paths[1]), other)
    other.set("meta.mine.first", np.arange(50) + 1)
    changed = str(other.save(tmp_path / "c.fits"))
    with pytest.raises(SystemExit):
        main(["diff", str(paths[0]), changed])
    assert "meta.mine.first" in capsys.readouterr().out
