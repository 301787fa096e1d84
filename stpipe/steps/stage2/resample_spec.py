"""Rectify spectra of slits: wavelengths along one axis, places in the slit along the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.step import Output, Step
from stpipe.errors import InputError
from stpipe.science.exposure_types import NIRSPEC_SLITS, SLIT, supported_type
from stpipe.science.flux import ARCSEC2
from stpipe.science.mosaics.drizzle import Drizzling, Mosaic, exposure_of, fill_value
from stpipe.science.mosaics.headers import blended, combined_times, header_table
from stpipe.science.mosaics.nirspec_grid import SlitImage, nirspec_grid
from stpipe.science.mosaics.sky_grid import GridOptions
from stpipe.science.mosaics.slit_grid import SlitGrid, slit_grid, slit_grid_of_file, slit_outline
from stpipe.science.mosaics.slit_members import reference_member, slit_grid_of_members
from stpipe.science.spectra.slits import Slits, each_slit, has_many
from stpipe.science.spectra.sources import exposures_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.models import ModelLibrary, MultiExposureModel, MultiSlitModel, Part, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.wcs.wavelengths import Spectral

__all__ = ["ResampleSpecStep"]


class ResampleSpecStep(Step):
    """Rectify the spectrum of a slit by drizzling (Fruchter & Hook 2002).

    Pixels are spread over those of a grid with one wavelength to a row (MIRI) or column (NIRSpec), and
    one place in the slit across: the bend of the trace is gone. Wavelengths are those of the
    exposure's rows or columns, and places are as far apart as its pixels. WHT is the sum of weights,
    CON tells where the exposure contributed, and `wavelength` has um. Errors are propagated from the
    variances; neighbouring pixels are correlated.

    One exposure of the slit of MIRI's LRS, or of the slits of NIRSpec, of which each is rectified on
    its own; other exposure types are refused.

    Several exposures of the prism's slit, and those of one source (MultiExposureModel), become one
    image. Its pixels are as wide as those of the first exposure with light; wavelengths are those of
    the first, and of others beyond its ends. One exposure at a time is in memory. With `blendheaders`
    times and optical elements in the header are those of all exposures, and the table HDRTAB has a row
    of keywords for each.
    """

    alias = "resample_spec"
    suffix = "s2d"
    status = "resample"
    input_models = ("ImageModel", "SlitModel", "MultiSlitModel", "MultiExposureModel")
    combines = True
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
        blendheaders = boolean(default=True)  # Combine headers of exposures, and keep them in a table
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
    blendheaders: bool

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what the step cannot rectify, also while planning."""
        del selected
        supported_type(self.qualified_name, meta, SLIT | NIRSPEC_SLITS)
        return ""

    def products(self, model_type: str, meta: FlatMetadata) -> tuple[Output, ...]:
        """As many slits as there are."""
        del meta
        model = model_type if model_type == "MultiSlitModel" else "SlitModel"
        return (Output("rectified", model, self.suffix),)

    def process(
        self, exposure: Slits | MultiExposureModel | ModelLibrary
    ) -> SlitModel | MultiSlitModel:
        """Rectify each slit, or several exposures of one."""
        from stpipe import models

        if isinstance(exposure, models.ModelLibrary):
            return self._combined(exposure)
        if isinstance(exposure, models.MultiExposureModel):
            return self._combined(exposures_of(exposure))
        if not has_many(exposure):
            product = models.SlitModel()
            product.update(exposure)
            self._rectify(exposure, exposure.to_flat_dict(), product)
            return product
        exposure.slits.revive("meta.wcs")
        slits = models.MultiSlitModel()
        slits.update(exposure)
        for slit, meta in each_slit(exposure):
            slits.slits.append(_known(slit))
            self._rectify(slit, meta, slits.slits[-1])
        return slits

    def _rectify(self, slit: Spectral, meta: FlatMetadata, rectified: SlitModel | Part) -> None:
        """Make the grid, drizzle values and variances onto it, and describe it."""
        direction = meta.get("meta.wcsinfo.dispersion_direction")
        if slit.meta.wcs is None or direction is None:
            raise InputError(
                f"{self.qualified_name}: {meta.get('meta.filename')} has no gwcs or no DISPAXIS. Run "
                "assign_wcs."
            )
        mosaic = Mosaic(self._grid(slit, meta), self._drizzling(), 1)
        mosaic.add(exposure_of(slit, meta))
        name = f"{meta['name']}: " if meta.get("name") else ""
        self.log.info("%s%d x %d pixels (rows x columns)", name, *mosaic.grid.shape)
        _describe(rectified, meta, mosaic)

    def _combined(self, library: ModelLibrary) -> SlitModel:
        """Drizzle the slit of all exposures onto one grid."""
        from stpipe import models

        members = library.of_type("science")
        grid = slit_grid_of_members(library, members, self._options())
        mosaic = Mosaic(grid, self._drizzling(), len(members))
        headers = []
        for number in members:
            with library[number] as member:
                mosaic.add(exposure_of(member))
                headers.append(member.to_flat_dict())
        product = models.SlitModel()
        with library[reference_member(library, members)] as first:
            product.update(first)
            product.meta.filename = None  # it does not come from one file
        name = f"{product.name}: " if product.name else ""
        shape = mosaic.grid.shape
        self.log.info("%s%d exposures, %d x %d pixels (rows x columns)", name, len(members), *shape)
        _describe(product, product.to_flat_dict(), mosaic)
        self._describe_all(product, headers, library)
        return product

    def _describe_all(
        self, product: SlitModel, headers: Sequence[FlatMetadata], library: ModelLibrary
    ) -> None:
        """What the header says of all exposures."""
        leaders = [headers[min(numbers)] for numbers in library.groups.values()]
        values = combined_times(leaders)
        if self.blendheaders and len(headers) > 1:
            product.hdrtab = header_table(headers, product.schema.metadata)
            values = blended(headers) | values
        values["meta.resample.pointings"] = len(leaders)
        for path, value in values.items():
            product.set(path, value)

    def _drizzling(self) -> Drizzling:
        fill, flags = fill_value(self.fillval), self.propagate_dq
        return Drizzling(self.kernel, self.pixfrac, fill, self.weight_type, propagate_dq=flags)

    def _options(self) -> GridOptions:
        """What the parameters say about the pixels of the product."""
        shape = None if self.output_shape is None else (self.output_shape[1], self.output_shape[0])
        return GridOptions(
            shape,
            pixel_scale=self.pixel_scale,
            pixel_scale_ratio=self.pixel_scale_ratio,
            output_wcs=self.output_wcs,
        )

    def _grid(self, slit: Spectral, meta: FlatMetadata) -> SlitGrid:
        """The pixels of the product."""
        wcs, direction = slit.meta.wcs, meta["meta.wcsinfo.dispersion_direction"]
        options = self._options()
        if options.output_wcs is not None:
            return slit_grid_of_file(options.output_wcs, wcs, direction, options.shape)
        if meta["meta.exposure.type"] in NIRSPEC_SLITS:
            return nirspec_grid([SlitImage.of(slit)], options)
        return slit_grid([wcs], direction, options)


