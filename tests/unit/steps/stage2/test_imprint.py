"""Imprints of NIRSpec's shutters: which belongs to an exposure, and what is left without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.science.background.imprints import matching_imprint
from stpipe.steps.stage2.bkg_subtract import BackgroundStep
from stpipe.steps.stage2.imprint import ImprintStep

Place = tuple[int, str, bool]  # dither, observation, background target


def header(place: Place, kind: str = "NRS_IFU") -> dict[str, Any]:
    dither, observation, background = place
    return {
        "meta.exposure.type": kind,
        "meta.dither.position_number": dither,
        "meta.observation.observation_number": observation,
        "meta.observation.bkgdtarg": background,
    }


@pytest.mark.parametrize(
    ("imprints", "expected"),
    [
        ([(7, "9", True)], 0),  # one alone, whatever it is
        ([(2, "1", False), (1, "1", True), (1, "1", False), (1, "1", False)], 2),
        ([(1, "2", True), (4, "1", False)], 1),  # the only one of its kind of target
        ([(2, "1", False), (3, "1", False)], None),
        ([(1, "1", True), (1, "1", True)], None),
        ([], None),
    ],
)
def test_the_imprint_of_an_exposure(imprints: list[Place], expected: int | None) -> None:
    """One alone; else that of its place in the pattern; else the only one that it can be."""
    assert expected == matching_imprint(header((1, "1", False)), list(map(header, imprints)))


def test_shutters_share_the_first() -> None:
    """Whatever else their association lists."""
    imprints = [header((4, "2", True)), header((1, "1", False))]
    assert 0 == matching_imprint(header((1, "1", False), "NRS_MSASPEC"), imprints)


def rate(level: float, place: Place = (1, "1", False), kind: str = "NRS_IFU") -> Any:
    shape = (20, 30)
    image = models.IFUImageModel() if kind == "NRS_IFU" else models.ImageModel()
    image.data = np.full(shape, level, np.float32)
    image.dq = np.zeros(shape, np.uint32)
    image.dq[3, int(level) % 30] = 4
    image.err = np.full(shape, 0.5, np.float32)
    image.var_poisson, image.var_rnoise = (np.full(shape, v, np.float32) for v in (0.09, 0.16))
    for name, value in header(place, kind).items():
        image.set(name, value)
    for name, value in {"xstart": 1, "ystart": 1}.items():
        image.set(f"meta.subarray.{name}", value)
    return image


def saved(folder: Path, **images: Any) -> dict[str, str]:
    """Files of images."""
    return {name: str(image.save(folder / f"{name}_rate.fits")) for name, image in images.items()}


def test_what_is_left(tmp_path: Path) -> None:
    """Values less the imprint, flags of both; noise only when it is asked for."""
    files = saved(tmp_path, one=rate(2), other=rate(9, (2, "1", False)))
    exposure = rate(7)
    less = ImprintStep(imprint_list=[files["other"], files["one"]]).run(exposure)

    assert "COMPLETE" == less.meta.cal_step.imprint
    assert (less.data == 5).all()
    assert (4, 4, 0) == (less.dq[3, 7], less.dq[3, 2], less.dq[3, 9])
    np.testing.assert_array_equal(exposure.err, less.err)
    noisy = ImprintStep(imprint_list=[files["one"]], add_variances=True).run(exposure)
    np.testing.assert_allclose(noisy.err, np.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(noisy.var_rnoise, 0.32, rtol=1e-6)


def test_exposures_without_an_imprint_of_theirs(tmp_path: Path) -> None:
    """Skipped with the reason; one of other pixels is refused."""
    files = saved(tmp_path, one=rate(2, (3, "1", False)), two=rate(2, (4, "1", False)))
    for lists, kind in (([], "NRS_IFU"), (list(files.values()), "NRS_IFU"), ([], "NRS_FIXEDSLIT")):
        exposure = rate(7, kind=kind)
        assert "SKIPPED" == ImprintStep(imprint_list=lists).run(exposure).meta.cal_step.imprint
    small = rate(7)
    small.data, small.dq = small.data[:9], small.dq[:9]
    with pytest.raises(InputError, match=r"of shape \(20, 30\), the exposure of \(9, 30\)"):
        ImprintStep(imprint_list=[files["one"]]).run(small)


def test_backgrounds_are_treated_as_the_exposure(tmp_path: Path) -> None:
    """An imprint that both have is in neither, or in both."""
    images = {"imprint": rate(2), "background": rate(3), "done": rate(1)}
    images["done"].meta.cal_step.imprint = "COMPLETE"
    files = saved(tmp_path, **images)
    for imprint, left in ((True, 7 - 2 - 1), (False, 7 - 3)):
        exposure = ImprintStep(imprint_list=[files["imprint"]] * imprint).run(rate(7))
        step = BackgroundStep(bkg_list=[files["background"]], imprint_list=[files["imprint"]])
        np.testing.assert_allclose(step.run(exposure).data, left)
        step = BackgroundStep(bkg_list=[files["done"]], imprint_list=[files["imprint"]])
        np.testing.assert_allclose(step.run(exposure).data, 6 - 2 * imprint)
