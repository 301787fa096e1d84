"""Subtract the noise that flickers from row to row, measured where there is only background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.engine import compute
from stpipe.engine.array_store import ArrayStore
from stpipe.engine.chain import hold
from stpipe.errors import InputError, NoProduct, Skip
from stpipe.models import dqflags
from stpipe.references.metafile import METAFILE, select_metafile
from stpipe.science.arrays import has
from stpipe.science.background.levels import Clipping, background_level, clip_to_background, quiet
from stpipe.science.background.scene_mask import background_mask, non_science
from stpipe.science.background.stripes import stripes
from stpipe.science.ramps.fitting import draft_rates
from stpipe.science.ramps.integrations import RATES, as_model, integrations_of, is_ramp
from stpipe.science.wcs.nirspec import science_regions
from stpipe.science.wcs.nirspec.science_regions import ScienceRegions
from stpipe.steps.stage1.clean_flicker_noise import nsclean

if TYPE_CHECKING:
    import numpy.typing as npt

    from stpipe.engine.array_store import FinishedArray
    from stpipe.models.protocols import FlatMetadata, Meta
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Doubles, Floats, GroupBits, Item
    from stpipe.science.ramps.integrations import RampOrRates, RateModel

__all__ = [
    "CleanFlickerNoiseStep",
    "FlickerRules",
    "Fourier",
    "Scene",
    "clean_around",
    "clean_image",
    "clean_ramp",
    "filled_flat",
    "planes_of",
    "scaled_medians",
]

FOURIER_TYPES = ("NRS_MSASPEC", "NRS_IFU", "NRS_FIXEDSLIT", "NRS_BRIGHTOBJ")
AUTOMATIC_TYPES = ("NIS_IMAGE", "NRC_IMAGE")
MIRI_IMAGES, SOSS = "MIR_IMAGE", "NIS_SOSS"
# Exposures whose brightness is measured in ways that stpipe-flow does not have.
UNSCALED_TYPES = ("NRC_TSIMAGE", "NRC_TSGRISM", "NRS_BRIGHTOBJ", "NIS_SOSS")
REGIONS = ScienceRegions(shutters=frozenset({"NRS_MSASPEC", "NRS_IFU"}))
SIZE = 2048
OUTPUTS = 4


class CleanFlickerNoiseStep(Step):
    """Subtract the noise that flickers from row to row, measured where there is only background.

    Sources are masked in draft rates (`n_sigma`, or a Gauss curve with `fit_histogram`) unless
    there is a `user_mask`, an image that is 1 where there is background. Then, for every
    difference of neighbouring groups, the background is taken out, the median of its unmasked
    pixels along the slow axis subtracted (MIRI: along columns; with `fit_by_channel` for each
    output of a full frame), and the background put back. With `fit_method=fft` the noise of NIRSpec
    images is fitted in frequency space instead (Rauscher 2024, PASP 136, 015001). Rates are cleaned
    in the same way, image by image. `autoparam` chooses flat field, background and channels of
    NIRCam and NIRISS images from what they look like.

    The background `median_image` of several integrations is their median, scaled to the median of
    each; of time series, whose brightness is measured in other ways, the step is left out.
    `mask_science_regions` knows the regions of MIRI images, the traces of NIRISS SOSS (reference file
    `pastasoss`), and what NIRSpec sees through slits, slices and shutters that failed open: as
    `assign_wcs` and `msa_flagging` tell, or from their references, which have to be given to this step
    as well.

    Differences from jwst 3.0.0: an exposure that cannot be cleaned is SKIPPED, with the reason, where
    jwst reports FAILED. Kept from there: the Fourier fit of full frames is shifted by one pixel in
    both directions, and a group without usable pixels stays as it is while those around it change.
    """

    alias = "clean_flicker_noise"
    suffix = "clean_flicker_noise"
    status = "clean_flicker_noise"
    input_models = ("RampModel", *RATES)
    optional_reference_types = (
        *("flat", "gain", "readnoise", "pastasoss"),
        *science_regions.REFERENCES,
        METAFILE,
    )
    prerequisites = ("meta.exposure.type", "meta.subarray.slowaxis", "meta.instrument.detector")
    outputs = (
        Output("mask", "", "mask", when="save_mask"),
        Output("flicker_bkg", "", "flicker_bkg", when="save_background"),
        Output("flicker_noise", "", "flicker_noise", when="save_noise"),
    )
    spec = """
        skip = boolean(default=True)  # Leave this step out
        autoparam = boolean(default=False)  # Choose some parameters from the data
        fit_method = option('fft', 'median', default='median')  # How the noise is fitted
        fit_by_channel = boolean(default=False)  # Fit each output of a full frame by itself
        background_method = option('median','model','median_image','None',default='median')  # Put back
        background_box_size = int_list(min=2, max=2, default=None)  # Rows, columns of the model
        mask_science_regions = boolean(default=False)  # Mask regions known to hold sources
        apply_flat_field = boolean(default=False)  # Divide by the flat field while fitting
        n_sigma = float(min=0, default=2.0)  # Sigma above which a pixel is a source; 0: none is
        fit_histogram = boolean(default=False)  # Take sigma from a fit to the histogram
        single_mask = boolean(default=True)  # One mask for all integrations
        user_mask = string(default=None)  # File with an image that is 1 where there is background
        save_mask = boolean(default=False)  # Save the mask as _mask
        save_background = boolean(default=False)  # Save the background as _flicker_bkg
        save_noise = boolean(default=False)  # Save what is subtracted as _flicker_noise
    """
    autoparam: bool
    fit_method: str
    fit_by_channel: bool
    background_method: str
    background_box_size: list[int] | None
    mask_science_regions: bool
    apply_flat_field: bool
    n_sigma: float
    fit_histogram: bool
    single_mask: bool
    user_mask: str | None
    save_mask: bool
    save_background: bool
    save_noise: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Not for spectra of MIRI, nor for a Fourier fit to other than NIRSpec's."""
        kind = str(meta.get("meta.exposure.type"))
        if kind.startswith("MIR") and kind != MIRI_IMAGES:
            return f"{kind} exposures have no correction"
        if self.fit_method == "fft" and kind not in FOURIER_TYPES:
            return f"the fit method fft is not for {kind} exposures"
        return REGIONS.lacking(meta, selected) if self._for_regions(meta) else ""

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Those for draft rates of ramps, and the flat field where it is used."""
        rates = meta.get("meta.model_type") in RATES
        drafts = self.autoparam or self.user_mask is None or self._by_median_image
        kind = meta.get("meta.exposure.type") if self.mask_science_regions else None
        flat = self.apply_flat_field or self.autoparam or kind == MIRI_IMAGES
        traces = kind == SOSS and self.user_mask is None
        asked = {"flat": flat, "pastasoss": traces}
        wanted = tuple(name for name, needed in asked.items() if needed)
        wanted = (*wanted, *self._for_regions(meta))
        return (*wanted, "gain", "readnoise") if drafts and not rates else wanted

    def _for_regions(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Those that tell what NIRSpec sees, where it is masked."""
        masked = self.mask_science_regions and self.user_mask is None
        return REGIONS.wanted(meta) if masked else ()

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The metafile of the shutters is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if self._for_regions(meta) and science_regions.needs_metafile(meta):
            given = getattr(self, f"override_{METAFILE}", None)
            selected[METAFILE] = select_metafile(given, self.context, meta)
        return selected

    @property
    def _by_median_image(self) -> bool:
        return self.background_method == "median_image"

    def process(self, model: RampOrRates) -> RampOrRates:
        """Clean a ramp, or rates."""
        if is_ramp(model):
            compute(model)
        scene = self._scene(model)
        rules = self._rules(model, scene)
        mask = self._mask(model, scene, rules)
        medians = self._medians(model, scene) if scene and self._by_median_image else None
        found = self._clean(model, mask, rules, medians)
        if self.save_mask:
            self.add_product("mask", as_model(mask.astype(np.float32), model))
        for name in ("flicker_bkg", "flicker_noise"):
            if name in found:
                self.add_product(name, as_model(found[name], model))
        hold(model, "data", found["data"])
        return model

    # --- what is masked -------------------------------------------------------------------------------

    def _scene(self, model: RampOrRates) -> Scene | None:
        """Rates in which sources are seen; None where nobody looks at them."""
        if not is_ramp(model):
            return Scene(model, model)
        if not (self.autoparam or self.user_mask is None or self._by_median_image):
            return None
        try:
            return Scene(*draft_rates(model, self.references))
        except NoProduct as reason:
            raise Skip(f"there are no draft rates: {reason}") from None

    def _rules(self, model: RampOrRates, scene: Scene | None) -> FlickerRules:
        """Parameters as they apply to an exposure."""
        meta = model.meta
        infrared = not meta.exposure.type.startswith("MIR")
        rules = FlickerRules(
            axis=abs(meta.subarray.slowaxis) - 1 if infrared else 0,
            fit_by_channel=self.fit_by_channel and infrared and meta.subarray.name == "FULL",
            background_method=self.background_method,
            background_box_size=tuple(self.background_box_size)
            if self.background_box_size
            else None,
            n_sigma=self.n_sigma,
            flat=self._flat() if self.apply_flat_field else None,
            fourier=Fourier.of(meta) if self.fit_method == "fft" else None,
        )
        if not self.autoparam or scene is None:
            return rules
        if meta.exposure.type not in AUTOMATIC_TYPES:
            self.log.warning("autoparam: nothing is known about %s", meta.exposure.type)
            return rules
        from stpipe.steps.stage1.clean_flicker_noise.choice import choose

        flat = self._flat()
        background, by_channel = choose(scene.average(), flat, rules.axis, meta.exposure.type)
        self.log.info("Background %s, by channel: %s", background, by_channel)
        return replace(rules, flat=flat, background_method=background, fit_by_channel=by_channel)

    def _flat(self) -> Floats | None:
        """The flat field without holes; None when none applies."""
        if "flat" not in self.references:
            self.log.warning("No flat field applies: none is divided by")
            return None
        return filled_flat(self.references["flat"].data)

    def _mask(self, model: RampOrRates, scene: Scene | None, rules: FlickerRules) -> Booleans:
        """Background pixels (rows, columns) or (integrations, rows, columns)."""
        if self.user_mask is not None or scene is None:
            return read_mask(self.user_mask or "", model.shape)
        rates = scene.rates(single=self.single_mask and not self._by_median_image)
        unusable = np.zeros(rates.data.shape, dtype=bool)
        if self.mask_science_regions:
            unusable |= self._science_regions(rates)
        data = rates.data if rules.flat is None else rates.data / rules.flat
        clipping = Clipping(upper=self.n_sigma, fit_histogram=self.fit_histogram)
        mask = background_mask(data, clipping if self.n_sigma > 0 else None, unusable)
        single = mask.ndim > 2 and self.single_mask and not self._by_median_image  # noqa: PLR2004 - a cube
        return np.logical_and.reduce(mask, axis=0) if single else mask

    def _science_regions(self, rates: RateModel) -> Booleans | bool:
        """Pixels that are known to be no background; none where nothing is known."""
        if rates.meta.exposure.type == MIRI_IMAGES:
            return non_science(rates.dq, self.references["flat"])
        if rates.meta.exposure.type.startswith("NRS"):
            try:
                return REGIONS.of(rates, self.references, self.selected)
            except NoProduct as reason:
                raise Skip(str(reason)) from None
        if rates.meta.exposure.type != SOSS:
            return False
        from stpipe.steps.stage1.clean_flicker_noise.soss_traces import mask_of_traces, traces_of

        path = self.selected["pastasoss"].path
        if path is None:
            raise Skip("no pastasoss reference applies (N/A): the traces are not known")
        meta = rates.meta
        traces = traces_of(path, meta.instrument.pupil_position, meta.subarray.name)
        return mask_of_traces(traces, rates.data.shape[-2:])

    def _medians(self, model: RampOrRates, scene: Scene) -> Floats:
        """The median over integrations, scaled to the brightness of each."""
        meta, data = model.meta, planes_of(model)
        timed = meta.exposure.type == MIRI_IMAGES and bool(meta.visit.tsovisit)
        if meta.exposure.type in UNSCALED_TYPES or timed:
            raise Skip("the brightness of time series is measured in ways that stpipe-flow lacks")
        if len(data) == 1:
            raise Skip("a median image needs several integrations")
        return scaled_medians(data, scene.rates(single=False).data)

    # --- what is done ---------------------------------------------------------------------------------

    def _clean(
        self, model: RampOrRates, mask: Booleans, rules: FlickerRules, medians: Floats | None
    ) -> dict[str, FinishedArray]:
        """Clean data, and the background and noise if they are to be saved, as the model's data.

        One integration is in memory at a time.
        """
        store = ArrayStore()
        extras = {"flicker_bkg": self.save_background, "flicker_noise": self.save_noise}
        names = ["data", *(name for name, wanted in extras.items() if wanted)]
        for name in names:
            store.make(name, model.shape, np.dtype(np.float32))
        for i, at in enumerate(integrations_of(model)):
            planes = np.asarray(model.read("data", at)).reshape(-1, *model.shape[-2:])
            plane = mask[i] if mask.ndim > 2 else mask  # noqa: PLR2004 - a cube
            scenes = None if medians is None else medians[i]
            if scenes is None and is_ramp(model):
                cleaned, background = clean_ramp(planes, model.groupdq[i], plane, rules)
            else:
                cleaned, background = clean_around(planes, scenes, plane, rules)
            made = {"data": cleaned, "flicker_bkg": background}
            for name in names:
                array = made[name] if name in made else cleaned - planes
                store.fill(name, at, array if is_ramp(model) else array[0])
        return store.finished()


