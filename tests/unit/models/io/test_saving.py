"""What was saved is what is opened, in every format; what cannot be saved leaves nothing."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import asdf
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.io import fits
from model_files import ENDINGS, same

from stpipe import models
from stpipe.errors import InputError, StpipeError, UsageError


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(image: models.ImageModel, tmp_path: Path, ending: str) -> None:
    """What was saved is what is opened, and the file says what it is."""
    path = image.save(tmp_path / f"x_rate{ending}")
    read = models.open(path)
    assert isinstance(read, models.ImageModel)
    assert (path.name, "ImageModel") == (read.meta.filename, read.meta.model_type)
    same(image, read)


@pytest.mark.parametrize("endings", [(".fits", ".fits"), (".asdf", ".asdf"), (".fits.gz", ".asdf")])
def test_resaving_never_grows_a_file(
    image: models.ImageModel, tmp_path: Path, endings: tuple[str, str]
) -> None:
    """Saved again, and again in another format between, a file has the same size."""
    path = image.save(tmp_path / f"a{endings[0]}")
    size = len(path.read_bytes())
    for number in range(3):
        other = models.open(path).save(tmp_path / f"b{number}{endings[1]}")
        path = models.open(other).save(tmp_path / f"a{endings[0]}")
    assert abs(size - len(path.read_bytes())) <= (4 if "gz" in endings[0] else 0)


DTYPES = [
    *(np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)),
    np.dtype("f4"),
    np.dtype("f8"),
]
ANYTHING = """{{"properties": {{"data": {{"type": "data", "fits_hdu": "SCI", "dtype": "{0}"}},
  "table": {{"type": "data", "fits_hdu": "TABLE", "dtype": [
    {{"name": "number", "dtype": "{0}"}}, {{"name": "vector", "dtype": "{0}", "shape": [2, 3]}},
    {{"name": "yes", "dtype": "bool"}}, {{"name": "text", "dtype": "S5"}},
    {{"name": "texts", "dtype": "S3", "shape": [2]}}]}}}}}}"""


@pytest.fixture(scope="module")
def classes(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[np.dtype[Any], type[models.DataModel]], Path]:
    folder = tmp_path_factory.mktemp("schemas")
    found = {}
    for dtype in DTYPES:
        path = folder / f"any_{dtype.name}.schema.json"
        path.write_text(ANYTHING.format(dtype.name))
        found[dtype] = models.model_class(path)
    return found, folder


@hypothesis.given(data=st.data(), dtype=st.sampled_from(DTYPES), ending=st.sampled_from(ENDINGS))
@hypothesis.settings(max_examples=60, deadline=None)
def test_every_dtype_and_shape_survives(
    classes: tuple[dict[np.dtype[Any], type[models.DataModel]], Path],
    data: st.DataObject,
    dtype: np.dtype[Any],
    ending: str,
) -> None:
    """Arrays and tables of every dtype come back bit for bit, and astropy reads the same."""
    found, folder = classes
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=5, max_side=4))
    model = found[dtype](data.draw(arrays.arrays(dtype, shape)))
    rows = data.draw(arrays.arrays(model.schema.fields["table"].dtype, st.integers(0, 4)))
    for text in ("text", "texts"):
        rows[text] = np.char.rstrip(rows[text])
    model.table = rows
    path = model.save(folder / f"x{ending}")
    read = found[dtype](path)
    np.testing.assert_array_equal(model.data, read.data)
    for name in rows.dtype.names:
        np.testing.assert_array_equal(rows[name], read.table[name])
    if ending == ".asdf":
        with asdf.open(path) as tree:
            np.testing.assert_array_equal(model.data, tree["data"])
    else:
        with fits.open(path) as units:
            np.testing.assert_array_equal(model.data, units["SCI"].data)
            np.testing.assert_array_equal(rows["number"], units["TABLE"].data["number"])
            np.testing.assert_array_equal(rows["vector"], units["TABLE"].data["vector"])
            np.testing.assert_array_equal(rows["yes"], units["TABLE"].data["yes"])


TEXT = st.text(max_size=200)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "meta.program.title": TEXT,
        "meta.program.pi_name": st.text(string.printable, max_size=90),
        "meta.exposure.nints": st.integers(-(2**31), 2**31),
        "meta.exposure.start_time": st.floats(),
        "meta.wcsinfo.ra_ref": st.floats() | st.integers(),
        "meta.exposure.zero_frame": st.booleans(),
        "meta.note": st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
            lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
            max_leaves=5,
        ),
    },
)


@hypothesis.given(values=VALUES, ending=st.sampled_from(ENDINGS))
@hypothesis.settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_every_metadata_value_survives(tmp_path: Path, values: dict[str, Any], ending: str) -> None:
    """Text of any length and script, numbers that FITS cannot hold, and nested metadata survive."""
    model = models.ImageModel(np.zeros((1, 1), np.float32))
    for path, value in values.items():
        model.set(path, value)
    read = models.open(model.save(tmp_path / f"x{ending}"))
    for path, value in values.items():
        if value is not None and value != {}:
            assert repr(value) == repr(read.get(path))


def test_nothing_is_left_when_writing_fails(image: models.ImageModel, tmp_path: Path) -> None:
    """A failing write leaves neither a temporary file nor a changed target."""
    path = image.save(tmp_path / "x.fits")
    before = path.read_bytes()
    read = models.open(path)
    path.write_bytes(before[:-1] + b"!")
    with pytest.raises(InputError, match="has changed since it was opened"):
        read.save(tmp_path / "y.fits")
    assert [path] == list(tmp_path.iterdir())


def test_places_that_cannot_be_written(image: models.ImageModel, tmp_path: Path) -> None:
    """A missing folder and an unknown ending are said to be just that."""
    with pytest.raises(StpipeError, match=r"y.fits cannot be written: No such file or directory"):
        image.save(tmp_path / "no" / "y.fits")
    with pytest.raises(UsageError, match=r"must end in .fits.gz, .fits, .asdf"):
        image.save(tmp_path / "y.txt")
