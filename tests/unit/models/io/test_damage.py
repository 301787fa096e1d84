"""Damaged files: each one clear error in bounded time and memory; none crashes or is accepted."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.models import dqflags

WORKER = Path(__file__).with_name("damage.py")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the system does not tell how much memory is used"
)
Files = dict[str, bytes]


def good(folder: Path) -> Files:
    """Small files of every kind: image, table, mask, list of parts; FITS, ASDF, ECSV with checksums."""
    mask = models.MaskModel(np.full((20, 30), dqflags.DEAD, np.uint32))
    mask.dq_def = np.array([(0, 1, b"DEAD", b"no")], mask.schema.fields["dq_def"].dtype)
    slits = models.MultiSlitModel()
    slits.slits = [{"data": np.ones((n + 2, 40)), "name": str(n)} for n in range(2)]
    ramp = models.RampModel(np.ones((1, 2, 16, 17)))
    ramp.int_times = np.ones(3, ramp.schema.fields["int_times"].dtype)
    found = {}
    for name, model in {"mask": mask, "slits": slits, "ramp": ramp}.items():
        model.meta.instrument.name = "NIRSPEC"
        model.set("meta.note", {"text": "words " * 30, "list": [1, 2.5, None]})
        for ending in (".fits", ".asdf"):
            path = model.save(folder / f"{name}{ending}", checksum=True)
            found[path.name] = path.read_bytes()
    catalog = models.SourceCatalogModel()
    catalog.catalog = np.ones(3, catalog.schema.fields["catalog"].dtype)
    path = catalog.save(folder / "catalog.ecsv", checksum=True)
    return found | {path.name: path.read_bytes()}


def truncated(files: Files) -> Iterator[tuple[str, bytes]]:
    """Cut within and between all blocks."""
    for name, content in files.items():
        cuts = set(range(0, len(content), 2880)) | set(range(97, len(content), len(content) // 31))
        ends = [match.start() for match in re.finditer(rb"\xd3BLK", content)]
        cuts |= {len(content) - 1, *ends, *(end + 20 for end in ends)}
        for cut in sorted(cuts - {len(content)}):
            yield f"cut at {cut} {name}", content[:cut]


FLIPPED: dict[str, tuple[bytes, Sequence[int]]] = {
    ".fits": (rb"NAXIS|BITPIX|TFORM|EXT|SIM", range(9, 31)),
    ".asdf": (rb"\xd3BLK", (0, 1, 2, 3, 22, 23, 24, 30, 31)),
    ".ecsv": (rb"name|datatype|unit", range(9)),
}


def flipped(files: Files) -> Iterator[tuple[str, bytes]]:
    """One byte of a FITS header, of the header of an ASDF block, or of that of a table changed."""
    rng = random.Random(7)  # noqa: S311 - no secret
    for name, content in files.items():
        words, offsets = FLIPPED[Path(name).suffix]
        places = [match.start() + n for match in re.finditer(words, content) for n in offsets]
        for at in rng.sample(places, min(60, len(places))):
            changed = bytes([content[at] ^ (1 << rng.randint(0, 6))])
            yield f"flip at {at} {name}", content[:at] + changed + content[at + 1 :]


def shifted(files: Files) -> Iterator[tuple[str, bytes]]:
    """Bytes missing or too many, such as leave what follows where nobody looks for it."""
    rng = random.Random(3)  # noqa: S311 - no secret
    for name, content in files.items():
        if not name.endswith(".fits"):
            continue  # in ASDF it may be a letter of a text
        last = content.rfind(b"XTENSION")
        for at in rng.sample(range(last), 20):
            for size in (1, 80, 2880):
                more = bytes(rng.choices(range(256), k=size))
                yield f"{size} more at {at} {name}", content[:at] + more + content[at:]
                yield f"{size} fewer at {at} {name}", content[:at] + content[at + size :]


CARDS = {
    "BITPIX": ["7", "0", "-8", "33", "-4000000000", "T", "'x'", ""],
    "NAXIS": ["1000", "-1", "1000000000", "1.5", "'2'", "T", ""],
    "NAXIS1": ["1000000000000", "-5", "999999999999999999", "1E99", "NAN"],
    "NAXIS2": ["1000000000", "-1", "''"],
    "PCOUNT": ["10000000000", "-100000000", "X"],
    "GCOUNT": ["10000000000", "-1"],
    "TFIELDS": ["1000000000", "-3", "999"],
    "TFORM1": ["'9999999999E'", "'Q'", "'-1J'", "''", "5"],
    "EXTVER": ["1000000000", "'a'", "-1"],
}


def absurd(files: Files) -> Iterator[tuple[str, bytes]]:
    """Cards that say nonsense about the data, in every extension that has them."""
    for name, content in files.items():
        for keyword, values in CARDS.items() if name.endswith(".fits") else ():
            places = [m.start() for m in re.finditer(rb"%-8s= " % keyword.encode(), content)]
            for at in places[:3]:
                for number, value in enumerate(values):
                    card = f"{keyword:<8}= {value:>20}".ljust(80).encode()
                    changed = content[:at] + card + content[at + 80 :]
                    yield f"{keyword} {number} at {at} {name}", changed


HEAD = b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n"
HEAD += b"--- !core/asdf-1.1.0\n"
ARRAY = (
    b"data: !core/ndarray-1.1.0 {source: 0, datatype: float32, byteorder: little, shape: %s%s}\n"
)
EXTENSION = b"""_fits:
  extensions:
  - header: [XTENSION= 'IMAGE', BITPIX  = 8, NAXIS   = 1, NAXIS1  = 9999]
    data: !core/ndarray-1.1.0 {source: 0, datatype: uint8, shape: [1024]}
