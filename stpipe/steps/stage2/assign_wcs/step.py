"""Say where on the sky, and at which wavelength, every pixel looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.core.step import Step
from stpipe.references.metafile import METAFILE, select_metafile
from stpipe.science.exposure_types import LRS, MRS, SLITLESS, supported_type
from stpipe.science.wcs import mrs
from stpipe.science.wcs.grism import direction_of
from stpipe.science.wcs.keywords import replaced_keywords
from stpipe.science.wcs.nirspec import modes
from stpipe.science.wcs.pointing import MOTION, NEEDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models import IFUImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.ramps.integrations import RateModel

__all__ = [
    "IMAGING",
    "AssignWcsStep",
]

IMAGING = frozenset(
    """NRC_IMAGE NRC_TSIMAGE NRC_FOCUS NRC_TACQ NRC_TACONFIRM NRC_CORON
    NIS_IMAGE NIS_AMI NIS_FOCUS NIS_TACQ NIS_TACONFIRM
    MIR_IMAGE MIR_TACQ MIR_TACONFIRM MIR_LYOT MIR_4QPM MIR_CORONCAL
    FGS_IMAGE FGS_FOCUS""".split()  # noqa: SIM905 - quotes around each would hide the list
)
BARYCENTRE = "BARYCENT"
SUPPORTED = IMAGING | LRS | SLITLESS | modes.TYPES | {MRS}


class AssignWcsStep(Step):
    """Say where on the sky, and at which wavelength, every pixel looks.

    `meta.wcs` becomes a gwcs from 0-based pixels over V2, V3 to right ascension and declination in
    degrees (and for LRS wavelength in um), made of the distortion reference, the offset of the
    filter and the pointing. S_REGION is the outline on the sky. For images the keywords of FITS and
    their SIP polynomials approximate it; they are left as they were when no polynomial is accurate
    enough.

    Of slitless spectra it is the place where light would fall without the grism; wavelengths come with
    the spectra that extract_2d cuts out.

    NIRSpec has a gwcs for every slit that is open, in `open_slits`, between `slit_y_low` and
    `slit_y_high` (in heights of a slit from its centre); slits that do not fall on the detector are
    left out. Which shutters are open the metafile says that MSAMETFL names, beside the exposure, or
    `override_msametafile`. The integral-field unit has one gwcs for all its slices; `regions` says
    which slice a pixel sees. Of lamps there are no coordinates on the sky.

    The MRS of MIRI has one gwcs for all slices of both channels on the detector, and `regions`, too:
    100 times the channel, and the number of the slice in it.

    Imaging of NIRCam, NIRISS, FGS and MIRI, the LRS and MRS of MIRI, slitless spectra of NIRISS and
    all modes of NIRSpec; other exposure types are refused. MIRI images need a FILTEROFFSET reference.
    """

    alias = "assign_wcs"
    suffix = "assign_wcs"
    status = "assign_wcs"
    input_models = ("ImageModel", "CubeModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type", *NEEDED)
    uses = (
        *MOTION,
        "meta.instrument.filter_position",
        "meta.subarray.xstart",
        "meta.subarray.ystart",
    )
    reference_types = ("distortion",)
    optional_reference_types = (
        "filteroffset",
        "specwcs",
        "regions",
        *modes.REFERENCES,
        METAFILE,
    )
    spec = """
        sip_approx = boolean(default=True)  # Write FITS keywords with SIP polynomials for images
        sip_max_pix_error = float(min=0, default=0.01)  # Largest error of the polynomials, pixels
        sip_degree = integer(min=1, max=6, default=None)  # Degree; None: the lowest that is accurate
        sip_max_inv_pix_error = float(min=0, default=0.01)  # The same from sky to pixels
        sip_inv_degree = integer(min=1, max=6, default=None)  # The same from sky to pixels
        sip_npoints = integer(min=3, default=12)  # Points along each side that the fit uses
        slit_y_low = float(default=-0.55)  # Lower end of slits of NIRSpec, in heights of a slit
        slit_y_high = float(default=0.55)  # Upper end
        nrs_ifu_slice_wcs = boolean(default=False)  # A gwcs for each slice of NIRSpec, too
    """
    sip_approx: bool
    sip_max_pix_error: float
    sip_degree: int | None
    sip_max_inv_pix_error: float
    sip_inv_degree: int | None
    sip_npoints: int
    slit_y_low: float
    slit_y_high: float
    nrs_ifu_slice_wcs: bool

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """Those of the instrument; the metafile of the shutters is none of CRDS."""
        if _kind(meta) in modes.TYPES:
            return modes.references_of(modes.mode_of(meta))
        if _kind(meta) == MRS:
            return mrs.REFERENCES
        return (*self.reference_types, "filteroffset", "specwcs")

    def select_references(self, meta: FlatMetadata) -> dict[str, Reference]:
        """The metafile of the shutters is an input that is tracked and recorded as references are."""
        selected = super().select_references(meta)
        if _kind(meta) in modes.TYPES and modes.mode_of(meta) == "shutters":
            given = getattr(self, f"override_{METAFILE}", None)
            selected[METAFILE] = select_metafile(given, self.context, meta)
        return selected

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Everything that it takes is needed, but what corrects colours."""
        optional = {"filteroffset", "specwcs", "chromcorr"}
        types = [t for t in selected if t not in optional and selected[t].path is None]
        return f"no {', '.join(types)} reference applies (N/A)" if types else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Refuse what the step cannot do, also while planning."""
        kind = supported_type(self.qualified_name, meta, SUPPORTED)
        if kind in LRS | {MRS} and selected["specwcs"].path is None:
            return "no specwcs reference applies (N/A)"
        miri = str(meta.get("meta.instrument.name")).upper() == "MIRI"
        if miri and kind in IMAGING and selected["filteroffset"].path is None:
            return "no filteroffset reference applies (N/A)"
        return ""

    def process(self, image: RateModel) -> RateModel:
        """Attach the gwcs and what follows from it."""
        meta = image.to_flat_dict()
        if _kind(meta) in modes.TYPES:
            self._assign_nirspec(image, meta)
        elif _kind(meta) in LRS:
            self._assign_lrs(image, meta)
        elif _kind(meta) == MRS:
            self._assign_mrs(image, meta)
        else:
            self._assign_imaging(image, meta)
        return image

    def _assign_imaging(self, image: RateModel, meta: FlatMetadata) -> None:
        from stpipe.science.wcs.imaging import imaging_wcs, s_region

        distortion = self.references["distortion"].model
        known = "filteroffset" in self.references
        filters = self.references["filteroffset"].filters if known else ()
        image.meta.wcs = imaging_wcs(meta, image.shape[-2:], distortion, filters)
        _set_region(image, s_region(image.meta.wcs))
        if meta["meta.exposure.type"].upper() in SLITLESS:
            image.meta.wcsinfo.specsys = BARYCENTRE
            image.meta.wcsinfo.dispersion_direction = direction_of(meta)
        if self.sip_approx:
            self._approximate(image, meta)

    def _approximate(self, image: RateModel | IFUImageModel, meta: FlatMetadata) -> None:
        """Describe the gwcs in FITS keywords."""
        from stpipe.science.wcs.imaging import fits_keywords

        try:
            keywords = fits_keywords(
                image.meta.wcs,
                meta,
                max_pix_error=self.sip_max_pix_error,
                degree=self.sip_degree,
                max_inv_pix_error=self.sip_max_inv_pix_error,
                inv_degree=self.sip_inv_degree,
                npoints=self.sip_npoints,
            )
        except (ValueError, RuntimeError) as error:
            self.log.warning("No SIP approximation, FITS keywords stay as they were: %s", error)
            return
        self._tell_errors(keywords)
        for path, value in replaced_keywords(meta, keywords).items():
            image.set(path, value)

    def _tell_errors(self, keywords: Mapping[str, float]) -> None:
        """Warn when the best polynomials are not as good as asked."""
        allowed = {"sipmxerr": self.sip_max_pix_error, "sipiverr": self.sip_max_inv_pix_error}
        for name, limit in allowed.items():
            if keywords.get(name, 0) > limit:
                message = "SIP approximation: its largest error (%s) is %.3g pixels, asked: %.3g"
                self.log.warning(message, name.upper(), keywords[name], limit)

    def _assign_nirspec(self, image: RateModel | IFUImageModel, meta: FlatMetadata) -> None:
        from stpipe.science.wcs.imaging import s_region
        from stpipe.science.wcs.nirspec.open_slits import open_slits
        from stpipe.science.wcs.nirspec.optics import is_lamp
        from stpipe.steps.stage2.assign_wcs import nirspec

        mode, limits = modes.mode_of(meta), (self.slit_y_low, self.slit_y_high)
        if mode == "image":
            nirspec.assign_image(image, self.references)
            if not is_lamp(meta):
                _set_region(image, s_region(image.meta.wcs))
                if self.sip_approx:
                    self._approximate(image, meta)
        elif mode == "slices":
            nirspec.assign_slices(image, self.references, limits, each=self.nrs_ifu_slice_wcs)
        else:
            metafile = self.selected[METAFILE].path if METAFILE in self.selected else None
            slits = open_slits(meta, self.references["msa"], metafile, limits)
            nirspec.assign_slits(image, slits, self.references)

    def _assign_lrs(self, image: RateModel, meta: FlatMetadata) -> None:
        from stpipe.science import dispersion
        from stpipe.science.wcs import lrs

        image.meta.wcsinfo.specsys = BARYCENTRE
        image.meta.wcsinfo.dispersion_direction = dispersion.VERTICAL
        specwcs = self.references["specwcs"]
        image.meta.wcs = lrs.lrs_wcs(meta, self.references["distortion"].model, specwcs)
        image.wavelength = lrs.wavelengths(image.meta.wcs, image.shape[-2:])
        _set_region(image, lrs.s_region(meta, image.meta.wcs, specwcs))
        for name, value in lrs.dithered_position(meta, image.meta.wcs).items():
            image.set(f"meta.dither.{name}", value)

    def _assign_mrs(self, image: RateModel | IFUImageModel, meta: FlatMetadata) -> None:
        from stpipe.science import dispersion
        from stpipe.science.wcs.slices import s_region_of

        image.meta.wcsinfo.specsys = BARYCENTRE
        image.meta.wcsinfo.dispersion_direction = dispersion.VERTICAL
        slices = mrs.slices_seen(self.references["regions"], image.shape[-2:])
        image.meta.wcs = mrs.mrs_wcs(meta, self.references, slices)
        image.set("regions", slices)
        _set_region(image, s_region_of(image.meta.wcs, slices))


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()


def _set_region(image: RateModel | IFUImageModel, region: str | None) -> None:
    if region is not None:
        image.meta.wcsinfo.s_region = region
