"""The schema dialect, and the schemas that ship with the package."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import jsonschema
import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import base, protocols
from stpipe.models.schema import schema as dialect
from stpipe.models.schema.schema import Schema
from stpipe.system import package_data

FOLDER = package_data.folder("schemas")
SHIPPED = sorted(path for path in FOLDER.glob("*.schema.json") if path.name != "meta.schema.json")
META = json.loads((FOLDER / "meta.schema.json").read_text())

# The schema of the ImageModel in the article that describes the system, as printed there.
PRINTED = """
   { "allOf": [
        {"$ref": "core.schema.json"},
        {"type" : "object",
            "properties" : {
                "data" :
                {"type" : "data",
                 "title" : "The science data",
                 "fits_hdu" : "SCI",
                 "default" : 0.0,
                 "ndim" : 2,
                 "dtype" : "float32"
                },

                "dq" :
                {"type" : "data",
                 "title" : "Data quality array",
                 "fits_hdu" : "DQ",
                 "default" : 0,
                 "dtype" : "uint32"
                },

                "err" :
                {"type" : "data",
                 "title" : "Error array",
                 "fits_hdu" : "ERR",
                 "default" : 0.0,
                 "dtype" : "float32"
                },
                "sens" : {"$ref": "sens.schema.json"}
            }
        }
     ]
   }
"""


DATA = '"type": "data", "fits_hdu": "X", "dtype": "float33"'
ARRAY = DATA.replace("33", "32")
COLUMNS = '[{"name": "a", "dtype": "int8"}, {"name": "A", "dtype": "int8"}]'
KEYWORD = '"fits_keyword": "A"'


def leaves(*found: str) -> str:
    """A schema with attributes of the names x0, x1 and so on."""
    inside = ", ".join(f'"x{number}": {{{leaf}}}' for number, leaf in enumerate(found))
    return f'{{"properties": {{{inside}}}}}'


LIST = f'"type": "array", "items": {leaves(ARRAY.replace("X", "Y"))}'


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_printed_schema_works_as_printed(tmp_path: Path) -> None:
    """The printed ImageModel opens, has its defaults, and survives a file with its sensitivity."""
    model_class = models.model_class(write(tmp_path, "printed.schema.json", PRINTED))
    image = model_class(np.ones((3, 4)))
    image.meta.instrument.name = "NIRISS"
    image.sens.units = "Jy s / DN"
    image.sens.table = np.array([(1.0, 2.0)], [("wavelength", "f4"), ("sensitivity", "f4")])
    image.save(tmp_path / "image.fits")

    with model_class(tmp_path / "image.fits") as read:
        assert "PrintedModel" == type(read).__name__
        assert "NIRISS" == read.meta.instrument.name
        assert "Jy s / DN" == read.sens.units
        assert 2.0 == read.sens.table["sensitivity"][0]
        assert np.float32 == read.data.dtype
        np.testing.assert_array_equal(np.zeros((3, 4), np.uint32), read.dq)
        np.testing.assert_array_equal(np.zeros((3, 4), np.float32), read.err)


def test_class_needs_only_a_schema_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subclass with nothing but the name of a schema file is a model."""
    write(tmp_path, "mine.schema.json", PRINTED)
    monkeypatch.chdir(tmp_path)

    class MyOwnModel(models.DataModel):
        """A model of my own."""

        schema_name = "mine.schema.json"

    assert (2, 2) == MyOwnModel(np.zeros((2, 2))).shape
    assert isinstance(models.open(MyOwnModel(np.zeros((2, 2))).save("x.fits")), MyOwnModel)


def test_files_of_a_schema_without_keywords_open_as_what_they_are(tmp_path: Path) -> None:
    """A schema that does not include the core has no DATAMODL; the tree names the model."""
    array = '{"properties": {"grid": {"type": "data", "fits_hdu": "GRID", "dtype": "int64"}}}'
    bare = models.model_class(write(tmp_path, "bare.schema.json", array))
    for ending in (".fits", ".fits.gz", ".asdf"):
        path = bare({"grid": np.arange(5)}).save(tmp_path / f"x{ending}")
        assert bare is type(models.open(path))
        assert {"grid": (5,)} == models.open_metadata(path).shapes


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_schemas_conform_to_the_meta_schema(path: Path) -> None:
    """Every shipped schema is in the dialect, and compiles."""
    validator = jsonschema.Draft202012Validator(META)
    problems = [error.message for error in validator.iter_errors(json.loads(path.read_text()))]
    assert [] == problems
    assert Schema.load(path).path == path


def test_meta_schema_is_a_json_schema_and_knows_the_words_of_the_code() -> None:
    """Every word of the code is one of the dialect."""
    jsonschema.Draft202012Validator.check_schema(META)
    assert set(META["$defs"]["node"]["properties"]) >= dialect._OWN


