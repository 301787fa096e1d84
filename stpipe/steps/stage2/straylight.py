"""Subtract light that the detector of MIRI's medium-resolution spectrometer scatters along rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.background.stray_light import (
    CHANNELS,
    DARK,
    HALVES,
    light_above,
    profile,
    scattered,
    showers,
    without_references,
)
from stpipe.science.exposure_types import MRS
from stpipe.science.wcs.mrs import slices_seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Floats

__all__ = ["StraylightStep"]

Rates: TypeAlias = "ImageModel | IFUImageModel"
LETTERS = {"SHORT": "a", "MEDIUM": "b", "LONG": "c"}


class StraylightStep(Step):
    """Subtract light that the detector of MIRI's medium-resolution spectrometer scatters along rows.

    Pixels that are brighter than the dark between both channels send a part of their light along
    their row, as far and as much as the MRSXARTCORR reference says for channel, band and row. What
    then is left between the channels is subtracted, too. Errors stay as they are. Exposures of two
    bands at once have no entry: of them this level alone is subtracted.

    With `clean_showers` light between the slices is smoothed and subtracted, which particles leave;
    plane `shower_plane` of the REGIONS reference says what is between. `save_shower_model` saves it
    as `_shower_model`. Exposures of other types are left as they are.
    """

    alias = "straylight"
    suffix = "straylight"
    status = "straylight"
    input_models = ("ImageModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type", "meta.instrument.detector")
    reference_types = ("mrsxartcorr",)
    optional_reference_types = ("regions",)
    outputs = (Output("shower_model", "IFUImageModel", "shower_model", when="save_shower_model"),)
    spec = """
        clean_showers = boolean(default=False)  # Subtract what showers leave between the slices
        shower_plane = integer(min=0, max=8, default=3)  # Plane of REGIONS that says what is between
        shower_x_stddev = float(min=0.1, default=18)  # Sigma in columns of the smoothing, pixels
        shower_y_stddev = float(min=0.1, default=5)  # Sigma in rows of the smoothing, pixels
        shower_low_reject = float(min=0, max=100, default=0.1)  # Percentile; values below are left out
        shower_high_reject = float(min=0, max=100, default=99.9)  # Percentile; values above, too
        save_shower_model = boolean(default=False)  # Save _shower_model
    """
    clean_showers: bool
    shower_plane: int
    shower_x_stddev: float
    shower_y_stddev: float
    shower_low_reject: float
    shower_high_reject: float
    save_shower_model: bool

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """The slices only for what is between them."""
        if _kind(meta) != MRS:
            return ()
        return (*self.reference_types, "regions") if self.clean_showers else self.reference_types

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """All that are wanted are needed."""
        types = [name for name, reference in selected.items() if reference.path is None]
        return f"no {', '.join(types)} reference applies (N/A)" if types else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only this instrument scatters light so."""
        del selected
        kind = _kind(meta)
        return "" if kind == MRS else f"it is for {MRS}, not for {kind}"

    def side_outputs(self, meta: FlatMetadata) -> tuple[Output, ...]:
        """What is not looked for is not saved."""
        return super().side_outputs(meta) if self.clean_showers else ()

    def process(self, exposure: Rates) -> Rates:
        """Subtract it."""
        dark = DARK[str(exposure.meta.instrument.detector).upper()]
        data = np.asarray(exposure.data)
        clean = np.where(np.isfinite(data), data, np.float32(0))
        stray = self._along_rows(exposure, light_above(clean, np.asarray(exposure.dq), dark))
        level = _level((clean - stray)[dark])
        self.log.info("The level between the channels is %.4g DN/s", level)
        exposure.data = data - stray - without_references(np.full_like(data, level))
        if self.clean_showers:
            self._clean_showers(exposure)
        return exposure

    def _along_rows(self, exposure: Rates, light: Floats) -> Floats:
        """What the light of either half sends along the rows."""
        stray = np.zeros_like(light)
        for columns, table in zip(HALVES, self._tables(exposure), strict=True):
            if table is None:
                continue
            half = np.zeros_like(light)
            half[:, columns] = light[:, columns]
            stray += scattered(half, profile(table, light.shape[1])).astype(np.float32)
        return without_references(stray)

    def _tables(self, exposure: Rates) -> list[Table | None]:
        """The table of the channel in either half, if the reference has it."""
        instrument, reference = exposure.meta.instrument, self.references["mrsxartcorr"]
        if instrument.band is None:
            raise InputError(
                f"{self.qualified_name}: {exposure.meta.filename} lacks BAND (meta.instrument.band), "
                "allowed: SHORT, MEDIUM, LONG, or two of them, as SHORT-MEDIUM. Add it to the header."
            )
        letter = LETTERS.get(instrument.band.upper())
        found = []
        for channel in CHANNELS[str(instrument.detector).upper()]:
            name = f"ch{channel}{letter}_table"
            table = None if letter is None else getattr(reference, name, None)
            if table is None:
                self.log.warning(
                    "No light of channel %s is subtracted: there is no entry for the band %s",
                    channel,
                    instrument.band,
                )
            elif len(table) != exposure.shape[0]:
                raise InputError(
                    f"{self.qualified_name}: {exposure.meta.filename} has {exposure.shape[0]} rows, "
                    f"{name} of {reference.meta.filename} {len(table)}. Give another with "
                    "override_mrsxartcorr."
                )
            found.append(table)
        return found

    def _clean_showers(self, exposure: Rates) -> None:
        slices = slices_seen(self.references["regions"], exposure.shape, self.shower_plane)
        flags = dqflags.DO_NOT_USE | dqflags.REFERENCE_PIXEL
        between = (slices == 0) & ~has(np.asarray(exposure.dq), flags)
        width = (self.shower_x_stddev, self.shower_y_stddev)
        shares = (self.shower_low_reject, self.shower_high_reject)
        light = showers(np.asarray(exposure.data), between, width, shares)
        exposure.data = exposure.data - light
        if self.save_shower_model:
            self.add_product("shower_model", _model_of(light, exposure))


def _level(values: Floats) -> float:
    from astropy.stats import sigma_clipped_stats

    return float(sigma_clipped_stats(values)[1])


def _model_of(light: Floats, exposure: Rates) -> IFUImageModel:
    from stpipe import models

    model = models.IFUImageModel(light)
    model.update(exposure)
    return model


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
