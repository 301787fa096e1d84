"""Rectify spectra of a slit: wavelengths along rows, places in the slit along columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.core.step import Output, Step
from stpipe.errors import InputError
from stpipe.science.exposure_types import SLIT, supported_type
from stpipe.science.mosaics.drizzle import Drizzling, Mosaic, exposure_of, fill_value
from stpipe.science.mosaics.headers import combined_times
from stpipe.science.mosaics.sky_grid import ARCSEC2, GridOptions
from stpipe.science.mosaics.slit_grid import SlitGrid, slit_grid, slit_grid_of_file, slit_outline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gwcs import WCS

    from stpipe.models import ImageModel, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference

__all__ = ["ResampleSpecStep"]


class ResampleSpecStep(Step):
    """Rectify the spectrum of a slit by drizzling (Fruchter & Hook 2002).

    Pixels are spread over those of a grid with one wavelength to a row, and one place in the slit to
    a column: the bend of the trace is gone. Rows have the wavelengths of the exposure's rows, columns
    are as wide as its pixels. WHT is the sum of weights, CON tells where the exposure contributed,
    and `wavelength` has um. Errors are propagated from the variances; neighbouring pixels are
    correlated.

    One exposure of the slit of MIRI's LRS; other exposure types are refused.
    """

    alias = "resample_spec"
    suffix = "s2d"
    status = "resample"
    input_models = ("ImageModel", "SlitModel")
    outputs = (Output("rectified", "SlitModel", "s2d"),)
    prerequisites = ("meta.exposure.type",)
    spec = """
        pixfrac = float(min=0, max=1, default=1.0)  # Shrink pixels to this before they are spread
        kernel = option(square, point, default=square)  # How pixels are spread
        fillval = string(default="NAN")  # Value of pixels that nothing falls on
        weight_type = option("ivm", "exptime", "none", default="ivm")  # Weights: 1/VAR_RNOISE, time, 1
        output_shape = int_list(min=2, max=2, default=None)  # Columns and rows, counted from the first
        pixel_scale_ratio = float(min=0.001, default=1.0)  # Scale of the input over that of the output
        pixel_scale = float(min=0.000001, default=None)  # Width of pixels along the slit, arcsec
        output_wcs = string(default=None)  # ASDF file with a gwcs, in place of the two before
        propagate_dq = boolean(default=False)  # Make DQ: the flags of all pixels that contributed
    """
    pixfrac: float
    kernel: str
    fillval: str
    weight_type: str
    output_shape: list[int] | None
    pixel_scale_ratio: float
    pixel_scale: float | None
    output_wcs: str | None
    propagate_dq: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what the step cannot rectify, also while planning."""
        del selected
        supported_type(self.qualified_name, meta, SLIT)
        return ""

    def process(self, exposure: ImageModel | SlitModel) -> SlitModel:
        """Make the grid, drizzle values and variances onto it, and describe it."""
        wcs, direction = exposure.meta.wcs, exposure.meta.wcsinfo.dispersion_direction
        if wcs is None or direction is None:
            raise InputError(
                f"{self.qualified_name}: {exposure.meta.filename} has no gwcs or no DISPAXIS. Run "
                "assign_wcs."
            )
        fill = fill_value(self.fillval)
        flags = self.propagate_dq
        how = Drizzling(self.kernel, self.pixfrac, fill, self.weight_type, propagate_dq=flags)
        rectified = Mosaic(self.grid(wcs, direction), how, 1)
        rectified.add(exposure_of(exposure))
        self.log.info("%d wavelengths, %d places in the slit", *rectified.grid.shape)
        return _described(exposure, rectified)

    def grid(self, wcs: WCS, direction: int) -> SlitGrid:
        """The pixels of the product."""
        shape = None if self.output_shape is None else (self.output_shape[1], self.output_shape[0])
        if self.output_wcs is not None:
            return slit_grid_of_file(self.output_wcs, wcs, direction, shape)
        options = GridOptions(
            shape, pixel_scale=self.pixel_scale, pixel_scale_ratio=self.pixel_scale_ratio
        )
        return slit_grid(wcs, direction, options)


def _described(exposure: ImageModel | SlitModel, rectified: Mosaic) -> SlitModel:
    """The product with its header."""
    from stpipe import models
    from stpipe.science.wcs.lrs import wavelengths

    grid, meta = rectified.grid, exposure.to_flat_dict()
    slit = models.SlitModel()
    slit.update(exposure)
    for name, array in rectified.arrays().items():
        setattr(slit, name, array)
    slit.meta.wcs = grid.wcs
    slit.wavelength = wavelengths(grid.wcs, grid.shape)
    values = combined_times([meta]) | rectified.drizzling.keywords(grid.ratio, 1)
    values |= dict.fromkeys(("meta.background.level", "meta.background.subtracted"))
    for name in ("xstart", "ystart", "xsize", "ysize"):
        values[name] = meta.get(f"meta.subarray.{name}")
    if (area := meta.get("meta.photometry.pixelarea_steradians")) is not None:
        values["meta.photometry.pixelarea_steradians"] = area / grid.ratio
        values["meta.photometry.pixelarea_arcsecsq"] = area / grid.ratio / ARCSEC2
    if (region := meta.get("meta.wcsinfo.s_region")) is not None:
        values["meta.wcsinfo.s_region"] = slit_outline(region, grid)
    for path, value in values.items():
        slit.set(path, value)
    return slit
