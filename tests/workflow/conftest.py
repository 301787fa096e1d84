"""Projects to work on: a module makes one (`made`), its tests change copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, with times and Snakemake's memory kept."""
    # Beside the original, so that relative paths to the exposures hold.
    copy = made.parent / tmp_path.name
    shutil.copytree(made, copy, symlinks=True)
    return copy
