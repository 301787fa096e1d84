"""A small product with a history, and one that differs from it in every kind of thing."""

from __future__ import annotations

import numpy as np

from stpipe import models

__all__ = ["changed", "reduced_image"]


def reduced_image() -> models.ImageModel:
    """An image with the history of two steps."""
    model = models.ImageModel(np.arange(12, dtype=np.float32).reshape(3, 4))
    model.mask = np.zeros((3, 4), np.uint32)
    model.meta.instrument.name = "MIRI"
    model.meta.program.title = (
        "A title that is so long that it does not fit on a line of a terminal"
    )
    model.set("meta.exposure.start_time", float("nan"))
    reference = {"name": "jwst_miri_gain_0001.fits", "sha256": "0123456789abcdef" * 4}
    jump = {"step": "jump", "status": "COMPLETE", "finished": "2026-01-02T03:04:05.678Z"}
    jump |= {"parameters": {"rejection_threshold": 5.0, "min_sat_area": 1}}
    jump |= {"sources": {"rejection_threshold": "command line", "min_sat_area": "default"}}
    jump |= {"references": {"gain": reference}, "software": {"numpy": "2.0"}}
    skip = {"step": "ipc", "status": "SKIPPED", "reason": "the user wished it"}
    model.provenance = [jump, skip]
    return model


def changed(image: models.ImageModel) -> models.ImageModel:
    """The same image, with one thing of every kind changed."""
    other = image.copy()
    data = np.array(image.data)
    data[1, 2] = np.nan
    data[2, 0] += 0.5
    other.data = data
    other.err = np.ones((3, 4))
    other.mask = np.zeros((2, 4), np.uint32)
    other.meta.instrument.name = "FGS"
    other.provenance[0]["parameters"]["rejection_threshold"] = 4.0
    other.provenance[0]["references"]["gain"]["sha256"] = "f" * 64
    return other
