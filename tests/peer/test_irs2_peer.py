"""IRS2 readouts of NIRSpec agree with the peer: saturation, IPC, reference pixels.

Needs PEER_PYTHON. The layout of the detector is fixed, so frames are of full size.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stpipe import models
from stpipe.models import dqflags
from stpipe.science.ramps.irs2_frames import Interleaving
from stpipe.steps.stage1.ipc import step as ipc
from stpipe.steps.stage1.refpix import irs2
from stpipe.steps.stage1.saturation import step as saturation

Arrays = dict[str, npt.NDArray[Any]]
ROWS, SIZE = 3200, 2048
SAMPLES = 712 * SIZE


def meta(detector: str, **changes: Any) -> dict[str, Any]:
    """Metadata of an IRS2 readout."""
    sign = -1 if detector == "NRS2" else 1
    values = {
        "meta.instrument.name": "NIRSPEC",
        "meta.instrument.detector": detector,
        "meta.exposure.nrs_normal": 16,
        "meta.exposure.nrs_reference": 4,
        "meta.exposure.readpatt": "NRSIRS2",
        "meta.exposure.zero_frame": False,
        "meta.exposure.noutputs": 5,
        "meta.subarray.name": "FULL",
        "meta.subarray.xstart": 1,
        "meta.subarray.ystart": 1,
        "meta.subarray.xsize": SIZE,
        "meta.subarray.ysize": SIZE,
        "meta.subarray.fastaxis": 2 * sign,
        "meta.subarray.slowaxis": sign,
    }
    return values | {f"meta.{name.replace('__', '.')}": value for name, value in changes.items()}


def exposure(rng: np.random.Generator, shape: tuple[int, int]) -> Arrays:
    """Integrations and groups of counts with noise that outputs share."""
    nints, ngroups = shape
    full = (nints, ngroups, ROWS, SIZE)
    data = rng.normal(1000, 8, full).astype(np.float32)
    data += rng.normal(0, 20, (nints, ngroups, 1, SIZE)).astype(np.float32)
    data += rng.exponential(40, (ROWS, SIZE)).astype(np.float32) * np.arange(ngroups)[:, None, None]
    pixeldq = np.where(rng.random((ROWS, SIZE)) < 0.02, dqflags.HOT, 0).astype(np.uint32)
    return {
        "data": data.astype(np.float32),
        "groupdq": np.zeros(full, dtype=np.uint8),
        "pixeldq": pixeldq,
    }


def ramp_of(a: Arrays, values: dict[str, Any]) -> models.RampModel:
    """A ramp model of arrays and metadata."""
    ramp = models.RampModel()
    for name in ("data", "groupdq", "pixeldq"):
        setattr(ramp, name, a[name].copy())
    for name, value in values.items():
        ramp.set(name, value)
    return ramp


@pytest.mark.parametrize(("detector", "nframes", "grow"), [("NRS1", 5, 1), ("NRS2", 1, 0)])
def test_saturation(peer: Any, detector: str, nframes: int, grow: int) -> None:
    """Growth over science pixels only, the sudden second group, unchecked pixels."""
    rng = np.random.default_rng(grow)
    a = exposure(rng, (1, 4))
    rise = rng.exponential(4000, (ROWS, SIZE)) * np.arange(4)[:, None, None]
    a["data"] = np.round(a["data"] + rise).astype(np.float32)
    sudden = rng.random((ROWS, SIZE)) < 0.01
    a["data"][0, 1, sudden] += 35000
    a["data"][0, 2:, sudden] = 60000
    a["data"][0, 2, rng.random((ROWS, SIZE)) < 0.001] = 0
    threshold = rng.normal(45000, 3000, (SIZE, SIZE)).astype(np.float32)
    threshold[rng.random((SIZE, SIZE)) < 0.01] = np.nan
    dq = np.where(rng.random((SIZE, SIZE)) < 0.01, dqflags.NO_SAT_CHECK, 0).astype(np.uint32)
    bias = rng.normal(1000, 30, (ROWS, SIZE)).astype(np.float32)
    values = meta(detector, exposure__nframes=nframes, exposure__ngroups=4)
    parameters = {"meta": values, "grow": grow, "use_readpatt": True}
    expected = peer(
        "interleaved_saturation", parameters, **a, threshold=threshold, dq=dq, bias=bias
    )

    step = saturation.SaturationStep(n_pix_grow_sat=grow)
    ramp = ramp_of(a, values)
    references: Any = {
        "saturation": SimpleNamespace(data=threshold, dq=dq),
        "superbias": SimpleNamespace(data=bias),
    }
    step.correct(ramp, references)

    np.testing.assert_array_equal(expected["groupdq"], ramp.groupdq)
    np.testing.assert_array_equal(expected["pixeldq"], ramp.pixeldq)
    flagged = (ramp.groupdq[0, 1] & dqflags.SATURATED) != 0
    assert np.count_nonzero(flagged & (a["data"][0, 1] < 40000)) > 1000 or nframes == 1


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_ipc(peer: Any, detector: str) -> None:
    """Neighbours are those of the detector."""
    rng = np.random.default_rng(5)
    a = exposure(rng, (1, 2))
    kernel = rng.normal(0, 0.01, (3, 3)).astype(np.float32)
    kernel[1, 1] += 1
    expected = peer("interleaved_ipc", {"meta": meta(detector)}, **a, kernel=kernel)

    ramp = ramp_of(a, meta(detector))
    ipc.IPCStep().correct(ramp, {"ipc": SimpleNamespace(data=kernel)})  # type: ignore[dict-item]

    np.testing.assert_allclose(ramp.data, expected["data"], rtol=2e-5, atol=1e-2)


def spectra(rng: np.random.Generator) -> npt.NDArray[Any]:
    """Weights of four outputs, real and imaginary parts in turn, most at low frequencies."""
    frequency = np.abs(np.fft.fftfreq(SAMPLES)) * SAMPLES
    table = rng.normal(0, 0.02, (8, SAMPLES, 2)) + (0.6 / (1 + frequency / 3e4))[:, None]
    return table.reshape(8, -1).astype(np.float32)


SPECTRA = tuple(f"{name}_{n}" for name in ("alpha", "beta") for n in range(4))


def columns(values: npt.NDArray[Any], kind: str, names: tuple[str, ...]) -> npt.NDArray[Any]:
    """A table of named columns."""
    table = np.zeros(values.shape[1], dtype=[(name, kind) for name in names])
    for name, column in zip(names, values, strict=True):
        table[name] = column
    return table


MASKS = (0x11001001, 0x80000001, 0x00330000, 0xF)
CASES = [
    ("NRS1", (1, 2), {}),
    ("NRS2", (2, 1), {"listed": True, "means": True}),
    ("NRS2", (1, 2), {"preserve": True, "means": True, "by_parity": False}),
    ("NRS1", (1, 2), {"listed": True, "preserve": True}),
]


@pytest.mark.parametrize(("detector", "shape", "options"), CASES)
def test_refpix(peer: Any, detector: str, shape: tuple[int, int], options: dict[str, bool]) -> None:
    """Bad samples found, flagged and listed; noise by frequency; all outputs."""
    rng = np.random.default_rng(shape[0])
    a = exposure(rng, shape)
    layout = Interleaving(flipped=detector == "NRS2")
    reference_rows = np.flatnonzero(~layout.science_rows)
    a["pixeldq"][rng.choice(reference_rows, 12), 7] |= dqflags.BAD_REF_PIXEL
    a["data"][..., rng.choice(reference_rows, 9), :] += np.float32(300)
    neighbours = reference_rows[(reference_rows > 1300) & (reference_rows < 1400)]
    a["pixeldq"][neighbours, 3] |= dqflags.BAD_REF_PIXEL  # none nearby to replace them
    flags = {"preserve": False, "means": False, "by_parity": True, "listed": False} | options
    listed = np.array([(n, 1 + n // 3, mask) for n, mask in enumerate(MASKS, 1)], dtype=np.uint32)
    listed = listed if flags["listed"] else listed[:0]
    table = spectra(rng)
    parameters = flags | {"meta": meta(detector), "sigma": 3.0, "siglimit": 3.0}
    expected = peer("interleaved_refpix", parameters, **a, table=table, listed=listed)

    ramp = ramp_of(a, meta(detector))
    reference = models.IRS2Model()
    reference.irs2_table = columns(table, "f4", SPECTRA)
    reference.dq_table = columns(listed.T, "u4", ("OUTPUT", "ODD_EVEN", "MASK"))
    rules = irs2.InterleavedRules(3.0, flags["preserve"], flags["means"], flags["by_parity"], 3.0)
    irs2.correct_interleaved(ramp, reference, rules)

    np.testing.assert_array_equal(expected["groupdq"], ramp.groupdq)
    np.testing.assert_array_equal(expected["pixeldq"], ramp.pixeldq)
    # A sample that equals its mean over the groups counts as not read: the peer rounds the means of
    # the edges to single precision, so that it finds other ones.
    close = np.isclose(ramp.data, expected["data"], rtol=2e-5, atol=2e-3)
    assert np.count_nonzero(~close) <= (1e-4 * close.size if flags["means"] else 0)
    assert (ROWS if flags["preserve"] else SIZE, SIZE) == ramp.data.shape[-2:]
