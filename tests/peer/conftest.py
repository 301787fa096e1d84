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
        env=environment,
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
