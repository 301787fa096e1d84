"""Let coordinates of exposures follow a target that moves on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import Skip
from stpipe.science.exposure_types import is_moving_target
from stpipe.science.wcs.moving_target import following, mean_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stpipe.models import DataModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference

__all__ = ["AssignMTWcsStep"]

SLITS = "MultiSlitModel"


class AssignMTWcsStep(LibraryStep):
    """Let coordinates of exposures follow a target that moves on the sky.

    Each exposure, or slit, gets one more frame, `moving_target`: right ascension and declination are
    shifted so that the target (MT_RA, MT_DEC) is at its mean place in all of them (MT_AVRA, MT_AVDEC).
    What is combined afterwards shows the target sharp and the stars trailed. The outline of images
    (S_REGION) follows. If an exposure does not tell where the target was, none is shifted.
    """

    alias = "assign_mtwcs"
    suffix = "assign_mtwcs"
    status = "assign_mtwcs"
    input_models = ("ImageModel", "IFUImageModel", "SlitModel", SLITS)
    member_types = ("science",)
    outputs = (Output("members", "", "assign_mtwcs", many=True),)

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only for targets that move."""
        del selected
        return "" if is_moving_target(meta) else "the target does not move"

    def process(self, library: ModelLibrary) -> ModelLibrary:
        """Shift all by their distance from the mean place."""
        members = library.of_type("science")
        found = [_places(library.metadata(number).to_flat_dict()) for number in members]
        if lacking := [n for n, places in zip(members, found, strict=True) if None in places[:1]]:
            names = ", ".join(library.path(number).name for number in lacking)
            raise Skip(f"{names} do not tell where the target was (MT_RA, MT_DEC)")
        mean = mean_place([places[0] for places in found if places[0]])
        about = {"meta.wcsinfo.mt_avra": mean[0], "meta.wcsinfo.mt_avdec": mean[1]}
        for number in members:
            many = library.metadata(number).model_type == SLITS
            library.amend_member(number, {} if many else about, _follow(mean, about))
        self.log.info("The target is at %.6f, %.6f degrees on average", *mean)
        return library


def _places(meta: FlatMetadata) -> list[tuple[float, float] | None]:
    """Where the target was: of an exposure, or of its slits."""
    prefixes = {p.rpartition("meta.wcsinfo.")[0] for p in meta if p.startswith("slits.")} - {""}
    found = []
    for prefix in sorted(prefixes) or [""]:
        ra, dec = (meta.get(f"{prefix}meta.wcsinfo.{name}") for name in ("mt_ra", "mt_dec"))
        found.append(None if ra is None or dec is None else (float(ra), float(dec)))
    return found if None not in found else [None]


def _follow(mean: tuple[float, float], about: Mapping[str, float]) -> Callable[[DataModel], None]:
    """A change that gives an exposure, or each of its slits, the frame of the target."""

    def change(member: Any) -> None:
        if type(member).__name__ != SLITS:
            _shift(member, mean)
            if type(member).__name__ == "ImageModel" and member.meta.wcs.output_frame.naxes == AXES:
                member.meta.wcsinfo.s_region = _outline(member)
            return
        member.slits.revive("meta.wcs")
        for slit in member.slits:
            _shift(slit, mean)
            for path, value in about.items():
                slit.set(path, value)

    return change


AXES = 2  # of an image's coordinates: those of spectra have a wavelength


def _shift(exposure: Any, mean: tuple[float, float]) -> None:
    info = exposure.meta.wcsinfo
    exposure.meta.wcs = following(exposure.meta.wcs, (info.mt_ra, info.mt_dec), mean)


def _outline(image: Any) -> str | None:
    from stpipe.science.wcs.imaging import s_region

    return s_region(image.meta.wcs)
