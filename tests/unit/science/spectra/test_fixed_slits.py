"""Which references an exposure of shutters needs for fixed slits that are used beside them."""

from __future__ import annotations

from pathlib import Path

import nirspec_slits
import numpy as np
import pytest
from astropy.io import fits

from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.flat_field.step import FlatFieldStep
from stpipe.steps.stage2.pathloss.step import PathLossStep
from stpipe.steps.stage2.photom.step import PhotomStep
from stpipe.steps.stage2.wavecorr import WavecorrStep

STEPS = (Extract1dStep, FlatFieldStep, PathLossStep, PhotomStep, WavecorrStep)
META = {
    "meta.exposure.type": "NRS_MSASPEC",
    "meta.instrument.msa_metadata_file": "x_msa.fits",
    "meta.instrument.msa_metadata_id": 5,
    "meta.dither.position_number": 1,
}
ROWS = [("", 5, 1, "Y"), ("S200A1", 5, 1, "Y"), ("S1600A1", 5, 2, "Y"), ("S400A1", 5, 3, "N")]


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    """Its metafile opens fixed slits in two of three dithers, one of them without a source."""
    kinds = "fixed_slit U10, msa_metadata_id i4, dither_point_index i4, primary_source U1"
    table = np.array(ROWS, [tuple(kind.split()) for kind in kinds.split(", ")])
    names = ("SHUTTER_INFO", "SOURCE_INFO")
    tables = [fits.BinTableHDU(table, name=name) for name in names]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(tmp_path / "x_msa.fits")
    return tmp_path / "x_rate.fits"


@pytest.mark.parametrize("cls", STEPS)
@pytest.mark.parametrize(("dither", "fixed"), [(1, True), (2, True), (3, False), (4, False)])
def test_the_metafile_tells_before_slits_are_cut_out(
    exposure: Path, cls: type, dither: int, *, fixed: bool
) -> None:
    """So a project knows its references; without a metafile there are none."""
    step = cls()
    step.use(source=exposure)
    wanted = step.wanted_references({**META, "meta.dither.position_number": dither})
    plain = [name for name in wanted if not name.startswith("fixed_slit_")]
    assert [*plain, *(f"fixed_slit_{name}" for name in plain if fixed)] == list(wanted)
    assert plain
    step.use(source=exposure.parent / "elsewhere/x_rate.fits")
    assert plain == list(step.wanted_references(META))


def test_slits_that_are_cut_out_tell_themselves() -> None:
    """Wherever their metafile is."""
    step = FlatFieldStep()
    for exposure, fixed in (
        (nirspec_slits.shutters(), False),
        (nirspec_slits.shutters_and_fixed_slit(), True),
        (nirspec_slits.fixed_slits(), False),
    ):
        wanted = step.wanted_references(exposure.to_flat_dict())
        assert fixed == ("fixed_slit_fflat" in wanted)
