"""The peer: calibration functions of the `jwst` package, run in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Arrays = dict[str, npt.NDArray[Any]]
Peer = Callable[..., Arrays]
WORKER = Path(__file__).with_name("steps_worker.py")
PRODUCTS_WORKER = Path(__file__).with_name("products_worker.py")
# With vectors of 512 bits numpy's logarithms end in another digit, by which LIKELY chooses between
# jumps that explain a ramp equally well.
NARROW = {"NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_SKX,AVX512_ICL,AVX512_SPR"}
SHARED_CRDS = Path(__file__).parents[3] / "shared/data/crds_jwst"


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """`peer(step, parameters, **arrays)`: what the peer makes of the arrays."""
    interpreter = os.environ.get("PEER_PYTHON")
    if not interpreter:
        pytest.skip("PEER_PYTHON does not name an interpreter that has the jwst package")
    folder = tmp_path_factory.mktemp("peer")
    # The peer has an `stpipe` of its own, which ours must not hide.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        [interpreter, str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment | NARROW,
    ) as process:

        def ask(step: str, parameters: dict[str, Any], **arrays: npt.NDArray[Any]) -> Arrays:
            given = {name: array for name, array in arrays.items() if array is not None}
            np.savez(folder / "in.npz", parameters=json.dumps(parameters), **given)
            process.stdin.write(f"{step} {folder / 'in.npz'} {folder / 'out.npz'}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            assert answer == "done", json.loads(answer or '"the peer died"')
            with np.load(folder / "out.npz") as stored:
                return {name: stored[name] for name in stored}

        yield ask
        process.stdin.close()


@pytest.fixture(scope="session")
def peer_step(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """`peer_step("jwst.photom:PhotomStep", path, **parameters)`: the file of the peer's product.

    Of many exposures it is a folder of files by number; `crds` is the cache of references, if another
    than the shared one. `peer_step("read", path)` opens and validates
    a file there with warnings as errors; `peer_step("mask", path, n_sigma=...)` is the mask of the
    background of rates; `peer_step("frames", path, inputs=...)` are coordinates, as `np.load` reads.
    """
    interpreter = os.environ.get("PEER_PYTHON")
    if not interpreter:
        pytest.skip("PEER_PYTHON does not name an interpreter that has the jwst package")
    folder = tmp_path_factory.mktemp("products")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"STPIPE_DISABLE_CRDS_STEPPARS": "true", "CRDS_READONLY_CACHE": "1"}
    if SHARED_CRDS.is_dir():
        environment |= {"CRDS_PATH": str(SHARED_CRDS), "CRDS_CONTEXT": "jwst_9001.pmap"}
    with subprocess.Popen(
        [interpreter, str(PRODUCTS_WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        count = 0

        def ask(
            step: str, source: Path | list[Path], crds: Path | None = None, **parameters: Any
        ) -> Path:
            nonlocal count
            count += 1
            output = folder / f"{count:03d}.fits"
            given = [str(s) for s in source] if isinstance(source, list) else str(source)
            do = step if step in ("read", "mask", "frames") else "run"
            request = {"do": do, "step": step, "input": given}
            request |= {"output": str(output), "parameters": parameters}
            request |= {"crds": crds and str(crds)}
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            assert answer == "done", json.loads(answer or '"the peer died"')
            return output

        yield ask
        process.stdin.close()