def planes_of(model: RampOrRates) -> Floats:
    """Data of a ramp, cube or image as (integrations, groups, rows, columns)."""
    data: Floats = np.asarray(model.data)
    if is_ramp(model):
        return data
    return data[:, None] if data.ndim > 2 else data[None, None]  # noqa: PLR2004 - a cube


@dataclass(frozen=True)
class Scene:
    """Rates of an exposure and of its integrations."""

    exposure: RateModel
    integrations: RateModel

    def rates(self, *, single: bool) -> RateModel:
        """Rates of the exposure as a whole, or of each integration."""
        return self.exposure if single else self.integrations

    def average(self) -> Floats:
        """One image (rows, columns) in DN/s."""
        data: Floats = np.asarray(self.exposure.data)
        return np.nanmean(data, axis=0) if data.ndim > 2 else data  # noqa: PLR2004 - a cube


def read_mask(path: str, shape: tuple[int, ...]) -> Booleans:
    """The mask of a user.

    Raises
    ------
    InputError
        When it is not of the exposure's shape.
    """
    from stpipe import models

    if not Path(path).is_file():
        raise InputError(f"user_mask: there is no file {path} (looked in {Path.cwd()}).")
    with models.open(path) as model:
        mask: Booleans = np.asarray(model.data) != 0
    if mask.shape[-2:] != shape[-2:] or (mask.ndim > 2 and mask.shape[0] != shape[0]):  # noqa: PLR2004 - a cube
        raise InputError(
            f"user_mask: the image in {path} is of shape {mask.shape}, the exposure of {shape}. "
            "Give one image, or one for each integration."
        )
    return mask


