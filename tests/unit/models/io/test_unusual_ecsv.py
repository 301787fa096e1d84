"""Tables in ECSV as astropy writes them and as users edit them: what astropy reads, a model has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table

from stpipe import models
from stpipe.errors import InputError

ROWS = 4


def columns(rows: int = ROWS) -> dict[str, Any]:
    """Those that a catalogue must have."""
    found: dict[str, Any] = {"label": np.arange(1, rows + 1, dtype=np.int32)}
    found |= {name: np.arange(rows) + 0.5 for name in ("xcentroid", "ycentroid")}
    return found | {f"sky_centroid.{name}": np.arange(rows) + 0.25 for name in ("ra", "dec")}


def written(path: Path, **more: Any) -> Path:
    """A table of astropy with more columns than a catalogue needs."""
    Table({**columns(), **more}).write(path, format="ascii.ecsv")
    return path


def same(ours: np.ndarray, theirs: Table) -> None:
    """Assert that a column has the values that astropy has where nothing is masked."""
    for name in theirs.colnames:
        mask = np.ma.getmaskarray(theirs[name])
        expected = np.ma.getdata(theirs[name])[~mask]
        found = ours[name].reshape(mask.shape)[~mask]
        if expected.dtype.kind == "U":
            expected = np.char.encode(expected, "utf-8")
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint64"])
def test_masked_integers(tmp_path: Path, dtype: str, caplog: pytest.LogCaptureFixture) -> None:
    """They stay integers; the keyword TNULL says which of them stands for none, in every format."""
    info = np.iinfo(dtype)
    values = MaskedColumn(np.array([info.min, 5, 6, info.max], dtype), mask=[0, 1, 0, 0])
    path = written(tmp_path / "x_cat.ecsv", n=values)
    with caplog.at_level("WARNING"):
        model = models.open(path)
    assert "x_cat.ecsv: n: 1 cells have no value; they are" in caplog.records[0].message
    for ending in (".ecsv", ".fits", ".asdf", ".ecsv"):
        assert np.dtype(dtype) == model.catalog["n"].dtype
        assert [info.min, 6, info.max] == [int(model.catalog["n"][k]) for k in (0, 2, 3)]
        assert int(model.catalog["n"][1]) not in (info.min, 6, info.max)
        path = model.save(tmp_path / f"again_cat{ending}")
        if ending != ".asdf":
            kind = "ascii.ecsv" if ending == ".ecsv" else "fits"
            found = Table.read(path, format=kind, **({"hdu": 1} if kind == "fits" else {}))
            if kind == "ascii.ecsv" or not dtype.startswith(("int8", "uint1", "uint6")):
                assert [False, True, False, False] == found[
                    "n"
                ].mask.tolist()  # scaled ones: astropy
        model = models.open(path)


def test_other_masked_cells(tmp_path: Path) -> None:
    """Numbers are NaN, truth values false, texts empty; a masked integer may have a unit."""
    mask = [False, True, False, False]
    more = {
        "b": MaskedColumn([True] * ROWS, mask=mask),
        "s": MaskedColumn(["a b", "x", "", "é"], mask=mask),
        "f": MaskedColumn(np.arange(4.0), mask=mask),
        "n": MaskedColumn(np.arange(4), mask=mask, unit="s"),
    }
    model = models.open(written(tmp_path / "x_cat.ecsv", **more))
    for _ in range(2):
        assert [True, False, True, True] == model.catalog["b"].tolist()
        assert ["a b", "", "", "é"] == [text.decode() for text in model.catalog["s"]]
        assert [False, True, False, False] == np.isnan(model.catalog["f"]).tolist()
        assert "s" == model.units("catalog")["n"]
        model = models.open(model.save(tmp_path / "again_cat.ecsv"))
    found = QTable.read(tmp_path / "again_cat.ecsv", format="ascii.ecsv")
    assert ("s", mask) == (str(found["n"].unit), found["n"].mask.tolist())


def test_cells_that_are_arrays(tmp_path: Path) -> None:
    """With one shape, also of texts and truth values, and masked; they are saved as they are."""
    more = {
        "deep": np.arange(ROWS * 6.0).reshape(ROWS, 2, 3),
        "flags": np.arange(ROWS * 2).reshape(ROWS, 2) % 3 == 0,
        "holes": MaskedColumn(np.arange(ROWS * 2).reshape(ROWS, 2), mask=[[0, 1]] * ROWS),
    }
    path = written(tmp_path / "x_cat.ecsv", **more)
    model = models.open(path)
    for ending in (".ecsv", ".fits", ".ecsv"):
        same(model.catalog, Table.read(path, format="ascii.ecsv"))
        model = models.open(model.save(tmp_path / f"again_cat{ending}"))
    found = Table.read(tmp_path / "again_cat.ecsv", format="ascii.ecsv")
    np.testing.assert_array_equal(more["deep"], found["deep"])


def test_cells_of_different_lengths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Filled up with NaN, which the log says; cells that are objects are refused by name."""
    cells = np.empty(ROWS, object)
    cells[:] = [np.arange(n + 1.0) for n in range(ROWS)]
    with caplog.at_level("WARNING"):
        model = models.open(written(tmp_path / "x_cat.ecsv", ragged=cells))
    assert "ragged: cells differ in length; short ones are filled up" in caplog.records[0].message
    for row, cell in enumerate(cells):
        np.testing.assert_array_equal(cell, model.catalog["ragged"][row, : len(cell)])
        assert np.isnan(model.catalog["ragged"][row, len(cell) :]).all()
    cells[:] = [{"a": 1}] * ROWS
    with pytest.raises(
        InputError, match=r"objects: its cells are objects \(dict\), which no model"
    ):
        models.open(written(tmp_path / "y_cat.ecsv", objects=cells))


