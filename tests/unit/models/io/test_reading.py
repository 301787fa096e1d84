"""Damaged files are noticed when they are read."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import dqflags


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    cut = {"empty": 0, "header": 300, "data": 2880 * 3 - 500, "noise": len(data)}[kind]
    path.write_bytes(b"\x7fELF noise" * 40 if kind == "noise" else data[:cut])


@pytest.mark.parametrize(
    ("ending", "kind", "message"),
    [
        (".fits", "empty", "is neither FITS, ASDF nor ECSV: it is empty"),
        (".fits", "header", r"is damaged: the header at byte 0 has no END before byte 300"),
        (".fits", "data", r"x.fits is incomplete: the data of extension \w+ should end at byte"),
        (".fits", "noise", r"is neither FITS, ASDF nor ECSV: it starts with b'.x7fELF"),
        (".asdf", "data", r"is incomplete: a block should end at byte"),
        (".fits.gz", "header", r"is a damaged gzip file"),
    ],
)
def test_damaged_files_are_noticed_when_opened(
    image: models.ImageModel, tmp_path: Path, ending: str, kind: str, message: str
) -> None:
    """One clear sentence names the file and what was found; no traceback of a library."""
    rng = np.random.default_rng(3)
    for name in ("data", "err", "var_poisson"):
        setattr(image, name, rng.random((30, 30)))
    image.dq = None
    path = image.save(tmp_path / f"x{ending}")
    damage(path, kind)
    for read in (models.open, models.open_metadata, models.ImageModel):
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert 3 == caught.value.exit_code
        assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    model = models.MaskModel(np.full((2, 3), dqflags.DEAD, np.uint32))
    model.dq_def = np.array([(0, 1, b"DEAD", b"no")], model.schema.fields["dq_def"].dtype)
    model.meta.instrument.name = "FGS"
    model.set("meta.note", {"a": [1, 2.5, None]})
    for ending in (".fits", ".asdf"):
        model.save(folder / f"good{ending}")
    return folder


WORDS = [b"= ", b"NAXIS", b"BITPIX", b"TFORM", b"shape", b": ", b"TDIM", b"BLK"]


def damaged(good: bytes, seed: int) -> bytes:
    """Some bytes changed near words that mean something, sometimes the end cut off."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    content = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        word = rng.choice(WORDS)
        places = [at for at in range(len(content)) if content.startswith(word, at)] or [0]
        at = min(rng.choice(places) + rng.randint(0, 30), len(content) - 1)
        content[at] = rng.choice(b"09-'. TFAXPQ[]{}:!&*\x00\xff")
    return bytes(content[: rng.choice([None, None, rng.randint(0, len(content))])])


@pytest.mark.parametrize("ending", [".fits", ".asdf"])
def test_no_damage_ends_in_a_traceback(small: Path, ending: str) -> None:
    """Whatever is wrong with a file, it opens or is refused in a sentence that names it."""
    good = (small / f"good{ending}").read_bytes()
    path = small / f"bad{ending}"
    refused = []
    for seed in range(500):
        path.write_bytes(damaged(good, seed))
        try:
            with models.open(path) as model:
                assert set(model.shapes) == {n for n in model.shapes if getattr(model, n).shape}
                model.to_flat_dict()
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert [] == [message for message in refused if path.name not in message]
