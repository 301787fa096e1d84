"""Models of traces in slits: what they are for, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stars_in_slits

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.steps.stage2.adaptive_trace_model import AdaptiveTraceModelStep
from stpipe.steps.stage2.pixel_replace import PixelReplaceStep

LIMITS = {"skip": False, "fit_threshold": 3.0, "slope_limit": 0.05}


def holed() -> Any:
    """A star without sky, some of whose pixels are missing."""
    exposure = stars_in_slits.slits(sky=0.0)
    rng = np.random.default_rng(1)
    for slit in exposure.slits:
        missing = rng.random(slit.shape) < 0.06
        slit.dq = np.where(missing, dqflags.DO_NOT_USE, 0).astype(np.uint32)
        slit.data = np.where(missing, np.float32(np.nan), slit.data)
    return exposure


def test_pixels_of_a_star_are_known_by_its_model(tmp_path: Path) -> None:
    """To ten per cent or so beside other holes; the file keeps the model; the dark slit has none."""
    exposure = AdaptiveTraceModelStep(**LIMITS).run(holed())
    path = exposure.save(tmp_path / "x_adaptive_trace_model.fits")
    truth = stars_in_slits.star(stars_in_slits.PLACE)
    with models.open(path) as kept:
        model = kept.slits[0].trace_model
        bright = (kept.slits[0].dq > 0) & (truth > 5) & np.isfinite(model)
    found = PixelReplaceStep(skip=False, algorithm="trace_model").run(path).slits[0]

    assert bright.sum() > 5
    np.testing.assert_array_equal(model[bright], found.data[bright])
    np.testing.assert_allclose(truth[bright], found.data[bright], rtol=0.15)
    assert (found.dq[bright] == dqflags.FLUX_ESTIMATED).all()
    assert np.isfinite(found.err[bright]).all()
    with models.open(path) as kept:
        assert np.isfinite(kept.slits[0].trace_model).any()
        assert np.isnan(kept.slits[1].trace_model).all()
        assert "COMPLETE" == kept.meta.cal_step.adaptive_trace_model


def test_without_a_model_neighbours_tell() -> None:
    """As with mingrad."""
    by_model = PixelReplaceStep(skip=False, algorithm="trace_model").run(holed())
    by_neighbours = PixelReplaceStep(skip=False).run(holed())
    for one, other in zip(by_model.slits, by_neighbours.slits, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_what_has_no_traces() -> None:
    """Other modes, slits without coordinates; by default the step is left out, before pixel_replace."""
    found = AdaptiveTraceModelStep(skip=False).run(stars_in_slits.bright_object(2))
    assert "SKIPPED" == found.meta.cal_step.adaptive_trace_model
    assert not found.has("trace_model")
    slits = stars_in_slits.slits()
    slits.slits[0].meta.wcs = None
    with pytest.raises(InputError, match="has no gwcs of its slits"):
        AdaptiveTraceModelStep(skip=False).run(slits)
    names = list(Spec2Pipeline.step_defs)
    assert names.index("adaptive_trace_model") + 1 == names.index("pixel_replace")
    assert AdaptiveTraceModelStep().skip
