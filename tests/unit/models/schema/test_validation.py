"""Models that do not conform are not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import ValidationError


def test_invalid_models_are_refused_with_every_problem(
    image: models.ImageModel, tmp_path: Path
) -> None:
    """All problems at once, by attribute, keyword, found and allowed; an old file stays."""
    path = image.save(tmp_path / "x.fits")
    before = path.read_bytes()
    image._content.tree["meta"]["instrument"]["name"] = "WFC3"
    image._content.tree["meta"]["exposure"]["nints"] = "two"
    image._content.arrays["dq"] = np.zeros((5, 7))
    with pytest.raises(ValidationError) as caught:
        image.save(path)
    lines = str(caught.value).splitlines()
    assert "ImageModel does not conform to image.schema.json:" == lines[0]
    assert 4 == len(lines)
    for line, words in zip(
        lines[1:], [("INSTRUME", "'WFC3'", "'NIRCAM'"), ("NINTS", "integer"), ("DQ", "float64")],
        strict=True,
    ):  # fmt: skip
        assert all(word in line for word in words)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_words_of_json_schema_are_checked_on_saving(tmp_path: Path) -> None:
    """Patterns, bounds and required attributes hold when the file is written."""
    schema = tmp_path / "strict.schema.json"
    schema.write_text("""{"required": ["level", "data"], "properties": {
        "level": {"type": "number", "minimum": 0, "maximum": 10},
        "name": {"type": "string", "fits_keyword": "NAME", "pattern": "^[a-z]+$"},
        "data": {"type": "data", "fits_hdu": "SCI", "dtype": "float32"}}}""")
    model = models.model_class(schema)()
    model.name = "Vera"
    with pytest.raises(ValidationError) as caught:
        model.save(tmp_path / "x.fits")
    assert [
        "  name (FITS keyword NAME) is 'Vera'; the schema demands {'pattern': '^[a-z]+$'}.",
        "  data is required and not set.",
        "  level is required and not set.",
    ] == str(caught.value).splitlines()[1:]
    model.name, model.level, model.data = "vera", 11, np.zeros(3)
    with pytest.raises(ValidationError, match=r"level is 11; the schema demands \{'maximum': 10\}"):
        model.save(tmp_path / "x.fits")
    model.level = 9.5
    assert 9.5 == models.open_metadata(model.save(tmp_path / "x.fits")).get("level", 9.5)
