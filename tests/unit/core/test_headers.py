"""Headers that arithmetic relies on are checked against physics and the arrays, for all steps alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from stpipe import Detector1Pipeline, JumpStep, SuperBiasStep, models
from stpipe.core.headers import READOUT
from stpipe.errors import InputError
from stpipe.graph.tracing import trace
from stpipe.steps.stage2.resample import ResampleStep

Change = Callable[..., Path]


@pytest.fixture
def changed(exposures: list[Path], crds: Path, tmp_path: Path) -> Change:
    """An exposure with other keywords: `changed(TGROUP=0)`."""
    del crds
    (nis,) = (path for path in exposures if "_nis_" in path.name)

    def write(**keywords: Any) -> Path:
        with fits.open(nis) as file:
            for name, value in keywords.items():
                file[0].header[name] = value
            file.writeto(tmp_path / "x_uncal.fits")
        return tmp_path / "x_uncal.fits"

    return write


@pytest.mark.parametrize(
    ("keyword", "value", "allowed"),
    [
        ("TGROUP", 0.0, "allowed: 0.0001 to 100000 s"),
        ("TGROUP", -5.0, "allowed: 0.0001 to"),
        ("TGROUP", 1e-30, "allowed: 0.0001 to"),
        ("TGROUP", 1e30, "allowed: 0.0001 to"),
        ("TFRAME", 0.0, "allowed: 0.0001 to"),
        ("NFRAMES", 0, "allowed: whole numbers, 1 to 65535"),
        ("NFRAMES", 10**9, "allowed: whole numbers"),
        ("GROUPGAP", -1, "allowed: whole numbers, 0"),
        ("NGROUPS", 99, "but the array has 8 groups"),
        ("NINTS", 99, "but the array has 3"),
        ("EFFINTTM", -1.0, "allowed: 0.0001 to"),
    ],
)
@pytest.mark.parametrize("cls", [Detector1Pipeline, SuperBiasStep, JumpStep])
def test_values_that_cannot_be_are_refused(
    changed: Change, cls: Any, keyword: str, value: float, allowed: str
) -> None:
    with pytest.raises(InputError) as refused:
        cls.call(changed(**{keyword: value}))

    assert 3 == refused.value.exit_code
    assert "x_uncal.fits" in str(refused.value)
    assert f"{keyword} (meta." in str(refused.value)
    assert allowed in str(refused.value)


@pytest.mark.parametrize("name", READOUT)
@pytest.mark.parametrize("value", [math.nan, math.inf, -1e9, 1e30])
def test_models_in_memory_are_looked_at_alike(name: str, value: float) -> None:
    """Every readout value of every ramp, also those that a user has set."""
    ramp = models.RampModel(np.zeros((1, 3, 4, 4), dtype=np.float32))
    if ramp.schema.fields[name].type == "integer":
        value = int(value) if math.isfinite(value) else -(10**9)
    ramp.set(name, value)

    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        SuperBiasStep().run(ramp)


def test_parts_of_an_exposure_have_their_own_count(changed: Change) -> None:
    """NINTS counts all integrations, of which a segment has some."""
    path = changed(NINTS=90, EXSEGTOT=30, EXSEGNUM=2, INTSTART=4, INTEND=6)
    assert Detector1Pipeline.call(path).rateints.shape[0] == 3

    path.unlink()
    with pytest.raises(InputError, match=r"INTEND \(meta.exposure.integration_end\) tells of 4"):
        Detector1Pipeline.call(changed(NINTS=90, EXSEGTOT=30, EXSEGNUM=2, INTSTART=4, INTEND=7))


@pytest.mark.parametrize("dtype", ["i4", "i8"])
def test_counts_of_another_kind_are_refused(
    exposures: list[Path], tmp_path: Path, dtype: str
) -> None:
    """What is wider than uint16 would wrap around."""
    with fits.open(exposures[0]) as file:
        file["SCI"].data = file["SCI"].data.astype(dtype)
        file.writeto(tmp_path / "x_uncal.fits")

    with pytest.raises(InputError, match="allowed is uint16"):
        models.open(tmp_path / "x_uncal.fits")


def test_flags_of_a_wider_type_are_read_or_refused(tmp_path: Path) -> None:
    """As other software writes them; a bit that does not fit is never lost silently."""
    image = models.ImageModel(np.zeros((3, 4), dtype=np.float32))
    image.dq = np.ones((3, 4), dtype=np.uint32)
    image.save(tmp_path / "x_rate.fits")
    for bit, fits_in in ((2**31, True), (2**33, False)):
        with fits.open(tmp_path / "x_rate.fits") as file:
            file["DQ"] = fits.ImageHDU(np.full((3, 4), bit, dtype=np.int64), name="DQ")
            file.writeto(tmp_path / "y_rate.fits", overwrite=True)
        with models.open(tmp_path / "y_rate.fits") as wide:
            if fits_in:
                assert (wide.dq == bit).all()
            else:
                with pytest.raises(InputError, match="uint32 is allowed"):
                    _ = wide.dq


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("FASTAXIS", 0), ("SLOWAXIS", 0), ("SUBSTRT1", 0)],
)
def test_places_that_no_detector_has_are_refused(changed: Change, keyword: str, value: int) -> None:
    """Axes are numbered from 1, and their sign is the direction; 0 is none."""
    with pytest.raises(InputError, match=rf"{keyword} \(meta.* is {value}, allowed: "):
        Detector1Pipeline.call(changed(**{keyword: value}))


def test_members_of_a_library_are_looked_at_alike(tmp_path: Path) -> None:
    """Metadata that a step uses must make sense; what is absent may be."""
    image = models.ImageModel(np.zeros((4, 4), np.float32))
    image.meta.wcsinfo.s_region = "POLYGON ICRS  1 1 2 1 2 2 1 2"
    paths = [image.save(tmp_path / "a_cal.fits")]
    image.meta.exposure.exposure_time = -1.0
    paths.append(image.save(tmp_path / "b_cal.fits"))
    wrong = r"b_cal.fits: EFFEXPTM \(meta.exposure.exposure_time\) is -1.0, allowed: 0 to"
    with pytest.raises(InputError, match=wrong):
        ResampleStep().run(paths)


@pytest.mark.parametrize("planned", [True, False])
def test_counts_that_a_header_lacks_are_those_of_the_array(changed: Change, planned: bool) -> None:
    """No step takes a ramp without NGROUPS for one of no groups and leaves it as it is."""
    path = changed(NGROUPS=None, NINTS=None)
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["NGROUPS"], hdus[0].header["NINTS"]
    if planned:
        assert "jump" in [node.name for node in trace(Detector1Pipeline(), path).nodes]
    else:
        assert "COMPLETE" == JumpStep().run(path).meta.cal_step.jump
