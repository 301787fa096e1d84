"""The columns of a catalogue of sources: values, units and what they are, in the archive's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.steps.stage3.source_catalog.aperture_photometry import magnitudes

if TYPE_CHECKING:
    import numpy.typing as npt
    from gwcs import WCS

    from stpipe.models import SourceCatalogModel
    from stpipe.science.arrays import Booleans, Doubles
    from stpipe.steps.stage3.source_catalog.aperture_photometry import Apertures, Fluxes
    from stpipe.steps.stage3.source_catalog.finding import Found

__all__ = ["Columns", "SkyPlaces"]

ARCSEC = 1 / 3600  # degrees
_TOTAL = (
    "Total aperture-corrected {what} from the {energy}% encircled energy circle; for stars only"
)
_CIRCLE = "{what} within the {energy}% encircled energy circle"
_SIGMA = "1-sigma along the {axis} axis of the Gaussian with the source's second central moments"
_PHOTOMETRY = {"flux": "Flux", "abmag": "AB magnitude", "vegamag": "Vega magnitude"}
_SHAPES = {
    "isophotal_area": ("pix2", "Isophotal area"),
    "semimajor_sigma": ("pix", _SIGMA.format(axis="semimajor")),
    "semiminor_sigma": ("pix", _SIGMA.format(axis="semiminor")),
    "ellipticity": ("", "1 minus the ratio of semiminor_sigma and semimajor_sigma"),
    "orientation": ("deg", "Angle from the x axis to the major axis, counter-clockwise"),
}
_CORNERS = {
    "sky_bbox_ll": "lower-left",
    "sky_bbox_ul": "upper-left",
    "sky_bbox_lr": "lower-right",
    "sky_bbox_ur": "upper-right",
}


class SkyPlaces(NamedTuple):
    """From pixels to the sky, and the pixel (x, y, from 0) at which north is measured."""

    wcs: WCS
    reference: tuple[float, float]

    def of(self, places: Doubles) -> tuple[Doubles, Doubles]:
        """Right ascension and declination (degrees) of pixels (n, 2)."""
        if not len(places):
            return np.zeros(0), np.zeros(0)
        ra, dec = self.wcs(*places.T, with_bounding_box=False)
        return np.asarray(ra), np.asarray(dec)

    def position_angle(self, orientation: Doubles) -> Doubles:
        """From north to a direction that is `orientation` from the x axis, degrees."""
        ra, dec = self.wcs(*self.reference, with_bounding_box=False)
        x, y = self.wcs.invert(ra, dec + ARCSEC)
        north = np.rad2deg(np.arctan2(y - self.reference[1], x - self.reference[0]))
        found: Doubles = (180.0 - north + orientation) % 360
        return found


class Columns:
    """Columns one after the other; magnitudes in the Vega system are `offset` brighter."""

    def __init__(self, offset: float) -> None:
        self._offset = offset
        self._values: dict[str, npt.NDArray[np.generic]] = {}
        self._units: dict[str, str] = {}
        self._about: dict[str, str] = {}

    def add(self, name: str, values: npt.NDArray[np.generic], unit: str, about: str) -> None:
        """One more column."""
        self._values[name], self._about[name] = np.asarray(values), about
        if unit:
            self._units[name] = unit

    def put_into(self, model: SourceCatalogModel) -> None:
        """Make the columns the table of a `SourceCatalogModel`."""
        dtype = [(name, values.dtype) for name, values in self._values.items()]
        table = np.empty(len(self._values["label"]), dtype)
        for name, values in self._values.items():
            table[name] = values
        model.catalog = table
        model.set_units("catalog", self._units)
        model.describe_columns("catalog", self._about)

    def add_places(self, found: Found, sky: SkyPlaces) -> None:
        """Numbers and centroids."""
        self.add("label", found.labels.astype(np.int32), "", "Number of the source")
        for axis, values in zip("xy", found.places.T, strict=True):
            about = f"{axis.upper()} pixel of the source's centroid, from 0"
            self.add(f"{axis}centroid", values, "", about)
        self._add_sky("sky_centroid", sky.of(found.places), "ICRS coordinates of the centroid")

    def add_circles(self, apertures: Apertures, fluxes: Fluxes) -> None:
        """Local background; fluxes and magnitudes in circles, and those of all light."""
        about = "Local background of a pixel, the clipped median of the annulus"
        self.add("aper_bkg_flux", fluxes.background, "Jy", about)
        about = "Standard error of the local background"
        self.add("aper_bkg_flux_err", fluxes.background_error, "Jy", about)
        factor, last = apertures.corrections[-1], apertures.energies[-1]
        measured = [
            (f"aper{energy}", flux, error, _CIRCLE.replace("{energy}", str(energy)))
            for energy, flux, error in zip(
                apertures.energies, fluxes.flux, fluxes.error, strict=True
            )
        ]
        total = (fluxes.flux[-1] * factor, fluxes.error[-1] * factor)
        measured.append(("aper_total", *total, _TOTAL.replace("{energy}", str(last))))
        for kind in _PHOTOMETRY:
            for name, flux, error, words in measured:
                self._add_photometry(name, kind, (flux, error), words)

    def add_concentration(
        self, apertures: Apertures, fluxes: Fluxes, limits: tuple[float, float]
    ) -> None:
        """Fluxes of larger circles over those of smaller ones, and what is no star by them."""
        found = []
        for small, large in ((0, 1), (1, 2), (0, 2)):
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(fluxes.flux[large] / fluxes.flux[small])
            one, two = apertures.energies[large], apertures.energies[small]
            about = f"Concentration index, aper{one}_flux / aper{two}_flux"
            self.add(f"CI_{one}_{two}", found[-1], "", about)
        extended: Booleans = (found[0] > limits[0]) & (found[1] > limits[1])
        self.add("is_extended", extended, "", "Whether the source is no star")

    def add_star_shapes(self, sharpness: Doubles, roundness: Doubles) -> None:
        """Measures of DAOFIND."""
        self.add("sharpness", sharpness, "", "Sharpness as DAOFIND has it")
        self.add("roundness", roundness, "", "Roundness as DAOFIND has it")

    def add_neighbours(self, found: Found) -> None:
        """The nearest other source, -1 when there is none, and how far it is."""
        nearest, distance = _neighbours(found.places)
        labels = np.where(nearest < 0, -1, found.labels[nearest] if len(nearest) else -1)
        self.add("nn_label", labels.astype(np.int32), "", "Number of the nearest other source")
        self.add("nn_dist", distance, "pix", "Distance to the nearest other source")

    def add_isophotes(self, found: Found, sky: SkyPlaces) -> None:
        """Flux and shape of a source's own pixels, and the corners of the box around them."""
        fluxes = found.shapes["isophotal_flux"], found.shapes["isophotal_flux_err"]
        for kind in _PHOTOMETRY:
            self._add_photometry("isophotal", kind, fluxes, "Isophotal {what}")
        for name, (unit, about) in _SHAPES.items():
            self.add(name, found.shapes[name], unit, about)
        angle = sky.position_angle(found.shapes["orientation"])
        self.add("sky_orientation", angle, "deg", "Position angle of the major axis from north")
        for name, where in _CORNERS.items():
            places = found.corners.get(name, np.full((len(found.labels), 2), np.nan))
            about = f"ICRS coordinates of the {where} corner of the box around the source"
            self._add_sky(name, sky.of(places), about)

    def _add_photometry(
        self, name: str, kind: str, fluxes: tuple[Doubles, Doubles], words: str
    ) -> None:
        values = fluxes if kind == "flux" else magnitudes(*fluxes)
        if kind == "vegamag":
            values = (values[0] - self._offset, values[1])
        unit, about = ("Jy" if kind == "flux" else ""), words.format(what=_PHOTOMETRY[kind])
        self.add(f"{name}_{kind}", values[0], unit, about)
        self.add(f"{name}_{kind}_err", values[1], unit, f"Error: {about}")

    def _add_sky(self, name: str, places: tuple[Doubles, Doubles], about: str) -> None:
        for axis, values in zip(("ra", "dec"), places, strict=True):
            self.add(f"{name}.{axis}", values, "deg", about)


def _neighbours(places: Doubles) -> tuple[npt.NDArray[np.intp], Doubles]:
    """Index of the nearest other place (-1: none) and its distance."""
    from scipy.spatial import KDTree

    nearest, distance = np.full(len(places), -1), np.full(len(places), np.nan)
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    if len(known) > 1:
        apart, index = KDTree(places[known]).query(places[known], k=[2])
        nearest[known], distance[known] = known[index[:, 0]], apart[:, 0]
    return nearest, distance
