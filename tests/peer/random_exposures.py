"""Exposures, reference files and parameters of the detector stage as odd as chance makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stpipe.demo import plan, write_demo

__all__ = ["Strange", "make"]

BY_STEP = {
    "dq_init": ["mask"],
    "saturation": ["saturation", "superbias"],
    "ipc": ["ipc"],
    "superbias": ["superbias"],
    "refpix": ["refpix", "sirskernel"],
    "reset": ["reset"],
    "linearity": ["linearity"],
    "rscd": ["rscd"],
    "dark_current": ["dark"],
    "jump": ["gain", "readnoise"],
    "ramp_fit": ["gain", "readnoise"],
    "gain_scale": ["gain"],
}
MODES = [
    ("NIRCAM", "SUB160", ["RAPID", "BRIGHT1", "BRIGHT2", "SHALLOW4"]),
    ("NIRISS", "SUB80", ["NISRAPID", "NIS"]),
    ("NIRSPEC", "SUB32", ["NRSRAPID", "NRS"]),
    ("MIRI", "SUB64", ["FASTR1"]),
]
PLANES = ("SCI", "COEFFS", "ERR")


@dataclass(frozen=True)
class Strange:
    """A raw exposure and the parameters of all steps, reference files among them."""

    path: Path
    steps: dict[str, dict[str, Any]]
    told: str  # what it is, for messages


def make(folder: Path, seed: int) -> Strange:
    """The strange exposure of a number; the same number gives the same one."""
    rng = np.random.default_rng(seed)
    instrument, subarray, patterns = MODES[rng.integers(len(MODES))]
    counts = {"nints": int(rng.integers(1, 4)), "ngroups": int(rng.integers(1, 15))}
    pattern = str(rng.choice(patterns))
    observation = plan(instrument, subarray=subarray, readpatt=pattern, seed=seed, **counts)
    list(write_demo(folder, [observation]))
    (path,) = folder.glob("uncal/*_uncal.fits")
    zero_frame = instrument == "NIRCAM" and rng.random() < 0.6
    _disturb_exposure(path, rng, zero_frame=zero_frame)
    references = {t: _disturbed(f, rng) for t, f in _references(folder).items()}
    steps = _parameters(rng, instrument, counts["ngroups"])
    if instrument != "NIRCAM" and rng.random() < 0.4:
        # With a zero frame short ramps have two differences, of which rounding chooses the one to drop.
        steps["ramp_fit"]["algorithm"] = "LIKELY"
    for step, types in BY_STEP.items():
        given = {f"override_{t}": str(references.get(t, "N/A")) for t in types}
        steps.setdefault(step, {}).update(given)
    return Strange(path, steps, f"{instrument} {pattern} {counts}")


def _references(folder: Path) -> dict[str, Path]:
    """Reference files of the demo by type."""
    found = folder.glob("crds/references/jwst/*/jwst_*_*_0001.fits")
    return {path.name.split("_")[2]: path for path in found}


def _disturb_exposure(path: Path, rng: np.random.Generator, *, zero_frame: bool) -> None:
    """Saturate and empty pixels from some group on, and add a zero frame."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        quiet = np.array(hdus["SCI"].data)
        data = quiet.copy()
        ngroups, frame = data.shape[1], data.shape[2:]
        for level, share in ((65535, 0.05), (0, 0.02), (30000, 0.03)):
            first = rng.integers(0, ngroups, (len(data), *frame))
            where = rng.random((len(data), *frame)) < share
            late = np.arange(ngroups)[:, None, None] >= first[:, None]
            data[late & where[:, None]] = level
        jumps = np.cumsum(rng.random(data.shape) < 0.03, axis=1) * rng.uniform(10, 3000)
        data = np.minimum(data + jumps, 65535).astype(np.uint16)
        if rng.random() < 0.1:
            data[:, 0] = 65535
        # The peer sums reference pixels of the first group in single precision: they stay alike.
        data[..., ~_inner(frame)] = quiet[..., ~_inner(frame)]
        hdus["SCI"].data = data
        if zero_frame:
            frames = (data[:, 0] * rng.uniform(0.5, 1)).astype(np.uint16)
            frames[rng.random(frames.shape) < 0.05] = 0
            if "ZEROFRAME" not in hdus:
                hdus.append(fits.ImageHDU(name="ZEROFRAME"))
            hdus["ZEROFRAME"].data = frames
            hdus[0].header["ZEROFRAM"] = True
        hdus.writeto(path, overwrite=True)