EDITS = {
    "lead": lambda rows: [f" {row}" for row in rows],
    "trail": lambda rows: [f"{row} " for row in rows],
    "double": lambda rows: [row.replace(" ", "  ") for row in rows],
    "tabs and blanks": lambda rows: [*rows, "", "  "],
    "comment": lambda rows: [rows[0], "# the second is a star", *rows[1:]],
    "quotes": lambda rows: ['"' + '" "'.join(row.split(" ")) + '"' for row in rows],
    "deleted": lambda rows: rows[:2],
    "none": lambda _: [],
    "twice": lambda rows: [*rows, *rows],
    "windows": lambda rows: [f"{row}\r" for row in rows],
    "no end": lambda rows: [*rows[:-1], f"{rows[-1]}#no end"],
}


@pytest.mark.parametrize("edit", EDITS)
def test_catalogues_edited_by_hand(
    tmp_path: Path, edit: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As astropy reads them; rows that were taken out or added are worth a warning."""
    model = models.open(written(tmp_path / "x_cat.ecsv"))
    path = model.save(tmp_path / "y_cat.ecsv")
    lines = path.read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    text = "\n".join([*lines[: start + 1], *EDITS[edit](lines[start + 1 :])]) + "\n"
    path.write_text(text.replace("#no end\n", ""), newline="")
    expected = Table.read(path, format="ascii.ecsv")
    with caplog.at_level("WARNING"):
        edited = models.open(path)
    assert len(expected) == len(edited.catalog)
    for name in ("label", "xcentroid"):
        np.testing.assert_array_equal(expected[name], edited.catalog[name])
    said = [r.message for r in caplog.records]
    if len(expected) == ROWS:
        assert not said
    else:
        assert [f"{path}: it has {len(expected)} rows and had 4 when it was written"] == said
    again = edited.save(tmp_path / "z_cat.ecsv")
    caplog.clear()
    assert len(expected) == len(models.open(again).catalog)
    assert len(expected) == len(QTable.read(again, format="ascii.ecsv"))
    assert not caplog.records


def test_catalogues_cut_with_astropy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Metadata and history stay, the count of rows is that of the table, none included."""
    model = models.open(written(tmp_path / "x_cat.ecsv"))
    model.meta.instrument.name = "NIRCAM"
    table = QTable.read(model.save(tmp_path / "y_cat.ecsv"), format="ascii.ecsv")
    for count in (2, 0):
        table[:count].write(tmp_path / "cut_cat.ecsv", format="ascii.ecsv", overwrite=True)
        cut = models.open(tmp_path / "cut_cat.ecsv")
        assert (count, "NIRCAM") == (len(cut.catalog), cut.meta.instrument.name)
        assert f"has {count} rows and had 4" in caplog.records[-1].message


CELLS = {"int64": st.none() | st.integers(-(2**63), 2**63 - 1), "float64": st.none() | st.floats()}
CELLS |= {"bool": st.none() | st.booleans()}


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=40, deadline=None)
def test_whatever_astropy_writes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Random masked tables with array cells, through astropy, us and astropy again."""
    folder = tmp_path_factory.mktemp("ecsv")
    table = Table(columns(2))
    for number in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(sorted(CELLS)))
        shape = data.draw(st.sampled_from([(2,), (2, 1), (2, 3)]))
        size = int(np.prod(shape))
        cells = data.draw(st.lists(CELLS[kind], min_size=size, max_size=size))
        mask = np.array([cell is None for cell in cells]).reshape(shape)
        values = np.array([cell or 0 for cell in cells], kind).reshape(shape)
        table[f"c{number}"] = MaskedColumn(values, mask=mask) if mask.any() else values
    table.write(folder / "a_cat.ecsv", format="ascii.ecsv")
    theirs = Table.read(folder / "a_cat.ecsv", format="ascii.ecsv")
    model = models.open(folder / "a_cat.ecsv")
    same(model.catalog, theirs)
    again = model.save(folder / "b_cat.ecsv")
    same(models.open(again).catalog, theirs)
    last = Table.read(again, format="ascii.ecsv")
    same(last, theirs[[name for name in theirs.colnames if name.startswith("c")]])
