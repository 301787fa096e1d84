"""Combine exposures into a mosaic without distortion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.science.flux import ARCSEC2
from stpipe.science.mosaics.drizzle import VARIANCES, Drizzling, Mosaic, exposure_of, fill_value
from stpipe.science.mosaics.headers import blended, combined_times, header_of, header_table
from stpipe.science.mosaics.sky_grid import Grid, GridOptions, common_grid
from stpipe.science.wcs.keywords import replaced_keywords

if TYPE_CHECKING:
    from stpipe.models import ImageModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata

__all__ = ["ResampleStep", "grid_keywords"]

# What tells of the detector and not of the sky, and of a sky that is subtracted now.
_OF_THE_DETECTOR = ("v2_ref", "v3_ref", "ra_ref", "dec_ref", "roll_ref", "v3yangle", "vparity")
NOT_OF_A_MOSAIC = (
    *(f"meta.wcsinfo.{name}" for name in _OF_THE_DETECTOR),
    "meta.background.level",
    "meta.background.subtracted",
)


class ResampleStep(LibraryStep):
    """Combine exposures into a mosaic without distortion, by drizzling (Fruchter & Hook 2002).

    Pixels are spread over those of a tangential projection that holds all exposures, oriented as the
    first of them. WHT is the sum of weights, CON has a bit for each exposure that contributed (in
    planes of 32). A sky level that was measured (BKGLEVEL) and not subtracted is subtracted. Errors
    are propagated from the variances; neighbouring pixels of the mosaic are correlated. The kernels
    `gaussian` and `lanczos` do not conserve flux.

    Where pixels of a star count differently, the star is distorted, which ERR does not tell: read noise
    that differs by 5 % from pixel to pixel makes, by `ivm`, fluxes scatter by half a percent; so do
    defects and the edge of an exposure. For the photometry of bright stars take `exptime`.

    One exposure at a time is in memory, besides the mosaic and the sums of its variances.

    With `blendheaders` times, detectors and optical elements in the header are those of all exposures,
    and the table HDRTAB has a row of keywords for each; else the header is that of the first, with its
    times summed.

    Not implemented: `single` and spectra.
    """

    alias = "resample"
    suffix = "i2d"
    status = "resample"
    input_models = ("ImageModel",)
    member_types = ("science",)
    outputs = (Output("mosaic", "ImageModel", "i2d"),)
    prerequisites = ("meta.wcsinfo.s_region",)
    uses = ("meta.exposure.exposure_time", "meta.exposure.measurement_time")
    spec = """
        pixfrac = float(min=0, max=1, default=1.0)  # Shrink pixels to this before they are spread
        kernel = option(square, gaussian, point, turbo, lanczos2, lanczos3, default=square)  # Spread
        fillval = string(default="NAN")  # Value of pixels that nothing falls on
        weight_type = option("ivm", "exptime", "none", default="ivm")  # Weights: 1/VAR_RNOISE, time, 1
        output_shape = int_list(min=2, max=2, default=None)  # Columns and rows of the mosaic
        crpix = float_list(min=2, max=2, default=None)  # Pixel x, y from 0 of the reference point
        crval = float_list(min=2, max=2, default=None)  # Right ascension, declination of it, degrees
        rotation = float(default=None)  # Position angle of the y axis, degrees
        pixel_scale_ratio = float(min=0.001, default=1.0)  # Width of pixels over that of the inputs
        pixel_scale = float(min=0.000001, default=None)  # Width of pixels, arcsec
        output_wcs = string(default=None)  # ASDF file with a gwcs, in place of the seven before
        enable_ctx = boolean(default=True)  # Make CON
        enable_err = boolean(default=True)  # Make ERR and variances
        report_var = boolean(default=True)  # Keep the variances
        blendheaders = boolean(default=True)  # Combine the headers, and keep them in a table
        propagate_dq = boolean(default=False)  # Make DQ: the flags of all pixels that contributed
    """
    pixfrac: float
    kernel: str
    fillval: str
    weight_type: str
    output_shape: list[int] | None
    crpix: list[float] | None
    crval: list[float] | None
    rotation: float | None
    pixel_scale_ratio: float
    pixel_scale: float | None
    output_wcs: str | None
    enable_ctx: bool
    enable_err: bool
    report_var: bool
    blendheaders: bool
    propagate_dq: bool

    def process(self, library: ModelLibrary) -> ImageModel:
        """Drizzle the science members, one after the other."""
        members = library.of_type("science")
        grid = common_grid(library, members, self.options())
        mosaic = Mosaic(grid, self.drizzling(), len(members))
        headers = {}
        for number in members:
            with library[number] as member:
                mosaic.add(exposure_of(member))
                headers[number] = header_of(member)
        self.log.info("%d exposures, %d x %d pixels", len(members), *mosaic.grid.shape)
        return self._described(library, headers, mosaic)

    def drizzling(self) -> Drizzling:
        """How pixels are spread and weighted."""
        extras = (self.enable_ctx, self.enable_err, self.propagate_dq)
        return Drizzling(
            self.kernel, self.pixfrac, fill_value(self.fillval), self.weight_type, *extras
        )

    def options(self) -> GridOptions:
        """What the parameters say about the pixels of the mosaic."""
        shape = None if self.output_shape is None else (self.output_shape[1], self.output_shape[0])
        return GridOptions(
            shape,
            _pair(self.crpix),
            _pair(self.crval),
            self.rotation,
            self.pixel_scale,
            self.pixel_scale_ratio,
            self.output_wcs,
        )

    def _described(
        self, library: ModelLibrary, headers: Mapping[int, FlatMetadata], mosaic: Mosaic
    ) -> ImageModel:
        """The mosaic with its header, made of the headers of members by their numbers."""
        from stpipe import models

        image = models.ImageModel()
        members = list(headers)
        with library[members[0]] as first:
            image.update(first)
        for name, array in mosaic.arrays().items():
            if self.report_var or name not in VARIANCES:
                setattr(image, name, array)
        image.meta.wcs = mosaic.grid.wcs
        values = replaced_keywords(image.to_flat_dict(), {})
        if self.blendheaders and len(members) > 1:
            image.hdrtab = header_table(list(headers.values()), image.schema.metadata)
            values |= blended(list(headers.values()))
        leaders = _leaders(library, members)
        values |= combined_times([headers[number] for number in leaders])
        values |= dict.fromkeys(NOT_OF_A_MOSAIC) | grid_keywords(mosaic.grid)
        values |= mosaic.drizzling.keywords(mosaic.grid.ratio, len(leaders))
        for path, value in values.items():
            if path in image.schema.metadata:
                image.set(path, value)
        image.meta.wcsinfo.s_region = outline(mosaic.grid)
        return image


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


# --- the header of the mosaic ---------------------------------------------------------------------


def _leaders(library: ModelLibrary, members: Sequence[int]) -> list[int]:
    """The first member of each exposure: detectors that saw the sky together count once."""
    chosen = set(members)
    groups = library.groups.values()
    return [min(chosen.intersection(group)) for group in groups if chosen.intersection(group)]


def grid_keywords(grid: Grid) -> dict[str, Any]:
    """The FITS keywords of a grid, and the area of its pixels."""
    area = grid.scale**2
    keywords: dict[str, Any] = {
        "meta.photometry.pixelarea_arcsecsq": area,
        "meta.photometry.pixelarea_steradians": area * ARCSEC2,
    }
    transform = grid.wcs.forward_transform
    if not hasattr(transform, "crpix"):
        return keywords
    for axis in (0, 1):
        keywords |= {
            f"meta.wcsinfo.crpix{axis + 1}": float(transform.crpix.value[axis]) + 1,
            f"meta.wcsinfo.crval{axis + 1}": float(transform.crval.value[axis]),
            f"meta.wcsinfo.cdelt{axis + 1}": float(transform.cdelt.value[axis]),
            f"meta.wcsinfo.ctype{axis + 1}": ("RA---TAN", "DEC--TAN")[axis],
            f"meta.wcsinfo.cunit{axis + 1}": "deg",
            f"meta.wcsinfo.pc{axis + 1}_1": float(transform.pc.value[axis][0]),
            f"meta.wcsinfo.pc{axis + 1}_2": float(transform.pc.value[axis][1]),
        }
    return keywords


def outline(grid: Grid) -> str | None:
    """The outline of the mosaic on the sky, as S_REGION has it."""
    from stpipe.science.wcs.imaging import s_region

    return s_region(grid.wcs)
