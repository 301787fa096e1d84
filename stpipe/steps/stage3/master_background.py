"""Subtract the spectrum of the background from calibrated exposures."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import InputError, Skip
from stpipe.models import dqflags
from stpipe.references.selection import Reference, listed, override
from stpipe.science.arrays import bits_where
from stpipe.science.exposure_types import SLICES
from stpipe.science.invalid_pixels import assign, values_of
from stpipe.science.spectra import combined_spectrum as spectrum
from stpipe.science.spectra.background_light import as_of_a_point, has_both, light_on
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT
from stpipe.science.wcs.wavelengths import wavelengths
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stpipe.models import DataModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles, Floats

__all__ = ["MasterBackgroundStep"]

BACKGROUND, USER = "background", "user_background"
SLITS, POINT = "MultiSlitModel", "POINT"
SPECTRA = ("MultiSpecModel", "MRSMultiSpecModel")
FIELD, SHUTTERS = "NRS_IFU", "NRS_MSASPEC"
DONE = ("bkg_subtract", "master_background")  # steps that subtract a background
DESCRIBED = ("name", "source_id", "source_name", "xstart", "ystart", "meta.wcs")  # of a slit


class MasterBackgroundStep(LibraryStep):
    """Subtract the spectrum of the background from calibrated exposures.

    Extracted spectra of the background (`bkg_list`; members of the type `background` of an association)
    are combined by their exposure times, or `user_background` names one. Of exposures that are not of
    the background alone (BKGDTARG = F), and of integral fields with extended sources, the column
    BACKGROUND counts. Its surface brightness at the wavelength of every pixel is subtracted. Pixels of
    slits without wavelength, or beyond the spectrum, are DO_NOT_USE; in integral fields nothing is
    subtracted from them. Errors stay as they are.

    Where a slit or a field was calibrated for a point source, so is the background. Shutters are left
    alone, as `master_background_mos` subtracts their background before they are calibrated. Unless
    `force_subtract` is set nothing is subtracted if any exposure has had its background subtracted.
    """

    alias = "master_background"
    suffix = "mbsub"
    status = "master_background"
    input_models = ("ImageModel", "SlitModel", "IFUImageModel", SLITS)
    member_types = ("science",)
    outputs = (
        Output("members", "", "mbsub", many=True),
        Output("masterbg1d", "MultiCombinedSpecModel", "masterbg1d", when="save_background"),
        Output("masterbg2d", "MultiExposureModel", "masterbg2d", when="save_background"),
    )
    spec = """
        bkg_list = force_list(default=list())  # Files of extracted spectra of the background
        median_kernel = integer(min=1, default=1)  # Samples of a running median; odd
        user_background = string(default=None)  # File of a spectrum to subtract instead
        save_background = boolean(default=False)  # Save the spectrum, and the pixels, subtracted
        force_subtract = boolean(default=False)  # Subtract although a background was subtracted
    """
    bkg_list: list[str]
    median_kernel: int
    user_background: str | None
    save_background: bool
    force_subtract: bool

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The spectra: inputs that are tracked and recorded as references are."""
        del meta
        if self.user_background is not None:
            return {USER: override(USER, self.user_background)}
        return listed(BACKGROUND, self.bkg_list, self.context.pending)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Most associations have no background."""
        del meta
        return "" if selected else "no spectra of the background (bkg_list, user_background)"

    def process(self, library: ModelLibrary) -> ModelLibrary:
        """Subtract the background of each pixel, or leave all exposures as they are."""
        from stpipe import models

        if not self.force_subtract:
            self._subtract_once(library)
        master = self._master()
        known = spectrum.brightness(master)
        result, images, count = library.copy(), models.MultiExposureModel(), 0
        for number, exposure in enumerate(library):
            if not number:
                images.update(exposure)
            for part, arrays in self._lights(exposure, known):
                count += 1
                if self.save_background:
                    images.exposures.append(arrays | _described(part, exposure))
            if self.user_background is not None:
                name = self.selected[USER].recorded_name
                exposure.set("meta.background.master_background_file", name)
            result[number] = exposure
        if not count:
            self._give_up("master_background_mos subtracts the background of shutters")
        if self.save_background:
            self.add_product("masterbg1d", master)
            self.add_product("masterbg2d", images)
        return result

    def _give_up(self, reason: str) -> NoReturn:
        """Leave all exposures as they are, and say so aloud: a background was asked for."""
        self.log.warning("No background is subtracted: %s", reason)
        raise Skip(reason)

    def _subtract_once(self, library: ModelLibrary) -> None:
        """Leave out the step if exposures have had their background subtracted."""
        metas = [library.metadata(number) for number in range(len(library))]
        done = [[s for s in DONE if m.get(f"meta.cal_step.{s}") == "COMPLETE"] for m in metas]
        if all(done):
            raise Skip(f"{done[0][0]} has subtracted a background")
        if found := [library.path(n).name for n, steps in enumerate(done) if steps]:
            self._give_up(f"it was subtracted before from {', '.join(found)}, not from the others")

    def _master(self) -> spectrum.Spectra:
        """The spectrum of the background."""
        from stpipe import models

        if USER in self.selected:
            return spectrum.of_user(self.selected[USER].path)
        with ExitStack() as stack:
            opened: list[Any] = [
                stack.enter_context(models.open(reference.path))
                for reference in self.selected.values()
            ]
            for model, reference in zip(opened, self.selected.values(), strict=True):
                if (kind := type(model).__name__) not in SPECTRA:
                    raise InputError(
                        f"{self.qualified_name}: the background {reference.path} holds "
                        f"{with_article(kind)}, allowed: {' or '.join(SPECTRA)}. Give extracted "
                        "spectra (_x1d)."
                    )
            master = spectrum.of_backgrounds(opened, self.median_kernel)
        if master is None:
            self._give_up("no spectrum of the background has fluxes at wavelengths in order")
        return master

    def _lights(
        self, exposure: Any, known: tuple[Doubles, Doubles]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Subtract the background of an exposure, or of its slits; yield each and what that was."""
        kind = str(exposure.meta.exposure.type).upper()
        many = type(exposure).__name__ == SLITS
        for part in exposure.slits if many else (exposure,):
            if kind == SHUTTERS and part.quadrant != FIXED_QUADRANT:
                continue
            waves = wavelengths(part)
            light, unknown = light_on(waves, *known)
            if many and part.source_type == POINT:
                light = self._in_slit_of_point(light, part)
            elif kind == FIELD and exposure.meta.target.source_type == POINT:
                light = as_of_a_point(light, part)
            values = values_of(part)
            values["data"] = values["data"] - light
            flags = bits_where(unknown & (kind not in SLICES), dqflags.DO_NOT_USE)
            assign(part, values, part.dq | flags)
            yield part, {"data": light, "wavelength": waves.astype(np.float32)}

    def _in_slit_of_point(self, light: Floats, slit: Any) -> Floats:
        """The background in a slit that was calibrated for a point source."""
        if not has_both(slit, "photom"):
            self._give_up(
                f"slit {slit.name} is in MJy of a point source and lacks PHOTOM_PS and PHOTOM_UN, by "
                "which a background in MJy/sr is converted; calwebb_spec2 makes them"
            )
        return as_of_a_point(light, slit)


def _described(part: Any, exposure: DataModel) -> dict[str, Any]:
    """What tells an exposure or a slit apart, with the coordinates of the slit."""
    known = {} if part is exposure else {name: part.get(name) for name in DESCRIBED}
    return {**known, "meta.filename": exposure.get("meta.filename")}
