"""The detector stage beside the peer: `python tests/benchmarks/detector1.py [RUNS]`.

Simulates exposures, runs `calwebb_detector1` of both packages alternately as whole processes with the
same reference files, and prints a Markdown table. PEER_PYTHON names the interpreter of the peer's
environment; without it only our own figures are measured.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from measure import Cost, alternate, copy_speed, run

from stpipe.demo import Observation, plan, write_demo

BIN = Path(sys.executable).parent
PIPELINE = "calwebb_detector1"
STEPS = ["dq_init", "saturation", "ipc", "superbias", "refpix", "linearity"]  # of NIRCam
STEPS += ["dark_current", "jump", "ramp_fit"]
OTHERS = ["first time", "ours, file by file", "jwst 3.0.0", "times faster", "memory", "floor"]
# The peer's own defaults leave out what needs reference files that the demo does not have.
PEER_OPTIONS = ["--steps.persistence.skip=true", "--steps.emicorr.skip=true"]


def cases() -> dict[str, Observation]:
    """What is timed, by description."""
    nircam = plan("NIRCAM", subarray="FULL", ngroups=10, seed=1)
    series = plan("NIRCAM", subarray="SUBGRISM256", nints=40, ngroups=8, seed=3)
    miri = plan("MIRI", subarray="FULL", nints=2, ngroups=12, seed=2)
    return {
        "NIRCam 1 x 10 x 2048 x 2048": nircam,
        "MIRI 2 x 12 x 1024 x 1032": miri,
        "time series 40 x 8 x 256 x 2048": series,
        **{
            f"NIRCam {n} x 5 x 2048 x 2048": replace(nircam, nints=n, ngroups=5)
            for n in (1, 2, 4, 8)
        },
    }


def ours(folder: Path, target: str = PIPELINE, exposure: Path | None = None) -> Cost:
    """Our pipeline, or a step, on the exposure in `folder`; products are new files."""
    words = [BIN / "strun", target, exposure or _exposure(folder), f"--output_dir={folder}/ours"]
    _emptied(folder / "ours")
    return run(words, folder, _crds(folder))


def by_files(folder: Path) -> Cost:
    """Every step its own process and file, from nothing."""
    project = Path(tempfile.mkdtemp(dir=folder)) / "project"
    words = [f"--pipeline={PIPELINE}", _exposure(folder)]
    run([BIN / "stflow", "init", project, *words], folder, _crds(folder))
    return run([BIN / "snakemake", "--cores", "2", "cal"], project, _crds(folder))


def peer(folder: Path, target: str = PIPELINE, exposure: Path | None = None) -> Cost:
    """The peer's pipeline, or a step, on the same exposure."""
    strun = Path(os.environ["PEER_PYTHON"]).parent / "strun"
    words = [strun, target, exposure or _exposure(folder), f"--output_dir={folder}/peer"]
    options = PEER_OPTIONS if target == PIPELINE else []
    _emptied(folder / "peer")
    environment = {"STPIPE_DISABLE_CRDS_STEPPARS": "true", "CRDS_READONLY_CACHE": "1"}
    return run([*words, *options], folder, _crds(folder) | environment)


def single_steps(folder: Path) -> Iterator[str]:
    """A row for each step: within the pipeline, and as a process of its own on the file before."""
    ours(folder)
    told = dict(re.findall(r"Step (\w+) done in ([\d.]+) s", (folder / "bench.log").read_text()))
    exposure = _exposure(folder)
    for step in STEPS:
        theirs = peer(folder, step, exposure) if "PEER_PYTHON" in os.environ else ""
        own = ours(folder, step, exposure)
        columns = [step, f"{told[step]} s" if step != STEPS[-1] else "", own, theirs]
        yield "| " + " | ".join(map(str, columns)) + " |"
        (product,) = (folder / "ours").glob(f"*_{step}.fits") if step != STEPS[-1] else [exposure]
        exposure = product.rename(folder / product.name)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _exposure(folder: Path) -> Path:
    (path,) = folder.glob("uncal/*_uncal.fits")
    return path


def _crds(folder: Path) -> dict[str, str]:
    return {"CRDS_PATH": str(folder / "crds"), "STPIPE_MEMORY": str(folder / "memory")}


def floor(observation: Observation) -> float:
    """MB that must be moved at least: the raw data, the dark, reference images and products."""
    pixels = observation.subarray.ysize * observation.subarray.xsize / 1e6
    samples = observation.nints * observation.ngroups
    return pixels * (2 * samples + 4 * observation.ngroups + 56 + 20 + 20 * observation.nints)


def main() -> None:
    """Measure all cases and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"Medians of {runs} runs; this machine copies memory at {speed() / 1000:.1f} GB/s.\n")
    print(f"| exposure | ours | {' | '.join(OTHERS)} |")
    print("|---" * (2 + len(OTHERS)) + "|")
    for name, observation in cases().items():
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            print(_row(name, observation, Path(scratch), runs), flush=True)
    print(
        "\nNIRCam 1 x 10 x 2048 x 2048, step by step: within our pipeline, where bands go through all"
    )
    print("steps; and as a process of its own, on the product of the step before.\n")
    print("| step | in the pipeline | ours | jwst 3.0.0 |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        _simulate_apart(Path(scratch), next(iter(cases().values())))
        for row in single_steps(Path(scratch)):
            print(row, flush=True)


def _row(name: str, observation: Observation, folder: Path, runs: int) -> str:
    _simulate_apart(folder, observation)
    first = ours(folder)
    grows = "x 5 x" in name  # only memory is of interest: the peer would take minutes
    contestants = [partial(ours, folder)] + ([] if grows else [partial(by_files, folder)])
    if "PEER_PYTHON" in os.environ and not grows:
        contestants.append(partial(peer, folder))
    costs = alternate(1 if grows else runs, *contestants)
    own = costs[0]
    files = f"{costs[1].wall:.1f} s" if len(costs) > 1 else ""
    theirs = costs[2] if len(costs) > 2 else None
    ratios = (
        (f"{theirs.wall / own.wall:.1f}", f"1/{theirs.peak / own.peak:.1f}") if theirs else ("", "")
    )
    least = floor(observation)
    columns = [
        name,
        own,
        f"{first.wall:.1f} s",
        files,
        theirs or "",
        *ratios,
        f"{least:.0f} MB, {least / speed():.2f} s",
    ]
    return "| " + " | ".join(map(str, columns)) + " |"


def _simulate_apart(folder: Path, observation: Observation) -> None:
    """In a process of its own: the peak memory of a child counts from that of its parent."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(_simulate, folder, observation).result()


def _simulate(folder: Path, observation: Observation) -> None:
    list(write_demo(folder, [observation]))


@cache
def speed() -> float:
    """MB per second at which this machine copies memory."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(copy_speed).result() / 1e6


if __name__ == "__main__":
    main()
