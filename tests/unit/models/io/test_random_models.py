"""Random schemas and contents: nothing gets lost between FITS, ASDF and models."""

from __future__ import annotations

import json
import string
from operator import attrgetter
from pathlib import Path
from typing import Any

import asdf
import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest  # noqa: TC002 - hypothesis looks at annotations
from astropy.io import fits

from stpipe import models

DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES += ["float32", "float64"]
COLUMNS = [*DTYPES, "bool", "complex64", "complex128", "S1", "S7"]
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6).map(lambda name: f"x{name}")
KINDS = ["string", "integer", "number", "boolean"]


@st.composite
def columns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The columns of a table; cells may be arrays."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    shapes = st.lists(st.integers(1, 3), max_size=2)
    found = [{"name": name, "dtype": draw(st.sampled_from(COLUMNS))} for name in names]
    return [each | ({"shape": shape} if (shape := draw(shapes)) else {}) for each in found]


@st.composite
def properties(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """Arrays, tables, values with and without keywords, and one list of parts."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    found: dict[str, Any] = {}
    for number, name in enumerate(names):
        place = f"{'P' if depth else 'E'}{number}"
        kind = draw(st.sampled_from(["array", "table", "value", "loose"]))
        if kind in ("array", "table"):
            dtype = draw(st.sampled_from(DTYPES) if kind == "array" else columns())
            found[name] = {"type": "data", "fits_hdu": place, "dtype": dtype}
        else:
            keyword = {"fits_keyword": f"KEY{place}"} if kind == "value" and not depth else {}
            found[name] = {"type": draw(st.sampled_from(KINDS)), **keyword}
    if not depth:
        found["parts"] = {"type": "array", "items": draw(properties(depth=1))}
        return {"properties": found}
    found["anchor"] = {"type": "data", "fits_hdu": "ANCHOR", "dtype": "uint8"}
    return {"properties": found}


TEXT = st.text(max_size=80)
VALUES = {"string": TEXT, "integer": st.integers(-(2**62), 2**62)}
VALUES |= {"number": st.floats() | st.integers(-(2**40), 2**40), "boolean": st.booleans()}


def fill(model: models.DataModel, draw: st.DrawFn) -> None:
    """Give a model a value for some of what its schema knows."""
    for path, field in model.schema.fields.items():
        if draw(st.integers(0, 4)) == 0:
            continue
        if not field.is_array:
            model.set(path, draw(VALUES[field.type]))
        elif field.is_table:
            rows = draw(arrays.arrays(field.dtype, st.integers(0, 3)))
            for name in field.dtype.names:
                if field.dtype[name].base.kind == "S":
                    rows[name] = np.char.rstrip(rows[name])
            model.set(path, rows)
        else:
            shapes = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3)
            model.set(path, draw(arrays.arrays(field.dtype, shapes)))


@st.composite
def filled(draw: st.DrawFn, folder: Path) -> models.DataModel:
    """A model of a random schema with random content."""
    schema = draw(properties())
    path = folder / f"s{abs(hash(json.dumps(schema, sort_keys=True)))}.schema.json"
    path.write_text(json.dumps(schema))
    model = models.model_class(path)()
    fill(model, draw)
    for path_ in model.schema.lists:
        for _ in range(draw(st.integers(0, 2))):
            part = models.Part(model.schema.lists[path_])
            fill(part, draw)
            attrgetter(path_)(model).append(part)
    return model


def same(one: models.DataModel, other: models.DataModel) -> None:
    """Assert that two models hold the same, bit for bit."""
    own = ("meta.filename", "meta.date", "meta.model_type")
    flat = [{k: repr(v) for k, v in m.to_flat_dict().items() if k not in own} for m in (one, other)]
    assert flat[0] == flat[1]
    assert set(one.shapes) == set(other.shapes)
    for name in one.shapes:
        first, second = attrgetter(name)(one), attrgetter(name)(other)
        assert first.dtype == second.dtype
        for column in first.dtype.names or [...]:
            np.testing.assert_array_equal(first[column], second[column])
    for path in one.schema.lists:
        for first, second in zip(attrgetter(path)(one), attrgetter(path)(other), strict=True):
            same(first, second)


def as_astropy_has_it(model: models.DataModel, path: Path) -> None:
    """Assert that a FITS file is valid, and that astropy finds the arrays of the model in it."""
    with fits.open(path, checksum=True) as units:
        units.verify("exception")
        for name in model.shapes:
            alike(attrgetter(name)(model), units[model.schema.arrays[name].hdu].data)
        for list_ in model.schema.lists:
            for number, part in enumerate(attrgetter(list_)(model), 1):
                for name in part.shapes:
                    place = part.schema.arrays[name].hdu, number
                    alike(attrgetter(name)(part), units[place].data)


def as_asdf_has_it(model: models.DataModel, path: Path) -> None:
    """Assert that an ASDF file is valid, and that asdf finds the arrays of the model in it."""
    with asdf.open(path) as found:
        for name in model.shapes:
            alike(attrgetter(name)(model), np.asarray(found[name]))
        for list_ in model.schema.lists:
            for part, theirs in zip(attrgetter(list_)(model), found[list_], strict=True):
                for name in part.shapes:
                    alike(attrgetter(name)(part), np.asarray(theirs[name]))


def alike(ours: np.ndarray, theirs: Any) -> None:
    """Assert that both have the same values; astropy has no arrays without items."""
    if theirs is None:
        assert 0 == ours.size
        return
    for column in ours.dtype.names or [...]:
        one, other = ours[column], np.asarray(theirs[column])
        if one.dtype.kind == "S" and other.dtype.kind == "U":
            other = np.char.encode(other, "latin-1")
        np.testing.assert_array_equal(one.reshape(-1), other.reshape(-1))


@hypothesis.given(data=st.data())
@hypothesis.settings(
    max_examples=30, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_nothing_is_lost(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """FITS -> model -> FITS and FITS -> ASDF -> FITS, packed or not, keep every value and bit."""
    folder = tmp_path_factory.mktemp("random")
    model = data.draw(filled(folder))
    path = model.save(folder / "a.fits", checksum=True)
    same(model, type(model)(path))
    as_astropy_has_it(model, path)
    straight = type(model)(path).save(folder / "b.fits")
    same(model, type(model)(straight))
    compression = data.draw(st.sampled_from(["", "zlib", "bzp2"]))
    around = type(model)(path).save(folder / "c.asdf", compression=compression)
    same(model, type(model)(around))
    as_asdf_has_it(model, around)
    last = type(model)(around).save(folder / "d.fits.gz")
    same(model, type(model)(last))
    as_astropy_has_it(model, last)


@hypothesis.given(
    stored=arrays.arrays(np.int16, (3, 2)),
    scale=st.floats(1e-3, 1e3),
    zero=st.floats(-1e4, 1e4, allow_subnormal=False),
    blank=st.none() | st.integers(-(2**15), 2**15 - 1),
)
@hypothesis.settings(max_examples=40, deadline=None)
def test_scaled_columns_and_images(
    tmp_path_factory: pytest.TempPathFactory,
    stored: np.ndarray,
    scale: float,
    zero: float,
    blank: int | None,
) -> None:
    """Scaled integers are the floats that they mean, and stay them through FITS and ASDF."""
    folder = tmp_path_factory.mktemp("scaled")
    schema = folder / "scaled.schema.json"
    number = [{"name": "x", "dtype": "float64", "shape": [2]}]
    table = {"type": "data", "fits_hdu": "T", "dtype": number}
    image = {"type": "data", "fits_hdu": "SCI", "dtype": "float64"}
    schema.write_text(json.dumps({"properties": {"table": table, "image": image}}))
    column = fits.Column("x", "2I", array=stored.copy())
    units = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column], name="T")])
    units.append(fits.ImageHDU(stored.copy(), name="SCI"))
    units.writeto(folder / "x.fits")
    cards = {"TSCAL1": scale, "TZERO1": zero} | ({} if blank is None else {"TNULL1": blank})
    rename(folder / "x.fits", 1, cards)
    cards = {"BSCALE": scale, "BZERO": zero} | ({} if blank is None else {"BLANK": blank})
    rename(folder / "x.fits", 2, cards)
    expected = stored.astype(np.float64) * scale + zero
    if blank is not None and (scale, zero) != (1.0, 0.0):
        expected[stored == blank] = np.nan
    model = models.model_class(schema)(folder / "x.fits")
    for _ in range(2):
        np.testing.assert_allclose(
            expected, model.table["x"], rtol=1e-6, atol=1e-30 + 1e-6 * abs(zero)
        )
        np.testing.assert_allclose(expected, model.image, rtol=1e-3, atol=1e-3 * (1 + abs(zero)))
        before = np.array(model.table["x"]), np.array(model.image)
        again = type(model)(model.save(folder / "y.asdf")).save(folder / "y.fits")
        model = type(model)(again)
        np.testing.assert_array_equal(before[0], model.table["x"])
        np.testing.assert_array_equal(before[1], model.image)


def rename(path: Path, number: int, cards: dict[str, Any]) -> None:
    """Write cards into a header without astropy interpreting them."""
    content = path.read_bytes()
    with fits.open(path) as units:
        start = units.fileinfo(number)["hdrLoc"]
    end = content.index(b"END" + b" " * 77, start)
    text = b"".join(f"{k:<8}= {v!r:>20}".upper().ljust(80).encode() for k, v in cards.items())
    rest = content[end + 80 : end + 80 + len(text)]
    assert not rest.strip()
    path.write_bytes(content[:end] + text + b"END" + b" " * 77 + content[end + 80 + len(text) :])
