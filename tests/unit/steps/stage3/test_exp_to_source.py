"""Slits of a source from all exposures: what belongs together, and what it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dithered_slits
import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.steps.stage3.exp_to_source import ExpToSourceStep, label_of


def test_each_source_has_its_slits_with_what_is_known_of_their_exposures(tmp_path: Path) -> None:
    """Arrays, coordinates and metadata of each exposure; the file holds what memory held."""
    made = dithered_slits.exposures()
    sources = ExpToSourceStep().run(dithered_slits.write(tmp_path, made))

    assert ("s000000001-s200a1", "s000000012-s200a2") == sources.labels
    star, _ = sources
    with models.open(star.save(tmp_path / "x_cal.fits")) as stored:
        for source in (star, stored):
            assert len(made) == len(source.exposures)
            for exposure, part in zip(made, source.exposures, strict=True):
                slit = exposure.slits[0]
                np.testing.assert_array_equal(slit.data, part.data)
                number = exposure.meta.observation.exposure_number
                assert number == part.get("meta.observation.exposure_number")
                assert "SlitModel" == part.get("meta.model_type")
                assert "MJy" == part.meta.bunit_data
                np.testing.assert_allclose(slit.meta.wcs(30, 13), part.meta.wcs(30, 13), rtol=1e-12)


def slit(number: int, name: str = "", slit_name: str = "1") -> Any:
    return {"source_id": number, "source_name": name, "name": slit_name}


@pytest.mark.parametrize(
    ("kind", "slits", "label"),
    [
        ("NRS_MSASPEC", [slit(5, "1345_5")], "s000000005"),
        ("NRS_MSASPEC", [slit(7, "BKG_7")], "b000000007"),
        ("NRS_MSASPEC", [slit(-3, "VRT")], "v000000003"),
        ("NRS_FIXEDSLIT", [slit(1, slit_name="S200A1")] * 2, "s000000001-s200a1"),
        (
            "NRS_FIXEDSLIT",
            [slit(1, slit_name="S200A1"), slit(1, slit_name="S200A2")],
            "s000000001-s200a1-s200a2",
        ),
        ("NIS_WFSS", [slit(123)], "s000000123"),
    ],
)
def test_labels_are_those_of_the_archive(kind: str, slits: Any, label: str) -> None:
    """A letter for what the slitlet sees, nine digits, and the names of fixed slits."""
    assert label == label_of(slits, kind)


def test_names_tell_sources_apart_and_numbers_name_them(tmp_path: Path) -> None:
    """Two names with one number are refused: their products would have one name."""
    made = dithered_slits.exposures()
    for exposure in made:
        exposure.meta.exposure.type = "NRS_MSASPEC"
        for part, name in zip(exposure.slits, ("1345_1", "1345_2"), strict=True):
            part.source_name, part.source_id = name, 4
    with pytest.raises(InputError, match=r"1345_1 and 1345_2 have the same number.*4"):
        ExpToSourceStep().run(dithered_slits.write(tmp_path, made))


def test_headers_tell_which_sources_there_will_be(tmp_path: Path) -> None:
    """As long as the exposures are cut into slits already."""
    asn = dithered_slits.write(tmp_path)
    metas = [models.open_metadata(p).to_flat_dict() for p in sorted(tmp_path.glob("*_cal.fits"))]

    assert list(ExpToSourceStep().run(asn).labels) == ExpToSourceStep().parts(metas, {})
    assert ExpToSourceStep().parts([{"meta.exposure.type": "NRS_FIXEDSLIT"}], {}) is None
    assert ExpToSourceStep().parts([], {}) is None
