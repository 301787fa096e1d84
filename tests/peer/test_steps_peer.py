"""The arithmetic of every step agrees with the peer: flags bit for bit, values to float32 rounding.

Needs PEER_PYTHON, an interpreter with the `jwst` package. Ramps are random, small and full of what
goes wrong: flags of all kinds, NaN, saturation, jumps, ramps of one, two and three groups.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asdf
import numpy as np
import numpy.typing as npt
import pytest

from stpipe.errors import Skip
from stpipe.models import dqflags
from stpipe.references.selection import Reference
from stpipe.science.arrays import known_or_zero
from stpipe.science.ramps import fitting, likelihood, samples
from stpipe.steps.stage1 import (
    charge_migration,
    dark_current,
    emicorr,
    firstframe,
    gain_scale,
    group_scale,
    lastframe,
    linearity,
    persistence,
    reset,
    rscd,
    superbias,
)
from stpipe.steps.stage1.ipc import step as ipc
from stpipe.steps.stage1.jump import large_events
from stpipe.steps.stage1.jump import step as jump
from stpipe.steps.stage1.refpix import step as refpix
from stpipe.steps.stage1.saturation import step as saturation
from stpipe.testing import apply

Arrays = dict[str, npt.NDArray[Any]]
RTOL = 2e-5
SEEDS = range(6)
GROUP_BITS = np.array(sorted(v for v in dqflags.group.values() if v), dtype=np.uint8)


class FakeRamp:
    """Arrays and metadata as a step sees them."""

    def __init__(self, meta: dict[str, Any], **arrays: Any) -> None:
        vars(self).update(arrays)
        self.meta = SimpleNamespace()
        for name, value in meta.items():
            *parents, last = name.split(".")[1:]
            node = self.meta
            for parent in parents:
                node = vars(node).setdefault(parent, SimpleNamespace())
            setattr(node, last, value)


def assert_agrees(expected: npt.NDArray[Any], actual: npt.NDArray[Any], atol: float = 0) -> None:
    """Equal, for integers; close and NaN in the same places, for floats."""
    assert expected.shape == actual.shape
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=atol, equal_nan=True)
    else:
        np.testing.assert_array_equal(actual, expected)


def sparse(rng: np.random.Generator, shape: tuple[int, ...], fraction: float) -> npt.NDArray[Any]:
    """True in a random fraction of places."""
    return rng.random(shape) < fraction


def random_bits(
    rng: np.random.Generator, shape: tuple[int, ...], fraction: float
) -> npt.NDArray[Any]:
    """One random group bit in a random fraction of places."""
    bits = GROUP_BITS[rng.integers(0, len(GROUP_BITS), shape)]
    return np.where(sparse(rng, shape, fraction), bits, 0).astype(np.uint8)


def raw_ramp(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    """Raw counts that climb from a bias of 10,000 DN, some into saturation, some at 0."""
    nints, ngroups, rows, columns = shape
    rate = rng.exponential(6000, (nints, 1, rows, columns))
    data = 10000 + rate * np.arange(1, ngroups + 1)[:, None, None] + rng.normal(0, 20, shape)
    data[sparse(rng, shape, 0.01)] = 0
    data = np.minimum(np.round(data), 65535).astype(np.float32)
    pixeldq = np.where(sparse(rng, (rows, columns), 0.1), dqflags.HOT, 0).astype(np.uint32)
    return {"data": data, "groupdq": random_bits(rng, shape, 0.02), "pixeldq": pixeldq}


def zeroframe_of(rng: np.random.Generator, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A zero frame: half of the first group, some pixels without data."""
    frame = (data[:, 0] / 2).astype(np.float32)
    frame[sparse(rng, frame.shape, 0.1)] = 0
    return frame


