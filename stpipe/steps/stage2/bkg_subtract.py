"""Subtract the average of background exposures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError, Skip
from stpipe.references.selection import Reference, listed
from stpipe.science.background.imprints import subtract_imprint

if TYPE_CHECKING:
    from stpipe.models import ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Bits, Booleans, Doubles, Floats
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["BackgroundStep", "Clipping", "average_of_exposures", "overlap"]

BACKGROUND, IMPRINT = "background", "imprint"
BAND = 64  # rows that are averaged at a time
TILT = 1e-8  # by which gratings of NIRSpec may differ
TILTS = ("meta.instrument.gwa_xtilt", "meta.instrument.gwa_ytilt")


class BackgroundStep(Step):
    """Subtract the average of background exposures, cleaned of outliers.

    `bkg_list` names the exposures; without them the step is skipped. Their integrations are averaged
    first, then the exposures, both without values beyond `sigma` standard deviations. Where a
    background exposure does not cover the exposure's subarray it does not count. Flags of the
    backgrounds are added; ERR and variances are not changed. Gratings of NIRSpec must have the same
    tilt. From backgrounds of an exposure whose imprint was subtracted theirs is subtracted first
    (`imprint_list`; see `imprint`).

    The scaled background references of WFSS and SOSS are not implemented.
    """

    alias = "bkg_subtract"
    suffix = "bsub"
    status = "bkg_subtract"
    input_models = ("ImageModel", "CubeModel", "IFUImageModel")
    outputs = (
        Output("combined", "ImageModel", "combinedbackground", when="save_combined_background"),
    )
    spec = """
        bkg_list = force_list(default=list())  # Files of background exposures
        imprint_list = force_list(default=list())  # Files of imprints, subtracted from backgrounds
        save_combined_background = boolean(default=False)  # Save their average, too
        sigma = float(min=0, default=3.0)  # Standard deviations beyond which values are left out
        maxiters = integer(min=1, default=None)  # Rounds of leaving out; None: until nothing changes
    """
    bkg_list: list[str]
    imprint_list: list[str]
    save_combined_background: bool
    sigma: float
    maxiters: int | None

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The exposures that are listed: inputs that are tracked and recorded as references are."""
        del meta
        imprints = self.imprint_list if self.bkg_list else []
        pending = self.context.pending
        return listed(BACKGROUND, self.bkg_list, pending) | listed(IMPRINT, imprints, pending)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Most exposures have no background exposures."""
        del meta
        return "" if selected else "no background exposures (bkg_list)"

    def process(self, image: RateModel) -> RateModel:
        """Subtract the average and add its flags."""
        from stpipe import models

        with ExitStack() as stack:
            opened: dict[str, Any] = {
                name: stack.enter_context(models.open(reference.path))
                for name, reference in self.selected.items()
            }
            exposures = [model for name, model in opened.items() if name.startswith(BACKGROUND)]
            _check_tilts(image, exposures)
            if image.meta.cal_step.imprint == "COMPLETE":
                imprints = [model for name, model in opened.items() if name.startswith(IMPRINT)]
                exposures = [_without_imprint(exposure, imprints) for exposure in exposures]
            average, err, dq = average_of_exposures(
                image, exposures, Clipping(self.sigma, self.maxiters)
            )
        if self.save_combined_background:
            self.add_product("combined", _combined(image, average, err, dq))
        image.data = image.data - average
        image.dq = image.dq | dq
        return image


@dataclass(frozen=True)
class Clipping:
    """Beyond how many standard deviations values are left out, in how many rounds at most."""

    sigma: float
    maxiters: int | None

    def __call__(self, values: Doubles) -> Any:
        """Values (n, ...) with outliers along the first axis masked."""
        from astropy.stats import sigma_clip

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*automatically clipped.*")
            return sigma_clip(values, sigma=self.sigma, maxiters=self.maxiters, axis=0)


def _combined(image: RateModel, average: Floats, err: Floats, dq: Bits) -> ImageModel:
    from stpipe import models

    combined = models.ImageModel(average)
    combined.update(image)
    combined.err, combined.dq = err, dq
    return combined


def _without_imprint(exposure: RateModel, imprints: Sequence[RateModel]) -> RateModel:
    """A background less its imprint, unless it had it subtracted before."""
    if exposure.meta.cal_step.imprint == "COMPLETE":
        return exposure
    less = exposure.copy()
    subtract_imprint(less, imprints)
    return less


def _check_tilts(image: RateModel, exposures: Sequence[RateModel]) -> None:
    if str(image.get("meta.instrument.name")).upper() != "NIRSPEC":
        return
    for exposure in exposures:
        for name in TILTS:
            one, other = image.get(name), exposure.get(name)
            if one is not None and (other is None or abs(one - other) > TILT):
                raise Skip(f"{name} of {exposure.get('meta.filename')} is {other}, not {one}")


def average_of_exposures(
    image: RateModel, exposures: Sequence[RateModel], clip: Clipping
) -> tuple[Floats, Floats, Bits]:
    """Mean, its error, and all flags of exposures where they cover the image (rows, columns).

    The stack is never whole in memory: bands of rows are averaged one after the other.
    """
    rows, columns = image.shape[-2:]
    average, err = np.full((2, rows, columns), np.nan, dtype=np.float32)
    dq = np.zeros((rows, columns), dtype=np.uint32)
    for start in range(0, rows, BAND):
        band = slice(start, min(start + BAND, rows))
        read = [_read_band(image, exposure, band, clip) for exposure in exposures]
        data, variance = (np.array(arrays) for arrays in list(zip(*read, strict=True))[:2])
        average[band], err[band] = _mean(data, variance, clip)
        for _, _, flags in read:
            dq[band] |= flags
    return average, err, dq


def _mean(data: Doubles, variance: Doubles, clip: Clipping) -> tuple[Doubles, Doubles]:
    """Mean of exposures (n, rows, columns) without outliers, and its error."""
    kept = clip(data)
    left_out: Booleans = np.ma.getmaskarray(kept)
    count = (~left_out).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(left_out, 0.0, variance).sum(axis=0)
        return np.ma.filled(kept.mean(axis=0), 0.0), np.sqrt(total) / count


def _read_band(
    image: RateModel, exposure: RateModel, band: slice, clip: Clipping
) -> tuple[Doubles, Doubles, Bits]:
    """Data, squared errors and flags of an exposure for rows of the image; NaN where it has none."""
    shape = (band.stop - band.start, image.shape[-1])
    data, variance = np.full((2, *shape), np.nan)
    dq = np.zeros(shape, dtype=np.uint32)
    here, there = overlap(image, exposure, band)
    if here is not None:
        values = exposure.read("data", (..., *there)).astype(np.float64)
        squares = exposure.read("err", (..., *there)).astype(np.float64) ** 2
        flags = exposure.read("dq", (..., *there))
        if len(exposure.shape) > 2:  # noqa: PLR2004 - integrations of an exposure
            values, squares = (
                np.ma.filled(clip(a).mean(axis=0), np.nan) for a in (values, squares)
            )
            flags = np.bitwise_or.reduce(flags, axis=0)
        data[here], variance[here], dq[here] = values, squares, flags
    return data, variance, dq


def overlap(image: RateModel, other: RateModel, band: slice) -> tuple[Any, Any]:
    """The rectangle that rows of an image share with another exposure: in the band, in the other.

    None for both when they share nothing. Rectangles are pairs of slices for rows and columns.
    """
    here, there = [], []
    limits = ((band.start, band.stop), (0, image.shape[-1]))
    for axis, name, (low, high) in zip((-2, -1), ("ystart", "xstart"), limits, strict=True):
        shift = _start(image, name) - _start(other, name)
        first, last = max(low, -shift), min(high, other.shape[axis] - shift)
        if first >= last:
            return None, None
        here.append(slice(first - low, last - low))
        there.append(slice(first + shift, last + shift))
    return tuple(here), tuple(there)


def _start(model: RateModel, name: str) -> int:
    start = model.get(f"meta.subarray.{name}")
    if start is None and model.shape[-2:] not in ((2048, 2048), (1024, 1032)):
        raise InputError(
            f"{model.get('meta.filename')}: meta.subarray.{name} is not set; it is needed to place "
            "the background on the detector."
        )
    return int(start or 1)
