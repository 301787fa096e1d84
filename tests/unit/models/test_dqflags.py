"""Data-quality bits and their translation from reference files."""

from __future__ import annotations

import numpy as np
import pytest

from stpipe.errors import ParameterError
from stpipe.models import dqflags

DQ_DEF = [("BIT", "i4"), ("VALUE", ">u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]


def test_bits_are_those_of_the_archive() -> None:
    """The names stand for the bits that JWST products use."""
    assert dqflags.DO_NOT_USE == 1
    assert dqflags.pixel["HOT"] == 2**11
    assert dqflags.REFERENCE_PIXEL == 2**31
    assert len(dqflags.pixel) == 33


def test_group_bits_fit_into_a_byte() -> None:
    """Groups have seven bits, with the meaning that they have for pixels."""
    assert sorted(dqflags.group.values()) == [0, 1, 2, 4, 8, 32, 64, 128]
    assert all(dqflags.pixel[name] == value for name, value in dqflags.group.items())


def test_flags_keep_their_dtype() -> None:
    """Setting a bit changes neither the dtype of group nor of pixel flags."""
    assert (np.zeros(1, np.uint8) | dqflags.CHARGELOSS).dtype == np.uint8
    assert (np.zeros(1, np.uint32) | dqflags.REFERENCE_PIXEL).dtype == np.uint32


def test_remap_translates_by_name() -> None:
    """Bits of a reference become the standard bits of the same name; unknown ones are dropped."""
    table = np.array(
        [(0, 1, b"HOT", b""), (1, 2, b"DO_NOT_USE ", b""), (2, 4, b"NONSENSE", b"")], dtype=DQ_DEF
    )
    mask = np.array([0, 1, 2, 3, 4, 8], dtype=">u4")
    expected = [0, dqflags.HOT, 1, dqflags.HOT | 1, 0, 0]
    remapped = dqflags.remap(mask, table)
    assert expected == remapped.tolist()
    assert remapped.dtype == np.dtype("=u4")


def test_remap_without_table_keeps_bits() -> None:
    """A mask without definitions is in standard bits already."""
    mask = np.array([5, 7], dtype=np.uint32)
    assert [5, 7] == dqflags.remap(mask, None).tolist()
    assert [5, 7] == dqflags.remap(mask, np.empty(0, dtype=DQ_DEF)).tolist()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("~DO_NOT_USE+NON_SCIENCE", 1 | 512),
        ("~do_not_use", 1),
        ("JUMP_DET, SATURATED", 0xFFFFFFFF - 6),
        ("4+2", 0xFFFFFFFF - 6),
        ("~(4, 2)", 6),
        ("0", 0xFFFFFFFF),
        ("~0", 0),
        ("None", 0),
        ("", 0),
    ],
)
def test_texts_of_good_bits(good: str, bad: int) -> None:
    """Names or numbers, and the other way round."""
    assert bad == dqflags.excluded(good)


def test_bits_that_do_not_exist() -> None:
    with pytest.raises(ParameterError, match=r'DO_NOT_USED.*did you mean "DO_NOT_USE"'):
        dqflags.excluded("~DO_NOT_USED+4")
