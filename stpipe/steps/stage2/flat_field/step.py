"""Divide by the response of the pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError
from stpipe.references.selection import override
from stpipe.science.flats.division import apply_flat, apply_flat_to_guider, usable_flat
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.spectra.fixed_slits import (
    as_fixed,
    for_slit,
    is_fixed_among_shutters,
    of_fixed_slits,
    with_fixed_slits,
)
from stpipe.science.spectra.slits import Slits, each_slit
from stpipe.steps.stage2.flat_field import nirspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import GuiderCalModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["FlatFieldStep"]


class FlatFieldStep(Step):
    """Divide by the response of the pixels, and propagate errors.

    Images and their integrations. Pixels whose flat is unknown (NaN, 0 or NO_FLAT_FIELD) stay as
    they are and are DO_NOT_USE; UNRELIABLE_FLAT alone excludes nothing. VAR_FLAT is the variance
    that the flat's own error adds, and ERR the root of the sum of all three. With `inverse` the step
    multiplies, and there is no VAR_FLAT. Rates of the guider have no variances: the flat's error is
    added to ERR.

    The response to a spectrum of NIRSpec is that of the fore optics (FFLAT), the spectrograph (SFLAT)
    and the detector (DFLAT) at the wavelength of each pixel; one that is N/A counts as 1. Point
    sources in fixed slits keep the responses to themselves and to light that fills the slit
    (FLATFIELD_PS, FLATFIELD_UN). `save_interpolated_flat` saves what was divided by as
    `_interpolatedflat`, and `user_supplied_flat` takes such a file.

    Fixed slits in exposures of shutters have references of their own (`override_fixed_slit_fflat`),
    those of an exposure of the type NRS_FIXEDSLIT. If none applies, their pixels are DO_NOT_USE.

    A flat that does not cover the exposure stops the step.
    """

    alias = "flat_field"
    suffix = "flat_field"
    status = "flat_field"
    input_models = (
        "ImageModel",
        "CubeModel",
        "GuiderCalModel",
        "IFUImageModel",
        "SlitModel",
        "MultiSlitModel",
    )
    reference_types = ("flat",)
    optional_reference_types = (*nirspec.REFERENCES, *of_fixed_slits(nirspec.REFERENCES))
    outputs = (
        Output(
            "interpolated_flat",
            "MultiSlitModel",
            "interpolatedflat",
            when="save_interpolated_flat",
        ),
    )
    spec = """
        save_interpolated_flat = boolean(default=False)  # Save _interpolatedflat of NIRSpec's spectra
        user_supplied_flat = string(default=None)  # Flat to use instead of the reference file
        inverse = boolean(default=False)  # Multiply instead of divide
    """
    save_interpolated_flat: bool
    user_supplied_flat: str | None
    inverse: bool

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Those of the exposure's mode; none of the lamp that flats are made with."""
        if nirspec.makes_flats(meta):
            return ()
        if not nirspec.has_spectra(meta):
            return self.reference_types
        return with_fixed_slits(nirspec.REFERENCES, meta, self)

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The flat that the user names, or else the reference files."""
        if self.user_supplied_flat is not None:
            return {"flat": override("flat", self.user_supplied_flat)}
        return super().select_references(meta)

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """One of the types is enough."""
        if not selected or any(reference.path for reference in selected.values()):
            return ""
        return f"no {', '.join(selected)} reference applies (N/A)"

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Flats are not divided by flats."""
        del selected
        return "flats are made of exposures of this type" if nirspec.makes_flats(meta) else ""

    def side_outputs(self, meta: FlatMetadata) -> tuple[Output, ...]:
        """Only of spectra, and as they are: slits, or an image."""
        if not nirspec.has_spectra(meta):
            return ()
        model = nirspec.model_of_flats(meta)
        return tuple(replace(output, model=model) for output in super().side_outputs(meta))

    def process(self, exposure: Slits | GuiderCalModel) -> Slits | GuiderCalModel:
        """Correct values, variances, errors and flags."""
        from stpipe import models

        meta = exposure.to_flat_dict()
        if isinstance(exposure, models.GuiderCalModel):
            self._correct_guider(exposure)
        elif nirspec.has_spectra(meta):
            self._correct_spectra(exposure, meta)
        elif isinstance(exposure, (models.MultiSlitModel, models.SlitModel)):
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has cut-out spectra. Run "
                "flat_field before extract_2d."
            )
        else:
            self._correct_image(exposure)
        return exposure

    def _correct_image(self, image: Spectral) -> None:
        flat = self.references["flat"]
        response, dq = usable_flat(flat.data, flat.dq)
        error = np.zeros_like(response) if flat.err is None else flat.err
        values = apply_flat(values_of(image), response, error, inverse=self.inverse)
        assign(image, values, image.dq | dq)

    def _correct_guider(self, image: GuiderCalModel) -> None:
        flat = self.references["flat"]
        response, dq = usable_flat(flat.data, flat.dq)
        error = np.zeros_like(response) if flat.err is None else flat.err
        rates = apply_flat_to_guider(image.data, image.err, (response, error), self.inverse)
        image.data, image.err = rates
        image.dq = image.dq | dq

    def _correct_spectra(self, exposure: Slits, meta: FlatMetadata) -> None:
        """Correct each slit, or all slices at once."""
        if not nirspec.is_cut_out(exposure, meta):
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no slits, or does not say "
                "which pixels its slices light. Run assign_wcs and, but for slices, extract_2d."
            )
        flats = nirspec.empty_flats(exposure) if self.save_interpolated_flat else None
        for spectrum, described in each_slit(exposure):
            known, references = as_fixed(described), for_slit(described, self.references)
            if self.user_supplied_flat is not None:
                flat = nirspec.supplied_flat(self.references["flat"], known)
            elif not references and is_fixed_among_shutters(described):
                self.log.warning("The slit %s is not used: it has no references", known["name"])
                flat = nirspec.unknown_flat(spectrum)
            else:
                flat = nirspec.flat_of(spectrum, known, references)
            response, error = (np.asarray(a, np.float32) for a in (flat.response, flat.error))
            values = apply_flat(values_of(spectrum), response, error, inverse=self.inverse)
            assign(spectrum, values, spectrum.dq | flat.dq)
            if flats is not None:
                nirspec.add_flat(flats, spectrum, flat)
        if flats is not None:
            self.add_product("interpolated_flat", flats)