"""
MODEL = b"meta: {model_type: ImageModel}\n"


def block(content: bytes, used: int, length: int, compression: bytes = b"") -> bytes:
    """A block of ASDF that may claim to be something else."""
    fields = (b"\xd3BLK", 48, 0, compression, used, used, length, b"")
    return struct.pack(">4sHI4sQQQ16s", *fields) + content


def in_fits(tree: bytes) -> bytes:
    """A FITS file with the extension ASDF."""
    stream = io.BytesIO()
    column = fits.Column("ASDF_METADATA", f"{len(tree)}B", array=[np.frombuffer(tree, np.uint8)])
    table = fits.BinTableHDU.from_columns([column], name="ASDF")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(stream)
    return stream.getvalue()


def claims() -> Iterator[tuple[str, bytes]]:
    """Few bytes that claim to be many, trees that never end, nodes of the wrong kind."""
    end, huge = b"...\n", b"[50000, 50000]"
    kilobyte = block(bytes(1024), 1024, 1024)
    packed = zlib.compress(bytes(3_000_000))
    lie = block(packed, len(packed), 10**10, b"zlib")
    short = block(packed, len(packed), 16, b"zlib")
    four = zlib.compress(bytes(16))[:-5]
    cut = block(four, len(four), 16, b"zlib")
    lines = ((98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(15))
    bomb = b"".join(b"%c: &%c [%s]\n" % line for line in lines)
    trees = {
        "10 GB": MODEL + ARRAY % (huge, b"") + end + kilobyte,
        "10 GB in no steps": MODEL + ARRAY % (huge, b", strides: [0, 0]") + end + kilobyte,
        "10 GB packed": MODEL + ARRAY % (huge, b"") + end + lie,
        "wrong length": MODEL + ARRAY % (b"[2, 2]", b"") + end + short,
        "10 GB block": MODEL + ARRAY % (b"[2, 2]", b"") + b"...\n" + block(bytes(99), 10**10, 10**10),
        "huge shape": MODEL + ARRAY % (b"[99999999999999999999, 1]", b"") + b"...\n" + kilobyte,
        "negative": MODEL + ARRAY % (b"[-2, 2]", b"") + b"...\n" + kilobyte,
        "no block": MODEL + ARRAY % (b"[2, 2]", b"") + b"...\n",
        "cycle": b"a: &a [*a]\n...\n",
        "long cycle": b"a: &a {b: {c: [1, *a]}}\n...\n",
        "unfolds": b"a: &a [1, 2, 3]\n" + bomb + b"...\n",
        "deep": b"a: " + b"[" * 200_000 + b"]" * 200_000 + b"\n...\n",
        "deeper": b"a: " + b"{b: " * 50_000 + b"1" + b"}" * 50_000 + b"\n...\n",
        "no mapping": b"[1, 2]\n...\n",
        "no end": MODEL,
        "binary": b"\x00\x01\x02\n...\n",
        "unknown alias": b"a: *b\n...\n",
        "list of numbers": b"meta: {model_type: MultiSlitModel}\nslits: [1, 2]\n...\n",
        "number for a list": b"meta: {model_type: MultiSlitModel}\nslits: 5\n...\n",
        "number for data": MODEL + b"data: !core/ndarray-1.1.0 5\n...\n",
        "text for data": MODEL + b"data: nothing\n...\n",
        "ragged": MODEL + b"data: !core/ndarray-1.1.0 [[1, 2], [3]]\n...\n",
        "no datatype": MODEL + ARRAY.replace(b"float32", b"null") % (b"[2, 2]", b"") + end + kilobyte,
        "other file": MODEL + ARRAY.replace(b"0", b"other.asdf", 1) % (b"[2, 2]", b"") + end,
        "cut when packed": MODEL + ARRAY % (b"[2, 2]", b"") + end + cut,
        "extra of nothing": b"extra_fits: 5\n...\n",
        "short extension": EXTENSION + end + kilobyte,
        "headers of nothing": MODEL + b"_fits: {headers: 5}\n...\n",
        "extensions of nothing": MODEL + b"_fits: {extensions: [5]}\n...\n",
    }  # fmt: skip
    for name, text in trees.items():
        yield f"{name}.asdf", HEAD + text
    yield "extra of nothing.fits", in_fits(HEAD + trees["extra of nothing"])
    tables = {
        "10 GB": b"# datatype: [{name: a, datatype: S9999999999}]\na\n1\n",
        "objects": b"# datatype: [{name: a, datatype: O}]\na\n1\n",
        "cycle": b"# datatype: []\n# meta: !!omap\n# - a: &a [*a]\n",
        "unfolds": b"# datatype: []\n# meta: !!omap\n"
        + re.sub(rb"(?m)^", b"# - ", b"a: &a [1, 2, 3]\n" + bomb.rstrip()),
        "deep": b"# datatype: []\n# meta: " + b"[" * 100_000 + b"]" * 100_000,
        "no type": b"# datatype: [{name: a, datatype: null}]\na\n1\n",
        "one long text": b"# datatype: [{name: a, datatype: string}]\n"
        + b"a\n%s\n" % (b"x" * 100_000)
        + b"y\n" * 20_000,
        "no columns": b"# datatype: 5\n\n",
        "a row of many": b"# datatype: [{name: a, datatype: int8}]\na\n" + b"1 " * 1_000_000,
    }
    for name, text in tables.items():
        yield f"{name}.ecsv", b"# %ECSV 1.0\n# ---\n" + text
    yield "empty.fits", b""
    yield "no end.fits", b"SIMPLE  =                    T".ljust(80) + b" " * 100_000
    dimensions = [
        b"SIMPLE  =                    T",
        b"BITPIX  =                  -32",
        b"NAXIS   =                    2",
    ]
    large = [b"NAXIS1  =               100000", b"NAXIS2  =                25000"]
    empty = [b"NAXIS1  =                    0", b"NAXIS2  =           9999999999"]
    for name, axes in (("10 GB.fits", large), ("10 GB of nothing.fits", empty)):
        cards = b"".join(card.ljust(80) for card in [*dimensions, *axes, b"END"])
        yield name, cards.ljust(2880)


def test_no_damaged_file_crashes_hangs_or_is_accepted(tmp_path: Path) -> None:
    """Each of 500 and more is refused in one sentence, or noticed by its checksums, in a second."""
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    files = good(tmp_path / "good")
    damaged = dict([*truncated(files), *flipped(files), *shifted(files), *absurd(files), *claims()])
    assert len(damaged) > 500
    for name, content in damaged.items():
        (tmp_path / "bad" / name).write_bytes(content)
    found = look(tmp_path / "bad")
    assert set(damaged) == set(found)
    wrong = {n: what for n, (what, _) in found.items() if what not in ("refused", "noticed")}
    assert {} == {name: what for name, what in wrong.items() if not harmless(name, damaged, files)}
    assert max(seconds for _, seconds in found.values()) < 2
    assert {"accepted"} == {what for what, _ in look(tmp_path / "good").values()}


def harmless(name: str, damaged: Files, files: Files) -> bool:
    """Whether a change says the same as before: spelt otherwise, or without zeros that mean nothing."""
    original = files.get(name.rpartition(" ")[2], b"")
    if name.startswith("cut at") and name.endswith(".fits"):
        rest = original[len(damaged[name]) :]
        return len(rest) < 2880 and not rest.strip(b"\0")  # noticed in the log
    before, after = (re.sub(rb"\s+", b" ", content) for content in (original, damaged[name]))
    return before == after


def look(folder: Path) -> dict[str, Any]:
    """What the worker makes of every file in a folder."""
    command = [sys.executable, str(WORKER), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert 0 == done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout)
