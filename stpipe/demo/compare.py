"""`python -m stpipe.demo.compare DIR`: hold the rates of a demo folder against the truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stpipe import models
from stpipe.demo.truth import Truth
from stpipe.models import dqflags

__all__ = ["Agreement", "agreement", "main"]


@dataclass(frozen=True)
class Agreement:
    """How the rates of one exposure compare with the truth.

    Attributes
    ----------
    pixels
        Number of pixels with a rate and without defects.
    bias
        Mean of rate over mean of truth, minus 1.
    pull_mean, pull_width
        Mean and standard deviation of (rate - truth) / error, outliers beyond 5 left out; 0 and 1
        for unbiased rates with right errors.
    """

    pixels: int
    bias: float
    pull_mean: float
    pull_width: float

    @property
    def unbiased(self) -> bool:
        """Whether rates and errors hold: a tenth of an error, and errors right within a tenth."""
        return abs(self.pull_mean) < 0.1 and abs(self.pull_width - 1) < 0.1  # noqa: PLR2004


def agreement(rate: models.DataModel, truth: Truth) -> Agreement:
    """Compare a rate image with the truth about its exposure."""
    defects = dqflags.DO_NOT_USE | dqflags.REFERENCE_PIXEL
    good = np.isfinite(rate.data) & (rate.err > 0) & ((rate.dq | truth.dq) & defects == 0)
    found, true = rate.data[good].astype(np.float64), truth.rate[good].astype(np.float64)
    pull = (found - true) / rate.err[good]
    kept = pull[np.abs(pull) < 5]  # noqa: PLR2004 - undetected cosmic rays are not what is measured
    return Agreement(
        pixels=int(good.sum()),
        bias=float(found.mean() / true.mean() - 1),
        pull_mean=float(kept.mean()),
        pull_width=float(kept.std()),
    )


def _lines(folder: Path) -> Iterator[tuple[str, bool]]:
    for path in sorted(folder.glob("cal/*_rate.fits")):
        root = path.name.removesuffix("_rate.fits")
        with models.open(path) as rate:
            found = agreement(rate, Truth.load(folder / "truth" / f"{root}_truth.fits"))
        pull = f"{found.pull_mean:+.3f} +- {found.pull_width:.3f}"
        line = f"{path}: {found.pixels:7d} pixels, bias {found.bias:+.3%}, pull {pull}"
        yield line, found.unbiased


def main() -> int:
    """Print a line for each rate image; the exit code is 1 when one is biased."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    lines = list(_lines(folder))
    for line, _ in lines:
        print(line)
    biased = [line for line, unbiased in lines if not unbiased]
    verdict = "biased" if biased else "unbiased within errors"
    print(f"{len(lines)} exposures, {verdict}.")
    return 1 if biased or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