@pytest.mark.parametrize(
    "leaf",
    [
        {"type": "string", "fits_keywrd": "INSTRUME"},
        {"type": "string", "fits_keyword": "TOO_LONG_A_NAME"},
        {"type": "data", "dtype": "float32"},
        {"type": "data", "fits_hdu": "SCI", "dtype": "float16"},
        {"type": "number", "ndim": 2},
    ],
)
def test_meta_schema_refuses_what_is_not_the_dialect(leaf: dict[str, Any]) -> None:
    """Misspelt words, bad keywords and arrays without place or dtype are refused."""
    validator = jsonschema.Draft202012Validator(META)
    assert not validator.is_valid({"properties": {"x": leaf}})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_no_keyword_stands_for_two_attributes(path: Path) -> None:
    """Within one extension a keyword belongs to one attribute, and an extension to one array."""
    schema = Schema.load(path)
    keywords = [(field.hdu, field.keyword) for field in schema.metadata.values() if field.keyword]
    extensions = [field.hdu for field in schema.arrays.values()]
    if path.name == "slit.schema.json":
        # A slit's own source type stands where other models have that of the exposure's target.
        keywords.remove(("SCI", "SRCTYPE"))
    assert len(keywords) == len(set(keywords))
    assert len(extensions) == len(set(extensions))


def test_flat_form_holds_what_the_file_says() -> None:
    """Paths, keywords, extensions, types and dtypes come out of the combined files."""
    schema = Schema.load("ramp.schema.json")
    name = schema.fields["meta.instrument.name"]
    assert ("INSTRUME", "PRIMARY", "string") == (name.keyword, name.hdu, name.type)
    assert "MIRI" in name.enum
    assert ("RA_REF", "SCI") == (
        schema.fields["meta.wcsinfo.ra_ref"].keyword,
        schema.fields["meta.wcsinfo.ra_ref"].hdu,
    )
    assert (4, np.uint8) == (schema.fields["groupdq"].ndim, schema.fields["groupdq"].dtype)
    assert schema.fields["group"].is_table
    assert ["data", "pixeldq", "groupdq"] == list(schema.arrays)[:3]


def test_later_parts_refine_earlier_ones(tmp_path: Path) -> None:
    """With allOf, a later description of an attribute adds to the earlier one."""
    text = """
    {"allOf": [
      {"$ref": "core.schema.json"},
      {"properties": {"meta": {"properties": {"instrument": {"properties": {
          "name": {"enum": ["MIRI"]}}}}}}, "required": ["data"]},
      {"properties": {"data": {"type": "data", "fits_hdu": "SCI", "dtype": "float32"}}}
    ]}"""
    schema = Schema.load(write(tmp_path, "narrow.schema.json", text))
    assert ("MIRI",) == schema.fields["meta.instrument.name"].enum
    assert "INSTRUME" == schema.fields["meta.instrument.name"].keyword
    assert {"data"} == schema.required


def test_reference_into_a_file(tmp_path: Path) -> None:
    """A $ref may point into a file, and into its own file."""
    text = """
    {"properties": {
        "flags": {"$ref": "dq_def.schema.json#/properties/dq_def"},
        "copy": {"$ref": "#/$defs/all/allOf/0"}
      },
      "$defs": {"all": {"allOf": [{"type": "data", "fits_hdu": "ORIG", "dtype": "int16"}]}}
    }"""
    schema = Schema.load(write(tmp_path, "pointing.schema.json", text))
    assert ("BIT", "VALUE", "NAME", "DESCRIPTION") == schema.fields["flags"].dtype.names
    assert np.int16 == schema.fields["copy"].dtype


