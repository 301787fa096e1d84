"""Align exposures to one another by the stars that they share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import InputError, Skip
from stpipe.references.selection import Reference, override
from stpipe.science.exposure_types import refuse_moving_target
from stpipe.science.sources.star_finder import StarFinder
from stpipe.science.wcs.keywords import replaced_keywords
from stpipe.steps.stage3.tweakreg import star_catalogs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gwcs import WCS
    from tweakwcs import JWSTWCSCorrector, XYXYMatch

    from stpipe.models import DataModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.arrays import Booleans, Doubles
    from stpipe.science.wcs.imaging import Limits

__all__ = ["TweakRegStep", "moved"]


class TweakRegStep(LibraryStep):
    """Align exposures to one another by the stars that they share, and to a catalogue.

    Stars are found in every exposure; the exposure with the most overlap is the reference, and the
    others are shifted and rotated (`fitgeometry`) in the tangential plane so that their stars fall on
    those of the exposures before. Detectors that saw the sky together move together. Exposures with
    too few stars in common stay where they are, with a warning; when that holds for all, the step is
    skipped. With `abs_refcat`, a table with the columns ra and dec in degrees, all of them then move
    together onto the stars of that catalogue.

    With `use_custom_catalogs` stars are not looked for where there is a table of them, with the columns
    x and y in pixels from 0: `catfile` has lines of an exposure's name and that of its table; without
    it, tables are named by the association (`tweakreg_catalog`) or by TCATFILE of the exposure.

    Stars are found by DAOFIND, and placed by windowed centroids. Catalogues of a server (GAIA) are not
    fetched: give a file.
    """

    alias = "tweakreg"
    suffix = "tweakreg"
    status = "tweakreg"
    input_models = ("ImageModel",)
    member_types = ("science",)
    outputs = (Output("members", "ImageModel", "tweakreg", many=True),)
    prerequisites = ("meta.wcsinfo.v2_ref", "meta.wcsinfo.v3_ref", "meta.wcsinfo.roll_ref")
    spec = """
        use_custom_catalogs = boolean(default=False)  # Use tables of stars where there are any
        catfile = string(default=None)  # File with names of exposures and of their tables
        snr_threshold = float(min=0, default=10.0)  # Peaks of stars over the noise
        kernel_fwhm = float(min=0.5, default=2.5)  # Width of stars, pixels
        bkg_boxsize = integer(min=1, default=400)  # Boxes that the background is measured in, pixels
        sharplo = float(default=0.2)  # Stars less sharp are not used; DAOFIND's measure
        sharphi = float(default=1.0)  # Stars sharper are not used, such as hot pixels
        roundlo = float(default=-1.0)  # Stars less round are not used; DAOFIND's measure
        roundhi = float(default=1.0)  # Stars less round the other way are not used
        brightest = integer(min=1, default=200)  # Stars that are used, the brightest first
        peakmax = float(default=None)  # Peaks above are not used
        minobj = integer(min=1, default=15)  # Stars that exposures must have in common
        searchrad = float(min=0, default=2.0)  # How far stars may be apart, arcsec
        use2dhist = boolean(default=True)  # Look for a common shift first
        separation = float(min=0, default=1.0)  # Stars closer to each other are not used, arcsec
        tolerance = float(min=0, default=0.7)  # How far stars may be apart after that shift, arcsec
        xoffset = float(default=0.0)  # Guess of the shift, arcsec
        yoffset = float(default=0.0)  # Guess of the shift, arcsec
        enforce_user_order = boolean(default=False)  # Align in the order of the association
        expand_refcat = boolean(default=False)  # Add stars of aligned exposures to the reference
        fitgeometry = option(shift, rshift, rscale, general, default=rshift)  # What is fitted
        nclip = integer(min=0, default=3)  # Rounds of leaving out stars that do not fit
        sigma = float(min=0, default=3.0)  # Standard deviations beyond which they are left out
        abs_refcat = string(default=None)  # Table of stars on the sky to align all exposures with
        abs_minobj = integer(min=1, default=15)  # As above, for the alignment with that table
        abs_fitgeometry = option(shift, rshift, rscale, general, default=rshift)  # The same
        abs_nclip = integer(min=0, default=3)  # The same
        abs_sigma = float(min=0, default=3.0)  # The same
        abs_searchrad = float(min=0, default=6.0)  # The same
        abs_use2dhist = boolean(default=True)  # The same
        abs_separation = float(min=0, default=1.0)  # The same
        abs_tolerance = float(min=0, default=0.7)  # The same
        sip_approx = boolean(default=True)  # Write FITS keywords with SIP polynomials
        sip_max_pix_error = float(min=0, default=0.01)  # Largest error of the polynomials, pixels
        sip_degree = integer(min=1, max=6, default=None)  # Degree; None: the lowest that is accurate
        sip_max_inv_pix_error = float(min=0, default=0.01)  # The same from sky to pixels
        sip_inv_degree = integer(min=1, max=6, default=None)  # The same from sky to pixels
        sip_npoints = integer(min=3, default=12)  # Points along each side that the fit uses
    """
    use_custom_catalogs: bool
    catfile: str | None
    snr_threshold: float
    kernel_fwhm: float
    bkg_boxsize: int
    sharplo: float
    sharphi: float
    roundlo: float
    roundhi: float
    brightest: int
    peakmax: float | None
    minobj: int
    searchrad: float
    use2dhist: bool
    separation: float
    tolerance: float
    xoffset: float
    yoffset: float
    enforce_user_order: bool
    expand_refcat: bool
    fitgeometry: str
    nclip: int
    sigma: float
    abs_refcat: str | None
    abs_minobj: int
    abs_fitgeometry: str
    abs_nclip: int
    abs_sigma: float
    abs_searchrad: float
    abs_use2dhist: bool
    abs_separation: float
    abs_tolerance: float
    sip_approx: bool
    sip_max_pix_error: float
    sip_degree: int | None
    sip_max_inv_pix_error: float
    sip_inv_degree: int | None
    sip_npoints: int

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what cannot be combined, also while planning."""
        del selected
        refuse_moving_target(self.qualified_name, meta)
        return ""

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The user's catalogues: inputs that are tracked and recorded as references are."""
        del meta
        found = {}
        if self.abs_refcat is not None:
            found["abs_refcat"] = override("abs_refcat", self.abs_refcat)
        if self.use_custom_catalogs and self.catfile is not None:
            listed = star_catalogs.listed_catalogs(Path(self.catfile))
            found |= {f"{LISTED}{name}": override(name, str(p)) for name, p in listed.items()}
        return found

    def process(self, library: ModelLibrary) -> ModelLibrary:
        """Find stars, fit, and give the exposures their new coordinates."""
        groups = {n: name for name, numbers in library.groups.items() for n in numbers}
        members = library.of_type("science")
        alone = len({groups[number] for number in members}) < 2  # noqa: PLR2004 - an exposure alone
        absolute = self.selected.get("abs_refcat")
        if alone and absolute is None:
            raise Skip("there is only one exposure, nothing to align it with")
        correctors = [self._corrector(library, n, groups[n]) for n in members]
        if not alone:
            self._align(correctors)
        if absolute is not None:
            self._align_with(Path(str(absolute.path)), correctors)
        fitted = {n: c for n, c in zip(members, correctors, strict=True) if self._succeeded(c)}
        if not fitted:
            raise Skip("no two exposures have enough stars in common")
        for number, corrector in fitted.items():
            meta = library.metadata(number).to_flat_dict()
            library.amend_member(number, moved(corrector.wcs, meta, self._accuracy()))
        return library

    def _accuracy(self) -> dict[str, float | None] | None:
        """How good the FITS keywords are to be; None: there are none."""
        names = ("max_pix_error", "degree", "max_inv_pix_error", "inv_degree", "npoints")
        return {n: getattr(self, f"sip_{n}") for n in names} if self.sip_approx else None

    def _corrector(self, library: ModelLibrary, number: int, group: str) -> JWSTWCSCorrector:
        """What tweakwcs needs of an exposure: its gwcs, and its stars."""
        from astropy.table import Table
        from tweakwcs import JWSTWCSCorrector

        with library[number] as member:
            if member.meta.wcs is None:
                path = library.path(number)
                raise InputError(f"{self.qualified_name}: {path} has no gwcs. Run assign_wcs.")
            catalog = self._catalog(library, number) if self.use_custom_catalogs else None
            places = self._stars(member) if catalog is None else star_catalogs.pixels_of(catalog)
            places = places[_inside(places, member.meta.wcs.bounding_box)]
            info = {n: member.get(f"meta.wcsinfo.{n}") for n in ("v2_ref", "v3_ref", "roll_ref")}
            name = library.members[number].path.name
            self.log.info("%s: %d stars", name, len(places))
            about = {"catalog": Table(places, names=("x", "y")), "name": name, "group_id": group}
            return JWSTWCSCorrector(member.meta.wcs, info, meta=about)

    def _stars(self, member: DataModel) -> Doubles:
        finder = StarFinder(
            self.snr_threshold,
            self.kernel_fwhm,
            self.bkg_boxsize,
            self.brightest,
            self.peakmax,
            self.sharplo,
            self.sharphi,
            self.roundlo,
            self.roundhi,
        )
        found: Doubles = finder.find(member.data, member.dq)
        return found

    def _catalog(self, library: ModelLibrary, number: int) -> Path | None:
        """The user's table of an exposure's stars, if there is one."""
        member = library.members[number]
        if self.catfile is not None:
            listed = self.selected.get(f"{LISTED}{member.path.name}")
            return None if listed is None else listed.path
        own = library.metadata(number).get("meta.tweakreg_catalog")
        name = str(member.more.get("tweakreg_catalog") or own or "").strip()
        folder = library.association.path.parent if library.association else member.path.parent
        return folder / name if name else None

    def _align(self, correctors: Sequence[JWSTWCSCorrector]) -> None:
        """Move exposures onto one another."""
        how = _Fit(self.minobj, self.fitgeometry, self.nclip, self.sigma)
        match = self._match("", xoffset=self.xoffset, yoffset=self.yoffset)
        order = {
            "enforce_user_order": self.enforce_user_order,
            "expand_refcat": self.expand_refcat or self.abs_refcat is not None,
        }
        how(correctors, match, **order)

    def _align_with(self, path: Path, correctors: Sequence[JWSTWCSCorrector]) -> None:
        """Move all exposures together onto the stars of a catalogue."""
        from astropy.table import Table

        stars = star_catalogs.sky_of(path)
        for corrector in correctors:
            corrector.meta["group_id"] = "all"
            corrector.meta.pop("fit_info", None)
        how = _Fit(self.abs_minobj, self.abs_fitgeometry, self.abs_nclip, self.abs_sigma)
        catalog = Table(stars, names=("RA", "DEC"), meta={"name": path.name})
        how(correctors, self._match("abs_"), refcat=catalog, enforce_user_order=True)

    def _match(self, prefix: str, **offsets: float) -> XYXYMatch:
        from tweakwcs import XYXYMatch

        names = ("searchrad", "separation", "use2dhist", "tolerance")
        return XYXYMatch(**{n: getattr(self, prefix + n) for n in names}, **offsets)

    def _succeeded(self, corrector: JWSTWCSCorrector) -> bool:
        """Whether an exposure was aligned, and did not only serve as the reference."""
        info: Mapping[str, Any] = corrector.meta.get("fit_info", {"status": "FAILED: no fit"})
        name, status = corrector.meta["name"], str(info["status"])
        if status == "SUCCESS":
            shift = np.hypot(*info["shift"]) * 1000
            self.log.info("%s: moved by %.1f mas, rms %.1f mas", name, shift, info["rmse"] * 1000)
        elif status != "REFERENCE":
            self.log.warning("%s stays where it is: %s", name, status)
        return status == "SUCCESS"


