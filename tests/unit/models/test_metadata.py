"""Metadata by attribute and by path."""

from __future__ import annotations

import copy
import enum
import logging
import pickle
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jsonschema
import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError, ValidationError
from stpipe.models.schema import validation
from stpipe.models.schema.fields import Field


@pytest.fixture
def image() -> models.ImageModel:
    model = models.ImageModel(np.ones((3, 4), np.float32))
    model.meta.instrument.name = "MIRI"
    model.meta.exposure.nints = 2
    return model


def test_known_and_absent_is_none_or_the_default(image: models.ImageModel) -> None:
    """An attribute that the schema knows is None, or its default, until it is set."""
    assert image.meta.instrument.detector is None
    assert "s" == image.meta.time_unit
    assert image.meta.program.pi_name is None


def test_unknown_attribute_suggests_a_known_one(image: models.ImageModel) -> None:
    """A misspelt attribute is an error that names the near one, for reading and for setting."""
    with pytest.raises(AttributeError, match=r'meta.instrument has no "nmae".*"name"'):
        _ = image.meta.instrument.nmae
    with pytest.raises(AttributeError, match=r'"exposre" \(did you mean "exposure"\?\)'):
        image.meta.exposre = 1
    with pytest.raises(AttributeError, match=r'the model has no "dat" \(did you mean "data"'):
        _ = image.dat


def test_metadata_outside_the_schema_need_set(image: models.ImageModel) -> None:
    """A path that the schema does not know can be set by path, then read and set as attribute."""
    image.set("meta.observer.name", "Vera")
    assert "Vera" == image.meta.observer.name
    image.meta.observer.name = "Rubin"
    assert "Rubin" == image.get("meta.observer.name")
    assert "unknown" == image.get("meta.observer.age", "unknown")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("meta.instrument.name", "WFC3", r"\(FITS keyword INSTRUME\) is 'WFC3'; .* 'NIRCAM'"),
        ("meta.instrument.name", 5, r"INSTRUME\) is 5 \(int\); allowed is a string"),
        ("meta.exposure.nints", "two", r"NINTS\) is 'two' \(str\); allowed is an integer"),
        ("meta.exposure.nints", True, r"is True \(bool\); allowed is an integer"),
        ("meta.exposure.zero_frame", 1, r"is 1 \(int\); allowed is a boolean"),
        ("meta.wcsinfo.ra_ref", "1h", r"\(FITS keyword SCI RA_REF\) is '1h' .* a number"),
        ("meta.exposure.read_times", 1.0, r"meta.exposure.read_times is 1.0 .* an array"),
        ("meta.anything", object(), r"meta.anything is a builtins.object; metadata are text"),
    ],
)
def test_assignment_is_checked(
    image: models.ImageModel, path: str, value: Any, message: str
) -> None:
    """What does not conform is refused with keyword, found and allowed; nothing changes."""
    before = image.get(path)
    with pytest.raises(ValidationError, match=message):
        image.set(path, value)
    assert before == image.get(path)


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats()
JSON_VALUES |= st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(), st.integers())
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object"])


def test_groups_and_lists_are_no_values(image: models.ImageModel) -> None:
    """Only dictionaries take the place of a group, and only lists that of a list of parts."""
    with pytest.raises(ValidationError, match=r"meta\.instrument is a group of .*, not 5\.$"):
        image.meta.instrument = 5
    image.meta.instrument = {"name": "MIRI"}
    assert "MIRI" == image.meta.instrument.name
    with pytest.raises(ValidationError, match=r"slits is a list of parts, not 5\.$"):
        models.MultiSlitModel().slits = 5


@hypothesis.given(
    value=JSON_VALUES, kind=TYPES, enum=st.none() | st.lists(st.integers(0, 3), min_size=1)
)
def test_checks_agree_with_json_schema(value: Any, kind: str, enum: list[int] | None) -> None:
    """The quick check of types and enumerations says what the jsonschema library says."""
    # JSON takes 1.0 for an integer; here it is not, because FITS writes it differently.
    hypothesis.assume(not (kind == "integer" and isinstance(value, float)))
    rule = {"type": kind} | ({} if enum is None else {"enum": enum})
    field = Field("x", type=kind, enum=tuple(enum or ()))
    valid = jsonschema.Draft202012Validator(rule).is_valid(value)
    assert valid == (validation.check_value(field, value) == "")