def _inner(frame: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixels that cannot be reference pixels, wherever the subarray lies."""
    inner = np.zeros(frame, dtype=bool)
    inner[4:-4, 4:-4] = True
    return inner


def _disturbed(path: Path, rng: np.random.Generator) -> Path:
    """A copy of a reference file with NaN, zeros and random flags here and there."""
    from astropy.io import fits

    copy = path.with_name(f"odd_{path.name}")
    with fits.open(path) as hdus:
        for hdu in hdus[1:]:
            if hdu.name in PLANES and hdu.data.ndim > 1 and min(hdu.data.shape[-2:]) > 15:
                _plant(hdu.data, rng)
            if hdu.name == "DQ":
                where = rng.random(hdu.data.shape) < 0.03
                hdu.data[where] |= rng.integers(1, 32, where.sum(), dtype=hdu.data.dtype)
        hdus.writeto(copy, overwrite=True)
    return copy


def _plant(array: npt.NDArray[Any], rng: np.random.Generator) -> None:
    for value in (np.nan, 0.0):
        array[..., *np.nonzero(rng.random(array.shape[-2:]) < 0.01)] = value
    array[rng.random(array.shape) < 0.002] = np.nan


def _parameters(
    rng: np.random.Generator, instrument: str, ngroups: int
) -> dict[str, dict[str, Any]]:
    """Some parameters of some steps."""

    def yes(share: float = 0.5) -> bool:
        return bool(rng.random() < share)

    steps: dict[str, dict[str, Any]] = {
        "saturation": {"n_pix_grow_sat": int(rng.integers(0, 3)), "use_readpatt": yes(0.7)},
        "ipc": {"skip": yes()},
        "refpix": {"odd_even_columns": yes(), "siglimit": float(rng.uniform(2, 4))},
        "charge_migration": {"skip": yes(0.7), "signal_threshold": float(rng.uniform(5e3, 3e4))},
        "jump": {
            "rejection_threshold": float(rng.uniform(3, 8)),
            "three_group_rejection_threshold": float(rng.uniform(3, 8)),
            "four_group_rejection_threshold": float(rng.uniform(3, 8)),
            "flag_4_neighbors": yes(0.8),
            "max_jump_to_flag_neighbors": float(rng.uniform(50, 1000)),
            "min_jump_to_flag_neighbors": float(rng.uniform(5, 40)),
            "min_diffs_single_pass": int(rng.integers(3, 14)),
            "after_jump_flag_dn1": float(rng.uniform(0, 100)),
            "after_jump_flag_time1": float(rng.choice([0, 0.5, 3])),
        },
        "persistence": {"skip": True},
        "ramp_fit": {"suppress_one_group": yes(0.6)},
    }
    if yes(0.3):
        steps["persistence"] = {"skip": False, "persistence_time": int(rng.integers(1, 9))}
        steps["persistence"] |= {"dn_threshold": 2e4, "persistence_dnu": yes()}
    if yes(0.2):
        first = int(rng.integers(0, ngroups))
        steps["ramp_fit"] |= {"firstgroup": first, "lastgroup": int(rng.integers(first, ngroups))}
    if yes(0.3):
        steps["dark_current"] = {"average_dark_current": float(rng.uniform(0, 0.5))}
    if instrument == "MIRI":
        steps |= {"emicorr": {"skip": True}, "firstframe": {"skip": yes()}}
        steps |= {name: {"skip": yes(0.2)} for name in ("lastframe", "reset", "rscd")}
    return steps
