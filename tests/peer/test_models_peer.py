"""Files are interchangeable with those of the peer's package of data models."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stpipe import models

Array = npt.NDArray[Any]
Exchanged = tuple[list[Path], dict[str, Any]]
WORKER = Path(__file__).with_name("models_worker.py")
NIRISS = Path(__file__).parents[3] / "shared/data/niriss_sub80"
ENDINGS = [".fits", ".asdf"]
RNG = np.random.default_rng(5)

# Arrays of every model that can be made on both sides: attribute, shape, dtype.
MODELS = {
    "Level1bModel": {"data": ((1, 2, 8, 8), "u2"), "zeroframe": ((1, 8, 8), "u2")},
    "RampModel": {
        "data": ((1, 2, 8, 8), "f4"),
        "pixeldq": ((8, 8), "u4"),
        "groupdq": ((1, 2, 8, 8), "u1"),
        "zeroframe": ((1, 8, 8), "f4"),
        "average_dark_current": ((8, 8), "f4"),
    },
    "ImageModel": {
        "data": ((8, 8), "f4"),
        "err": ((8, 8), "f4"),
        "dq": ((8, 8), "u4"),
        "var_poisson": ((8, 8), "f4"),
        "var_rnoise": ((8, 8), "f4"),
    },
    "CubeModel": {"data": ((2, 8, 8), "f4"), "err": ((2, 8, 8), "f4"), "dq": ((2, 8, 8), "u4")},
    "IFUImageModel": {"data": ((8, 8), "f4"), "regions": ((8, 8), "i4")},
    "RampFitOutputModel": {"slope": ((1, 2, 8, 8), "f4"), "pedestal": ((1, 8, 8), "f4")},
    "MaskModel": {"dq": ((8, 8), "u4")},
    "SaturationModel": {"data": ((8, 8), "f4"), "dq": ((8, 8), "u4")},
    "SuperBiasModel": {"data": ((8, 8), "f4"), "err": ((8, 8), "f4"), "dq": ((8, 8), "u4")},
    "LinearityModel": {"coeffs": ((3, 8, 8), "f4"), "dq": ((8, 8), "u4")},
    "DarkModel": {"data": ((2, 8, 8), "f4"), "dq": ((8, 8), "u4")},
    "DarkMIRIModel": {"data": ((1, 2, 8, 8), "f4"), "dq": ((1, 1, 8, 8), "u4")},
    "GainModel": {"data": ((8, 8), "f4")},
    "ReadnoiseModel": {"data": ((8, 8), "f4")},
    "IPCModel": {"data": ((3, 3), "f4")},
    "ResetModel": {"data": ((1, 2, 8, 8), "f4"), "dq": ((8, 8), "u4")},
    "LastFrameModel": {"data": ((8, 8), "f4"), "dq": ((8, 8), "u4")},
    "FlatModel": {"data": ((8, 8), "f4"), "dq": ((8, 8), "u4")},
}
TABLES = {
    "RampModel": ["group", "int_times"],
    "CubeModel": ["int_times"],
    "RSCDModel": ["rscd_group_skip_table"],
    "FlatModel": ["dq_def"],
}
SCIENCE = ("Level1b", "Ramp", "Image", "Cube", "IFU")


def ask(*arguments: object) -> dict[str, Any]:
    """Run the worker in the peer's environment, with warnings as errors."""
    interpreter = os.environ.get("PEER_PYTHON")
    if not interpreter:
        pytest.skip("PEER_PYTHON does not name an interpreter that has the jwst package")
    # Isolated: a PYTHONPATH with our package would hide the stpipe that the peer needs.
    command = [interpreter, "-I", "-W", "error", str(WORKER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr[-3000:]
    return json.loads(done.stdout)


def array(shape: tuple[int, ...], dtype: str) -> Array:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return RNG.normal(size=shape).astype(kind)
    return RNG.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def filled(name: str) -> models.DataModel:
    """A model with every array of the table above, and metadata of every kind."""
    model = getattr(models, name)()
    for attribute, (shape, dtype) in MODELS.get(name, {}).items():
        setattr(model, attribute, array(shape, dtype))
    for attribute in TABLES.get(name, []):
        rows = np.zeros(2, model.schema.fields[attribute].dtype)
        for column in rows.dtype.names:
            rows[column] = b"DEAD" if rows.dtype[column].kind == "S" else [1, 2]
        setattr(model, attribute, rows)
    if "dq_def" in TABLES.get(name, []):
        model.dq_def = model.dq_def[:0]
    model.meta.instrument.name = "MIRI"
    model.meta.instrument.detector = "MIRIMAGE"
    if name.startswith(SCIENCE):
        model.meta.exposure.type = "MIR_IMAGE"
        model.meta.exposure.start_time = 59112.69750740741
        model.meta.exposure.zero_frame = False
        model.meta.exposure.read_times = [[1.0, 2.0]]
        if name != "RampFitOutputModel":
            model.meta.wcsinfo.ra_ref = 82.18735003185246
        model.meta.program.title = (
            "A title of more than sixty-eight characters, and 'quoted' & so on"
        )
        model.meta.program.pi_name = "Vera"
        model.meta.cal_step.jump = "COMPLETE"
        model.provenance = [{"step": "jump", "parameters": {"rejection_threshold": 4.0}}]
    else:
        model.meta.reftype = "TEST"
        model.meta.pedigree = "DUMMY"
        model.meta.description = "made by a test"
        model.meta.author = "test"
        model.meta.useafter = "2022-01-01T00:00:00"
    return model


def summary(model: models.DataModel) -> list[Any]:
    """What both sides must agree on: class, metadata, and the sums of bytes of every array."""
    own = ("meta.date", "meta.filename")
    known = {path: model.get(path) for path in model.to_flat_dict() if model.knows(path)}
    sums = {}
    for name in model.shapes:
        found = getattr(model, name)
        columns = [found[c] for c in found.dtype.names] if found.dtype.names else [found]
        sums[name] = [[list(c.shape), int(_bytes(c).sum(dtype=np.int64))] for c in columns]
    metadata = {path: value for path, value in known.items() if path not in own}
    return json.loads(json.dumps([type(model).__name__, metadata, sums]))


def _bytes(column: Array) -> Array:
    return np.frombuffer(np.ascontiguousarray(column).tobytes(), np.uint8)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Exchanged:
    """Files of ours opened by the peer, and what the peer writes of them; one process for all."""
    folder = tmp_path_factory.mktemp("exchange")
    names = [*MODELS, "RSCDModel"]
    ours = [filled(name).save(folder / f"{name}{e}") for name in names for e in ENDINGS]
    return ours, ask("summarise", folder / "back", *ours)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", [*MODELS, "RSCDModel"])
def test_the_peer_reads_our_files(exchanged: Exchanged, name: str, ending: str) -> None:
    """Right class, valid, no warning, equal metadata and arrays."""
    ours, answers = exchanged
    path = next(p for p in ours if p.name == f"{name}{ending}")
    theirs = answers[str(path)]
    expected = summary(models.open(path))
    assert expected[0] == theirs[0]
    assert expected[1] == {path: theirs[1].get(path) for path in expected[1]}
    assert expected[2] == {name: theirs[2].get(name) for name in expected[2]}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", [*MODELS, "RSCDModel"])
def test_we_read_the_files_of_the_peer(exchanged: Exchanged, name: str, ending: str) -> None:
    """What the peer made of our file and saved is what we read: class, metadata, arrays."""
    ours, _ = exchanged
    path = next(p for p in ours if p.name == f"{name}{ending}")
    back = models.open(path.parent / "back" / path.name)
    expected, found = summary(models.open(path)), summary(back)
    assert expected[0] == found[0]
    assert expected[1] == {path: found[1].get(path) for path in expected[1]}
    assert expected[2] == {name: found[2].get(name) for name in expected[2]}


@pytest.mark.parametrize("name", ["RampModel", "ImageModel"])
def test_the_peer_reads_metadata_of_our_files(exchanged: Exchanged, name: str) -> None:
    """The peer's reading of headers alone, which its steps use, works on our files."""
    ours, _ = exchanged
    path = next(p for p in ours if p.name == f"{name}.fits")
    theirs = ask("metadata", path)
    assert ("MIRI", name) == (theirs["meta.instrument.name"], theirs["meta.model_type"])


def test_the_peer_sees_the_keywords_that_we_map() -> None:
    """Attribute, keyword and extension of every metadata value are those of the peer."""
    theirs = ask("keywords", *MODELS)
    for name in MODELS:
        schema = getattr(models, name)().schema
        for path, (keyword, hdu) in theirs[name].items():
            if path in schema.fields:
                field = schema.fields[path]
                assert [keyword, hdu] == [field.keyword, field.hdu], f"{name}: {path}"
        missing = theirs[name].keys() - schema.fields.keys()
        assert {"cheby_coefficients"} >= missing, name


@pytest.mark.skipif(not NIRISS.is_dir(), reason=f"{NIRISS} is absent")
def test_the_peer_reads_what_we_make_of_officially_formatted_files(tmp_path: Path) -> None:
    """Opened and saved by us, these files are to the peer what they were."""
    theirs = []
    for path in sorted(NIRISS.glob("*.fits")):
        model = models.open(path)
        if model.knows("meta.reftype"):
            model.meta.reftype = (
                model.meta.reftype or "TEST"
            )  # some have none, which the peer minds
        theirs.append((model.save(tmp_path / path.name), summary(model)))
    answers = ask("summarise", tmp_path / "back", *(path for path, _ in theirs))
    for path, expected in theirs:
        assert expected[0] == answers[str(path)][0]
        assert expected[2] == {name: answers[str(path)][2].get(name) for name in expected[2]}
