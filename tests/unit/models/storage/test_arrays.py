"""Arrays: lazy, native, read-only, shared, cast."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from astropy.io import fits

from stpipe import models
from stpipe.errors import InputError, ValidationError
from stpipe.models import dqflags
from stpipe.models.storage.read_ahead import LARGE, together


@pytest.fixture
def ramp_path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    ramp = models.RampModel(rng.normal(size=(2, 3, 8, 10)).astype(np.float32))
    ramp.groupdq = rng.integers(0, 255, (2, 3, 8, 10), dtype=np.uint8)
    ramp.pixeldq = rng.integers(0, 2**32, (8, 10), dtype=np.uint32)
    return ramp.save(tmp_path / "ramp.fits")


def test_arrays_of_a_file_are_native_and_read_only(ramp_path: Path) -> None:
    """Touching an array reads it, native, in the schema's dtype, and not to be written to."""
    ramp = models.open(ramp_path)
    for name, dtype in (("data", "f4"), ("pixeldq", "u4"), ("groupdq", "u1")):
        array = getattr(ramp, name)
        assert np.dtype(dtype) == array.dtype
        assert array.dtype.isnative
        assert array is getattr(ramp, name)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("name", ["data", "pixeldq", "groupdq"])
@pytest.mark.parametrize(
    "section", [..., np.s_[..., 2:5, :], np.s_[..., ::2, 1], np.s_[0], np.s_[..., -1, -1]]
)
@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".asdf"])
def test_sections_equal_slices(ramp_path: Path, name: str, section: Any, ending: str) -> None:
    """A section of a stored array is what slicing the whole gives, in every format."""
    path = models.open(ramp_path).save(ramp_path.with_name(f"again{ending}"))
    whole = getattr(models.open(ramp_path), name)
    found = models.open(path).read(name, section)
    assert whole.dtype == found.dtype
    np.testing.assert_array_equal(whole[section], found)


def test_sections_of_arrays_in_memory() -> None:
    """`read` works on arrays in memory, and keeps them safe."""
    image = models.ImageModel(np.arange(12.0).reshape(3, 4))
    found = image.read("data", np.s_[1:, :2])
    np.testing.assert_array_equal([[4, 5], [8, 9]], found)
    assert not found.flags.writeable
    with pytest.raises(AttributeError, match="no array zeroframe to read from"):
        image.read("zeroframe")
    with pytest.raises(AttributeError, match='no "dta"'):
        image.read("dta")


def sparse_ramp(path: Path, shape: tuple[int, ...]) -> None:
    """A FITS file with a header and a hole."""
    unit = fits.ImageHDU(np.zeros((1, 1, 1, 1), np.float32), name="SCI")
    for axis, size in enumerate(reversed(shape), start=1):
        unit.header[f"NAXIS{axis}"] = size
    with path.open("wb") as stream:
        stream.write(fits.PrimaryHDU().header.tostring().encode())
        stream.write(unit.header.tostring().encode())
        end = stream.tell() + 4 * int(np.prod(shape))
        stream.truncate(end + -end % 2880)