def filled_flat(flat: Floats) -> Floats:
    """A flat field whose holes (0, NaN) have the level around them."""
    bad = (flat == 0) | ~np.isfinite(flat)
    if not bad.any():
        return flat
    return np.where(bad, background_level(flat, ~bad, "model"), flat).astype(np.float32)


def scaled_medians(data: Floats, rates: Floats) -> Floats:
    """Median over integrations of each group, for each integration as bright as its rates.

    `data` is (integrations, groups, rows, columns), `rates` (integrations, rows, columns).
    """
    with quiet():
        brightness = np.nanmedian(rates, axis=(1, 2))
        factors = brightness / np.nanmedian(brightness)
        medians = np.stack([np.nanmedian(data[:, k], axis=0) for k in range(data.shape[1])])
    known = np.isfinite(factors)
    if not known.any():
        raise Skip("the brightness of no integration is known")
    factors[~known] = np.median(factors[known])
    scaled: Floats = factors[:, None, None, None] * medians
    return scaled


# --- one image ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fourier:
    """Where the fast axis of a NIRSpec detector runs, and which frequencies are noise."""

    flipped: bool
    cutoffs: tuple[float, ...]

    @classmethod
    def of(cls, meta: Meta) -> Fourier:
        """For an exposure."""
        slits = meta.subarray.name == "ALLSLITS"
        cutoffs = nsclean.CUTOFFS_ALLSLITS if slits else nsclean.CUTOFFS
        return cls(meta.instrument.detector != "NRS1", cutoffs)

    def turned(self, image: npt.NDArray[Item]) -> npt.NDArray[Item]:
        """View of an image (rows, columns) in the detector's frame."""
        return image.T[::-1] if self.flipped else image.T

    def back(self, image: npt.NDArray[Item]) -> npt.NDArray[Item]:
        """View of an image of the detector's frame in the science frame."""
        return image[::-1].T if self.flipped else image.T


