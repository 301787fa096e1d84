"""Projects to work on: a module makes one (`made`), its tests change copies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Once = Callable[[str, Callable[[Path], object]], Path]
SCRIPT = Path(__file__).parents[2] / "stpipe/demo/demo.sh"


@pytest.fixture(scope="session")
def shown(once: Once, run: Run) -> Path:
    """What `make demo` makes, in demo/, and prints the first time and the second; not to be changed."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("CRDS_PATH", raising=False)
            for printed in ("first", "second"):
                text = run("sh", SCRIPT, "demo", cwd=folder).stdout
                (folder / f"{printed}.txt").write_text(text)

    return once("shown", make)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, with times and Snakemake's memory kept."""
    # Beside the original, so that relative paths to the exposures hold.
    copy = made.parent / tmp_path.name
    shutil.copytree(made, copy, symlinks=True)
    return copy
