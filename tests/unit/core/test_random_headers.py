"""Any card of a header may be wrong: a good product, or a sentence with its exit code and no file."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe.cli.strun.main import main
from stpipe.models import dqflags

# STPIPE_HEADERS=300 is the full form, which takes some minutes for each pipeline.
COUNT = int(os.environ.get("STPIPE_HEADERS", "6"))
STRUCTURE = re.compile(
    r"(SIMPLE|BITPIX|NAXIS\d*|EXTEND|XTENSION|[PG]COUNT|EXT(NAME|VER)|B(SCALE|ZERO))$"
)
VALUES = {
    "absent": None,
    "zero": "0",
    "negative": "-3.7",
    "not a number": "NaN",
    "text": "'nonsense'",
    "empty": "''",
    "huge": "1E+30",
    "whole": "99999999999",
    "logical": "T",
    "no value": "",
}
SENTENCES = (2, 3, 4)  # exit codes of what is said before anything is computed

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("pipeline", ["calwebb_detector1", "calwebb_image2"])
def test_a_good_product_or_a_sentence(
    pipeline: str, rate: Path, exposures: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    """Cards and values are drawn; the same ones each time."""
    detector = rate.name.split("_")[-2]
    raw = next(p for p in exposures if p.name.endswith(f"00001_{detector}_uncal.fits"))
    source = rate if pipeline == "calwebb_image2" else raw
    drawn = random.Random(detector + pipeline)  # noqa: S311 - a draw, no secret
    cards = list(cards_of(source))
    wrong = []
    for number in range(COUNT):
        offset, keyword = drawn.choice(cards)
        kind = drawn.choice(list(VALUES))
        folder = tmp_path / str(number)
        path = changed(source, offset, keyword, VALUES[kind], folder)
        code = main([pipeline, str(path), f"--output_dir={folder / 'out'}"])
        if problem := problem_of(code, capsys.readouterr().err, folder / "out"):
            wrong.append(f"{keyword} {kind}: {problem}")
    assert not wrong, "\n".join(wrong)


def cards_of(path: Path) -> Iterator[tuple[int, str]]:
    """Place and keyword of each card of the primary header and of the science extension."""
    content = path.read_bytes()
    with fits.open(path) as hdus:
        headers = [(h._header_offset, h._data_offset) for h in (hdus[0], hdus["SCI"])]
    for start, end in headers:
        for offset in range(start, end, 80):
            card = content[offset : offset + 80].decode("ascii")
            keyword = card[:8].strip()
            if card[8:10] == "= " and not STRUCTURE.match(keyword):
                yield offset, keyword


def changed(source: Path, offset: int, keyword: str, value: str | None, folder: Path) -> Path:
    """A copy of a file with one card changed, as bytes: no library would write some of them."""
    content = bytearray(source.read_bytes())
    card = "COMMENT" if value is None else f"{keyword:<8}= {value:>20}"
    content[offset : offset + 80] = card.ljust(80).encode()
    folder.mkdir()
    (folder / source.name).write_bytes(content)
    return folder / source.name


def problem_of(code: int, said: str, out: Path) -> str:
    """What is wrong with an outcome; empty if nothing is."""
    error = next((line for line in said.splitlines() if ": error: " in line), "")
    if "Traceback" in said or re.search(r"error: \w+(Error|Exception): ", error):
        return f"Python's own words: {error}"
    if code != 0:
        known = code in SENTENCES and error
        return "" if known and not list(out.glob("*")) else f"exit code {code}, {error}"
    for path in out.glob("*.fits"):
        with fits.open(path) as hdus:
            good = (hdus["DQ"].data & dqflags.DO_NOT_USE) == 0 if "DQ" in hdus else None
            if good is not None and not np.isfinite(hdus["SCI"].data[good]).all():
                return f"{path.name} has good pixels without a value"
    return "" if list(out.glob("*.fits")) else "no product and no word"