def _known(slit: Spectral) -> dict[str, Any]:
    """What is known of a slit and its source, by dotted name."""
    known = slit.schema.metadata
    found = {path: value for path, value in slit.to_flat_dict().items() if path in known}
    return found | {"meta.model_type": "SlitModel"}


def _describe(slit: SlitModel | Part, meta: FlatMetadata, rectified: Mosaic) -> None:
    """Give a slit the arrays of the mosaic, their coordinates and keywords."""
    from stpipe.science.wcs.lrs import wavelengths

    grid = rectified.grid
    for name, array in rectified.arrays().items():
        setattr(slit, name, array)
    slit.meta.wcs = grid.wcs
    slit.wavelength = wavelengths(grid.wcs, grid.shape)
    values = combined_times([meta]) | rectified.drizzling.keywords(grid.ratio, 1)
    values |= dict.fromkeys(("meta.background.level", "meta.background.subtracted"))
    for name in ("xstart", "ystart", "xsize", "ysize"):
        values[name] = meta.get(name, meta.get(f"meta.subarray.{name}"))
    if (area := meta.get("meta.photometry.pixelarea_steradians")) is not None:
        values["meta.photometry.pixelarea_steradians"] = area / grid.ratio
        values["meta.photometry.pixelarea_arcsecsq"] = area / grid.ratio / ARCSEC2
    if (region := meta.get("meta.wcsinfo.s_region")) is not None:
        values["meta.wcsinfo.s_region"] = slit_outline(region, grid)
    whole = type(slit).__name__ == "SlitModel"  # parts have no header of their own
    for path, value in values.items():
        if whole or path in slit.schema.metadata:
            slit.set(path, value)
