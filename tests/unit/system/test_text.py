"""Parts of messages."""

from __future__ import annotations

import pytest

from stpipe.system.text import counted, with_article


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (21, "21 files")]
)
def test_a_noun_agrees_with_its_number(number: int, expected: str) -> None:
    assert expected == counted(number, "file")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("int", "an int"),
        ("ImageModel", "an ImageModel"),
        ("RampModel", "a RampModel"),
        ("uint", "a uint"),
    ],
)
def test_an_article_agrees_with_the_name(name: str, expected: str) -> None:
    assert expected == with_article(name)
