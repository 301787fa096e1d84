"""Align exposures to one another by the stars that they share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError, Skip
from stpipe.library_step import LibraryStep
from stpipe.step import Output
from stpipe.steps.assign_wcs import replaced_keywords
from stpipe.steps.sources import StarFinder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.models import ModelLibrary

__all__ = ["TweakRegStep", "moved"]


class TweakRegStep(LibraryStep):
    """Align exposures to one another by the stars that they share.

    Stars are found in every exposure; the exposure with the most overlap is the reference, and the
    others are shifted and rotated (`fitgeometry`) in the tangential plane so that their stars fall on
    those of the exposures before. Detectors that saw the sky together move together. Exposures with
    too few stars in common stay where they are, with a warning; when that holds for all, the step is
    skipped.

    Alignment with an absolute catalogue and catalogues of the user are not implemented, and stars are
    found by one method (DAOFIND, then windowed centroids).
    """

    alias = "tweakreg"
    suffix = "tweakreg"
    status = "tweakreg"
    input_models = ("ImageModel",)
    outputs = (Output("members", "ImageModel", "tweakreg", many=True),)
    prerequisites = ("meta.wcsinfo.v2_ref", "meta.wcsinfo.v3_ref", "meta.wcsinfo.roll_ref")
    spec = """
        snr_threshold = float(min=0, default=10.0)  # Peaks of stars over the noise
        kernel_fwhm = float(min=0.5, default=2.5)  # Width of stars, pixels
        bkg_boxsize = integer(min=1, default=400)  # Boxes that the background is measured in, pixels
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
    """
    snr_threshold: float
    kernel_fwhm: float
    bkg_boxsize: int
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

    def process(self, library: ModelLibrary) -> Any:
        """Find stars, fit, and give the exposures their new coordinates."""
        groups = {n: name for name, numbers in library.groups.items() for n in numbers}
        members = library.of_type("science")
        if len({groups[number] for number in members}) < 2:  # noqa: PLR2004 - an exposure alone
            raise Skip("there is only one exposure, nothing to align it with")
        correctors = [self._corrector(library, n, groups[n]) for n in members]
        self._align(correctors)
        fitted = {n: c for n, c in zip(members, correctors, strict=True) if self._succeeded(c)}
        if not fitted:
            raise Skip("no two exposures have enough stars in common")
        for number, corrector in fitted.items():
            meta = library.metadata(number).to_flat_dict()
            library.amend_member(number, moved(corrector.wcs, meta))
        return library

    def _corrector(self, library: ModelLibrary, number: int, group: str) -> Any:
        """What tweakwcs needs of an exposure: its gwcs, and its stars."""
        from astropy.table import Table
        from tweakwcs import JWSTWCSCorrector

        with library[number] as member:
            if member.meta.wcs is None:
                path = library.path(number)
                raise InputError(f"{self.qualified_name}: {path} has no gwcs. Run assign_wcs.")
            finder = StarFinder(
                self.snr_threshold,
                self.kernel_fwhm,
                self.bkg_boxsize,
                self.brightest,
                self.peakmax,
            )
            places = finder.find(member.data, member.dq)
            info = {n: member.get(f"meta.wcsinfo.{n}") for n in ("v2_ref", "v3_ref", "roll_ref")}
            name = library.members[number].path.name
            self.log.info("%s: %d stars", name, len(places))
            about = {"catalog": Table(places, names=("x", "y")), "name": name, "group_id": group}
            return JWSTWCSCorrector(member.meta.wcs, info, meta=about)

    def _align(self, correctors: Sequence[Any]) -> None:
        from tweakwcs import XYXYMatch, align_wcs

        match = XYXYMatch(
            searchrad=self.searchrad,
            separation=self.separation,
            use2dhist=self.use2dhist,
            xoffset=self.xoffset,
            yoffset=self.yoffset,
            tolerance=self.tolerance,
        )
        with _quiet("tweakwcs"):  # the status of each exposure is looked at below
            align_wcs(
                list(correctors),
                enforce_user_order=self.enforce_user_order,
                expand_refcat=self.expand_refcat,
                minobj=self.minobj,
                match=match,
                fitgeom=self.fitgeometry,
                nclip=self.nclip,
                sigma=(self.sigma, "rmse"),
            )

    def _succeeded(self, corrector: Any) -> bool:
        """Whether an exposure was aligned, and did not only serve as the reference."""
        info: Mapping[str, Any] = corrector.meta.get("fit_info", {"status": "FAILED: no fit"})
        name, status = corrector.meta["name"], str(info["status"])
        if status == "SUCCESS":
            shift = np.hypot(*info["shift"]) * 1000
            self.log.info("%s: moved by %.1f mas, rms %.1f mas", name, shift, info["rmse"] * 1000)
        elif status != "REFERENCE":
            self.log.warning("%s stays where it is: %s", name, status)
        return status == "SUCCESS"


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


def moved(wcs: Any, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of an exposure with new coordinates: gwcs, outline, and keywords if it had them."""
    from stpipe.steps.imaging_wcs import fits_keywords, s_region

    values = {"meta.wcs": wcs, "meta.wcsinfo.s_region": s_region(wcs)}
    if meta.get("meta.wcsinfo.a_order") is None:
        return values
    accuracy = {"max_pix_error": 0.01, "max_inv_pix_error": 0.01, "npoints": 12}
    keywords = fits_keywords(wcs, meta, degree=None, inv_degree=None, **accuracy)
    return values | replaced_keywords(meta, keywords)
