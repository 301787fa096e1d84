"""Lists of parts, such as the slits of an exposure: every part is a small model."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.errors import ValidationError

ENDINGS = [".fits", ".fits.gz", ".asdf"]


@pytest.fixture
def slits() -> models.MultiSlitModel:
    model = models.MultiSlitModel()
    model.meta.instrument.name = "NIRSPEC"
    for number in range(3):
        data = np.full((4 + number, 5), number, np.float32)
        model.slits.append({"name": f"slit {number}", "data": data, "is_extended": number == 1})
        model.slits[number].dq = np.full((4 + number, 5), 2**31 + number, np.uint32)
    model.slits[2].meta.wcsinfo.ra_ref = 5.5
    return model


@pytest.mark.parametrize("ending", ENDINGS)
def test_parts_survive_files(slits: models.MultiSlitModel, tmp_path: Path, ending: str) -> None:
    """Arrays, keywords and what has no place in FITS come back, part by part."""
    path = slits.save(tmp_path / f"x_cal{ending}")
    for again in (models.open(path), models.open(models.open(path).save(tmp_path / "y.fits"))):
        assert 3 == len(again.slits)
        for number, part in enumerate(again.slits):
            assert (f"slit {number}", number == 1) == (part.name, part.is_extended)
            np.testing.assert_array_equal(slits.slits[number].data, part.data)
            np.testing.assert_array_equal(2**31 + number, part.dq)
        assert [None, None, 5.5] == [part.meta.wcsinfo.ra_ref for part in again.slits]
        assert again.slits[0].err.shape == again.slits[0].data.shape


def test_extensions_of_part_n_have_version_n(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """In FITS the parts are extensions of the same names, numbered from 1."""
    with fits.open(slits.save(tmp_path / "x.fits")) as units:
        units.verify("exception")
        found = [(unit.name, unit.ver) for unit in units[1:-1]]
        assert [(name, n) for n in (1, 2, 3) for name in ("SCI", "DQ")] == found
        assert "slit 1" == units["SCI", 2].header["SLTNAME"]
        assert 5.5 == units["SCI", 3].header["RA_REF"]


def test_arrays_of_parts_stay_in_the_file(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """Opening reads headers; `read` takes a section; parts are the same on every access."""
    model = models.open(slits.save(tmp_path / "x.fits"))
    assert model.slits[1] is model.slits[1]
    assert (5, 5) == model.slits[1].shape
    assert {} == model.slits[1]._made
    np.testing.assert_array_equal([1, 1], model.slits[1].read("data", np.s_[0, :2]))
    model.slits[1].data = np.zeros((2, 2), np.float32)
    assert (2, 2) == model.slits[1].shape


def test_metadata_of_parts_by_path(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """Dotted paths lead into parts, in models and in what headers tell."""
    metadata = models.open_metadata(slits.save(tmp_path / "x.fits"))
    for found in (slits, metadata):
        assert "slit 1" == found.get("slits.1.name")
        assert "slit 2" == found.to_flat_dict()["slits.2.name"]
        assert "nothing" == found.get("slits.7.name", "nothing")
    assert ["slit 0", "slit 1", "slit 2"] == [part.name for part in metadata.slits]


def test_lists_are_lists(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """Parts can be put in, taken out, replaced and reordered; the file follows."""
    del slits.slits[0]
    slits.slits.insert(0, {"name": "new"})
    slits.slits[1:] = [slits.slits[2], slits.slits[1]]
    names = ["new", "slit 2", "slit 1"]
    assert names == [part.name for part in slits.slits]
    again = models.open(slits.save(tmp_path / "x.fits"))
    assert names == [part.name for part in again.slits]
    assert (None, 2.0) == (again.slits[0].data, again.slits[1].data.max())
    again.slits = []
    assert 0 == len(models.open(again.save(tmp_path / "x.fits")).slits)


def test_models_become_parts_and_parts_models(slits: models.MultiSlitModel) -> None:
    """A part takes from a model what its schema knows; a model can be made of a part."""
    slit = models.SlitModel(np.ones((2, 2)))
    slit.name = "mine"
    slit.meta.instrument.name = "NIRSPEC"
    slits.slits.append(slit)
    part = slits.slits[-1]
    assert ("mine", 1.0) == (part.name, part.data.max())
    assert "meta.instrument.name" not in part.to_flat_dict()
    back = models.SlitModel(part)
    back.update(slits)
    assert ("mine", "NIRSPEC") == (back.name, back.meta.instrument.name)
    with pytest.raises(ValidationError, match="made from a model or a dictionary, not from an int"):
        slits.slits.append(5)


def test_copies_have_parts_of_their_own(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """Copies share arrays; changing a part of one leaves the other alone."""
    for model in (slits, models.open(slits.save(tmp_path / "x.fits"))):
        for other in (model.copy(), pickle.loads(pickle.dumps(model))):  # noqa: S301 - our own
            other.slits[0].name = "other"
            del other.slits[2]
            assert ("slit 0", 3) == (model.slits[0].name, len(model.slits))
            assert 0.0 == other.slits[0].data.max()
    copy = slits.slits[0].copy()
    copy.name = "other"
    assert "slit 0" == slits.slits[0].name


def test_parts_are_checked(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """Assignment is checked cheaply, and everything on saving, with the part in the message."""
    with pytest.raises(ValidationError, match=r"xstart \(FITS keyword SCI SLTSTRT1\) is 'a'"):
        slits.slits[0].xstart = "a"
    slits.slits[1]._content.tree["xstart"] = "a"
    with pytest.raises(ValidationError, match=r"slits\.1\.xstart \(FITS keyword SCI SLTSTRT1\)"):
        slits.save(tmp_path / "x.fits")


def test_numbers_with_gaps_are_kept_as_unknown_extensions(
    slits: models.MultiSlitModel, tmp_path: Path
) -> None:
    """Extensions that are not numbered from 1 without gaps are nobody's parts, and survive."""
    path = slits.save(tmp_path / "x.fits")
    with fits.open(path, mode="update") as units:
        del units["SCI", 2], units["DQ", 2], units["ASDF"]
        units[0].header.comments["EXTEND"] = ""
    model = models.MultiSlitModel(path)
    assert 0 == len(model.slits)
    with fits.open(model.save(tmp_path / "y.fits")) as units:
        assert [1, 1, 3, 3] == [unit.ver for unit in units[1:-1]]