def test_a_section_of_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Of 210 MB only the section is read; shapes and metadata need no pixels at all."""
    path = tmp_path / "large.fits"
    shape = (1, 50, 1024, 1024)
    sparse_ramp(path, shape)
    tracemalloc.start()
    ramp = models.RampModel(path)
    assert shape == ramp.shape
    assert {"data": shape} == models.open_metadata(path).shapes
    band = ramp.read("data", np.s_[..., 100:104, :])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (1, 50, 4, 1024) == band.shape
    assert peak < 4 * band.nbytes


COLUMNS_OF_A_LARGE_FILE = """
import sys
import numpy as np
from stpipe import models
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000
ramp = models.RampModel(sys.argv[1])
ramp.read("data", np.s_[:, :1, :1, :1])
before = resident()
ramp.read("data", np.s_[..., :4])
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory on Linux only")
def test_columns_of_a_large_file_take_little_memory(tmp_path: Path) -> None:
    """They touch each of its pages, which count as memory while they are mapped."""
    path = tmp_path / "large.fits"
    sparse_ramp(path, (1, 50, 1024, 1024))
    command = [sys.executable, "-c", COLUMNS_OF_A_LARGE_FILE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40


def test_untouched_arrays_are_saved_without_being_held(tmp_path: Path) -> None:
    """Saving a model whose arrays nobody touched streams them from file to file."""
    path = tmp_path / "large.fits"
    sparse_ramp(path, (1, 25, 1024, 1024))
    ramp = models.RampModel(path)
    tracemalloc.start()
    ramp.save(tmp_path / "again.fits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.parametrize("name", ["data", "dq", "var_rnoise"])
def test_large_arrays_are_read_in_shares(tmp_path: Path, name: str) -> None:
    """Several threads read what one would: odd sizes, offset integers, a cast."""
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 2**32, (2311, 2053), dtype=np.uint32)
    assert pixels.nbytes > LARGE
    image = models.ImageModel()
    image.set(name, pixels if name == "dq" else pixels.astype(np.float32))
    path = image.save(tmp_path / "x.fits")
    found = getattr(models.open(path), name)
    np.testing.assert_array_equal(getattr(image, name), found)
    np.testing.assert_array_equal(fits.getdata(path, name.replace("data", "sci")), found)


def test_a_large_file_that_changes_is_not_read(tmp_path: Path) -> None:
    """The error of a thread is the error of the reader."""
    path = tmp_path / "large.fits"
    sparse_ramp(path, (1, 8, 1024, 1024))
    ramp = models.RampModel(path)
    with path.open("r+b") as stream:
        stream.truncate(10_000_000)
    with pytest.raises(InputError, match="has changed since it was opened"):
        _ = ramp.data


def test_jobs_end_before_an_error_is_raised() -> None:
    """Nobody writes to an array that its reader has given up."""
    ended: list[int] = []

    def late() -> None:
        time.sleep(0.1)
        ended.append(1)

    def failing() -> None:
        raise InputError("The file is gone.")

    with pytest.raises(InputError, match="gone"):
        together([failing, late])
    assert [1] == ended


def test_level_1b_opens_as_ramp(tmp_path: Path) -> None:
    """Raw counts become float32; flags start as zero; the frame zero is there."""
    raw = models.Level1bModel(np.full((1, 2, 3, 4), 65000, np.uint16))
    raw.zeroframe = np.full((1, 3, 4), 40000, np.uint16)
    ramp = models.RampModel(raw.save(tmp_path / "x_uncal.fits"))
    assert (np.float32, 65000.0) == (ramp.data.dtype, ramp.data.max())
    assert (np.float32, 40000.0) == (ramp.zeroframe.dtype, ramp.zeroframe.min())
    assert ((3, 4), np.uint32) == (ramp.pixeldq.shape, ramp.pixeldq.dtype)
    assert ((1, 2, 3, 4), np.uint8) == (ramp.groupdq.shape, ramp.groupdq.dtype)
    assert not ramp.has("pixeldq")
    assert models.RampModel(raw).data.dtype == np.float32
    ramp.save(tmp_path / "x_ramp.fits")
    assert np.float32 == fits.getdata(tmp_path / "x_ramp.fits", "SCI").dtype.newbyteorder("=")


def test_absent_arrays() -> None:
    """Without default None; with one, made on access in the shape of the primary array."""
    ramp = models.RampModel(np.zeros((1, 2, 3, 4)))
    assert ramp.zeroframe is None
    assert ramp.group is None
    assert not ramp.pixeldq.flags.writeable
    assert ramp.pixeldq is ramp.pixeldq
    assert not ramp.has("pixeldq")
    assert models.ImageModel().dq is None
    assert models.ImageModel().shape is None


def test_assignment_keeps_the_array_and_casts_safely() -> None:
    """A conforming array is stored as it is; others are cast when nothing but precision is lost."""
    image = models.ImageModel()
    data = np.zeros((2, 2), np.float32)
    image.data = data
    assert image.data is data
    image.data = np.zeros((2, 2), np.float64)
    assert np.float32 == image.data.dtype
    image.dq = np.ones((2, 2), np.int64)
    assert np.uint32 == image.dq.dtype
    image.data = None
    assert not image.has("data")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("data", np.zeros(3), r"data \(extension SCI\) has shape \(3,\); allowed: 2 dim"),
        ("dq", np.uint32(5), r"dq \(extension DQ\) is a single value; allowed are arrays of one"),
        ("data", np.zeros((2, 2), complex), r"is an array of complex128; allowed is float32"),
        ("dq", np.zeros((2, 2)), r"dq \(extension DQ\) is an array of float64; allowed is uint32"),
        ("dq", np.full((2, 2), -1), r"an array of int64; allowed is uint32"),
        ("var_flat", np.zeros((1, 1, 1, 1)), r"allowed: at most 3 dimensions"),
    ],
)
def test_wrong_arrays_are_refused(name: str, array: Any, message: str) -> None:
    """Dimensions and dtypes that do not fit are refused by name."""
    image = models.ImageModel(np.zeros((2, 2)))
    with pytest.raises(ValidationError, match=message):
        setattr(image, name, array)


