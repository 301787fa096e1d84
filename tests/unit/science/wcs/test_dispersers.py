"""What NIRSpec's gratings and prism are made of."""

from __future__ import annotations

from io import BytesIO

import asdf
import numpy as np
import pytest

from stpipe.science.wcs.nirspec.dispersers import rotation


@pytest.mark.parametrize(("angles", "axes"), [([-16.5], "y"), ([30.0], "z"), ([1, -2, 3], "xyz")])
def test_turns_are_stored(angles: list[float], axes: str) -> None:
    """One angle, too, as the prism has it; and they turn as before."""
    buffer = BytesIO()
    turn = rotation(angles, axes)
    asdf.AsdfFile({"turn": turn}).write_to(buffer)
    buffer.seek(0)
    with asdf.open(buffer) as stored:
        np.testing.assert_allclose(stored["turn"](0.1, 0.2, 0.9), turn(0.1, 0.2, 0.9), rtol=1e-15)
    np.testing.assert_allclose(turn.inverse(*turn(0.1, 0.2, 0.9)), (0.1, 0.2, 0.9), rtol=1e-14)


def test_a_turn_about_one_axis() -> None:
    """By its angle, the other directions following."""
    np.testing.assert_allclose(rotation([90.0], "y")(1.0, 5.0, 0.0), (0.0, 5.0, 1.0), atol=1e-15)
