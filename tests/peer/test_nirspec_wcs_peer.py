"""Coordinates of NIRSpec beside those of the peer: images, prism and gratings, slices, lamps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nirspec_optics
import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage2.assign_wcs.step import AssignWcsStep
from stpipe.steps.stage2.extract_2d.step import Extract2dStep

Peer = Callable[..., Path]
# How far ours are from the peer's, in the units of a frame. Places along a slit and wavelengths of the
# prism are looked up in tables.
WITHIN = {"slit_frame": 3e-7, "world": 5e-9, "v2v3": 1e-6, "v2v3vacorr": 1e-6}


@dataclass(frozen=True)
class Case:
    """An exposure: its type and detector, and what of its header and optics is not usual."""

    kind: str
    detector: str = "NRS1"
    header: Mapping[str, Any] = field(default_factory=dict)
    optics: Mapping[str, str] = field(default_factory=dict)


PRISM = {"disperser": "disperser_0034", "fore": "fore_0028"}
MIRROR = {"disperser": "disperser_0038", "fore": "fore_0022"}
HIGH = {"disperser": "disperser_0035", "fore": "fore_0022"}
PRISM_HEADER = {"instrument.grating": "PRISM", "instrument.filter": "CLEAR"}
OPAQUE = {"instrument.filter": "OPAQUE", "instrument.lamp_state": "LINE1"}
WHOLE = {
    "image": Case(
        "NRS_IMAGE", "NRS1", {"instrument.grating": "MIRROR", "instrument.filter": "F290LP"}, MIRROR
    ),
    "acquisition": Case(
        "NRS_TACQ", "NRS2", {"instrument.grating": "MIRROR", "instrument.filter": "CLEAR"}, MIRROR
    ),
    "image of a lamp": Case(
        "NRS_IMAGE", "NRS2", {**OPAQUE, "instrument.grating": "MIRROR"}, MIRROR
    ),
    "slices, prism": Case("NRS_IFU", "NRS1", PRISM_HEADER, PRISM),
    "slices of a lamp": Case("NRS_LAMP", "NRS1", {**OPAQUE, "instrument.lamp_mode": "IFU"}),
    "slices, NRS2": Case(
        "NRS_IFU", "NRS2", {"instrument.grating": "G395H", "instrument.filter": "F290LP"}, HIGH
    ),
}
SLITS = {
    "prism": Case("NRS_FIXEDSLIT", "NRS1", PRISM_HEADER, PRISM),
    "lamp": Case("NRS_LAMP", "NRS1", {**OPAQUE, "instrument.lamp_mode": "FIXEDSLIT"}),
    "lamp, shutters": Case("NRS_AUTOFLAT", "NRS1", OPAQUE),
}


def files(case: Case, folder: Path) -> tuple[Path, dict[str, str]]:
    """A file of an exposure, and its references as parameters of both."""
    exposure = nirspec_optics.exposure(case.kind, case.detector)
    for name, value in case.header.items():
        exposure.set(f"meta.{name}", value)
    if case.kind == "NRS_AUTOFLAT":
        # The peer looks for the metafile of a lamp in the current folder.
        metafile = nirspec_optics.metafile(folder / "x_msa.fits")
        exposure.meta.instrument.msa_metadata_file = str(metafile)
        exposure.meta.instrument.msa_metadata_id = 5
    references = {
        **nirspec_optics.optics(**case.optics),
        "msa": nirspec_optics.msa(folder / "msa.asdf"),
        "chromcorr": nirspec_optics.chromcorr(folder / "chromcorr.asdf"),
        **dict.fromkeys(("distortion", "filteroffset", "specwcs"), "N/A"),
    }
    parameters = {f"override_{name}": path for name, path in references.items()}
    return Path(exposure.save(folder / "x_rate.fits")), parameters


def same_coordinates(expected: Any, found: Any, pixels: list[Any]) -> None:
    """The same frames, and the same places in each of them, there and back."""
    assert list(expected["frames"]) == found.available_frames
    first, *frames = found.available_frames
    for frame in frames:
        there = found.get_transform(first, frame)(*pixels)
        for left, right in zip(expected[frame], there, strict=True):
            atol = WITHIN.get(frame, 1e-9)
            np.testing.assert_allclose(left, right, rtol=0, atol=atol, err_msg=frame)
    there = expected[frames[-1]]
    back = found.get_transform(frames[-1], first)
    if len(there) < 3:
        # The way back of the peer takes a place for the wavelength of an image. That of the
        # collimator's reference is good to half a pixel.
        middle = (abs(pixels[0] - 1024) < 500) & (abs(pixels[1] - 1024) < 500)
        same = [axis[middle] for axis in pixels]
        np.testing.assert_allclose(back(*there[:, middle]), same, rtol=0, atol=0.5)
    elif frames[-1] != "msa":
        known = np.isfinite(there[-1])
        other = back(*there[:, known])
        np.testing.assert_allclose(expected["back"][:, known], other, rtol=0, atol=1e-5)


def same_keywords(expected: Any, found: Any) -> None:
    """What the header says of coordinates."""
    for name in ("waverange_start", "waverange_end", "spectral_order", "specsys"):
        assert expected.get(f"meta.wcsinfo.{name}") == found.get(f"meta.wcsinfo.{name}"), name
    one, other = (model.get("meta.wcsinfo.s_region") for model in (expected, found))
    assert (one is None) == (other is None)
    if one is not None:
        numbers = (np.array(region.split()[2:], float) for region in (one, other))
        np.testing.assert_allclose(*numbers, rtol=0, atol=1e-8)


def same_slices(peer_step: Peer, theirs: Path, found: Any, regions: Any) -> None:
    """The same places in the plane of the shutters, where the peer has to be told the slice."""
    for number in (1, 14, 30):
        y, x = (axis[::997].astype(float) for axis in np.nonzero(regions == number))
        inputs = [x.tolist(), y.tolist(), number - 1]
        one = np.load(peer_step("frames", theirs, inputs=inputs, only=["msa_frame"]))["msa_frame"]
        for left, right in zip(one[:3], found(x, y), strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", WHOLE)
def test_images_and_slices(peer_step: Peer, tmp_path: Path, name: str) -> None:
    """One gwcs for all pixels."""
    source, parameters = files(WHOLE[name], tmp_path)
    theirs = peer_step(
        "jwst.assign_wcs:AssignWcsStep", source, **parameters, override_regions="N/A"
    )
    ours = AssignWcsStep(**parameters).run(source).save(tmp_path / "x_assign_wcs.fits")

    with models.open(theirs) as expected, models.open(ours) as found:
        y, x = (axis.ravel() for axis in np.mgrid[7:2048:31.0, 3:2048:37.0])
        if found.has("regions"):
            y, x = (axis[::1709].astype(float) for axis in np.nonzero(found.regions))
        if expected.has("regions"):
            np.testing.assert_array_equal(expected.regions, found.regions)
        if name == "slices of a lamp":
            same_slices(peer_step, theirs, found.meta.wcs, np.asarray(found.regions))
        else:
            coordinates = np.load(peer_step("frames", theirs, inputs=[x.tolist(), y.tolist()]))
            same_coordinates(coordinates, found.meta.wcs, [x, y])
        same_keywords(expected, found)
    peer_step("read", ours)


@pytest.mark.parametrize("name", SLITS)
def test_slits(peer_step: Peer, tmp_path: Path, name: str) -> None:
    """One gwcs for each slit, in its cutout."""
    source, parameters = files(SLITS[name], tmp_path)
    with models.open(source) as exposure:
        exposure.err = exposure.var_poisson = exposure.var_rnoise = np.ones_like(exposure.data)
        exposure.save(source)
    theirs = peer_step(
        "jwst.assign_wcs:AssignWcsStep", source, **parameters, override_regions="N/A"
    )
    theirs = peer_step("jwst.extract_2d:Extract2dStep", theirs, override_wavelengthrange="N/A")
    ours = Extract2dStep().run(AssignWcsStep(**parameters).run(source))

    with models.open(theirs) as expected:
        assert [slit.name for slit in expected.slits] == [slit.name for slit in ours.slits]
        for one, other in zip(expected.slits, ours.slits, strict=True):
            for path in ("xstart", "ystart", "xsize", "ysize", "source_id", "quadrant"):
                assert one.get(path) == other.get(path), path
            np.testing.assert_allclose(one.wavelength, other.wavelength, rtol=1e-6)
