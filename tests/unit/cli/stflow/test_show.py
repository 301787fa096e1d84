"""`stflow show` and `stflow diff`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from reduced_image import changed, reduced_image

from stpipe import models
from stpipe.cli.stflow.main import main
from stpipe.errors import ValidationError
from stpipe.models.compare import compare

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def image() -> models.ImageModel:
    return reduced_image()


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


def test_equal_products_do_not_differ(
    image: models.ImageModel, tmp_path: Path, capsys: Capture
) -> None:
    """Format, file name and date of writing are no differences; exit code 0."""
    paths = [str(image.save(tmp_path / name)) for name in ("a.fits", "b.asdf")]
    assert 0 == main(["diff", *paths])
    assert "no differences\n" == capsys.readouterr().out
    assert 0 == main(["diff", *paths, "--json"])
    assert [] == json.loads(capsys.readouterr().out)


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
        assert f"--rtol: {wrong} is not a number of at least 0" in capsys.readouterr().err
    assert 2 == main(["diff", *paths, "--rtoll=5"])


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
