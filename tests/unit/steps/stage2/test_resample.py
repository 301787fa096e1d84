"""Grids of images that users ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe.errors import InputError
from stpipe.steps.stage2.resample import ResampleStep


def test_a_grid_of_ones_own(field: Path, tmp_path: Path) -> None:
    """A gwcs in an ASDF file decides; what is no such file is refused."""
    import asdf

    path = next(field.glob("cal/*_cal.fits"))
    first = ResampleStep(pixel_scale=0.05).run(path)
    own = tmp_path / "own.asdf"
    asdf.AsdfFile({"wcs": first.meta.wcs, "array_shape": first.shape}).write_to(own)
    second = ResampleStep(output_wcs=str(own)).run(path)

    np.testing.assert_allclose(first.data, second.data, rtol=1e-6)
    with pytest.raises(InputError, match="no readable ASDF file"):
        ResampleStep(output_wcs=str(path)).run(path)
