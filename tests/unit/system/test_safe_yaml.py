"""YAML and JSON of users: what is wrong is said about the file, and never in Python's own words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from stpipe import models
from stpipe.errors import InputError, ParameterError
from stpipe.project import config
from stpipe.system import safe_yaml

HEAD = "#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n--- !<tag:stsci.edu:asdf/core/asdf-1.1.0>\n"
PARTS = ":".join(["1"] * 20_000)
ABSURD = {
    "digits": "9" * 20_000,
    "parts of sixty": PARTS,
    "fractions": f"{PARTS}.5",
    "few fractions": ":".join(["1"] * 400) + ".5",
    "hexadecimal": f"0x{'f' * 20_000}",
    "octal": f"0{'7' * 20_000}",
    "no truth value": "!!bool maybe",
    "no whole number": "!!int x",
    "no number": "!!float x",
}
PYTHON = ("Exceeds the limit", "int too large", "invalid literal", "could not convert", "Error")


@pytest.mark.parametrize("name", ABSURD)
def test_numbers_that_are_none(tmp_path: Path, name: str) -> None:
    """In ASDF, ECSV and a project's configuration: one sentence with the place."""
    value = ABSURD[name]
    (tmp_path / "x.asdf").write_text(f"{HEAD}a: {value}\n...\n")
    (tmp_path / "x.ecsv").write_text(
        f"# %ECSV 1.0\n# ---\n# datatype: []\n# meta: {{a: {value}}}\n"
    )
    (tmp_path / config.CONFIG).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / config.CONFIG).write_text(f"a: {value}\n")
    for read in (
        lambda: models.open(tmp_path / "x.asdf"),
        lambda: models.open(tmp_path / "x.ecsv"),
        lambda: config.read(tmp_path),
    ):
        with pytest.raises((InputError, ParameterError), match=r"number|truth value") as caught:
            read()
        text = str(caught.value)
        assert not [words for words in PYTHON if words in text.replace("ConstructorError", "")]
        assert len(text) < 400


def test_numbers_in_json(tmp_path: Path) -> None:
    """Associations and schemas as well."""
    path = tmp_path / "x.json"
    path.write_text(f'{{"products": [{"9" * 20_000}]}}')
    with pytest.raises(InputError, match="a number of 20000 digits, allowed are at most 1000"):
        models.load_association(path)
    with pytest.raises(InputError, match="a number of 20000 digits"):
        models.Schema.load(path)
    assert {"a": 10**999} == json.loads(
        '{"a": 1%s}' % ("0" * 999), parse_int=safe_yaml.whole_number
    )


@pytest.mark.parametrize(
    ("text", "found"), [("- 1", "a list"), ("hello", "'hello'"), ("5", "5"), ('""', "''")]
)
def test_configurations_that_are_none(tmp_path: Path, text: str, found: str) -> None:
    """What was found, and what is allowed."""
    (tmp_path / config.CONFIG).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / config.CONFIG).write_text(text)
    with pytest.raises(ParameterError, match=f"found {found}, allowed: names with values"):
        config.read(tmp_path)
    (tmp_path / config.CONFIG).write_bytes(b"a: \xff\xfe")
    with pytest.raises(ParameterError, match="it is no text in UTF-8"):
        config.read(tmp_path)


def test_plain_values() -> None:
    """They are what they were."""
    text = "a: [1, 0x10, 1:30, 1.5, .inf, yes, text, ~]"
    assert yaml.safe_load(text) == safe_yaml.load(text)
    with pytest.raises(yaml.YAMLError):
        safe_yaml.load("[" * 100_000)


@pytest.mark.parametrize("value", [10**68, 10**69, -(10**80), 10**900])
def test_large_numbers_survive(tmp_path: Path, value: int) -> None:
    """A header holds them as long as they fit on a card, the tree otherwise."""
    model = models.ImageModel(np.ones((2, 2), np.float32))
    model.meta.exposure.ngroups = value
    for ending in (".fits", ".asdf", ".fits"):
        model = models.open(model.save(tmp_path / f"x{ending}"))
        assert value == model.meta.exposure.ngroups
