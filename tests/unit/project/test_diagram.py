"""The picture of a project: which rule follows which, over all exposures and stages."""

from __future__ import annotations

from typing import Any

from stpipe.project.diagram import SOURCE, picture
from stpipe.project.plan import Plan


def entry(given: str | list[str], made: str) -> dict[str, Any]:
    return {"input": given, "outputs": {"product": made}, "side": {}, "keep": True}


def test_a_stage_follows_the_exposures_that_it_joins() -> None:
    """A rule that reads many files has one arrow from each rule that makes them."""
    plan = Plan(
        [
            *(
                {"jobs": {root: {"photom": entry(f"{root}.fits", f"cal/{root}_cal.fits")}}}
                for root in "ab"
            ),
            {
                "jobs": {
                    "m": {"resample": entry(["cal/a_cal.fits", "cal/b_cal.fits"], "cal/m_i2d.fits")}
                }
            },
        ]
    )
    drawn = picture(plan)

    assert {"photom": 2, "resample": 1} == dict(drawn.rules)
    assert {(SOURCE, "photom"): 2, ("photom", "resample"): 1} == dict(drawn.arrows)
