"""Files are interchangeable with those of the peer's package of data models."""

from __future__ import annotations

import json
import os
import subprocess
from operator import attrgetter
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

# What the peer does not have, or cannot make without live transforms (see the real files below).
TRANSFORMS = """ABVegaOffset Camera ChromCorr Collimator Disperser Distortion DistortionMRS FORE FPA
    Filteroffset
    IFUFORE IFUPost IFUSlicer MSA MiriWFSSSpecwcs NIRCAMGrism NIRISSGrism OTE Regions Specwcs
    TsoPhot
    WaveCorr Wavelengthrange"""
ELSEWHERE = {f"{name}Model" for name in (*TRANSFORMS.split(), "SourceCatalog", "Nothing")} | {
    "DataModel"
}
MODELS = sorted(
    name
    for name in models.__all__
    if isinstance(getattr(models, name), type)
    and issubclass(getattr(models, name), models.DataModel)
    and name not in (*ELSEWHERE, "Part")
)
# What the peer's validation demands of some models beyond their schema.
REFTYPES = {"EmiModel": "emicorr", "SIRSKernelModel": "sirskernel"}
REFTYPES |= {"MiriLRSSpecwcsModel": "specwcs"}
SIDES = (1, 2, 8, 8)


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


def array(shape: tuple[int, ...], dtype: Any) -> Array:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return RNG.normal(size=shape).astype(kind)
    if kind.kind == "b":
        return RNG.random(shape) > 0.5
    if kind.kind == "S":
        return np.full(shape, b"DEAD", kind)
    return RNG.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def fill(model: models.DataModel) -> None:
    """Give it every array that the schema knows, and two parts of every list."""
    first = next(iter(model.schema.arrays.values()), None)
    ndim = (first.ndim or first.max_ndim or 2) if first else 2
    for path, field in model.schema.arrays.items():
        if field.is_table and not field.dtype.names:
            continue  # its columns are those of what it is made of
        if field.is_table:
            model.set(path, table(field))
        else:
            dimensions = field.ndim or min(ndim, field.max_ndim or ndim)
            model.set(path, array(SIDES[len(SIDES) - dimensions :], field.dtype))
    for path in model.schema.lists:
        for number in range(2):
            part = models.Part(model.schema.lists[path])
            fill(part)
            if part.knows("name"):
                part.name = f"part {number}"
            attrgetter(path)(model).append(part)


def table(field: models.Field) -> Array:
    """Two rows; integers count, because some tables of a model must name the same things."""
    cells = {name: (3,) * ndim for name, ndim in field.cell_ndim.items()}
    names = field.dtype.names
    rows = np.zeros(
        2, [(n, field.dtype[n].base, cells.get(n, field.dtype[n].shape)) for n in names]
    )
    for name in names:
        column = rows[name]
        is_count = column.dtype.kind in "iu" and column.ndim == 1
        column[...] = [1, 2] if is_count else array(column.shape, column.dtype)
    return rows


def filled(name: str) -> models.DataModel:
    """A model with every array of its schema, and metadata of every kind."""
    model = getattr(models, name)()
    fill(model)
    if model.knows("dq_def"):
        model.dq_def = model.dq_def[:0]
    model.meta.instrument.name = "MIRI"
    model.meta.instrument.detector = "MIRIMAGE"
    if model.knows("meta.reftype"):
        model.meta.reftype = REFTYPES.get(name, "TEST")
        model.meta.pedigree = "DUMMY"
        model.meta.description = "made by a test"
        model.meta.author = "test"
        model.meta.useafter = "2022-01-01T00:00:00"
        return model
    model.meta.exposure.type = "MIR_IMAGE"
    model.meta.exposure.start_time = 59112.69750740741
    model.meta.exposure.zero_frame = False
    model.meta.exposure.read_times = [[1.0, 2.0]]
    if model.knows("meta.wcsinfo.ra_ref") and "SCI" in {
        f.hdu for f in model.schema.arrays.values()
    }:
        model.meta.wcsinfo.ra_ref = 82.18735003185246
    model.meta.program.title = "A title of more than sixty-eight characters, and 'quoted' & so on"
    model.meta.program.pi_name = "Vera"
    if model.knows("meta.oifits.array_name"):
        model.meta.origin, model.meta.telescope = "STSCI", "JWST"
        model.meta.target.proposer_name = "HD 1"
        model.meta.observation.date = "2022-06-01"
        model.meta.oifits.array_name = "jwst_g7s6"
        model.meta.oifits.instrument_mode = "NRM"
    model.meta.cal_step.jump = "COMPLETE"
    model.provenance = [{"step": "jump", "parameters": {"rejection_threshold": 4.0}}]
    return model


