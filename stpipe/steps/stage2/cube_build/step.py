"""Put exposures of integral-field units onto a cube of two places and the wavelength."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import ParameterError
from stpipe.references.selection import override
from stpipe.science.cubes.bands import Choice, bands_of, cubes_of
from stpipe.science.exposure_types import MRS, supported_type
from stpipe.steps.stage2.cube_build.exposures import Exposures, Part, offsets_of_file

if TYPE_CHECKING:
    from stpipe.models import IFUCubeModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Doubles
    from stpipe.science.cubes.bands import Band
    from stpipe.science.cubes.finishing import Finished
    from stpipe.science.cubes.grid import CubeGrid, Placement
    from stpipe.science.cubes.sampling import Wanted
    from stpipe.science.cubes.sums import Sums

__all__ = ["CubeBuildStep"]

TYPES = frozenset({MRS, "NRS_IFU"})
OFFSETS = "offset_file"


class CubeBuildStep(LibraryStep):
    """Put exposures of integral-field units onto a cube of two places and the wavelength.

    With `drizzle` a pixel counts in a spaxel by the area and the depth that both have in common. With
    `emsm` and `msm` all pixels within a radius and a depth count, by a weight that falls with their
    distance: exponentially, or by its power (a modified Shepard method). WMAP is the number of pixels
    that count. ERR is propagated from ERR of the pixels; neighbouring spaxels are correlated, which
    ERR does not tell: the error of a sum over spaxels is larger than theirs in quadrature. Drizzled
    spectra of a point source waver with the place of the source in its spaxels, which `emsm` smooths.

    A cube is made for each band (`output_type`), of MIRI for each channel and sub-band, of NIRSpec for
    each grating and filter; for all bands of a channel; or for all (`multi`), with the wavelengths of
    a table of the reference. Its spaxels lie north up, or along the slices (`ifualign`).

    DQ is 0 where there is a value, DO_NOT_USE in holes of the field of view, and DO_NOT_USE and
    NON_SCIENCE outside of it. Planes at the ends of a band of MIRI that few pixels reach are outside.

    One exposure at a time is in memory, besides the cubes. A cube that is larger than the memory of the
    machine is refused.
    """

    alias = "cube_build"
    suffix = "s3d"
    status = "cube_build"
    input_models = ("IFUImageModel",)
    member_types = ("science",)
    regroups = True
    outputs = (Output("cubes", "IFUCubeModel", "s3d", many=True),)
    prerequisites = ("meta.exposure.type",)
    uses = ("meta.exposure.exposure_time", "meta.exposure.measurement_time")
    reference_types = ("cubepar",)
    spec = """
        output_type = option(band, channel, grating, multi, default=band)  # What is put into one cube
        channel = option("1", "2", "3", "4", all, default=all)  # Channel of MIRI
        band = string(default=all)  # Sub-band of MIRI: short, medium, long, or two, as short-medium
        grating = string(default=all)  # Of NIRSpec: prism, g140m, g140h, ...
        filter = string(default=all)  # Of NIRSpec: clear, f070lp, f100lp, f170lp, f290lp
        linear_wave = boolean(default=True)  # Equal steps of wavelength, else those of a table
        weighting = option(drizzle, emsm, msm, default=drizzle)  # How pixels count
        coord_system = option(skyalign, world, ifualign, default=skyalign)  # North up, or along slices
        scalexy = float(min=0, default=0.0)  # Size of spaxels, arcsec; 0: of the reference
        scalew = float(min=0, default=0.0)  # Step of wavelength, um; 0: of the reference
        ra_center = float(default=None)  # Right ascension of the centre, degrees
        dec_center = float(default=None)  # Declination of the centre, degrees
        cube_pa = float(default=None)  # Angle of the axes, degrees, with skyalign
        nspax_x = integer(min=1, default=None)  # Spaxels in x; an even number becomes the next odd one
        nspax_y = integer(min=1, default=None)  # Spaxels in y
        rois = float(min=0, default=0.0)  # Radius in which pixels count, arcsec; 0: of the reference
        roiw = float(min=0, default=0.0)  # Depth in which pixels count, um; 0: of the reference
        weight_power = float(min=0, default=2.0)  # Power of the distance of msm; 0: of the reference
        wavemin = float(default=None)  # Least wavelength, um
        wavemax = float(default=None)  # Largest wavelength, um
        skip_dqflagging = boolean(default=False)  # Do not tell holes from what is outside
        offset_file = string(default=None)  # ASDF file with offsets of exposures on the sky
    """
    output_type: str
    channel: str
    band: str
    grating: str
    filter: str
    linear_wave: bool
    weighting: str
    coord_system: str
    scalexy: float
    scalew: float
    ra_center: float | None
    dec_center: float | None
    cube_pa: float | None
    nspax_x: int | None
    nspax_y: int | None
    rois: float
    roiw: float
    weight_power: float
    wavemin: float | None
    wavemax: float | None
    skip_dqflagging: bool
    offset_file: str | None

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what has no slices, also while planning."""
        del selected
        supported_type(self.qualified_name, meta, TYPES)
        return ""

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The file of offsets is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if self.offset_file is not None:
            selected[OFFSETS] = override(OFFSETS, self.offset_file)
        return selected

    def parts(self, meta: Sequence[FlatMetadata], selected: Mapping[str, Reference]) -> list[str]:
        """The cubes, by what they add to the name of the product."""
        del selected
        return list(self._cubes(meta))

    def process(self, library: ModelLibrary) -> dict[str, IFUCubeModel]:
        """Build one cube after the other."""
        members = library.of_type("science")
        headers = [library.metadata(number).to_flat_dict() for number in members]
        offsets = self.selected.get(OFFSETS)
        names = [Path(str(header.get("meta.filename"))).name for header in headers]
        moves = {} if offsets is None else offsets_of_file(Path(str(offsets.path)), names)
        exposures = Exposures(library, moves)
        return {
            label: self._build(exposures, bands, self._parts(members, headers, bands))
            for label, bands in self._cubes(headers).items()
        }

    def _choice(self, *, miri: bool) -> Choice:
        names = (self.channel, self.band) if miri else (self.grating, self.filter)
        first, second = (() if name.lower() == "all" else (name.lower(),) for name in names)
        return Choice(first, second)

    def _cubes(self, headers: Sequence[FlatMetadata]) -> dict[str, list[Band]]:
        """The bands of each cube by its label; one cube of one exposure of NIRSpec needs none."""
        bands = [band for header in headers for band in bands_of(header)]
        miri = bands[0][0].isdecimal()
        choice = self._choice(miri=miri)
        cubes = cubes_of((band for band in bands if choice.takes(band)), self.output_type)
        if not cubes:
            raise ParameterError(
                f"{self.qualified_name}: no exposure is of the bands that are wanted; there are: "
                f"{', '.join(sorted({'-'.join(band) for band in bands}))}. Change "
                f"{'channel or band' if miri else 'grating or filter'}."
            )
        return {"": next(iter(cubes.values()))} if len(headers) == 1 and not miri else cubes

    def _parts(
        self, members: Sequence[int], headers: Sequence[FlatMetadata], bands: Sequence[Band]
    ) -> list[Part]:
        """What is put into a cube, band by band."""
        return [
            Part(number, int(band[0]) if band[0].isdecimal() else 0)
            for band in bands
            for number, header in zip(members, headers, strict=True)
            if band in bands_of(header)
        ]

    def _wanted(self) -> Wanted:
        from stpipe.science.cubes.sampling import Wanted

        return Wanted(
            self.weighting,
            self.linear_wave and self.output_type != "multi",
            self.scalexy,
            self.scalew,
            self.rois,
            self.roiw,
            self.weight_power,
            self.wavemin,
            self.wavemax,
        )

    def _build(
        self, exposures: Exposures, bands: Sequence[Band], parts: Sequence[Part]
    ) -> IFUCubeModel:
        """Find the grid, add up the exposures, and describe what they make."""
        from stpipe.science.cubes.finishing import finished
        from stpipe.science.cubes.grid import sky_grid
        from stpipe.science.cubes.keywords import weight_keywords
        from stpipe.science.cubes.sampling import sampling_of
        from stpipe.science.cubes.sums import Sums
        from stpipe.steps.stage2.cube_build.product import product

        wanted = self._wanted()
        sampling = sampling_of(self.references["cubepar"], bands, wanted, len(parts))
        grid = sky_grid(
            self._corners(exposures, parts), sampling, self._placement(exposures, parts)
        )
        self._check_size(grid)
        sums = Sums(grid, sampling.reach, covers=not self.skip_dqflagging)
        for part in parts:
            exposures.add(part, sums)
        made = finished(sums, thin=parts[0].channel > 0)
        self._tell(bands, sums, made)
        cube = product(exposures.library, parts, (grid, made))
        weights = weight_keywords(self.weighting, sampling.reach)
        for path, value in weights.items():
            cube.set(path, value)
        return cube

    def _corners(self, exposures: Exposures, parts: Sequence[Part]) -> tuple[Doubles, Doubles]:
        """Corners of all exposures on the sky."""
        from stpipe.science.cubes.grid import joined

        north_up = self.coord_system != "ifualign" and self.cube_pa is None
        # S_REGION is that of both channels of a detector, of which 1 and 3 are the smaller ones.
        small = self.output_type != "multi" and any(part.channel in (1, 3) for part in parts)
        return joined([exposures.corners(part, region=north_up and not small) for part in parts])

    def _placement(self, exposures: Exposures, parts: Sequence[Part]) -> Placement:
        from stpipe.science.cubes.grid import Placement

        angle = self.cube_pa or 0.0
        if self.coord_system == "ifualign":
            angle = exposures.field(parts[0]).angle
            self.log.info("The slices lie at an angle of %.4f degrees", angle)
        return Placement(self.ra_center, self.dec_center, angle, self.nspax_x, self.nspax_y)

    def _check_size(self, grid: CubeGrid) -> None:
        """Refuse a cube that the machine cannot hold, before it is begun."""
        from stpipe.science.cubes.sums import BYTES

        needed, memory = math.prod(grid.shape) * BYTES, memory_of_machine()
        self.log.info("%d x %d x %d (planes, rows, columns): %d MB", *grid.shape, needed // 10**6)
        if needed > memory:
            raise ParameterError(
                f"{self.qualified_name}: the cube would have {' x '.join(map(str, grid.shape))} "
                f"(planes, rows, columns) and need {needed / 1e9:.1f} GB, allowed: the "
                f"{memory / 1e9:.1f} GB of this machine. Ask for larger spaxels (scalexy), fewer of "
                "them (nspax_x, nspax_y), or fewer wavelengths (wavemin, wavemax); exposures that are "
                "far apart on the sky belong into cubes of their own."
            )

    def _tell(self, bands: Sequence[Band], sums: Sums, made: Finished) -> None:
        self.log.info(
            "%s: %d of %d good pixels count; %d holes; %d planes with few values are given up",
            ", ".join("-".join(band) for band in bands),
            sums.used,
            sums.good,
            made.holes,
            made.thin,
        )
        if not sums.used:
            self.log.warning("No pixel counts: the cube has no values. See wavemin and wavemax.")


def memory_of_machine() -> int:
    """Bytes of physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
