"""The peer's data models open what the simulator writes.

PEER_PYTHON names the interpreter of an environment with `stdatamodels` (make peer).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

PEER = os.environ.get("PEER_PYTHON")

VALIDATE = """
import json, sys, warnings
warnings.simplefilter("error")
from stdatamodels.jwst import datamodels
found = {}
for path in json.load(sys.stdin):
    with datamodels.open(path) as model:
        model.validate()
        found[path] = type(model).__name__
json.dump(found, sys.stdout)
"""


@pytest.mark.skipif(not PEER, reason="PEER_PYTHON does not name an interpreter with stdatamodels")
@pytest.mark.parametrize("demo", ["demo_folder", "series_folder"])
def test_peer_opens_and_validates_every_file(demo: str, request: pytest.FixtureRequest) -> None:
    """Exposures and references, with warnings as errors."""
    folder: Path = request.getfixturevalue(demo)
    exposures = sorted(map(str, (folder / "uncal").glob("*.fits")))
    references = sorted(map(str, (folder / "crds" / "references").rglob("*.fits")))

    done = subprocess.run(
        [str(PEER), "-I", "-c", VALIDATE],
        input=json.dumps(exposures + references),
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert {"Level1bModel"} == {found[path] for path in exposures}
    assert all(found[path].endswith("Model") for path in references)