@dataclass(frozen=True)
class FlickerRules:
    """How images are cleaned."""

    axis: int  # of the array, along which noise is the same
    fit_by_channel: bool  # each output of a full frame by itself
    background_method: str  # median, model, or none that is put back
    background_box_size: tuple[int, ...] | None  # of the model
    n_sigma: float  # of sources that show without the background
    flat: Floats | None  # that images are divided by for a while
    fourier: Fourier | None  # instead of medians


def clean_ramp(
    data: Floats, groupdq: GroupBits, mask: Booleans, rules: FlickerRules
) -> tuple[Floats, Floats]:
    """Cleaned groups (groups, rows, columns) and the backgrounds of their differences.

    Differences are cleaned and added up again; the first group stays.
    """
    cleaned, backgrounds = data.copy(), np.zeros_like(data)
    for k in range(1, len(data)):
        usable = mask & ~has(groupdq[k], dqflags.DO_NOT_USE | dqflags.JUMP_DET)
        found = clean_image(data[k] - data[k - 1], usable, rules)
        if found is not None:
            cleaned[k] = cleaned[k - 1] + found[0]
            backgrounds[k] = found[1]
    return cleaned, backgrounds


def clean_around(
    images: Floats, scenes: Floats | None, mask: Booleans, rules: FlickerRules
) -> tuple[Floats, Floats]:
    """Cleaned images (images, rows, columns) and their backgrounds, which may be known scenes."""
    cleaned, backgrounds = images.copy(), np.zeros_like(images)
    for k, image in enumerate(images):
        scene = np.float32(0) if scenes is None else scenes[k]
        found = clean_image(image - scene, mask.copy(), rules)
        if found is not None:
            cleaned[k] = scene + found[0]
            backgrounds[k] = found[1] if scenes is None else scene
    return cleaned, backgrounds


