"""Saving: what a product replaces is not lost without a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe import Pipeline, Step, models

if TYPE_CHECKING:
    import pytest


class Twice(Step):
    alias = suffix = "twice"

    def process(self, image: Any) -> Any:
        image.data = image.data * 2
        return image


class Both(Pipeline):
    step_defs = {"first": Twice, "second": Twice}

    def process(self, image: Any) -> Any:
        return self.second(self.first(image))


def test_a_product_of_another_chain_is_not_replaced_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = models.ImageModel(np.ones((3, 4), dtype=np.float32))
    image.save(tmp_path / "x_rate.fits")
    options = {"output_dir": str(tmp_path), "output_file": "x_twice.fits"}
    Both.call(tmp_path / "x_rate.fits", **options)
    Both.call(tmp_path / "x_rate.fits", **options)
    assert "replaces" not in caplog.text

    Twice.call(tmp_path / "x_rate.fits", **options)
    assert "x_twice.fits replaces a product that had gone through first, second, too" in caplog.text