@pytest.mark.parametrize("grow", [0, 1, 3])
@pytest.mark.parametrize("nframes", [1, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_saturation(peer: Any, seed: int, nframes: int, grow: int) -> None:
    """Forward, backward and second-group tests, growth and zero frame."""
    rng = np.random.default_rng(seed)
    a = raw_ramp(rng, (2, 2 + seed, 24, 30))
    shape = a["pixeldq"].shape
    threshold = np.round(rng.normal(45000, 6000, shape)).astype(np.float32)
    a["data"][0, 1] = np.where(sparse(rng, shape, 0.05), threshold, a["data"][0, 1])
    threshold[sparse(rng, shape, 0.05)] = np.nan
    dq = np.where(sparse(rng, shape, 0.05), dqflags.NO_SAT_CHECK, 0).astype(np.uint32)
    bias = rng.normal(10000, 100, shape).astype(np.float32) if seed % 2 else None
    zeroframe = zeroframe_of(rng, a["data"])
    parameters = {"grow": grow, "nframes": nframes, "use_readpatt": nframes > 1}
    expected = peer(
        "saturation", parameters, **a, threshold=threshold, dq=dq, bias=bias, zeroframe=zeroframe
    )

    level, flags = saturation.saturation_level(threshold, dq, nframes)
    groupdq = saturation.flag_saturation(a["data"], a["groupdq"], level, grow, bias)

    assert_agrees(expected["groupdq"], groupdq)
    assert_agrees(expected["pixeldq"], a["pixeldq"] | flags)
    cleared = saturation.clear_zeroframe(zeroframe, level.threshold, grow)
    assert_agrees(expected["zeroframe"], cleared)


@pytest.mark.parametrize("seed", SEEDS)
def test_superbias(peer: Any, seed: int) -> None:
    """Bias with NaN, zero frame with zeros."""
    rng = np.random.default_rng(seed)
    a = raw_ramp(rng, (2, 3, 8, 10))
    bias = rng.normal(10000, 100, (8, 10)).astype(np.float32)
    bias[sparse(rng, bias.shape, 0.1)] = np.nan
    a["zeroframe"] = zeroframe_of(rng, a["data"])
    dq = rng.integers(0, 2**32, bias.shape, dtype=np.uint32)
    expected = peer("superbias", {}, **a, bias=bias, dq=dq)

    clean = known_or_zero(bias)

    assert_agrees(expected["data"], superbias.subtract_bias(a["data"], clean))
    frame = superbias.subtract_bias_from_zeroframe(a["zeroframe"], clean)
    assert_agrees(expected["zeroframe"], frame)
    assert_agrees(expected["pixeldq"], a["pixeldq"] | dq)


def polynomials(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Coefficients close to identity, some NaN, some without the linear term."""
    scale = np.array([1.0, 0.02, 1e-6, 1e-11])[:, None, None]
    coeffs = rng.normal(0, 1, (4, *shape)) * scale
    coeffs[1] += 1
    coeffs[2][sparse(rng, shape, 0.05)] = np.nan
    coeffs[1][sparse(rng, shape, 0.05)] = 0
    return coeffs.astype(np.float32)


@pytest.mark.parametrize("nframes", [None, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_linearity(peer: Any, seed: int, nframes: int | None) -> None:
    """Group by group, and read by read when there are inverse polynomials."""
    rng = np.random.default_rng(seed)
    a = raw_ramp(rng, (2, 2 + seed, 9, 11))
    a["groupdq"] |= np.where(a["data"] > 60000, dqflags.SATURATED, 0).astype(np.uint8)
    coeffs = polynomials(rng, (9, 11))
    inverse = polynomials(rng, (9, 11)) if nframes else None
    dq = np.where(sparse(rng, (9, 11), 0.1), dqflags.NO_LIN_CORR, 0).astype(np.uint32)
    zeroframe = zeroframe_of(rng, a["data"])
    given = {"coeffs": coeffs, "inverse": inverse, "dq": dq, "zeroframe": zeroframe}
    expected = peer("linearity", {"nframes": nframes}, **a, **given)

    forward = linearity.Polynomials.of(coeffs, dq)
    bits = forward.flags
    if nframes:
        backward = linearity.Polynomials.of(inverse, dq)
        bits = bits | backward.flags
        pair = (forward.coeffs, backward.coeffs)
        data = linearity.correct_reads(a["data"], a["groupdq"], pair, nframes)
    else:
        data = linearity.correct_groups(a["data"], a["groupdq"], forward.coeffs)

    assert_agrees(expected["data"], data)
    assert_agrees(expected["pixeldq"], a["pixeldq"] | dq | bits)
    corrected = linearity.correct_zeroframe(zeroframe, forward.coeffs)
    assert_agrees(expected["zeroframe"], corrected)


READOUTS = [(1, 0, 1, 0), (4, 1, 1, 0), (4, 1, 4, 1), (5, 0, 2, 0), (1, 0, 4, 0)]


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("groups", [3, 40])
@pytest.mark.parametrize(("dark_nints", "first"), [(None, 1), (2, 1), (2, 4), (3, None)])
def test_dark_current(
    peer: Any, readout: tuple[int, ...], groups: int, dark_nints: int | None, first: int | None
) -> None:
    """Equal readouts, averaged frames, short darks, and MIRI's darks of several integrations."""
    rng = np.random.default_rng(groups)
    a = raw_ramp(rng, (3, 6, 7, 9))
    lead = () if dark_nints is None else (dark_nints,)
    dark = rng.normal(5, 2, (*lead, groups, 7, 9)).astype(np.float32)
    dark[sparse(rng, dark.shape, 0.02)] = np.nan
    dq = rng.integers(0, 2**32, (*lead, *([1] if lead else []), 7, 9), dtype=np.uint32)
    nframes, groupgap, dark_nframes, dark_groupgap = readout
    if dark_nframes == 2 and groups == 3:
        pytest.skip("the peer averages frames that such a dark does not have")
    parameters = {
        "nframes": nframes,
        "groupgap": groupgap,
        "dark_nframes": dark_nframes,
        "dark_groupgap": dark_groupgap,
        "first": first,
    }
    expected = peer("dark_current", parameters, **a, dark=dark, dq=dq)

    taken = dark_current.Readout(dark_nframes, dark_groupgap)
    wanted = dark_current.Readout(nframes, groupgap)
    if expected["skipped"]:
        assert not taken.divides(wanted)
        return
    matched = dark_current.match_dark(dark, taken, wanted, 6)
    planes = dark_current.dark_planes(dark_nints or 1, 3, first)
    data = dark_current.subtract_dark(a["data"], matched, planes)

    # Differences of 1e4 DN keep 1e-3 DN in float32.
    assert_agrees(expected["data"], data, atol=1e-3)
    assert_agrees(expected["pixeldq"], a["pixeldq"] | dark_current.collapse_dq(dq))


def linear_ramp(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    """Noisy counts in DN with jumps, NaN and flags; gain and read noise, some of them useless."""
    rate = rng.exponential(30, shape[2:])
    steps = rng.normal(rate, np.sqrt(rate / 2), shape)
    steps += np.where(sparse(rng, shape, 0.05), rng.exponential(800, shape), 0)
    data = np.cumsum(steps, axis=1) + rng.normal(0, 8, shape)
    data[sparse(rng, shape, 0.01)] = np.nan
    data[:, :, 0, :2] = 7  # differences of exactly 0
    data[:, -1, 0, 1] = 100
    gain = rng.normal(2, 0.1, shape[2:])
    readnoise = rng.normal(12, 1, shape[2:])
    for value in (0, np.nan, -1):
        gain[sparse(rng, shape[2:], 0.02)] = value
    for value in (0, np.nan):
        readnoise[sparse(rng, shape[2:], 0.02)] = value
    gain[0, :2], readnoise[0, :2] = 2, 0
    saturated = np.maximum.accumulate(data > 1500, axis=1)
    groupdq = random_bits(rng, shape, 0.03) | np.where(saturated, dqflags.SATURATED, 0)
    # Our engine flags what is not finite before a step sees it; the peer leaves that to its user.
    groupdq |= np.where(np.isnan(data), dqflags.DO_NOT_USE, 0).astype(groupdq.dtype)
    return {
        "data": data.astype(np.float32),
        "groupdq": groupdq.astype(np.uint8),
        "pixeldq": np.zeros(shape[2:], dtype=np.uint32),
        "gain": gain.astype(np.float32),
        "readnoise": readnoise.astype(np.float32),
    }


JUMP_SHAPES = [(1, 3), (1, 4), (1, 5), (2, 3), (1, 10), (3, 4), (4, 9), (1, 12), (2, 25), (40, 5)]
MANY = 100000  # integrations that no exposure has
CLIPPING = [(40, True), (120, False)]  # least integrations, or groups when all are pooled


def jump_parameters(step: jump.JumpStep, nframes: int, after: tuple[int, int]) -> dict[str, Any]:
    """Parameters of the step as the peer's function takes them; times in groups."""
    names = (
        "rejection_threshold",
        "three_group_rejection_threshold",
        "four_group_rejection_threshold",
        "flag_4_neighbors",
        "min_jump_to_flag_neighbors",
        "max_jump_to_flag_neighbors",
        "min_diffs_single_pass",
    )
    return {name: getattr(step, name) for name in names} | {
        "nframes": nframes,
        "after_jump": (step.after_jump_flag_dn1, after[0], step.after_jump_flag_dn2, after[1]),
        "clipping": (step.minimum_sigclip_groups, step.only_use_ints),
    }


def assert_jumps_agree(peer: Any, a: Arrays, step: jump.JumpStep, height: int) -> Arrays:
    """The step in bands of some height and the peer give the same; return the peer's answer."""
    nframes = 1 + a["data"].shape[1] % 2 * 3
    times = (step.after_jump_flag_time1, step.after_jump_flag_time2)
    parameters = jump_parameters(step, nframes, (int(times[0]), int(times[1])))
    expected = peer("jump", parameters, **a)
    meta = {"meta.exposure.nframes": nframes, "meta.exposure.group_time": 1.0}
    arrays = {name: a[name] for name in ("data", "groupdq", "pixeldq")}
    ramp = FakeRamp(meta, **arrays)
    references = {name: SimpleNamespace(data=a[name]) for name in ("gain", "readnoise")}
    apply(step, ramp, references, height)
    assert_agrees(expected["groupdq"], ramp.groupdq)
    assert_agrees(expected["pixeldq"], ramp.pixeldq)
    nints, ngroups, rows, columns = a["data"].shape
    unusable = int((a["groupdq"] & dqflags.DO_NOT_USE).all(axis=(2, 3)).sum())
    seconds = (nints * (ngroups - 1) - unusable) * rows * columns
    assert ramp.meta.exposure.primary_cosmic_rays == 1000 * expected["count"] / seconds
    flagged = np.count_nonzero(ramp.groupdq & dqflags.JUMP_DET & ~a["groupdq"])
    assert flagged > ramp.groupdq.size / 300, "the ramps must hold jumps"
    return expected


@pytest.mark.parametrize("after", [None, (100.0, 1, 500.0, 3), (0.0, 0, 300.0, 60)])
@pytest.mark.parametrize("clipping", CLIPPING)
@pytest.mark.parametrize(("nints", "ngroups"), [(40, 5), (41, 3), (130, 4)])
def test_jump_by_sigma_clipping(
    peer: Any, nints: int, ngroups: int, clipping: tuple[int, bool], after: Any
) -> None:
    """Clipping over integrations and of all differences; groups in which every pixel jumps."""
    rng = np.random.default_rng(nints * 100 + ngroups)
    a = linear_ramp(rng, (nints, ngroups, 21, 70))
    a["groupdq"][:, -1] |= dqflags.DO_NOT_USE if ngroups == 4 else 0
    a["groupdq"][7, :2] &= np.where(np.isnan(a["data"][7, :2]), dqflags.DO_NOT_USE, 0).astype("u1")
    a["data"][7, 1:] += np.float32(1e6)  # everywhere
    found = jump.clip_jumps(a["data"], a["groupdq"], a["gain"], 4, only_use_ints=clipping[1])
    a["groupdq"][7, 1][found[7, 1] == 0] = dqflags.DO_NOT_USE  # where too few are left to clip
    dn1, time1, dn2, time2 = after or (0, 0, 0, 0)
    step = jump.JumpStep(
        minimum_sigclip_groups=clipping[0],
        only_use_ints=clipping[1],
        after_jump_flag_dn1=dn1,
        after_jump_flag_time1=time1,
        after_jump_flag_dn2=dn2,
        after_jump_flag_time2=time2,
    )

    expected = assert_jumps_agree(peer, a, step, height=6)

    assert np.mean(found[7, 1] == dqflags.JUMP_DET) > 0.5
    assert np.mean(expected["groupdq"][7, 1] == dqflags.JUMP_DET) < 0.5


@pytest.mark.parametrize("after", [None, (100.0, 1, 500.0, 3), (0.0, 0, 300.0, 60)])
@pytest.mark.parametrize("spread", [(10.0, 1000.0), (3.0, 40.0), None])
@pytest.mark.parametrize(("nints", "ngroups"), JUMP_SHAPES)
def test_jump(peer: Any, nints: int, ngroups: int, spread: Any, after: Any) -> None:
    """Both ways of searching, neighbours, and groups after jumps."""
    rng = np.random.default_rng(nints * 100 + ngroups)
    a = linear_ramp(rng, (nints, ngroups, 21, 70))
    a["groupdq"][:, -1] |= dqflags.DO_NOT_USE if ngroups in (5, 12) else 0
    low, high = spread or (0.0, 0.0)
    dn1, time1, dn2, time2 = after or (0, 0, 0, 0)
    step = jump.JumpStep(
        flag_4_neighbors=spread is not None,
        min_jump_to_flag_neighbors=low,
        max_jump_to_flag_neighbors=high,
        after_jump_flag_dn1=dn1,
        after_jump_flag_time1=time1,
        after_jump_flag_dn2=dn2,
        after_jump_flag_time2=time2,
        minimum_sigclip_groups=MANY,
    )

    assert_jumps_agree(peer, a, step, height=6)


def events(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Flags of regions of all shapes that jump, some with saturated cores, and of single pixels."""
    flags = np.where(sparse(rng, shape, 0.01), dqflags.JUMP_DET, 0).astype(np.uint8)
    y, x = np.mgrid[: shape[2], : shape[3]]
    for i, k in np.ndindex(*shape[:2]):
        for _ in range(4 if k else 0):
            yc, xc = rng.uniform(0, shape[2]), rng.uniform(0, shape[3])
            ry, rx, turn = rng.uniform(0.3, 9), rng.uniform(0.3, 9), rng.uniform(0, np.pi)
            dy, dx = y - yc, x - xc
            along, across = (
                dy * np.cos(turn) + dx * np.sin(turn),
                dy * np.sin(turn) - dx * np.cos(turn),
            )
            distance = (along / ry) ** 2 + (across / rx) ** 2
            flags[i, k, distance < 1] |= dqflags.JUMP_DET
            later = min(k + rng.integers(0, 2), shape[1] - 1)
            flags[i, later:, distance < rng.choice([0, 0.1, 0.6])] |= dqflags.SATURATED
    flags[(flags & dqflags.SATURATED) != 0] &= 0xFF ^ dqflags.JUMP_DET
    return flags | np.where(sparse(rng, shape, 0.02), dqflags.DO_NOT_USE, 0).astype(np.uint8)


@pytest.mark.parametrize("many", [3, 100])
@pytest.mark.parametrize("need_core", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_large_events(peer: Any, seed: int, need_core: bool, many: int) -> None:
    """Snowballs of all shapes, at edges, across integrations; showers on top of noise."""
    rng = np.random.default_rng(seed)
    shape = (3, 6, 120, 110)
    a = linear_ramp(rng, shape)
    a["data"] = np.nan_to_num(a["data"], nan=5)
    a["data"][1, 3:, 30:60, 40:80] += np.float32(40)
    a["data"][2, 1:, 90:, :30] += np.float32(25)
    a["groupdq"] = events(rng, shape)
    a["pixeldq"] |= np.where(sparse(rng, shape[2:], 0.02), dqflags.REFERENCE_PIXEL, 0).astype("u4")
    a["pixeldq"] |= np.where(sparse(rng, shape[2:], 0.02), dqflags.DO_NOT_USE, 0).astype("u4")
    step = jump.JumpStep(
        minimum_sigclip_groups=many,
        sat_required_snowball=need_core,
        min_sat_radius_extend=1.5,
        expand_factor=1.7,
        sat_expand=1,
        max_extended_radius=10 + seed,
        edge_size=12,
        snowball_time_masked_next_int=3 * seed,
        max_shower_amplitude=20,
        extend_min_area=30,
        extend_inner_radius=seed % 2,
        time_masked_after_shower=2,
    )
    balls, rain = step.snowball_rules(1.0), step.shower_rules(1.0, 4)
    widest = 2 * rain.max_extended_radius
    limits = (balls.min_jump_area, balls.min_sat_area, balls.expand_factor, need_core)
    ring = (rain.extend_inner_radius, rain.extend_outer_radius)
    shower = (rain.extend_snr_threshold, rain.extend_min_area, *ring)
    parameters = {
        "nframes": 4,
        "snowballs": (*limits, balls.min_sat_radius_extend, 2 * balls.sat_expand, balls.edge_size),
        "showers": (*shower, rain.extend_ellipse_expand_ratio, 10, widest),
        "many": many,
        "groups_next": balls.groups_next,
        "groups_after": rain.groups_after,
        "most_change": rain.most_change,
    }
    expected = peer("large_events", parameters, **a)

    flags, found = large_events.flag_snowballs(a["groupdq"], balls)
    assert_agrees(expected["snowy"], flags)
    assert expected["snowballs"] == found > 10
    electrons = large_events.Electrons(a["data"] * a["gain"], a["readnoise"] * a["gain"])
    flags, found = large_events.flag_showers(electrons, a["groupdq"], a["pixeldq"], rain)
    assert_agrees(expected["showery"], flags)
    assert expected["showers"] == found > 0


def ramp_to_fit(rng: np.random.Generator, shape: tuple[int, ...]) -> Arrays:
    """Ramps with every combination of flags that makes a difference to the fit."""
    a = linear_ramp(rng, shape)
    a["data"] = (a["data"] + np.float32(100)).astype(np.float32)
    a["data"] *= rng.choice([0.1, 1, 30], shape[2:]).astype(np.float32)  # all powers of the weights
    few = rng.integers(0, 8, shape).astype(np.uint8)  # dense, so that short segments are common
    a["groupdq"] |= np.where(sparse(rng, shape[2:], 0.4), few, 0).astype(np.uint8)
    charge = np.where(sparse(rng, shape, 0.1), dqflags.CHARGELOSS | dqflags.DO_NOT_USE, 0)
    a["groupdq"] |= np.where(sparse(rng, shape[2:], 0.2), charge, 0).astype(np.uint8)
    a["groupdq"][:, :, sparse(rng, shape[2:], 0.05)] |= dqflags.SATURATED
    bits = np.array([0, dqflags.DO_NOT_USE, dqflags.SATURATED, dqflags.HOT], dtype=np.uint32)
    a["pixeldq"] |= bits[rng.choice(4, shape[2:], p=[0.9, 0.03, 0.03, 0.04])]
    a["dark_current"] = rng.choice([0, 0.01, 2], shape[2:]).astype(np.float32)
    a["readnoise"] *= rng.choice([1, 1e5], shape[2:], p=[0.98, 0.02]).astype(np.float32)
    return a


FIT_SHAPES = [(1, 1), (2, 1), (1, 2), (3, 2), (1, 3), (1, 4), (2, 5), (1, 10), (3, 8), (2, 30)]


@pytest.mark.parametrize("suppress", [True, False])
@pytest.mark.parametrize("instrument", ["NIRCAM", "MIRI"])
@pytest.mark.parametrize(("nints", "ngroups"), FIT_SHAPES)
def test_ramp_fit(peer: Any, nints: int, ngroups: int, instrument: str, suppress: bool) -> None:
    """All lengths and weights of segments, single groups, zero frame, charge loss, trimming."""
    rng = np.random.default_rng(nints * 100 + ngroups)
    a = ramp_to_fit(rng, (nints, ngroups, 23, 61))
    if instrument == "MIRI" and ngroups > 5:
        a["groupdq"][:, :2] |= dqflags.DO_NOT_USE
        a["groupdq"][:, -1] |= dqflags.DO_NOT_USE
    zeroframe = None
    if instrument != "MIRI":
        zeroframe = zeroframe_of(rng, np.nan_to_num(a["data"]))
    exposure = {
        "frame_time": 10.73677,
        "group_time": 10.73677 * (1 + ngroups % 3),
        "nframes": 1 + ngroups % 3,
        "groupgap": 0,
    }
    parameters = {
        "exposure": exposure,
        "instrument": instrument,
        "save_opt": True,
        "suppress_one_group": suppress,
    }
    expected = peer("ramp_fit", parameters, **a, zeroframe=zeroframe)

    drop = suppress and ngroups > 1
    groupdq = fitting.suppress_single_groups(a["groupdq"]) if drop else a["groupdq"]
    ramps = samples.Ramps(
        a["data"],
        groupdq,
        a["groupdq"],
        a["pixeldq"],
        a["gain"],
        a["readnoise"],
        a["dark_current"],
        zeroframe,
    )
    if instrument == "MIRI" and ngroups > 1:
        unusable = (ramps.groupdq & dqflags.DO_NOT_USE).all(axis=(0, 2, 3))
        ramps = fitting.trim_groups(ramps, *fitting.usable_groups(unusable))
    times = fitting.FitTimes(**exposure, dropped=0)
    for prefix, rates in zip(
        ("rate", "rateints"), fitting.fit_ramps(ramps, times, suppress_one_group=drop), strict=True
    ):
        for name in ("data", "dq", "var_poisson", "var_rnoise", "err"):
            theirs = expected[f"{prefix}_{name.replace('data', 'slope')}"]
            assert_agrees(theirs, getattr(rates, name), atol=1e-6 if name == "data" else 0)
    segments = fitting.describe_segments(ramps, times, suppress_one_group=drop)
    for name in ("slope", "sigslope", "var_poisson", "var_rnoise", "yint", "sigyint", "weights"):
        # The peer makes room for single groups that it has dropped.
        kept, empty = np.split(expected[f"opt_{name}"], [segments.slope.shape[1]], axis=1)
        assert not empty.any()
        assert_agrees(kept, getattr(segments, name), atol=1e-3 if name == "yint" else 1e-6)
    assert_agrees(expected["opt_pedestal"], segments.pedestal, atol=1e-3)
    assert_agrees(expected["opt_crmag"], segments.crmag)


READ_PATTERNS = [(1, 0), (4, 1), (2, 0)]  # frames in a group, frames between groups


@pytest.mark.parametrize("with_frame", [True, False])
@pytest.mark.parametrize("pattern", READ_PATTERNS)
@pytest.mark.parametrize(("nints", "ngroups"), [(1, 4), (1, 5), (3, 7), (2, 12), (1, 45)])
def test_likely_ramp_fit(
    peer: Any, nints: int, ngroups: int, pattern: tuple[int, int], with_frame: bool
) -> None:
    """Jumps of one and two differences, flags of all kinds, the zero frame, integrations."""
    rng = np.random.default_rng(nints * 100 + ngroups + with_frame)
    a = ramp_to_fit(rng, (nints, ngroups, 23, 61))
    zeroframe = zeroframe_of(rng, np.nan_to_num(a["data"])) if with_frame else None
    exposure = {
        "frame_time": 10.73677,
        "group_time": 10.73677 * sum(pattern),
        "nframes": pattern[0],
        "groupgap": pattern[1],
    }
    parameters = {
        "exposure": exposure,
        "instrument": "MIRI",
        "save_opt": True,
        "suppress_one_group": True,
        "algorithm": "LIKELY",
    }
    expected = peer("ramp_fit", parameters, **a, zeroframe=zeroframe)

    given = (a[n] for n in ("pixeldq", "gain", "readnoise", "dark_current"))
    ramps = samples.Ramps(a["data"], a["groupdq"], a["groupdq"], *given, zeroframe)
    times = likelihood.read_times(SimpleNamespace(**exposure, read_times=None), ngroups)
    resultants = likelihood.Resultants.of(times, has_zeroframe=with_frame)
    with np.errstate(all="ignore"):
        fitted = likelihood.fit_likely_ramps(ramps, resultants)

    for prefix, rates in zip(("rate", "rateints"), fitted, strict=True):
        for name in ("data", "dq", "var_poisson", "var_rnoise", "err", "chisq"):
            theirs = expected[f"{prefix}_{name.replace('data', 'slope')}"]
            assert_agrees(theirs, getattr(rates, name), atol=1e-6 if name == "data" else 0)
    found = np.count_nonzero(expected["rateints_dq"] & dqflags.JUMP_DET)
    assert found > np.count_nonzero((a["groupdq"] & dqflags.JUMP_DET).any(axis=1))


def biased_ramp(rng: np.random.Generator, shape: tuple[int, ...], *, columns_only: bool) -> Arrays:
    """Counts without bias but with a drift, bad pixels and particles in reference pixels."""
    nints, ngroups, rows, columns = shape
    data = rng.normal(20, 6, shape) + rng.normal(0, 30, (nints, ngroups, rows, 1))
    data += rng.normal(0, 30, (nints, ngroups, 1, 4)).repeat(columns // 4 + 1, -1)[..., :columns]
    data[sparse(rng, shape, 0.02)] += 500
    border = np.zeros((rows, columns), dtype=bool)
    border[:, :4] = border[:, -4:] = True
    if not columns_only:
        border[:4] = border[-4:] = True
    bad = sparse(rng, (rows, columns), 0.05)
    pixeldq = np.where(border, dqflags.REFERENCE_PIXEL, 0) | np.where(bad, dqflags.DO_NOT_USE, 0)
    return {
        "data": data.astype(np.float32),
        "groupdq": np.zeros(shape, dtype=np.uint8),
        "pixeldq": pixeldq.astype(np.uint32),
    }


# instrument, detector, fast and slow axis, first column and row, outputs, shape
NIR = ("NIRCAM", "NRCA1")
REFPIX_CASES = [
    (*NIR, -1, 2, 1, 1, 4, (2, 2, 2048, 2048)),
    (*NIR, 1, -2, 1, 1, 4, (1, 2, 2048, 2048)),
    ("NIRISS", "NIS", -2, -1, 1, 1, 4, (1, 2, 2048, 2048)),
    (*NIR, -1, 2, 1, 1, 4, (2, 3, 64, 2048)),
    (*NIR, -1, 2, 1, 1985, 4, (1, 3, 64, 2048)),
    (*NIR, 1, -2, 1, 901, 4, (1, 3, 64, 2048)),
    (*NIR, -1, 2, 1, 1, 4, (1, 2, 64, 1000)),
    (*NIR, -1, 2, 1, 1, 1, (2, 3, 48, 60)),
    (*NIR, -1, 2, 1982, 2002, 1, (2, 3, 47, 67)),
    ("NIRISS", "NIS", -2, -1, 1, 1969, 1, (2, 3, 80, 80)),
    ("NIRSPEC", "NRS1", 2, 1, 1025, 977, 1, (1, 3, 32, 512)),
    ("MIRI", "MIRIMAGE", 1, 2, 1, 1, 4, (2, 4, 1024, 1032)),
    ("MIRI", "MIRIMAGE", 1, 2, 1, 1, 4, (1, 2, 1024, 1032)),
]


def refpix_step(odd_even: bool, sides: bool, smoothing: int) -> refpix.RefPixStep:
    """The step with its parameters."""
    return refpix.RefPixStep(
        odd_even_columns=odd_even,
        odd_even_rows=odd_even,
        use_side_ref_pixels=sides,
        side_smoothing_length=smoothing,
        siglimit=2.5,
        side_gain=0.9,
    )


@pytest.mark.parametrize("case", REFPIX_CASES)
@pytest.mark.parametrize(
    ("odd_even", "sides", "smoothing"), [(True, True, 11), (False, True, 5), (True, False, 11)]
)
def test_refpix(peer: Any, case: Any, odd_even: bool, sides: bool, smoothing: int) -> None:
    """Full frames in all orientations, subarrays of four and one outputs, MIRI, the zero frame."""
    instrument, detector, fast, slow, x, y, noutputs, shape = case
    rng = np.random.default_rng(shape[-1] + x)
    a = biased_ramp(rng, shape, columns_only=instrument == "MIRI" or detector == "NRS1")
    if detector == "NRS1":
        a["pixeldq"] &= dqflags.DO_NOT_USE
    meta = {
        "meta.instrument.name": instrument,
        "meta.instrument.detector": detector,
        "meta.exposure.noutputs": noutputs,
        "meta.subarray.name": "SUB32" if detector == "NRS1" else "SUB",
        "meta.subarray.xstart": x,
        "meta.subarray.ystart": y,
        "meta.subarray.xsize": shape[-1],
        "meta.subarray.ysize": shape[-2],
        "meta.subarray.fastaxis": fast,
        "meta.subarray.slowaxis": slow,
    }
    zeroframe = None
    if instrument == "NIRCAM" and shape[-1] < 2048:
        zeroframe = zeroframe_of(rng, a["data"])
    parameters = {
        "odd_even_columns": odd_even,
        "odd_even_rows": odd_even,
        "use_side_ref_pixels": sides,
        "side_smoothing_length": smoothing,
        "side_gain": 0.9,
        "siglimit": 2.5,
        "meta": meta | {"meta.exposure.zero_frame": zeroframe is not None},
    }
    expected = peer("refpix", parameters, **a, zeroframe=zeroframe)

    ramp = FakeRamp(meta, **a, zeroframe=zeroframe)
    step = refpix_step(odd_even, sides, smoothing)
    if y == 901 and not sides:  # neither rows nor columns of reference pixels to use
        with pytest.raises(Skip):
            apply(step, ramp, {})
        assert_agrees(expected["data"], a["data"])
        return
    apply(step, ramp, {})

    # The peer sums the first group in single precision; values near 0 are differences of 500 DN.
    assert_agrees(expected["data"], ramp.data, atol=2e-4)
    assert np.abs(expected["data"] - a["data"]).max() > 1
    if zeroframe is not None:
        assert_agrees(expected["zeroframe"], ramp.zeroframe, atol=2e-4)


@pytest.mark.parametrize("detector", ["NRCA1", "NRCA2", "NIS"])
def test_refpix_with_filters(peer: Any, detector: str, tmp_path: Path) -> None:
    """Filters from spectra, outliers among the samples, all orientations."""
    rng = np.random.default_rng(len(detector))
    fast, slow = {"NRCA1": (-1, 2), "NRCA2": (1, -2), "NIS": (-2, -1)}[detector]
    a = biased_ramp(rng, (1, 2, 2048, 2048), columns_only=False)
    frequency = np.arange(1025)
    spectra = {
        name: (rng.normal(0.5, 0.2, (4, 1)) * np.exp(-frequency / 150)).astype(np.complex64)
        for name in ("gamma", "zeta")
    }
    instrument = "NIRISS" if detector == "NIS" else "NIRCAM"
    meta = {
        "meta.instrument.name": instrument,
        "meta.instrument.detector": detector,
        "meta.exposure.noutputs": 4,
        "meta.exposure.zero_frame": False,
        "meta.subarray.name": "FULL",
        "meta.subarray.xstart": 1,
        "meta.subarray.ystart": 1,
        "meta.subarray.xsize": 2048,
        "meta.subarray.ysize": 2048,
        "meta.subarray.fastaxis": fast,
        "meta.subarray.slowaxis": slow,
    }
    parameters = {
        "odd_even_columns": True,
        "odd_even_rows": True,
        "use_side_ref_pixels": True,
        "side_smoothing_length": 11,
        "side_gain": 1.0,
        "siglimit": 3.0,
        "meta": meta,
        "detector": detector,
    }
    expected = peer("refpix", parameters, **a, **spectra)

    path = tmp_path / "sirs.asdf"
    asdf.AsdfFile({detector.lower(): spectra}).write_to(path)
    step = refpix.RefPixStep(refpix_algorithm="sirs")
    step.selected = {"sirskernel": Reference("sirskernel", path, "")}
    ramp = FakeRamp(meta, **a, zeroframe=None)
    apply(step, ramp, {}, height=300)

    assert_agrees(expected["data"], ramp.data, atol=5e-4)
    assert np.abs(expected["data"] - a["data"]).max() > 1


IPC_BORDERS = [(0, 0, 0, 0), (4, 4, 4, 4), (0, 3, 4, 0)]


@pytest.mark.parametrize("borders", IPC_BORDERS)
@pytest.mark.parametrize("by_pixel", [False, True])
@pytest.mark.parametrize("size", [(3, 3), (5, 3)])
def test_ipc(peer: Any, size: tuple[int, int], by_pixel: bool, borders: tuple[int, ...]) -> None:
    """One kernel and one for each pixel, with and without reference pixels."""
    rng = np.random.default_rng(sum(borders))
    a = raw_ramp(rng, (2, 2, 17, 19))
    kernel = rng.normal(0, 0.01, (*size, *((17, 19) if by_pixel else ())))
    kernel[size[0] // 2, size[1] // 2] += 1
    kernel = kernel.astype(np.float32)
    expected = peer("ipc", {"borders": borders}, data=a["data"], kernel=kernel)

    data = ipc.deconvolve(a["data"], kernel, ipc.ReferenceBorder(*borders))

    assert_agrees(expected["data"], data, atol=1e-2)


@pytest.mark.parametrize("first", [1, 2, 4])
@pytest.mark.parametrize("ngroups", [2, 5])
def test_reset(peer: Any, ngroups: int, first: int) -> None:
    """Segments of an exposure; references with fewer and more groups."""
    rng = np.random.default_rng(first)
    a = raw_ramp(rng, (3, ngroups, 8, 9))
    reference = rng.normal(30, 5, (2, 4, 8, 9)).astype(np.float32)
    reference[sparse(rng, reference.shape, 0.05)] = np.nan
    dq = rng.integers(0, 2**32, (8, 9), dtype=np.uint32)
    expected = peer("reset", {"first": first}, **a, reset=reference, dq=dq)

    assert_agrees(expected["data"], reset.subtract_reset(a["data"], reference, first - 1))
    assert_agrees(expected["pixeldq"], a["pixeldq"] | dq)


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("ngroups", [2, 3, 4, 7])
def test_first_and_last_frame(peer: Any, ngroups: int, bright: bool) -> None:
    """Flags of the first and last group, and too few groups for either."""
    a = raw_ramp(np.random.default_rng(ngroups), (2, ngroups, 8, 9))
    a["groupdq"] |= np.where(a["data"] > 40000, dqflags.SATURATED, 0).astype(np.uint8)
    meta = {"meta.instrument.name": "MIRI", "meta.exposure.ngroups": ngroups}
    steps = {
        "lastframe": lastframe.LastFrameStep(),
        "firstframe": firstframe.FirstFrameStep(bright_use_group1=bright),
    }
    for name, step in steps.items():
        expected = peer(name, {"bright_use_group1": bright}, **a)
        ramp = FakeRamp(meta, **a)
        assert bool(expected["skipped"]) == bool(step.not_needed(meta, {}))
        if not expected["skipped"]:
            apply(step, ramp, {})
        assert_agrees(expected["groupdq"], ramp.groupdq)
        assert_agrees(expected["pixeldq"], ramp.pixeldq)


@pytest.mark.parametrize("skip", [(1, 4), (3, 2), (2, 1)])
@pytest.mark.parametrize("ngroups", [2, 4, 5, 6, 12])
@pytest.mark.parametrize(("nints", "first"), [(1, 1), (3, 1), (9, 4)])
def test_rscd(peer: Any, ngroups: int, nints: int, first: int, skip: tuple[int, int]) -> None:
    """Numbers of groups, limited by saturation and short ramps; keywords; segments."""
    rng = np.random.default_rng(ngroups)
    a = raw_ramp(rng, (min(nints, 3), ngroups, 12, 13))
    saturated = np.maximum.accumulate(a["data"] > 40000, axis=1)
    a["groupdq"] |= np.where(saturated, dqflags.SATURATED, 0).astype(np.uint8)
    a["groupdq"] &= 0xFF ^ np.where(saturated, 0, dqflags.SATURATED).astype(np.uint8)
    expected = peer("rscd", {"nints": nints, "first": first, "skip": skip}, **a)

    meta = {
        "meta.instrument.name": "MIRI",
        "meta.subarray.name": "SUBPRISM",
        "meta.exposure.readpatt": "FASTR1",
        "meta.exposure.nints": nints,
        "meta.exposure.ngroups": ngroups,
        "meta.exposure.integration_start": first,
    }
    ramp = FakeRamp(meta, **a)
    ramp.meta.rscd = SimpleNamespace()
    row = ("SLITLESSPRISM    ", "FASTR1", *skip)
    names = [("subarray", "S17"), ("readpatt", "U12"), ("group_skip1", "i4"), ("group_skip", "i4")]
    table = SimpleNamespace(rscd_group_skip_table=np.array([row], dtype=names))
    assert bool(expected["skipped"]) == bool(rscd.RscdStep().not_needed(meta, {}))
    if not expected["skipped"]:
        apply(rscd.RscdStep(), ramp, {"rscd": table})

    assert_agrees(expected["groupdq"], ramp.groupdq)
    assert_agrees(expected["pixeldq"], ramp.pixeldq)
    for name in ("ngroups_skip", "keep_groups_saturation", "keep_bright_firstgroup"):
        for label in ("int1", "int2p"):
            recorded = getattr(ramp.meta.rscd, f"{name}_{label}", -1)
            if ngroups > 3:
                assert expected[f"{name}_{label}"] == recorded


def test_scales(peer: Any) -> None:
    """Group scale, and gain scale of rates and variances."""
    rng = np.random.default_rng(0)
    a = raw_ramp(rng, (1, 3, 8, 9))
    expected = peer("group_scale", {"nframes": 3, "divisor": 4}, **a)
    assert_agrees(expected["data"], group_scale.scale_groups(a["data"], 3, 4))

    names = ("data", "err", "var_poisson", "var_rnoise")
    rates = {name: rng.normal(5, 1, (8, 9)).astype(np.float32) for name in names}
    expected = peer("gain_scale", {"factor": 2.1}, **rates)
    scaled = gain_scale.scale_rates(rates, 2.1)
    for name in names:
        assert_agrees(expected[name], scaled[name])


@pytest.mark.parametrize("seed", SEEDS)
def test_charge_migration(peer: Any, seed: int) -> None:
    """Pixels above the threshold and their neighbours, from that group on."""
    rng = np.random.default_rng(seed)
    a = raw_ramp(rng, (2, 4, 15, 16))
    a["groupdq"] |= rng.choice([0, 1, 9], a["groupdq"].shape, p=[0.8, 0.1, 0.1]).astype(np.uint8)
    expected = peer("charge_migration", {"threshold": 45000.0}, **a)
    groupdq = charge_migration.flag_charge_loss(a["data"], a["groupdq"], 45000.0)
    assert_agrees(expected["groupdq"], groupdq)


@pytest.mark.parametrize("threshold", [None, 45000.0])
@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_persistence(peer: Any, seed: int, timed: bool, threshold: float | None) -> None:
    """Windows of saturation and of bright groups, of earlier exposures and in the wrong order."""
    rng = np.random.default_rng(seed)
    a = raw_ramp(rng, (3, 5, 15, 16))
    a["groupdq"] |= np.where(a["data"] > 50000, dqflags.SATURATED, 0).astype(np.uint8)
    exposure = {"start_time": 59000.25, "integration_time": 55.0, "group_time": 11.0}
    starts = 59000.3 + np.arange(2) * 0.001 if timed else None
    begin = (59000.25 - 40587) * 86400
    windows = np.where(rng.random((15, 16)) < 0.3, begin + rng.uniform(-50, 6000, (15, 16)), 0)
    time, unusable = int(rng.integers(10, 90)), bool(seed % 2)
    meta = {f"meta.exposure.{name}": value for name, value in exposure.items()}
    parameters = {"meta": meta, "time": time, "threshold": threshold, "unusable": unusable}
    expected = peer("persistence", parameters, **a, windows=windows, starts=starts)

    bits = dqflags.PERSISTENCE | (dqflags.DO_NOT_USE if unusable else 0)
    rules = persistence.WindowRules(time, threshold, bits)
    ramp_meta = SimpleNamespace(exposure=SimpleNamespace(**exposure))
    times = persistence.group_times(ramp_meta, () if starts is None else starts, (3, 5))
    groupdq, after = persistence.flag_windows(a["data"], a["groupdq"], windows, times, rules)
    assert_agrees(expected["groupdq"], groupdq)
    np.testing.assert_allclose(after, expected["windows"], rtol=0, atol=1e-4)
    assert np.count_nonzero(groupdq != a["groupdq"]) > 100


EMI_CASES = [
    ("SUB64", "FASTR1", "FAST", (2, 5, 64, 72), (28, 8512)),
    ("SUB64", "FAST", "FAST", (1, 12, 64, 72), (28, 8512)),
    ("MASK1550", "SLOWR1", "SLOW", (3, 6, 40, 48), (82, 23968)),
]
EMI_OPTIONS = [
    {"algorithm": "joint"},
    {"algorithm": "joint", "fit_ints_separately": True},
    {"algorithm": "sequential"},
    {"algorithm": "sequential", "nbins": 60, "scale_reference": False, "nints_to_phase": 1},
    {"algorithm": "sequential", "use_n_cycles": 20},
    {"onthefly_corr_freq": [390.625, 218.52055]},
]


@pytest.mark.parametrize("options", EMI_OPTIONS)
@pytest.mark.parametrize("case", EMI_CASES)
def test_emicorr(peer: Any, case: Any, options: dict[str, Any], tmp_path: Path) -> None:
    """Both algorithms and waves without reference, of two frequencies one after the other."""
    subarray, pattern, speed, shape, (row, frame) = case
    rng = np.random.default_rng(shape[0])
    a = raw_ramp(rng, shape)
    a["data"] = (rng.exponential(20, shape[2:]) * np.arange(shape[1])[:, None, None]).astype("f4")
    a["data"] = a["data"] + rng.normal(5000, 3, shape).astype(np.float32)
    wave = np.sin(2 * np.pi * np.arange(64) / 64) + 0.3 * np.cos(4 * np.pi * np.arange(64) / 64)
    clocks = emicorr.Clocks(row, frame, 1 if speed == "FAST" else 9, pattern.endswith("R1"))
    waves = {"Hz390": 390.625, "Hz218": 218.52055}
    for frequency in waves.values():
        phase = emicorr._phases(shape, 1e5 / frequency, clocks)
        noise = 12 * wave[(phase * 64).astype(int)]
        a["data"] += np.repeat(noise, 4, axis=-1).astype(np.float32)
    names: Any = list(waves)
    names = names if speed == "FAST" else {"MIRIMAGE": names}
    cases = {subarray: {"rowclocks": row, "frameclocks": frame, "freqs": {speed: names}}}
    meta = {
        "meta.instrument.name": "MIRI",
        "meta.instrument.detector": "MIRIMAGE",
        "meta.subarray.name": subarray,
        "meta.subarray.xsize": shape[-1],
        "meta.subarray.xstart": 1,
        "meta.exposure.readpatt": pattern,
        "meta.exposure.nsamples": clocks.samples,
        "meta.exposure.ngroups": shape[1],
    }
    parameters = {"meta": meta, "waves": waves, "cases": cases, "options": options}
    given = None if "onthefly_corr_freq" in options else wave
    expected = peer("emicorr", parameters, **a, wave=given)

    frequencies = {n: {"frequency": f, "phase_amplitudes": wave} for n, f in waves.items()}
    path = tmp_path / "emi.asdf"
    asdf.AsdfFile({"subarray_cases": cases, "frequencies": frequencies}).write_to(path)
    step = emicorr.EmiCorrStep(**options)
    step.selected = {"emicorr": Reference("emicorr", path, "")}
    ramp = FakeRamp(meta, **a)
    assert step.not_needed(meta, step.selected) == ""
    step.correct(ramp, {})

    assert_agrees(expected["data"], ramp.data, atol=2e-3)
    assert np.abs(ramp.data - a["data"]).max() > 1
