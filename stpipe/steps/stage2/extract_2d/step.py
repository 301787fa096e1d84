"""Cut the spectrum of each source out of a slitless exposure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.step import Output, Step
from stpipe.errors import InputError, NoProduct
from stpipe.references.selection import Reference, override
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.exposure_types import SLITLESS
from stpipe.science.invalid_pixels import VALUES
from stpipe.science.wcs.grism import Grism, Trace, cutout_wcs
from stpipe.steps.stage2.extract_2d.direct_sources import Source, read_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stpipe.models import ImageModel, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Doubles

__all__ = ["Cutout", "Extract2dStep", "find_cutouts"]


class Extract2dStep(Step):
    """Cut the spectrum of each source out of a slitless exposure.

    `source_catalog` names the catalogue of the direct image. Where it has a source the grism's
    reference (SPECWCS) says which pixels its light falls on, between the wavelengths of the filter
    (WAVELENGTHRANGE): one cutout for each source and order. Cutouts of point sources are
    `2 * wfss_extract_half_height + 1` pixels high, those of extended sources as high as the outline
    that the catalogue has. They go on one by one, with coordinates and wavelengths of their own, and
    POINT or EXTENDED as the catalogue says.

    The product of the source 7 of the exposure `X`, in order 1, is `X_s7o1_slit.fits`.

    Slitless spectra of NIRISS; exposures of other types are left as they are.
    """

    alias = "extract_2d"
    suffix = "slit"
    status = "extract_2d"
    input_models = ("ImageModel",)
    prerequisites = ("meta.exposure.type",)
    reference_types = ("specwcs", "wavelengthrange")
    outputs = (Output("slits", "SlitModel", "slit", many=True),)
    spec = """
        source_catalog = string(default=None)  # Catalogue of the direct image
        source_ids = int_list(default=list())  # Numbers of sources; none: all of them
        extract_orders = int_list(default=list())  # Spectral orders; none: those of the reference
        wfss_extract_half_height = integer(min=0, default=5)  # Half height of point sources, pixels
        wfss_mmag_extract = float(default=None)  # Sources as faint, AB magnitude, are left out
        wfss_nbright = integer(min=1, default=1000)  # Brightest sources that are cut out, at most
    """
    source_catalog: str | None
    source_ids: list[int]
    extract_orders: list[int]
    wfss_extract_half_height: int
    wfss_mmag_extract: float | None
    wfss_nbright: int

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The catalogue is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if self.source_catalog is None:
            return selected
        return {**selected, "source_catalog": override("source_catalog", self.source_catalog)}

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None for exposures that are left as they are."""
        return self.reference_types if _kind(meta) in SLITLESS else ()

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without grism there is nothing to cut out."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only slitless exposures are cut up; they need a catalogue."""
        if _kind(meta) not in SLITLESS:
            return f"exposures of type {_kind(meta)} are not cut up"
        if "source_catalog" not in selected:
            raise InputError(
                f"{self.qualified_name}: slitless spectra are cut out where the direct image has "
                "sources. Name its catalogue: source_catalog=PATH."
            )
        return ""

    def process(self, image: ImageModel) -> dict[str, SlitModel]:
        """Cut out every source in every order, the brightest first."""
        meta = image.to_flat_dict()
        if image.meta.wcs is None:
            raise InputError(
                f"{self.qualified_name}: {image.meta.filename} has no gwcs. Run assign_wcs."
            )
        grism = Grism.of(meta, self.references["specwcs"])
        sources = self._chosen(read_sources(self.selected["source_catalog"].path or ""))
        ranges = self._ranges(str(meta.get("meta.instrument.pupil")))
        height = self.wfss_extract_half_height
        found = (list(find_cutouts(image, s, ranges, grism, height)) for s in sources)
        seen = islice((cutouts for cutouts in found if cutouts), self.wfss_nbright)
        slits = {c.label: self._cut(image, c, grism) for cutouts in seen for c in cutouts}
        if not slits:
            raise NoProduct("no source of the catalogue has a spectrum in the exposure")
        self.log.info("%d spectra", len(slits))
        return slits

    def _chosen(self, sources: Iterable[Source]) -> list[Source]:
        """The sources that parameters leave, the brightest first."""
        faintest = np.inf if self.wfss_mmag_extract is None else self.wfss_mmag_extract
        chosen = [
            source
            for source in sources
            if source.magnitude < faintest
            and (not self.source_ids or source.number in self.source_ids)
        ]
        return sorted(chosen, key=lambda source: source.magnitude)

    def _ranges(self, filter_name: str) -> dict[int, tuple[float, float]]:
        """The wavelengths of a filter, um, by order."""
        reference = self.references["wavelengthrange"]
        orders: list[int] = self.extract_orders
        if not orders:
            orders = [
                n for name, known in reference.extract_orders if name == filter_name for n in known
            ]
        found = {
            int(order): (float(low), float(high))
            for order, name, low, high in reference.wavelengthrange
            if name == filter_name and order in orders
        }
        if missing := sorted(set(orders) - found.keys()) or not found:
            raise InputError(
                f"{self.qualified_name}: the wavelengthrange reference has no orders {missing} of the "
                f"filter {filter_name}."
            )
        return found

    def _cut(self, image: ImageModel, cutout: Cutout, grism: Grism) -> SlitModel:
        from stpipe import models

        slit = models.SlitModel()
        slit.update(image)
        for name in ("dq", *(name for name in VALUES if image.has(name))):
            slit.set(name, image.read(name, cutout.box))
        source = cutout.source
        wcs = cutout_wcs(cutout.trace, (source.ra, source.dec), cutout.box, grism.direction)
        rows, columns = np.indices(slit.data.shape).astype(np.float64)
        slit.wavelength = np.asarray(wcs(columns, rows)[2], dtype=np.float32)
        slit.meta.wcs = wcs
        for name, value in cutout.keywords().items():
            slit.set(name, value)
        return slit


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()


