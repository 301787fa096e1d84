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
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from astropy.io import fits
from measure import Cost, alternate, copy_speed, run

from stpipe.demo import Observation, plan, write_demo

BIN = Path(sys.executable).parent
PIPELINE = "calwebb_detector1"
STEPS = ["dq_init", "saturation", "ipc", "superbias", "refpix", "linearity"]  # of NIRCam
STEPS += ["dark_current", "jump", "ramp_fit"]
COLUMNS = ["ours", "first time", "ours, file by file", "jwst 3.0.0", "times faster (CPU)"]
COLUMNS += ["times faster, first time", "memory", "floor"]
# The peer's own defaults leave out what needs reference files that the demo does not have.
PEER_OPTIONS = ["--steps.persistence.skip=true", "--steps.emicorr.skip=true"]


@dataclass(frozen=True)
class Case:
    """An exposure to be timed."""

    name: str
    observation: Observation
    by_files: bool = True
    once: bool = False  # the peer takes minutes


NIRCAM = plan("NIRCAM", subarray="FULL", ngroups=10, seed=1)
SERIES = plan("NIRCAM", subarray="SUBGRISM256", nints=40, ngroups=8, seed=3)
MIRI = plan("MIRI", subarray="FULL", nints=2, ngroups=12, seed=2)
COMPARED = [
    Case("NIRCam 1 x 10 x 2048 x 2048", NIRCAM),
    Case("MIRI 2 x 12 x 1024 x 1032", MIRI),
    Case("time series 40 x 8 x 256 x 2048", SERIES, by_files=False, once=True),
]
# Only our memory is of interest: the peer would take minutes.
GROWING = [(n, 5) for n in (1, 2, 4, 8)] + [(32, 10)]


def ours(
    folder: Path,
    target: str = PIPELINE,
    exposure: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Our pipeline, or a step, on the exposure in `folder`; products are new files."""
    words = [BIN / "strun", target, exposure or _exposure(folder), f"--output_dir={folder}/ours"]
    _emptied(folder / "ours")
    return run(words, folder, {**_crds(folder), **(environment or {})})


def first_time(folder: Path) -> Cost:
    """Our pipeline without what earlier runs found out."""
    with tempfile.TemporaryDirectory(dir=folder) as memory:
        return ours(folder, environment={"STPIPE_MEMORY": memory})


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


def repeated(path: Path, nints: int) -> None:
    """Repeat the one integration of a raw exposure, in place."""
    content = path.read_bytes()
    with fits.open(path) as hdus:
        science = hdus["SCI"]
        start, length = science.fileinfo()["datLoc"], science.fileinfo()["datSpan"]
        data, after = content[start:][: science.size], content[start + length :]
        science.header["NAXIS4"], hdus[0].header["NINTS"] = nints, nints
        headers = hdus[0].header.tostring() + science.header.tostring()
    with path.open("wb") as stream:
        stream.write(headers.encode())
        for _ in range(nints):
            stream.write(data)
        stream.write(bytes(-nints * len(data) % 2880) + after)


def main() -> None:
    """Measure all cases and print the tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"Medians of {runs} runs, of the time series one. This machine copies memory at")
    print(f"{speed() / 1000:.1f} GB/s.\n")
    _heading("exposure", *COLUMNS)
    for case in COMPARED:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            _row(*_compared(case, Path(scratch), runs))
    print("\nMore integrations, of NIRCam 2048 x 2048; single runs.\n")
    _heading("integrations x groups", "raw data", "ours", "floor")
    for nints, ngroups in GROWING:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            _row(*_grown(Path(scratch), nints, ngroups))
    print("\nNIRCam 1 x 10 x 2048 x 2048, step by step: within our pipeline, where bands go")
    print("through all steps; and as a process of its own, on the product of the step before.\n")
    _heading("step", "in the pipeline", "ours", "jwst 3.0.0")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        _simulate_apart(Path(scratch), NIRCAM)
        for row in single_steps(Path(scratch)):
            print(row, flush=True)


def _heading(*columns: str) -> None:
    _row(*columns)
    print("|---" * len(columns) + "|", flush=True)


def _row(*columns: object) -> None:
    print("| " + " | ".join(map(str, columns)) + " |", flush=True)


def _compared(case: Case, folder: Path, runs: int) -> list[object]:
    """The columns of an exposure beside the peer."""
    _simulate_apart(folder, case.observation)
    contestants = {"own": partial(ours, folder), "first": partial(first_time, folder)}
    if case.by_files:
        contestants["files"] = partial(by_files, folder)
    if "PEER_PYTHON" in os.environ:
        contestants["peer"] = partial(peer, folder)
    ours(folder)  # what later runs remember
    times = alternate(1 if case.once else runs, *contestants.values())
    costs = dict(zip(contestants, times, strict=True))
    own, first, theirs = costs["own"], costs["first"], costs.get("peer")
    files = f"{costs['files'].wall:.1f} s" if case.by_files else ""
    ratios = ("", "", "")
    if theirs:
        faster = f"{theirs.wall / own.wall:.1f} ({theirs.cpu / own.cpu:.1f})"
        at_first = f"{theirs.wall / first.wall:.1f} ({theirs.cpu / first.cpu:.1f})"
        ratios = (faster, at_first, f"1/{theirs.peak / own.peak:.1f}")
    return [case.name, own, first, files, theirs or "", *ratios, _told(floor(case.observation))]


def _grown(folder: Path, nints: int, ngroups: int) -> list[object]:
    """The columns of an exposure of many integrations."""
    _simulate_apart(folder, replace(NIRCAM, ngroups=ngroups))
    ours(folder)  # what later runs remember
    repeated(_exposure(folder), nints)
    size = _exposure(folder).stat().st_size / 1e6
    least = floor(replace(NIRCAM, nints=nints, ngroups=ngroups))
    return [f"{nints} x {ngroups}", f"{size:.0f} MB", ours(folder), _told(least)]


def _told(least: float) -> str:
    return f"{least:.0f} MB, {least / speed():.2f} s"


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