def test_copies_share_arrays_read_only() -> None:
    """A copy holds the same memory, which neither may write to."""
    data = np.ones((2, 2), np.float32)
    image = models.ImageModel(data)
    copy = image.copy()
    for model in (image, copy):
        assert np.shares_memory(data, model.data)
        assert not model.data.flags.writeable
    copy.data = copy.data + 1
    assert 1 == image.data.max()


def test_models_can_be_copied_and_pickled(ramp_path: Path) -> None:
    """The copy module and pickle, which process pools use, work on models."""
    ramp = models.open(ramp_path)
    ramp.average_dark_current = np.ones((8, 10), np.float32)
    for other in (copy.copy(ramp), copy.deepcopy(ramp), pickle.loads(pickle.dumps(ramp))):  # noqa: S301 - our own
        assert ramp.to_flat_dict() == other.to_flat_dict()
        np.testing.assert_array_equal(ramp.data, other.data)
        np.testing.assert_array_equal(1, other.average_dark_current)


def test_no_file_stays_open(ramp_path: Path) -> None:
    """However many models are open, no file handle is."""
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("the system does not list the open files of a process")
    before = len(list(handles.iterdir()))
    opened = [models.open(ramp_path) for _ in range(20)]
    sections = [ramp.read("data", np.s_[0, 0]) for ramp in opened]
    assert len(opened) == len([ramp.data for ramp in opened]) == len(sections)
    assert before == len(list(handles.iterdir()))


def test_copies_of_opened_files_share_what_was_read(ramp_path: Path) -> None:
    """An array that was read before the copy is not read again."""
    ramp = models.open(ramp_path)
    assert ramp.data is not None
    assert np.shares_memory(ramp.data, ramp.copy().data)


def test_table_columns_are_matched_by_name() -> None:
    """Columns are found by name in any case and cast; extra ones are kept; missing ones named."""
    mask = models.MaskModel(np.zeros((2, 2), np.uint32))
    columns = [("value", "i8"), ("Bit", "i8"), ("NAME", "U9"), ("DESCRIPTION", "S3"), ("x", "f4")]
    mask.dq_def = np.array([(1, 0, "DEAD", b"no", 2.0)], columns)
    assert ("BIT", "VALUE", "NAME", "DESCRIPTION", "x") == mask.dq_def.dtype.names
    assert (1, b"DEAD") == (mask.dq_def["VALUE"][0], mask.dq_def["NAME"][0])
    with pytest.raises(
        ValidationError, match="lacks the columns BIT, DESCRIPTION; it has value, N"
    ):
        mask.dq_def = np.array([(1, "a")], [("value", "i8"), ("NAME", "U9")])


