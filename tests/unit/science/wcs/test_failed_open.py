"""Shutters that failed open, as their reference lists them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nirspec_optics
import pytest

from stpipe.errors import ReferenceMissing
from stpipe.references.selection import Reference
from stpipe.science.wcs.nirspec.failed_open import shutters_of


def test_any_of_three_states_counts(tmp_path: Path) -> None:
    """A shutter is open by each of them; its number counts along x first, from 0."""
    path = nirspec_optics.msaoper(tmp_path / "msaoper.json")
    shutters = shutters_of(Reference("msaoper", Path(path)))

    assert [(2, 160, 80), (1, 160, 71), (1, 180, 170), (3, 5, 3)] == [
        (shutter.quadrant, shutter.xcen, shutter.ycen) for shutter in shutters
    ]
    assert 2 * 365 + 4 == shutters[-1].number
    assert not shutters_of(Reference("msaoper", None))


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {"msaoper": [{"Q": 1, "x": 1, "y": 1, "state": "open"}]},
        {
            "msaoper": [
                {"Q": 5, "x": 1, "y": 1, "state": "open", "TA state": "", "Internal state": ""}
            ]
        },
    ],
    ids=["no list", "no state", "no quadrant"],
)
def test_other_files_are_refused(tmp_path: Path, content: Any) -> None:
    """The message says what was found and what is allowed."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    with pytest.raises(
        ReferenceMissing, match=r"x\.json is no MSAOPER reference .*, allowed: JSON"
    ):
        shutters_of(Reference("msaoper", path))
