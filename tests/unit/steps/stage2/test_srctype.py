"""Whether the source of a spectrum is a point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.steps.stage2.srctype import SourceTypeStep, source_type


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"meta.exposure.type": "MIR_LRS-FIXEDSLIT"}, "POINT"),
        ({"meta.exposure.type": "NRS_IFU"}, "EXTENDED"),
        ({"meta.exposure.type": "NRS_MSASPEC", "stellarity": 0.8}, "POINT"),
        ({"meta.exposure.type": "NRS_MSASPEC", "stellarity": 0.3}, "EXTENDED"),
        ({"meta.exposure.type": "NRS_MSASPEC"}, "POINT"),
        ({"meta.exposure.type": "NIS_WFSS", "is_extended": True}, "EXTENDED"),
        ({"meta.exposure.type": "NIS_WFSS"}, "POINT"),
        (
            {
                "meta.exposure.type": "NRS_FIXEDSLIT",
                "meta.instrument.fixed_slit": "S200A1",
                "name": "S200A2",
                "meta.target.source_type_apt": "POINT",
            },
            "EXTENDED",
        ),
    ],
)
def test_source_types(meta: dict[str, Any], expected: str) -> None:
    """By mode; those of one target are held against the peer."""
    assert expected == source_type(meta)


def test_images_have_no_source_type() -> None:
    """Skipped, with the reason; a time series of images has a point."""
    image = models.ImageModel(np.ones((4, 4), np.float32))
    image.meta.exposure.type = "NRC_IMAGE"
    left = SourceTypeStep().run(image)
    assert "no source type" in left.provenance[-1]["reason"]
    image.meta.exposure.type, image.meta.exposure.nints = "NRC_TSIMAGE", 3
    assert "POINT" == SourceTypeStep().run(image).meta.target.source_type