def test_values_become_plain(image: models.ImageModel) -> None:
    """Scalars of numpy, tuples and paths are stored as the plain types that files hold."""
    image.meta.exposure.nints = np.int16(3)
    image.meta.wcsinfo.ra_ref = np.float32(1.5)
    image.meta.exposure.read_times = ((1, 2), (3,))
    assert int is type(image.meta.exposure.nints)
    assert 1.5 == image.meta.wcsinfo.ra_ref
    assert [[1, 2], [3]] == image.meta.exposure.read_times


def test_none_and_del_remove(image: models.ImageModel) -> None:
    """Assigning None or deleting takes a value away."""
    image.meta.exposure.nints = None
    del image.meta.instrument.name
    assert {} == image.meta.exposure.to_dict()
    assert image.meta.instrument.name is None
    assert "meta.instrument.name" not in image.to_flat_dict()


def test_flat_dictionary_and_search(image: models.ImageModel) -> None:
    """Values by dotted path; search looks in paths, keywords, titles and values."""
    assert {"meta.instrument.name": "MIRI", "meta.exposure.nints": 2} == image.to_flat_dict()
    assert ["meta.exposure.nints"] == [found.path for found in image.search("NINTS")]
    assert ["meta.instrument.name"] == [found.path for found in image.search("miri") if found.value]
    assert [] == image.search("no such thing")


def test_update_takes_metadata_but_not_identity(image: models.ImageModel) -> None:
    """`update` takes what the schema knows, without arrays, file name, date and model type."""
    ramp = models.RampModel(np.zeros((1, 2, 3, 4)))
    ramp.meta.filename = "ramp.fits"
    ramp.meta.model_type = "RampModel"
    ramp.meta.target.catalog_name = "M31"
    ramp.meta.instrument.name = "NIRCAM"
    ramp.provenance = [{"step": "jump"}]
    image.meta.filename = "image.fits"
    image.update(ramp)
    assert ("NIRCAM", "M31") == (image.meta.instrument.name, image.meta.target.catalog_name)
    assert ("image.fits", None) == (image.meta.filename, image.meta.model_type)
    assert [{"step": "jump"}] == image.provenance
    assert (3, 4) == image.shape


def test_copies_have_metadata_of_their_own(image: models.ImageModel) -> None:
    """Changing a copy leaves the original alone, deep down too."""
    image.meta.exposure.read_times = [[1.0]]
    copy = image.copy()
    copy.meta.instrument.name = "FGS"
    copy.meta.exposure.read_times.append([2.0])
    copy.provenance.append({"step": "jump"})
    assert "MIRI" == image.meta.instrument.name
    assert [[1.0]] == image.meta.exposure.read_times
    assert [] == image.provenance


def test_groups_can_be_listed_and_compared(image: models.ImageModel) -> None:
    """A group of metadata can be looped over, searched, compared and completed."""
    other = image.copy()
    assert ["name"] == list(image.meta.instrument)
    assert "name" in image.meta.instrument
    assert image.meta.instrument == other.meta.instrument
    other.meta.instrument.name = "FGS"
    assert image.meta.instrument != other.meta.instrument
    assert "detector" in dir(image.meta.instrument)
    assert "data" in dir(image)
    assert "MIRI" in repr(image.meta.instrument)


def test_dictionary_makes_a_model() -> None:
    """Nested dictionaries of arrays and metadata fill a model."""
    tree = {"data": np.ones((2, 2)), "meta": {"instrument": {"name": "FGS"}}}
    model = models.open(tree)
    assert isinstance(model, models.ImageModel)
    assert "FGS" == model.meta.instrument.name
    tree["meta"]["model_type"] = "FlatModel"
    assert isinstance(models.open(tree), models.FlatModel)


def test_schema_knows(image: models.ImageModel) -> None:
    """`knows` tells whether the schema describes a path."""
    assert image.knows("meta.ref_file.dark.name")
    assert not image.knows("meta.ref_file.dark.sha256")


