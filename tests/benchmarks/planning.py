"""Plan and dry-run projects of many exposures, beside a Snakefile of the same rules written by hand.

    python tests/benchmarks/planning.py 100 1000 10000

Exposures are MIRI's of the demo, each with a time of its own, so that CRDS is asked for each. Prints
the table of the documentation. 10,000 exposures take 3 GB of disk and half an hour.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Cost, run

from stpipe.demo import write_demo

_CARD = b"TIME-OBS= '"
_HEAD = """
ROOTS = [line.strip() for line in open("roots.txt")]


wildcard_constraints:
    root=r"[^/]+",


rule all:
    input:
        expand("cal/{root}_rate.fits", root=ROOTS),
        expand("cal/{root}_rateints.fits", root=ROOTS),
"""
_RULE = """

rule NAME:
    input:
        exposure="INPUT",
        references=ancient(REFERENCES),
    output:
OUTPUTS
    log:
        "logs/{root}_NAME.log",
    group:
        "exposure"
    threads: 1
    resources:
        mem_mb=MEMORY,
    params:
        job="JOB",
    shell:
        "strun {params.job:q} {input.exposure:q} --output_file={output[0]:q}"
        " --threads={threads} > {log:q} 2>&1"
"""


def exposures(pattern: Path, folder: Path, count: int) -> list[Path]:
    """Copies of an exposure that begin a second after each other."""
    content = bytearray(pattern.read_bytes())
    place = content.index(_CARD) + len(_CARD)
    paths = []
    for number in range(count):
        minute, second = divmod(number, 60)
        hour, minute = divmod(minute, 60)
        content[place : place + 8] = f"{hour:02}:{minute:02}:{second:02}".encode()
        paths.append(folder / f"jw{number:05}001001_02101_00001_mirimage_uncal.fits")
        paths[-1].write_bytes(content)
    return paths


def by_hand(project: Path, folder: Path) -> None:
    """The rules of a project as a person would write them who knows that all exposures are alike."""
    plan = json.loads((project / ".stflow/plan.json").read_text())
    roots = [exposure["root"] for exposure in plan["exposures"]]
    rules = plan["exposures"][0]["jobs"][roots[0]]
    text = "".join(_rule(name, entry, roots[0]) for name, entry in rules.items())
    (folder / "Snakefile").write_text(_HEAD + text)
    (folder / "roots.txt").write_text("\n".join(roots))
    profile = folder / "profiles/default"
    shutil.copytree(project / "workflow/profiles/default", profile)


def _rule(name: str, entry: dict[str, object], root: str) -> str:
    words = {
        "NAME": name,
        "INPUT": str(entry["input"]),
        "REFERENCES": repr(entry["references"]),
        "OUTPUTS": "\n".join(f'        {k}="{v}",' for k, v in dict(entry["outputs"]).items()),  # type: ignore[call-overload]
        "MEMORY": str(entry["mem_mb"]),
        "JOB": str(entry["job"]),
    }
    text = _RULE
    for word, value in words.items():
        text = text.replace(word, value.replace(root, "{root}"))
    return text


def measured(count: int, folder: Path) -> Iterator[tuple[str, Cost]]:
    """What each way costs."""
    environment = {"CRDS_PATH": str(folder / "crds"), "STPIPE_MEMORY": str(folder / "memory")}
    place = folder / str(count)
    (place / "uncal").mkdir(parents=True)
    (place / "hand").mkdir()
    pattern = next(folder.glob("uncal/*mirimage_uncal.fits"))
    exposures(pattern, place / "uncal", count)
    # The list is too long for a command line: the configuration takes a pattern.
    first = min(place.glob("uncal/*.fits"))
    init = ["stflow", "init", "project", "--pipeline=calwebb_detector1", first]
    run(init, place, environment)
    (place / "project/config/references.lock").unlink()
    configuration = place / "project/config/config.yaml"
    text = configuration.read_text()
    configuration.write_text(text.replace(first.name, "*_uncal.fits"))
    shutil.rmtree(folder / "memory", ignore_errors=True)

    def dry_run(where: str) -> Callable[[], Cost]:
        return lambda: run(["snakemake", "--dry-run"], place / where, environment)

    yield "plan and dry run", dry_run("project")()
    by_hand(place / "project", place / "hand")
    yield "by hand", dry_run("hand")()
    yield "dry run, planned before", dry_run("project")()
    shutil.rmtree(place)


def main(counts: list[int]) -> None:
    """Print the table."""
    print("| exposures | jobs | by hand | planned before | planning included |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        list(write_demo(folder))
        for count in counts:
            costs = dict(measured(count, folder))
            hand = costs["by hand"]
            cells = [str(hand)] + [
                f"{costs[what]} ({costs[what].cpu / hand.cpu:.2f} x)"
                for what in ("dry run, planned before", "plan and dry run")
            ]
            print(f"| {count:,} | {10 * count:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    main([int(word) for word in sys.argv[1:]] or [100, 1000, 10_000])