def summary(model: models.DataModel) -> list[Any]:
    """What both sides must agree on: class, metadata, and the sums of bytes of every array."""
    own = ("meta.date", "meta.filename")
    flat = model.to_flat_dict()
    metadata = {p: v for p, v in flat.items() if p not in own and not p.startswith("provenance")}
    return json.loads(json.dumps([type(model).__name__, metadata, sums(model)]))


def sums(model: models.DataModel) -> dict[str, Any]:
    """Shape and sum of bytes of every array, by column for tables."""
    found = {}
    for name in model.shapes:
        whole = attrgetter(name)(model)
        columns = [whole[c] for c in whole.dtype.names] if whole.dtype.names else [whole]
        found[name] = [[list(c.shape), int(_bytes(c).sum(dtype=np.int64))] for c in columns]
    for path in model.schema.lists:
        for number, part in enumerate(attrgetter(path)(model)):
            found |= {f"{path}.{number}.{name}": value for name, value in sums(part).items()}
    return found


def _bytes(column: Array) -> Array:
    return np.frombuffer(np.ascontiguousarray(column).tobytes(), np.uint8)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Exchanged:
    """Files of ours opened by the peer, and what the peer writes of them; one process for all."""
    folder = tmp_path_factory.mktemp("exchange")
    ours = [filled(name).save(folder / f"{name}{e}") for name in MODELS for e in ENDINGS]
    return ours, ask("summarise", folder / "back", *ours)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", MODELS)
def test_the_peer_reads_our_files(exchanged: Exchanged, name: str, ending: str) -> None:
    """Right class, valid, no warning, equal metadata and arrays."""
    ours, answers = exchanged
    path = next(p for p in ours if p.name == f"{name}{ending}")
    theirs = answers[str(path)]
    assert isinstance(theirs, list), theirs
    expected = summary(models.open(path))
    assert expected[0] == theirs[0]
    assert expected[1] == {path: theirs[1].get(path) for path in expected[1]}
    assert expected[2] == {name: theirs[2].get(name) for name in expected[2]}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", MODELS)
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
        ours = fields(getattr(models, name)().schema)
        for path, (keyword, hdu) in theirs[name].items():
            if path in ours:
                # Names of extensions and keywords are upper case in every file.
                found = [ours[path].keyword, ours[path].hdu]
                assert [keyword and keyword.upper(), hdu.upper()] == found, f"{name}: {path}"
        missing = {path for path in theirs[name].keys() - ours.keys() if "." not in path}
        assert {"cheby_coefficients"} >= missing, name


def fields(schema: models.Schema, prefix: str = "") -> dict[str, models.Field]:
    """Every attribute, those of the parts of lists included."""
    found = {f"{prefix}{path}": field for path, field in schema.fields.items()}
    for path, part in schema.lists.items():
        found |= fields(part, f"{prefix}{path}.0.")
    return found


def test_arrays_of_a_tree_are_exchanged(tmp_path: Path) -> None:
    """Arrays in lists that have no place in FITS: the peer writes them to ASDF alone, we to both."""
    model = filled("PastasossModel")
    assert isinstance(model, models.PastasossModel)
    model.meta.pwcpos_bounds = [245.6, 246.0]
    trace, wavelength = array((3, 5), "f8"), array((7,), "f8")
    model.traces = [{"spectral_order": 1, "pivot_x": 2.5, "trace": trace}]
    model.throughputs = [{"spectral_order": 1, "wavelength": wavelength, "throughput": wavelength}]
    path = model.save(tmp_path / "ours.asdf")

    name, metadata, arrays = ask("summarise", tmp_path / "back", path)[str(path)]
    assert name == "PastasossModel"
    assert 2.5 == metadata["traces.0.pivot_x"]
    assert [[[3, 5], int(_bytes(trace).sum(dtype=np.int64))]] == arrays["traces.0.trace"]
    fits = model.save(tmp_path / "ours.fits")
    for found in map(models.open, (path, tmp_path / "back" / path.name, fits)):
        assert np.array_equal(trace, found.traces[0]["trace"])
        assert np.array_equal(wavelength, found.throughputs[0]["wavelength"])


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
