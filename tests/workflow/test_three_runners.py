"""One definition, three runners: the same names, the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stpipe import models

pytestmark = pytest.mark.usefixtures("crds")

ORDER = {
    "NIR": "group_scale dq_init saturation ipc superbias refpix linearity dark_current jump ramp_fit",
    "MIRI": "group_scale dq_init saturation ipc lastframe reset linearity rscd dark_current refpix "
    "jump ramp_fit",
}


def by_hand(run: Callable[..., object], exposure: Path, folder: Path) -> None:
    """The steps one after another, as a person would type them."""
    folder.mkdir()
    source = exposure
    miri = "mirimage" in exposure.name
    for step in ORDER["MIRI" if miri else "NIR"].split():
        run("strun", step, source, cwd=folder)
        suffix = {"ramp_fit": "rate"}.get(step, step)
        source = folder / exposure.name.replace("_uncal", f"_{suffix}")
        assert source.is_file(), f"{step} did not write {source.name}"


def same_arrays(one: Path, other: Path) -> None:
    """The same model with bit-identical arrays."""
    with models.open(one) as a, models.open(other) as b:
        assert type(a) is type(b)
        assert a.shapes == b.shapes
        for name in a.shapes:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def same(one: Path, other: Path) -> None:
    """Bit-identical arrays and equal metadata and history, but for times."""
    same_arrays(one, other)
    with models.open(one) as a, models.open(other) as b:
        left, right = a.to_flat_dict(), b.to_flat_dict()
        for name in left.keys() | right.keys():
            if not name.startswith("provenance") and name not in ("meta.date", "meta.filename"):
                assert left.get(name) == right.get(name), name
        for x, y in zip(a.provenance, b.provenance, strict=True):
            for key in ("step", "class", "status", "reason", "parameters", "references", "suffix"):
                assert x.get(key) == y.get(key), (x["step"], key)


def test_memory_files_and_hand_agree(
    run: Callable[..., object], exposures: list[Path], tmp_path: Path
) -> None:
    """For every instrument: `strun PIPELINE`, the Snakemake project, and steps by hand."""
    run("stflow", "init", "project", "--pipeline=calwebb_detector1", *exposures, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal/*.fits", cwd=tmp_path / "project")
    memory = tmp_path / "memory"
    run("strun", "calwebb_detector1", *exposures, f"--output_dir={memory}", cwd=tmp_path)

    for exposure in exposures:
        hand = tmp_path / exposure.stem
        by_hand(run, exposure, hand)
        for suffix in ("rate", "rateints"):
            name = exposure.name.replace("_uncal", f"_{suffix}")
            same(tmp_path / "project/cal" / name, memory / name)
        # By hand, steps that do nothing leave a file too, which says so; a project has none.
        kept = [p for p in hand.glob("*.fits") if (tmp_path / "project/cal" / p.name).is_file()]
        assert len(kept) > 8
        for product in kept:
            if "nrs1_rate" not in product.name:
                same_arrays(tmp_path / "project/cal" / product.name, product)


def test_gain_is_scaled_in_the_rule_of_the_fit(
    run: Callable[..., object], exposures: list[Path], tmp_path: Path
) -> None:
    """A step that refines rates keeps their name in a pipeline, and has its own by hand."""
    nirspec = next(e for e in exposures if "nrs1" in e.name)
    run("strun", "calwebb_detector1", nirspec, cwd=tmp_path)
    hand = tmp_path / "hand"
    by_hand(run, nirspec, hand)
    rate = hand / nirspec.name.replace("_uncal", "_rate")
    run("strun", "gain_scale", rate, cwd=hand)

    same_arrays(tmp_path / rate.name, hand / rate.name.replace("_rate", "_gain_scale"))


def test_slopes_are_unbiased(
    run: Callable[..., object], demo_folder: Path, exposures: list[Path], tmp_path: Path
) -> None:
    """Against the truth that the simulator kept, for every instrument."""
    (tmp_path / "truth").symlink_to(demo_folder / "truth")
    run("strun", "calwebb_detector1", *exposures, "--output_dir=cal", cwd=tmp_path)

    out = run("python", "-m", "stpipe.demo.compare", ".", cwd=tmp_path)
    assert f"{len(exposures)} exposures, unbiased within errors" in out.stdout  # type: ignore[attr-defined]