def test_files_beside_the_schema_come_before_shipped_ones(tmp_path: Path) -> None:
    """A $ref is relative to the file it stands in."""
    write(tmp_path, "core.schema.json", '{"properties": {"mine": {"type": "string"}}}')
    path = write(tmp_path, "a.schema.json", '{"allOf": [{"$ref": "core.schema.json"}]}')
    assert ["mine"] == list(Schema.load(path).fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"$ref": "a.schema.json"}', r"refers to itself: a\.schema\.json -> a\.schema\.json"),
        ('{"allOf": [{"$ref": "b.schema.json"}]}', r"refers to itself: a\..* -> b\..* -> a\."),
        ('{"$ref": "cor.schema.json"}', r'no schema cor.schema.json \(did you mean "core.schema'),
        ('{"$ref": "core.schema.json#/nowhere"}', r'refers to "#/nowhere", which is absent'),
        ("{", r"a\.schema\.json cannot be read"),
        ("[]", r"holds a list, not an object"),
        ("[" * 100_000, r"cannot be read: maximum recursion"),
        ('{"a": ' * 400 + "1" + "}" * 400, r"keyword a is unknown|nested too deeply"),
        ('{"properties": [1]}', r"at properties, \[1\] is not of type 'object'"),
        ('{"properties": {"x": null}}', r"at properties/x, None is not of type 'object'"),
        ('{"allOf": "core.schema.json"}', r"at allOf, .* is not of type 'array'"),
        ('{"$ref": 5}', r"at \$ref, 5 is not of type 'string'"),
        ('{"$ref": "#/title", "title": "T"}', r'refers to "#/title", which is not a schema'),
        ('{"required": 5}', r"at required, 5 is not of type 'array'"),
        ('{"properties": {"x": {"type": "data"}}}', r"properties/x, 'fits_hdu' is a required"),
        ('{"properties": {"x": {"titel": "X"}}}', r'x, the keyword titel is unknown .*"title"'),
        ('{"properties": {"x": {"type": "strnig"}}}', r"x/type, 'strnig' is not one of"),
        ('{"properties": {"x": {"items": true}}}', r"x/items, True is not of type 'object'"),
        ('{"properties": {"x": {"pattern": "("}}}', r"x/pattern, .* is not a 'regex'"),
        ('{"properties": {"x": {"ndim": 2}}}', r"x/ndim, this keyword is not allowed here"),
        (leaves('"fits_keyword": "TOO_LONG_A_NAME"'), r"x0/fits_keyword, 'TOO_LONG_A_NAME' does"),
        (leaves('"fits_keyword": 5'), r"x0/fits_keyword, 5 is not of type 'string'"),
        (leaves('"fits_keyword": "NAXIS"'), r'"x0" cannot have the keyword NAXIS'),
        (leaves('"fits_keyword": "A"', '"fits_keyword": "A"'), r'"x1" has the keyword A, .* "x0"'),
        (leaves(f"{DATA}"), r"x0/dtype, 'float33' is not one of \['int8'"),
        (leaves(f"{ARRAY}", f"{ARRAY}"), r'"x1" has the extension X, which "x0" has, too'),
        (leaves(ARRAY.replace('"X"', '"ASDF"')), r'"x0" cannot be in the extension ASDF'),
        (
            leaves(f'{ARRAY}, "default": "a"'),
            r"default that it does not allow: 'a' is not one number",
        ),
        (
            leaves('"type": "integer", "default": "a"'),
            r"x0 is 'a' \(str\); allowed is an integer.$",
        ),
        (leaves(f"{DATA[:-9]}{COLUMNS}"), r'"x0" has two columns A, in any case'),
        (
            leaves(f'"type": "array", "items": {leaves(ARRAY)}', ARRAY),
            r'"x0.x0" has the extension X, which "x1" has, too',
        ),
        (
            leaves(f'"type": "array", "items": {leaves(LIST, ARRAY)}'),
            r'the parts of "x0" have the list x0',
        ),
        (leaves(f'"type": "array", "items": {leaves(KEYWORD)}'), r'parts of "x0" have no array'),
    ],
)
def test_wrong_schemas_say_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    """A schema that cannot be used is an input error that names file and place."""
    write(tmp_path, "b.schema.json", '{"$ref": "a.schema.json"}')
    path = write(tmp_path, "a.schema.json", text)
    with pytest.raises(InputError, match=message) as caught:
        Schema.load(path)
    assert 1 == len(str(caught.value).splitlines())


def test_folder_that_does_not_exist_is_named() -> None:
    """Asking for a folder that does not ship says where it was sought."""
    with pytest.raises(InputError, match='"nothing" of stpipe is in neither'):
        package_data.folder("nothing")


def declared(cls: type[models.DataModel]) -> dict[str, np.dtype[Any]]:
    """The dtype of each array that a class of models says it has, for type checkers."""
    names = {**vars(protocols), "np": np, "npt": np.typing}
    texts = {n: t for n, t in vars(cls).get("__annotations__", {}).items() if n != "shape"}
    found = {name: eval(text, names) for name, text in texts.items()}  # noqa: S307 - our own text
    arrays = {n: get_args(t)[0] if isinstance(t, UnionType) else t for n, t in found.items()}
    return {name: np.dtype(get_args(get_args(t)[1])[0]) for name, t in arrays.items()}


@pytest.mark.parametrize("name", [n for n, cls in base.REGISTRY.items() if declared(cls)])
def test_arrays_that_a_model_declares_are_those_of_its_schema(name: str) -> None:
    """What checkers are told and what users get is the same."""
    arrays = base.REGISTRY[name].load_schema().arrays
    for array, dtype in declared(base.REGISTRY[name]).items():
        assert arrays[array].is_table if dtype == np.void else dtype == arrays[array].dtype