def clean_image(
    image: Floats, mask: Booleans, rules: FlickerRules
) -> tuple[Floats, Floats | np.float32] | None:
    """A clean image (rows, columns) and the background in it; None without usable pixels.

    `mask` is changed.
    """
    flat = np.float32(1) if rules.flat is None else rules.flat
    values = image.astype(np.float32) / flat
    unknown = np.isnan(values)
    values[unknown] = 0
    mask &= ~unknown
    if not mask.any():
        return None
    background: Any = np.float32(0)
    if rules.background_method in ("median", "model"):
        box: Any = rules.background_box_size
        background = background_level(values, mask, rules.background_method, box)
        if rules.n_sigma > 0:
            sources = Clipping(rules.n_sigma, rules.n_sigma, lower_half=True)
            clip_to_background(values - background, mask, sources)
    noise = _noise_of(values - background, mask, rules)
    cleaned = (values - background - noise + background) * flat
    return np.where(unknown, np.nan, cleaned).astype(np.float32), background


def _noise_of(image: Floats, mask: Booleans, rules: FlickerRules) -> Floats | Doubles:
    if rules.fourier is None:
        outputs = OUTPUTS if rules.fit_by_channel and image.shape[rules.axis] == SIZE else 1
        return stripes(image, mask, rules.axis, outputs)
    turned, usable = rules.fourier.turned(image), rules.fourier.turned(mask)
    try:
        if image.shape == (SIZE, SIZE):
            noise: Any = nsclean.noise_of_frame(turned, usable)
        else:
            noise = nsclean.noise_of_subarray(turned, usable, rules.fourier.cutoffs)
    except np.linalg.LinAlgError as error:
        raise Skip(f"the noise cannot be fitted: {error}") from None
    if noise is None:
        raise Skip("the noise cannot be fitted: no good pixels are left")
    return rules.fourier.back(noise)