def test_parts_without_arrays_leave_gaps_in_files_of_other_software(
    slits: models.MultiSlitModel, tmp_path: Path
) -> None:
    """Whoever writes no extension for them tells in the tree that they are there."""
    path = slits.save(tmp_path / "x.fits")
    with fits.open(path, mode="update") as units:
        units[0].header.comments["EXTEND"] = ""
        gone = [n for n, unit in enumerate(units) if unit.ver == 1 and unit.name in ("SCI", "DQ")]
        for number in reversed(gone):
            del units[number]
    model = models.MultiSlitModel(path)
    assert [False, True, True] == [part.has("data") for part in model.slits]
    assert [None, "slit 1", "slit 2"] == [part.name for part in model.slits]
    again = models.MultiSlitModel(model.save(tmp_path / "y.fits"))
    assert [False, True, True] == [part.has("data") for part in again.slits]


def test_saving_over_its_own_file(slits: models.MultiSlitModel, tmp_path: Path) -> None:
    """Parts that were not read yet are found in the new file."""
    path = slits.save(tmp_path / "x.fits")
    model = models.open(path)
    model.slits[0].name = "first"
    model.save(path)
    assert ("first", 2.0) == (model.slits[0].name, model.slits[2].data.max())


def test_cells_may_be_vectors(tmp_path: Path) -> None:
    """Columns whose shape the schema leaves open keep theirs; a number of dimensions is checked."""
    model = models.TSOMultiSpecModel()
    dtype = model.schema.lists["spec"].fields["spec_table"].dtype
    shapes = dict.fromkeys(["WAVELENGTH", "FLUX"], (7,))
    wide = [(name, dtype[name], shapes.get(name, ())) for name in dtype.names]
    model.spec.append({"spec_table": np.ones(4, wide), "spectral_order": 2})
    again = models.open(model.save(tmp_path / "x.fits")).spec[0]
    assert ((4, 7), 2) == (again.spec_table["FLUX"].shape, again.spectral_order)
    reference = models.MirLrsApcorrModel()
    assert 1 == reference.schema.fields["apcorr_table"].cell_ndim["wavelength"]
    reference.apcorr_table = np.ones(4, reference.schema.fields["apcorr_table"].dtype)
    assert (4, 1) == reference.apcorr_table["wavelength"].shape
    deep = [
        (n, reference.apcorr_table.dtype[n].base, (2, 2))
        for n in reference.apcorr_table.dtype.names
    ]
    with pytest.raises(ValidationError, match=r"column \w+ cells of the shape \(2, 2\); allowed:"):
        reference.apcorr_table = np.ones(4, deep)


