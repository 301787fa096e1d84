"""The detector stage beside the peer: `python tests/benchmarks/detector1.py [RUNS]`.

Simulates exposures, runs `calwebb_detector1` of both packages alternately as whole processes with the
same reference files, and prints a Markdown table. PEER_PYTHON names the interpreter of the peer's
environment; without it only our own figures are measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from measure import Cost, alternate, copy_speed, run

from stpipe.demo import Observation, plan, write_demo

BIN = Path(sys.executable).parent
PIPELINE = "calwebb_detector1"
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


def ours(folder: Path, *options: str) -> Cost:
    """Our pipeline on the exposure in `folder`."""
    return run([BIN / "strun", PIPELINE, *_exposure(folder), *options], folder, _crds(folder))


def by_files(folder: Path) -> Cost:
    """Every step its own process and file, from nothing."""
    project = Path(tempfile.mkdtemp(dir=folder)) / "project"
    words = [f"--pipeline={PIPELINE}", *_exposure(folder)]
    run([BIN / "stflow", "init", project, *words], folder, _crds(folder))
    return run([BIN / "snakemake", "--cores", "2", "cal"], project, _crds(folder))


def peer(folder: Path) -> Cost:
    """The peer's pipeline on the same exposure."""
    strun = Path(os.environ["PEER_PYTHON"]).parent / "strun"
    words = [strun, PIPELINE, *_exposure(folder), "--output_dir=peer", *PEER_OPTIONS]
    (folder / "peer").mkdir(exist_ok=True)
    environment = {"STPIPE_DISABLE_CRDS_STEPPARS": "true", "CRDS_READONLY_CACHE": "1"}
    return run(words, folder, _crds(folder) | environment)


def _exposure(folder: Path) -> list[Path]:
    return sorted(folder.glob("uncal/*_uncal.fits"))


def _crds(folder: Path) -> dict[str, str]:
    return {"CRDS_PATH": str(folder / "crds")}


def floor(observation: Observation) -> float:
    """MB that must be moved at least: the raw data, the dark, reference images and products."""
    pixels = observation.subarray.ysize * observation.subarray.xsize / 1e6
    samples = observation.nints * observation.ngroups
    return pixels * (2 * samples + 4 * observation.ngroups + 56 + 20 + 20 * observation.nints)


def main() -> None:
    """Measure all cases and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"Medians of {runs} runs; this machine copies memory at {speed() / 1000:.1f} GB/s.\n")
    print("| exposure | ours | ours, file by file | jwst 3.0.0 | times faster | memory | floor |")
    print("|---|---|---|---|---|---|---|")
    for name, observation in cases().items():
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            print(_row(name, observation, Path(scratch), runs), flush=True)


def _row(name: str, observation: Observation, folder: Path, runs: int) -> str:
    # In a process of its own: the peak memory of a child counts from that of its parent.
    with ProcessPoolExecutor(1) as pool:
        pool.submit(_simulate, folder, observation).result()
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
    columns = [name, own, files, theirs or "", *ratios, f"{least:.0f} MB, {least / speed():.2f} s"]
    return "| " + " | ".join(map(str, columns)) + " |"


def _simulate(folder: Path, observation: Observation) -> None:
    list(write_demo(folder, [observation]))


@cache
def speed() -> float:
    """MB per second at which this machine copies memory."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(copy_speed).result() / 1e6


if __name__ == "__main__":
    main()