def test_header_that_does_not_conform_is_reported_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A card of the wrong type is left unset with a warning, and survives in the file."""
    from astropy.io import fits

    path = tmp_path / "odd.fits"
    unit = fits.PrimaryHDU()
    unit.header["INSTRUME"] = "WFC3"
    unit.header["NINTS"] = "N/A"
    unit.header["PROGRAM"] = 793
    unit.header["NGROUPS"] = "5"
    unit.header["NFRAMES"] = 4.0
    unit.writeto(path)
    with caplog.at_level(logging.WARNING):
        model = models.DataModel(path)
    assert "INSTRUME = 'WFC3' does not conform" in caplog.text
    assert "NINTS" not in caplog.text
    assert (None, None) == (model.meta.instrument.name, model.meta.exposure.nints)
    assert "793" == model.meta.observation.program_number
    assert (5, 4) == (model.meta.exposure.ngroups, model.meta.exposure.nframes)
    header = fits.getheader(model.save(tmp_path / "again.fits"))
    assert ("WFC3", "N/A") == (header["INSTRUME"], header["NINTS"])


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("meta.instrument", 3, "meta.instrument is a group of attributes"),
        ("meta", [], "meta is a group of attributes"),
        ("meta.instrument", {"name": 5}, "meta.instrument.name .FITS keyword INSTRUME. is 5"),
        ("meta.instrument.name.short", "M", "meta.instrument.name is of the type string"),
        ("data.unit", "m", "there is no data.unit, as data is an array"),
        ("meta..name", 1, "meta..name. is not a dotted path"),
        ("", 1, "is not a dotted path"),
        ("meta.mine", "\ud800", "no file can hold such text"),
        ("meta.mine", np.datetime64("2026-01-01", "ns"), "meta.mine is a numpy.datetime64"),
    ],
)
def test_what_would_destroy_metadata_is_refused(path: str, value: object, words: str) -> None:
    """A group stays a group and a value a value; nothing is changed."""
    model = models.ImageModel(np.zeros((2, 2)))
    model.meta.instrument.name = "MIRI"
    before = model.to_flat_dict()
    with pytest.raises(ValidationError, match=words):
        model.set(path, value)
    assert before == model.to_flat_dict()


def test_a_group_takes_a_dictionary_or_another_group() -> None:
    """Its values are checked as they are one by one."""
    model, other = models.ImageModel(), models.ImageModel()
    other.meta.instrument = {"name": "MIRI", "detector": "MIRIMAGE"}
    model.meta.instrument = other.meta.instrument
    other.meta.instrument.name = "NIRISS"
    assert {"name": "MIRI", "detector": "MIRIMAGE"} == model.meta.instrument.to_dict()


def test_groups_are_copied_and_pickled() -> None:
    """A copy by `copy` looks at the same model, a deep one at a copy of it."""
    model = models.ImageModel()
    model.meta.instrument.name = "MIRI"
    deep, pickled = copy.deepcopy(model.meta), pickle.loads(pickle.dumps(model.meta))  # noqa: S301 - our own
    shallow = copy.copy(model.meta)
    model.meta.instrument.name = "NIRISS"
    found = [each.instrument.name for each in (deep, pickled, shallow)]
    assert ["MIRI", "MIRI", "NIRISS"] == found


def test_attributes_are_deleted() -> None:
    """Arrays, values and groups go with `del`; a typo does not pass for done."""
    model = models.ImageModel(np.zeros((2, 2)))
    model.meta.instrument.name = "MIRI"
    del model.data
    del model.meta.instrument
    assert (False, None) == (model.has("data"), model.meta.instrument.name)
    for owner, name in ((model, "dta"), (model.meta, "instrumnet")):
        with pytest.raises(AttributeError, match="did you mean"):
            delattr(owner, name)


def test_subclasses_of_plain_types_are_stored_as_such(tmp_path: Path) -> None:
    """Numpy's scalars and members of enumerations; also where no keyword holds them."""

    class Colour(enum.StrEnum):
        RED = "red"

    class Number(enum.IntEnum):
        TWO = 2

    given = [np.str_("x"), np.float64(1.5), np.longdouble(0.5), Colour.RED, Number.TWO, np.True_]
    model = models.ImageModel()
    model.set("meta.mine", given)
    model.meta.target.catalog_name = Colour.RED
    assert [str, float, float, str, int, bool] == [type(each) for each in model.get("meta.mine")]
    for ending in (".fits", ".asdf"):
        found = models.open(model.save(tmp_path / f"x{ending}"))
        assert ["x", 1.5, 0.5, "red", 2, True] == found.get("meta.mine")
        assert "red" == found.meta.target.catalog_name


def test_metadata_that_are_asked_for_by_name_are_there_or_named(tmp_path: Path) -> None:
    """The file and the keyword, in one error that is also a KeyError; `get` and `in` as ever."""
    image = models.ImageModel(np.zeros((2, 2), np.float32))
    flat = models.open(image.save(tmp_path / "x_cal.fits")).to_flat_dict()
    for asked in (flat, flat.over({"meta.more": 1})):
        with pytest.raises(
            InputError, match=r"x_cal\.fits lacks VPARITY \(meta\.wcsinfo\.vparity\)"
        ):
            asked["meta.wcsinfo.vparity"]
    with pytest.raises(KeyError):
        flat["nonsense"]
    assert flat.get("meta.wcsinfo.vparity") is None
    assert "meta.wcsinfo.vparity" not in flat
