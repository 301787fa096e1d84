"""Geometry and pixels of the demo detectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe.demo.detectors import DETECTORS, FULL, find_detector, find_subarray
from stpipe.demo.electronics import ipc_kernel, make_electronics, nonlinear, saturation_level
from stpipe.demo.geometry import detector_columns, detector_rows, is_reference
from stpipe.demo.observation import plan
from stpipe.demo.pixels import make_pixels
from stpipe.errors import UsageError
from stpipe.models import dqflags

Array = npt.NDArray[np.generic]

INSTRUMENTS = sorted(DETECTORS)


def to_detector_frame(image: Array, fastaxis: int, slowaxis: int) -> Array:
    """Turn a science image to the detector frame as the reference-pixel step does."""
    if abs(fastaxis) == 1:
        return image[:: np.sign(slowaxis), :: np.sign(fastaxis)]
    return image[:: np.sign(fastaxis), :: np.sign(slowaxis)].T


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_readout_coordinates_are_those_of_the_turned_image(instrument: str) -> None:
    """Turning the map of detector columns to the detector frame gives 0, 1, 2, ... in each row."""
    detector = find_detector(instrument)
    frame = detector.frame

    columns = to_detector_frame(
        detector_columns(detector, frame), detector.fastaxis, detector.slowaxis
    )
    rows = to_detector_frame(detector_rows(detector, frame), detector.fastaxis, detector.slowaxis)

    expected_rows, expected_columns = np.indices(columns.shape)
    np.testing.assert_array_equal(expected_columns, columns)
    np.testing.assert_array_equal(expected_rows, rows)


@pytest.mark.parametrize(
    ("instrument", "subarray", "expected"),
    [
        ("NIRCAM", "SUB160", np.s_[-4:, :]),
        ("NIRCAM", "SUB160", np.s_[:, -4:]),
        ("NIRISS", "SUB80", np.s_[:4, :]),
        ("MIRI", "SUB64", np.s_[:, :4]),
    ],
)
def test_small_subarrays_hold_the_reference_pixels_of_their_corner(
    instrument: str, subarray: str, expected: tuple[slice, slice]
) -> None:
    detector = find_detector(instrument)

    reference = is_reference(detector, find_subarray(detector, subarray))

    assert reference[expected].all()
    assert not reference[8:-8, 8:-8].any()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_every_subarray_lies_on_the_detector(instrument: str) -> None:
    detector = find_detector(instrument)
    frame = detector.frame

    for subarray in detector.subarrays:
        assert subarray.xstart >= 1
        assert subarray.ystart >= 1
        assert subarray.xstart + subarray.xsize - 1 <= frame.xsize
        assert subarray.ystart + subarray.ysize - 1 <= frame.ysize


def test_pixels_of_a_subarray_are_the_cut_of_a_larger_one() -> None:
    """A pixel is the same in whatever subarray it is read."""
    detector = find_detector("NIRCAM")
    small, large = find_subarray(detector, "SUB160"), find_subarray(detector, "SUB320")
    y, x = small.ystart - large.ystart, small.xstart - large.xstart

    inner, outer = make_pixels(detector, small), make_pixels(detector, large)

    for name in vars(inner):
        cut = getattr(outer, name)[y : y + small.ysize, x : x + small.xsize]
        np.testing.assert_array_equal(cut, getattr(inner, name), err_msg=name)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_detectors_have_dead_and_hot_pixels(instrument: str) -> None:
    detector = find_detector(instrument)
    dq = make_pixels(detector, detector.subarrays[0]).dq

    dead = (dq & dqflags.DEAD) > 0
    assert dead.any()
    assert (dq[dead] & dqflags.DO_NOT_USE).all()
    assert (dq & dqflags.HOT).any()


@given(st.floats(0.0, 60_000.0))
def test_nonlinearity_inverts_the_linearity_polynomial(linear: float) -> None:
    """The polynomial of the reference file brings a signal back to a hundredth of a DN."""
    detector = find_detector("NIRISS")
    pixels = make_pixels(detector, find_subarray(detector, "SUB80"))

    x = nonlinear(np.full_like(pixels.gain, linear), pixels).astype(np.float64)

    np.testing.assert_allclose(
        x + pixels.quadratic * x**2 + pixels.cubic * x**3, linear, rtol=1e-6, atol=0.01
    )


def test_interpixel_capacitance_is_undone_by_the_kernel() -> None:
    """The kernel of the IPC reference, zero outside, gives the electronics' signal back."""
    observation = plan("NIRCAM")
    pixels = make_pixels(observation.detector, observation.subarray)
    rng = np.random.default_rng(0)
    charge = rng.uniform(0, 20_000, observation.subarray.shape).astype(np.float32)
    reference = is_reference(observation.detector, observation.subarray)

    raw = make_electronics(observation, pixels, np.random.default_rng(1)).read(charge, 0, 0)

    inside = np.pad(np.where(reference, 0, raw), 1).astype(np.float64)
    kernel = ipc_kernel(observation.detector)
    corrected = sum(
        kernel[j, i] * inside[j : j + raw.shape[0], i : i + raw.shape[1]]
        for j in range(3)
        for i in range(3)
    )
    signal = corrected - pixels.offset - nonlinear(charge, pixels)
    drifts = np.unique(np.round(signal[~reference], 1))
    assert drifts.size <= 4  # an odd and an even one, each perhaps rounded both ways


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_pixels_saturate_before_the_digits_run_out(instrument: str) -> None:
    detector = find_detector(instrument)
    level = saturation_level(detector, make_pixels(detector, detector.subarrays[0]))

    assert level.max() < np.iinfo(np.uint16).max
    assert level.min() > detector.offset


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: plan("NIRCOM"), 'no instrument "NIRCOM" (did you mean "NIRCAM"?)'),
        (lambda: plan("MIRI", subarray="SUB46"), 'subarray "SUB46" (did you mean "SUB64"?)'),
        (lambda: plan("NIRISS", readpatt="RAPID"), "it has NISRAPID, NIS"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(
    call: Callable[[], object], text: str
) -> None:
    with pytest.raises(UsageError) as error:
        call()
    assert text in str(error.value)


def test_full_frames_are_those_of_the_telescope() -> None:
    sizes = {name: find_subarray(find_detector(name), FULL).shape for name in INSTRUMENTS}

    nir = (2048, 2048)
    assert {"MIRI": (1024, 1032), "NIRCAM": nir, "NIRISS": nir, "NIRSPEC": nir} == sizes