TABLE = [("BIT", "i4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]


def test_dq_is_in_standard_bits_and_stored_in_the_bits_of_the_file(tmp_path: Path) -> None:
    """DQ_DEF translates on reading, whole or in sections, and back on writing."""
    rows = [(0, 1, b"DEAD", b""), (1, 2, b"DO_NOT_USE", b""), (5, 32, b"HOT", b"")]
    mask = models.MaskModel(np.array([[0, dqflags.DEAD], [dqflags.DO_NOT_USE, dqflags.HOT]], "u4"))
    mask.dq_def = np.array(rows, TABLE)
    path = mask.save(tmp_path / "mask.fits")
    np.testing.assert_array_equal([[0, 1], [2, 32]], fits.getdata(path, "DQ"))

    read = models.open(path)
    np.testing.assert_array_equal(mask.dq, read.dq)
    np.testing.assert_array_equal(mask.dq[1:], models.open(path).read("dq", np.s_[1:]))
    again = read.save(tmp_path / "again.fits")
    np.testing.assert_array_equal([[0, 1], [2, 32]], fits.getdata(again, "DQ"))

    bare = models.open(path)
    bare.dq_def = None
    np.testing.assert_array_equal(mask.dq, bare.dq)
    np.testing.assert_array_equal(mask.dq, fits.getdata(bare.save(again), "DQ"))

    read.dq = np.full((2, 2), dqflags.WARM, np.uint32)
    with pytest.raises(ValidationError, match="flags WARM, which the table DQ_DEF does not name"):
        read.save(again)
    read.dq_def = None
    np.testing.assert_array_equal(dqflags.WARM, models.open(read.save(again)).dq)


def test_a_file_that_changed_is_not_read(ramp_path: Path) -> None:
    """Arrays that were not read yet are refused when the file is no longer the same."""
    ramp = models.open(ramp_path)
    models.RampModel(np.zeros((1, 1, 2, 2))).save(ramp_path)
    with pytest.raises(InputError, match="has changed since it was opened"):
        _ = ramp.data
    ramp_path.unlink()
    with pytest.raises(InputError, match="can no longer be read"):
        _ = ramp.data


def test_large_arrays_are_written_whole_and_in_order(tmp_path: Path) -> None:
    """Arrays of many pieces, in memory and of a file, equal what astropy reads."""
    side = 2100
    pixels = np.arange(side * side, dtype=np.float32).reshape(side, side)
    image = models.ImageModel(pixels)
    image.dq = pixels.astype(np.uint32)
    path = image.save(tmp_path / "large.fits")
    copied = models.open(path).save(tmp_path / "copied.fits")
    for file in (path, copied):
        np.testing.assert_array_equal(pixels, fits.getdata(file, "SCI"))
        np.testing.assert_array_equal(image.dq, fits.getdata(file, "DQ"))
        np.testing.assert_array_equal(image.dq, models.open(file).dq)


def test_a_large_array_that_is_gone_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The error of a source reaches the caller out of the thread; no part of the copy stays."""
    path = models.ImageModel(np.zeros((2100, 2100), np.float32)).save(tmp_path / "large.fits")
    image = models.open(path)
    path.unlink()
    with pytest.raises(InputError, match="can no longer be read"):
        image.save(tmp_path / "copied.fits")
    assert not list(tmp_path.iterdir())


def test_a_model_may_be_saved_over_its_own_file(ramp_path: Path) -> None:
    """Arrays that were not read yet are found in the new file."""
    before = models.open(ramp_path).groupdq
    ramp = models.open(ramp_path)
    ramp.data = np.asarray(ramp.data) + 1
    ramp.save(ramp_path)
    np.testing.assert_array_equal(before, ramp.groupdq)
    np.testing.assert_array_equal(ramp.data, models.open(ramp_path).data)


def test_close_forgets_what_was_read(ramp_path: Path) -> None:
    """After `close` arrays are read again when touched."""
    with models.open(ramp_path) as ramp:
        first = ramp.data
    assert first is not ramp.data
    np.testing.assert_array_equal(first, ramp.data)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (1, 2, 3, 4)])
def test_arrays_choose_their_model(shape: tuple[int, ...]) -> None:
    """Two, three and four dimensions are an image, a cube and a ramp."""
    names = {2: "ImageModel", 3: "CubeModel", 4: "RampModel"}
    assert names[len(shape)] == type(models.open(np.zeros(shape))).__name__


def test_arrays_without_model() -> None:
    """Other dimensions have no model."""
    with pytest.raises(InputError, match="No model holds an array of 1 dimension;"):
        models.open(np.zeros(3))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "is a single value"),
        ([[1], [1, 2]], "err .extension ERR. is not an array"),
        (np.ma.array([[1.0, 2.0]], mask=[[0, 1]]), "has masked values"),
        (units.Quantity([[1.0]], "m"), "has the unit m"),
    ],
)
def test_what_an_array_cannot_keep_is_refused(value: object, words: str) -> None:
    """A single value would make a file that nobody reads; masks and units would be lost."""
    model = models.ImageModel(np.zeros((1, 2)))
    with pytest.raises(ValidationError, match=words):
        model.err = value
    model.err = np.ma.array([[1.0, 2.0]])  # nothing is masked
    assert [[1, 2]] == model.err.tolist()


def test_tables_that_would_lose_something_are_refused() -> None:
    """Text is no number, and a masked value would be one."""
    model = models.SpecModel()
    known = model.schema.arrays["spec_table"].dtype
    types = {name: known[name] for name in known.names}
    with pytest.raises(ValidationError, match=r"in column FLUX values of .S3; allowed is float64"):
        model.spec_table = np.zeros(2, list((types | {"FLUX": "S3"}).items()))
    with pytest.raises(ValidationError, match="has masked values"):
        model.spec_table = np.ma.array(np.zeros(2, known), mask=True)


def test_arrays_are_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was opened by a relative name is still the one when the process goes elsewhere."""
    models.ImageModel(np.ones((2, 2))).save(tmp_path / "x.fits")
    monkeypatch.chdir(tmp_path)
    model = models.open("x.fits")
    monkeypatch.chdir("/")
    assert 4 == model.data.sum()
    assert Path("x.fits") == model.path


@pytest.mark.parametrize("name", ["x.fits", "y/../x.fits", "link.fits"])
def test_a_file_is_replaced_under_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What was not read yet is read from the file that took the place of the old one."""
    (tmp_path / "y").mkdir()
    (tmp_path / "link.fits").symlink_to("x.fits")
    models.ImageModel(np.ones((2, 2))).save(tmp_path / "x.fits")
    monkeypatch.chdir(tmp_path)
    model = models.open(name)
    model.save(tmp_path / "x.fits")
    assert 4 == model.data.sum()
