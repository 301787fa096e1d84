"""Subtract the spectrum of the background from count rates of all slitlets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError, Skip
from stpipe.models import dqflags
from stpipe.references.selection import override
from stpipe.science.arrays import has
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.spectra import combined_spectrum as spectrum
from stpipe.science.spectra.sampling import on_pixels
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.models import MultiSlitModel, MultiSpecModel, Part
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Floats

__all__ = ["SubtractMasterBackgroundStep"]

USER = "user_background"
DESCRIBED = ("name", "source_id", "source_name", "xstart", "ystart", "meta.wcs")


class SubtractMasterBackgroundStep(Step):
    """Subtract the spectrum of the background from count rates of all slitlets.

    Spectra of the background slitlets are combined to one, or `user_background` names one. At the
    wavelength of every pixel its surface brightness is divided by what the calibration of that pixel
    multiplied count rates by: the root of the ratio of VAR_RNOISE after and before. Pixels without
    wavelength, beyond the spectrum, or without calibration are DO_NOT_USE. Errors stay as they are.
    Fixed slits among the shutters are left alone: their light takes another way.

    Nothing is subtracted after bkg_subtract, but by `force_subtract`. `inverse` adds the background.
    """

    alias = "subtract_master_background"
    suffix = "master_background_mos"
    status = "master_background"
    input_models = ("MultiSlitModel",)
    outputs = (
        Output("masterbg1d", "MultiCombinedSpecModel", "masterbg1d", when="save_background"),
        Output("masterbg2d", "MultiSlitModel", "masterbg2d", when="save_background"),
    )
    spec = """
        sigma_clip = float(min=0, default=3.0)  # Median deviations beyond which a flux is left out
        median_kernel = integer(min=1, default=1)  # Samples of a running median; odd
        force_subtract = boolean(default=False)  # Subtract although a background was subtracted
        save_background = boolean(default=False)  # Save the spectrum, and the pixels, subtracted
        user_background = string(default=None)  # File of a combined spectrum to subtract instead
        inverse = boolean(default=False)  # Add instead
    """
    sigma_clip: float | None
    median_kernel: int
    force_subtract: bool
    save_background: bool
    user_background: str | None
    inverse: bool

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """A background of the user's is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if self.user_background is None:
            return selected
        return {**selected, USER: override(USER, self.user_background)}

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """A background is subtracted once."""
        del selected
        steps = ("bkg_subtract", "master_background")
        done = [name for name in steps if meta.get(f"meta.cal_step.{name}") == "COMPLETE"]
        if done and not (self.force_subtract or self.inverse):
            return f"{done[0]} has subtracted a background"
        return ""

    def process(
        self,
        slits: MultiSlitModel,
        calibrated: MultiSlitModel | None = None,
        spectra: MultiSpecModel | None = None,
    ) -> MultiSlitModel:
        """Subtract the background of each pixel.

        `calibrated` are the same slits in MJy/sr, and `spectra` those of the background slits.
        """
        if calibrated is None:
            raise InputError(
                f"{self.qualified_name} takes the slits, their calibration and spectra of the "
                "background. Run master_background_mos."
            )
        master = self._master(spectra)
        waves, brightness = spectrum.brightness(master)
        found = []
        for slit, other in zip(slits.slits, calibrated.slits, strict=True):
            if slit.quadrant == FIXED_QUADRANT:
                continue
            light = on_pixels(slit.wavelength, waves, brightness) / self._conversion(slit, other)
            found.append((slit, light))
            values = values_of(slit)
            values["data"] = values["data"] + light if self.inverse else values["data"] - light
            assign(slit, values, slit.dq | other.dq)
        if self.save_background:
            self.add_product("masterbg1d", master)
            self.add_product("masterbg2d", _images(slits, found))
        return slits

    def _conversion(self, slit: Part, calibrated: Part) -> Floats:
        """What calibration multiplied the count rate of each pixel by, found by its read noise."""
        before, after = slit.var_rnoise, calibrated.var_rnoise
        usable = ~has(calibrated.dq, dqflags.DO_NOT_USE)
        if slit.name != calibrated.name or not (before[usable] > 0).all():
            raise InputError(
                f"{self.qualified_name}: slit {slit.name} and its calibration (slit {calibrated.name}) "
                "have pixels without VAR_RNOISE, or are not the same; the read noise tells how count "
                "rates were calibrated. Give the product of the ramp fit with its variances."
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.sqrt(after / before)
        return found

    def _master(self, spectra: MultiSpecModel | None) -> spectrum.Spectra:
        """The spectrum of the background."""
        if USER in self.selected:
            return spectrum.of_user(self.selected[USER].path)
        if spectra is None or not (usable := spectrum.usable(spectra)):
            raise Skip("no slitlet has a spectrum of the background")
        return spectrum.of_slits(spectra, usable, self.sigma_clip, self.median_kernel)


def _images(slits: MultiSlitModel, lights: Sequence[tuple[Part, Floats]]) -> MultiSlitModel:
    """The background of each slit in count rates, with its coordinates."""
    from stpipe import models

    slits.slits.revive("meta.wcs")
    background = models.MultiSlitModel()
    background.update(slits)
    for slit, light in lights:
        known = {name: slit.get(name) for name in DESCRIBED}
        background.slits.append({"data": light, "wavelength": slit.wavelength, **known})
    return background