LISTED = "catalog_of_"  # what references are called that `catfile` lists


@dataclass(frozen=True)
class _Fit:
    """How exposures are fitted once their stars are matched."""

    minobj: int
    fitgeometry: str
    nclip: int
    sigma: float

    def __call__(
        self, correctors: Sequence[JWSTWCSCorrector], match: XYXYMatch, **more: object
    ) -> None:
        from tweakwcs import align_wcs

        with _quiet("tweakwcs"):  # the status of each exposure is looked at later
            align_wcs(
                list(correctors),
                minobj=self.minobj,
                match=match,
                fitgeom=self.fitgeometry,
                nclip=self.nclip,
                sigma=(self.sigma, "rmse"),
                **more,
            )


def _inside(places: Doubles, box: Limits) -> Booleans:
    """Which places (n, 2: x, y) lie within the bounding box of a gwcs."""
    (x0, x1), (y0, y1) = box
    x, y = places.T
    found: Booleans = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    return found


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """Keep the records and warnings of a package to itself."""
    logger, silent = logging.getLogger(package), logging.NullHandler()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(silent)
        logger.propagate = propagate


def moved(
    wcs: WCS, meta: FlatMetadata, accuracy: Mapping[str, float | None] | None
) -> dict[str, Any]:
    """Metadata of an exposure with new coordinates: gwcs, outline, and keywords of FITS.

    `accuracy` is that of the keywords, as `fits_keywords` takes it; None leaves them as they are.
    """
    from stpipe.science.wcs.imaging import fits_keywords, s_region

    values = {"meta.wcs": wcs, "meta.wcsinfo.s_region": s_region(wcs)}
    if accuracy is None or meta.get("meta.wcsinfo.a_order") is None:
        return values
    try:
        keywords = fits_keywords(wcs, meta, **accuracy)
    except (ValueError, RuntimeError):  # no polynomial is that accurate
        return values
    return values | replaced_keywords(meta, keywords)
