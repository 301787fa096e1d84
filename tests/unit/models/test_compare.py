"""Differences of two models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from reduced_image import changed, reduced_image

from stpipe import models
from stpipe.models.compare import Difference, Tolerance, compare


@pytest.fixture
def image() -> models.ImageModel:
    return reduced_image()


def test_every_difference_is_found(image: models.ImageModel) -> None:
    """Metadata, parameters, references by content, shapes, missing arrays, values."""
    gain, most = "jwst_miri_gain_0001.fits sha256:", "by at most 0.5, 1 not finite in one"
    assert [
        Difference("metadata", "meta.instrument.name", "MIRI", "FGS"),
        Difference("parameter", "jump.rejection_threshold", 5.0, 4.0),
        Difference("reference", "jump.gain", f"{gain}0123456789ab", f"{gain}ffffffffffff"),
        Difference("array", "data", "2 of 12 differ", most, "first at [1, 2]"),
        Difference("array", "err", "absent", "float32 3 x 4"),
        Difference("array", "mask", "uint32 3 x 4", "uint32 2 x 4"),
    ] == sorted(compare(image, changed(image)), key=rank)


def rank(each: Difference) -> tuple[int, str]:
    return ["metadata", "parameter", "reference", "array"].index(each.kind), each.name


def test_tolerances(image: models.ImageModel) -> None:
    """Relative and absolute tolerances are for floating-point values; NaN equals NaN."""
    other = image.copy()
    other.data = np.array(image.data) * np.float32(1.001)
    assert [] != compare(image, other)
    assert [] == compare(image, other, Tolerance(relative=0.01))
    assert [] == compare(image, other, Tolerance(absolute=0.1))
    other.mask = np.ones((3, 4), np.uint32)
    assert ["mask"] == [each.name for each in compare(image, other, Tolerance(absolute=10))]
    image.data = other.data = np.full((3, 4), np.nan)
    other.mask = image.mask
    assert [] == compare(image, other)


def test_differences_in_parts_and_tables() -> None:
    """Parts of lists and columns of tables are compared, too."""
    first = models.MultiSpecModel()
    schema = first.schema.lists["spec"].fields["spec_table"]
    first.spec.append({"spec_table": np.zeros(3, schema.dtype), "name": "one"})
    second = first.copy()
    table = np.array(first.spec[0].spec_table)
    table["FLUX"][1] = 2.0
    second.spec[0].spec_table = table
    second.spec[0].name = "two"
    found = [(each.kind, each.name, each.first) for each in compare(first, second)]
    assert [
        ("metadata", "spec.0.name", "one"),
        ("array", "spec.0.spec_table[FLUX]", "1 of 3 cells differs"),
    ] == found
    second.spec = []
    assert ("array", "spec.0.spec_table", "table 3") in [
        (each.kind, each.name, each.first) for each in compare(first, second)
    ]


def test_every_run_of_a_step_is_compared(image: models.ImageModel) -> None:
    """A step that ran twice has two records, a hook one of its own."""
    image.provenance.append({"step": "jump", "status": "SKIPPED"})
    image.provenance.append({"step": "jump", "status": "HOOK", "when": "post_hooks", "hook": "a"})
    other = image.copy()
    other.provenance[0]["parameters"]["rejection_threshold"] = 4.0
    other.provenance[2]["status"] = "COMPLETE"
    other.provenance[3]["hook"] = "b"
    assert [
        ("jump.rejection_threshold", 5.0, 4.0),
        ("jump (2).status", "SKIPPED", "COMPLETE"),
        ("jump hook.hook", "a", "b"),
    ] == [each[1:4] for each in compare(image, other)]


def test_tables_of_other_columns_and_units() -> None:
    """Columns that one lacks, cells of another shape or type, and units."""

    def spectrum(*more: tuple[str, str]) -> models.SpecModel:
        model = models.SpecModel()
        known = model.schema.arrays["spec_table"].dtype
        model.spec_table = np.zeros(2, [*((n, known[n]) for n in known.names), *more])
        return model

    first = spectrum(("a", "3f4"), ("b", "f4"), ("c", "S2"), ("d", "i4"))
    second = spectrum(("a", "4f4"), ("b", "S3"), ("c", "S9"))
    second.set_units("spec_table", {"FLUX": "Jy"})
    assert [
        ("array", "spec_table[a]", "float32 x 3", "float32 x 4", ""),
        ("array", "spec_table[b]", "float32", "text", ""),
        ("array", "spec_table[d]", "int32", "absent", ""),
        ("unit", "spec_table[FLUX]", "absent", "Jy", ""),
    ] == compare(first, second)


def test_what_the_schema_does_not_know_is_compared(
    image: models.ImageModel, tmp_path: Path
) -> None:
    """Keywords and extensions of a file that nobody declared, in FITS and in ASDF."""
    plain = image.save(tmp_path / "plain.fits")
    for number in (1, 2):
        with fits.open(plain) as file:
            file[0].header["MINE"] = number
            file.append(fits.ImageHDU(np.array([number]), name="EXTRA"))
            file.writeto(tmp_path / f"{number}.fits")
    one, two = (models.open(tmp_path / f"{number}.fits") for number in (1, 2))
    same = models.open(one.copy().save(tmp_path / "one.asdf"))
    assert [] == compare(one, same)
    names = [("keyword", "PRIMARY MINE"), ("extension", "EXTRA,1")]
    assert names == [each[:2] for each in compare(same, two)]
    assert names == [each[:2] for each in compare(one, image)]
    assert (1, 2) == compare(one, two)[0][2:4]