@dataclass(frozen=True)
class Cutout:
    """The pixels of one source in one order: slices for rows and columns of the exposure.

    `place` is the 0-based pixel that the source would be on without the grism.
    """

    source: Source
    order: int
    place: tuple[float, float]
    trace: Trace
    box: tuple[slice, slice]

    @property
    def label(self) -> str:
        """What tells it apart in names of files."""
        return f"s{self.source.number}o{self.order}"

    def keywords(self) -> dict[str, Any]:
        """Metadata of the cutout, beyond those of the exposure."""
        (rows, columns), source = self.box, self.source
        kind = "EXTENDED" if source.extended else "POINT"
        return {
            "name": str(source.number),
            "source_id": source.number,
            "source_ra": source.ra,
            "source_dec": source.dec,
            "source_xpos": self.place[0],
            "source_ypos": self.place[1],
            "is_extended": source.extended,
            "source_type": kind,
            "meta.target.source_type": kind,
            "meta.wcsinfo.spectral_order": self.order,
            "xstart": columns.start + 1,
            "ystart": rows.start + 1,
            "xsize": columns.stop - columns.start,
            "ysize": rows.stop - rows.start,
        }


def find_cutouts(
    image: ImageModel,
    source: Source,
    ranges: Mapping[int, tuple[float, float]],
    grism: Grism,
    wfss_extract_half_height: int,
) -> Iterator[Cutout]:
    """Where the spectra of a source are, order by order, as far as they are in the image."""
    to_pixels = partial(image.meta.wcs.invert, with_bounding_box=False)
    x, y = (float(axis) for axis in to_pixels(source.ra, source.dec))
    corners = np.transpose([np.atleast_1d(axis) for axis in to_pixels(*source.corners)])
    for order, waves in ranges.items():
        trace = grism.trace(order, x, y)
        outline = [grism.trace(order, *map(float, corner)) for corner in corners]
        ends = np.array([each.at(wave) for each in outline for wave in waves])
        lows, highs = ends.min(axis=0), ends.max(axis=0)
        if not source.extended:
            across = 1 if grism.direction == HORIZONTAL else 0
            middle = trace.at((waves[0] + waves[1]) / 2)[across]
            lows[across] = middle - wfss_extract_half_height
            highs[across] = middle + wfss_extract_half_height
        box = _within(image.shape, lows, highs, grism.direction)
        if box is not None:
            yield Cutout(source, order, (x, y), trace, box)


def _within(
    shape: tuple[int, ...], lows: Doubles, highs: Doubles, direction: int
) -> tuple[slice, slice] | None:
    """Slices for rows and columns of pixels between limits (x, y); None when too few are there.

    Along the dispersion there have to be two pixels, across it one.
    """
    found = []
    for axis, size in ((1, shape[0]), (0, shape[1])):
        first = max(int(np.floor(lows[axis] + 0.5)), 0)
        last = min(int(np.floor(highs[axis] + 0.5)), size - 1)
        fewest = 2 if (axis == 0) == (direction == HORIZONTAL) else 1
        if last - first + 1 < fewest:
            return None
        found.append(slice(first, last + 1))
    return found[0], found[1]
