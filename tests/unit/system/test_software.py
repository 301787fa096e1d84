"""Versions of the software that made a product."""

from __future__ import annotations

import re
import sys

from stpipe.system import software


def test_software_names_versions() -> None:
    assert re.match(r"\d+\.\d+", software.installed()["numpy"])
    assert "stpipe-flow" in software.installed()
    assert sys.modules["stpipe"].__version__ == software.installed()["stpipe-flow"]