@pytest.mark.parametrize("dtype", ["f2", "O", "M8[s]", "V4", "c32"])
def test_columns_that_no_file_holds_are_refused(dtype: str) -> None:
    """Also those that the schema does not know; a name says which."""
    model = models.SourceCatalogModel()
    table = np.zeros(2, [*model.schema.arrays["catalog"].dtype.descr, ("odd", dtype)])
    with pytest.raises(ValidationError, match=r"has in column odd values of .*allowed are truth"):
        model.catalog = table


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("texts", [["ä", "b"], ["", ""], []])
def test_text_of_python_is_kept_as_bytes(tmp_path: Path, ending: str, texts: list[str]) -> None:
    """In UTF-8, whatever its width."""
    model = models.SourceCatalogModel()
    columns = [*model.schema.arrays["catalog"].dtype.descr, ("name", "U3"), ("none", "S0")]
    table = np.zeros(len(texts), columns)
    table["name"] = texts
    model.catalog = table
    again = models.open(model.save(tmp_path / f"x{ending}"))
    assert [text.encode() for text in texts] == list(again.catalog["name"])


def test_columns_are_cast_without_loss() -> None:
    """Numbers that do not fit their column are refused, by name; text is never cut."""
    model = models.NrcImgPhotomModel()
    columns = [("filter", "U20"), ("pupil", "S5"), ("photmjsr", "f8"), ("uncertainty", "f4")]
    model.phot_table = np.array([("a filter of twenty ch", "CLEAR", 1.5, 0.1)], columns)
    assert b"a filter of twenty c" == model.phot_table["filter"][0]
    columns[3] = ("uncertainty", "c8")
    with pytest.raises(ValidationError, match="column uncertainty values of complex64; allowed"):
        model.phot_table = np.zeros(1, columns)


def test_paths_lead_into_parts() -> None:
    """What can be got by the path of a part's attribute can be set by it, and is checked."""
    model = models.MultiSlitModel()
    model.slits = [{"name": "a"}, {"name": "b"}]
    model.set("slits.1.name", "c")
    model.set("slits.0.data", np.ones((2, 2)))
    assert ["a", "c"] == [part.name for part in model.slits]
    assert (2, 2) == model.slits[0].shape
    with pytest.raises(ValidationError, match="A part of slits: name"):
        model.set("slits.0.name", 5)
    with pytest.raises(ValidationError, match="as slits is a list of 2 parts"):
        model.set("slits.2.name", "d")
    with pytest.raises(ValidationError, match="list of parts, not 0"):
        model.slits = 0
    assert 2 == len(model.slits)
