"""The configuration of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from stpipe.errors import UsageError
from stpipe.project.config import SNAKEFILE, require_current
from stpipe.system import package_data


def test_a_snakefile_of_an_earlier_version_has_to_be_written_again(tmp_path: Path) -> None:
    file = tmp_path / SNAKEFILE
    file.parent.mkdir()
    file.write_text((package_data.folder("workflow") / "Snakefile").read_text())
    require_current(tmp_path)

    file.write_text("from stpipe.generate.plan import load\n")
    with pytest.raises(UsageError, match=r"earlier version of stpipe-flow.*stflow generate"):
        require_current(tmp_path)
