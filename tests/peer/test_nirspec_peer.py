"""Steps of NIRSpec's slits beside those of the peer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nirspec_slits
import numpy as np
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.steps.stage2.flat_field.step import FlatFieldStep
from stpipe.steps.stage2.wavecorr import WavecorrStep

Peer = Callable[..., Path]
EXPOSURES = {
    "fixed_slits": nirspec_slits.fixed_slits,
    "shutters": nirspec_slits.shutters,
    "bright_object": nirspec_slits.bright_object,
}


@pytest.fixture(params=sorted(EXPOSURES))
def exposure(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(EXPOSURES[request.param]().save(tmp_path / "x_srctype.fits"))


def slits(theirs: Path, ours: Path) -> Iterator[tuple[Any, Any]]:
    """Each slit of both products, which have the same arrays and flags."""
    with models.open(theirs) as expected, models.open(ours) as found:
        assert type(expected) is type(found)
        several = hasattr(expected, "slits")
        pairs = zip(expected.slits, found.slits, strict=True) if several else [(expected, found)]
        for one, other in pairs:
            assert one.name == other.name
            assert set(one.shapes) == set(other.shapes)
            np.testing.assert_array_equal(one.dq, other.dq)
            for name in set(one.shapes) - {"dq"}:
                np.testing.assert_allclose(
                    getattr(one, name),
                    getattr(other, name),
                    rtol=1e-5,
                    err_msg=f"{one.name} {name}",
                )
            yield one, other


def test_wavecorr(peer_step: Peer, exposure: Path, tmp_path: Path) -> None:
    """Wavelengths of the same sources; the peer leaves the bright object's keyword unset."""
    parameters = {"override_wavecorr": nirspec_slits.wavecorr(tmp_path / "wavecorr.asdf")}
    theirs = peer_step("jwst.wavecorr:WavecorrStep", exposure, **parameters)
    ours = Path(WavecorrStep(**parameters).run(exposure).save(tmp_path / "x_wavecorr.fits"))

    for expected, found in slits(theirs, ours):
        assert expected.get("wavelength_corrected") in (None, found.wavelength_corrected)
    peer_step("read", ours)


def test_flat_field(peer_step: Peer, exposure: Path, tmp_path: Path) -> None:
    """The same values, flags and interpolated flats, of references with holes; and back again."""
    parameters = flats(tmp_path, exposure)
    theirs = peer_step("jwst.flatfield:FlatFieldStep", exposure, **parameters, override_flat="N/A")
    step = FlatFieldStep(save_interpolated_flat=True, **parameters)
    ours = Path(step.run(exposure).save(tmp_path / "x_flat_field.fits"))
    kept = Path(step.side_products["interpolated_flat"].save(tmp_path / "x_interpolatedflat.fits"))

    assert all(np.isfinite(one.data).mean() > 0.3 for one, _ in slits(theirs, ours))
    back = {"user_supplied_flat": str(kept), "inverse": True}
    theirs = peer_step("jwst.flatfield:FlatFieldStep", ours, **back)
    ours = Path(FlatFieldStep(**back).run(ours).save(tmp_path / "y_flat_field.fits"))
    assert list(slits(theirs, ours))


def test_fixed_slits_among_shutters(peer_step: Peer, tmp_path: Path) -> None:
    """The peer calibrates them as an exposure of fixed slits."""
    alone = Path(nirspec_slits.fixed_slits().save(tmp_path / "x_srctype.fits"))
    mixed = Path(nirspec_slits.shutters_and_fixed_slit().save(tmp_path / "y_srctype.fits"))
    zero = {"override_wavecorr": nirspec_slits.wavecorr(tmp_path / "wavecorr.asdf")}
    for name in ("shutters", "fixed"):
        (tmp_path / name).mkdir()
    of_shutters, of_fixed = flats(tmp_path / "shutters", mixed), flats(tmp_path / "fixed", alone)

    theirs = peer_step("jwst.wavecorr:WavecorrStep", alone, **zero)
    corrected = WavecorrStep(**zero, **nirspec_slits.for_fixed_slits(zero)).run(mixed)
    theirs = peer_step("jwst.flatfield:FlatFieldStep", theirs, **of_fixed, override_flat="N/A")
    step = FlatFieldStep(**of_shutters, **nirspec_slits.for_fixed_slits(of_fixed))
    found = step.run(corrected).slits[-1]
    with models.open(theirs) as expected:
        slit = expected.slits[0]
        assert slit.name == found.name == "S200A1"
        np.testing.assert_array_equal(slit.dq, found.dq)
        assert np.isfinite(found.data).mean() > 0.3
        for name in ("data", "err", "var_flat", "wavelength", "flatfield_point"):
            one, other = getattr(slit, name), getattr(found, name)
            np.testing.assert_allclose(one, other, rtol=1e-5, err_msg=name)


def flats(folder: Path, exposure: Path) -> dict[str, str]:
    """References with wavy tables of their own range, and pixels that are flagged, NaN or 0."""
    with models.open(exposure) as model:
        shutters = model.meta.exposure.type == "NRS_MSASPEC"
    rng = np.random.default_rng(8)
    rows = {"S200A1": wavy(0.1, 1.65), "S1600A1": wavy(0.7, 2), "ANY": wavy(1.3, 2)}
    detector, flags = holed(nirspec_slits.flat_planes(1), rng)
    image = nirspec_slits.PLANES if shutters else nirspec_slits.PLANES[:1]
    spectrograph, unusable = holed(nirspec_slits.flat_planes(2, image), rng)
    if not shutters:
        spectrograph, unusable = spectrograph[0], unusable[0]
    if shutters:
        fflat = nirspec_slits.quadrants(folder / "fflat.fits", lambda q, x, y, w: q + x * w + y)
    else:
        fflat = nirspec_slits.fflat(folder / "fflat.fits", rows)
    made = {
        "fflat": fflat,
        "sflat": nirspec_slits.sflat(folder / "sflat.fits", spectrograph, rows, unusable),
        "dflat": nirspec_slits.dflat(
            folder / "dflat.fits", detector, {"ANY": wavy(2.0, 2)}, flags[0]
        ),
    }
    return {f"override_{kind}": path for kind, path in made.items()}


def wavy(phase: float, end: float) -> Callable[[Any], Any]:
    """A response that varies within a few pixels, and is not known beyond its end."""
    return lambda wave: np.where(wave < end, 1 + 0.2 * np.sin(40 * wave + phase), np.nan)


def holed(planes: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Planes with NaN, 0 and negative pixels, and flags that exclude pixels or not."""
    dq = np.zeros(planes.shape, np.uint32)
    for value in (np.nan, 0.0, -1.0):
        planes[rng.random(planes.shape) < 0.01] = value
    for flag in (dqflags.DO_NOT_USE, dqflags.NO_FLAT_FIELD, dqflags.UNRELIABLE_FLAT):
        dq[rng.random(planes.shape) < 0.02] |= np.uint32(flag)
    return planes, dq
