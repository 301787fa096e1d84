"""Pixels of NIRSpec that see the sky: through slits, slices, or shutters that failed open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.references.metafile import METAFILE
from stpipe.science.arrays import has
from stpipe.science.wcs.nirspec import failed_open, frames
from stpipe.science.wcs.nirspec.ifu import DETECTOR, ifu_wcs, refuse_empty_detector, slice_entrances
from stpipe.science.wcs.nirspec.modes import mode_of, references_of
from stpipe.science.wcs.nirspec.open_slits import located, open_slits
from stpipe.science.wcs.nirspec.optics import Optics
from stpipe.science.wcs.nirspec.slit_wcs import cutout_pixels
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["REFERENCES", "TYPES", "ScienceRegions", "needs_metafile"]

TYPES = frozenset({"NRS_FIXEDSLIT", "NRS_BRIGHTOBJ", "NRS_MSASPEC", "NRS_IFU"})
SHUTTERS, SLICES = "NRS_MSASPEC", "NRS_IFU"
BEYOND = frozenset({"fore", "ote", "chromcorr"})  # optics from the shutters to the sky
# Of all types of exposures.
REFERENCES = tuple(
    dict.fromkeys(
        name
        for names in (references_of("shutters"), references_of("slices"), ("msaoper",))
        for name in names
        if name not in BEYOND
    )
)
LIMITS = (-0.55, 0.55)  # heights of a slit, from its centre
FIXED_ROWS = slice(
    922, 1116
)  # where the fixed slits are, whose light shutters and slices do not use


@dataclass(frozen=True)
class ScienceRegions:
    """The pixels of an exposure that see the sky.

    Attributes
    ----------
    shutters : frozenset of str
        Exposure types in which shutters that failed open count.
    """

    shutters: frozenset[str]

    def wanted(self, meta: FlatMetadata) -> tuple[str, ...]:
        """The types of reference files that an exposure needs, those of CRDS.

        Parameters
        ----------
        meta : mapping
            Metadata of the exposure by dotted name.

        Returns
        -------
        tuple of str
            None where assign_wcs and msa_flagging have told, or nothing is known.
        """
        kind, names = _kind(meta), []
        if kind in TYPES and not _is_done(meta, "assign_wcs"):
            names += [name for name in references_of(mode_of(meta)) if name not in BEYOND]
        if kind in self.shutters and not _is_done(meta, "msa_flagging"):
            names += ["msaoper", *failed_open.REFERENCES]
        return tuple(dict.fromkeys(names))

    def of(
        self,
        rates: RateModel,
        references: Mapping[str, CutReference],
        selected: Mapping[str, Reference],
    ) -> Booleans:
        """The pixels, of slits with the boxes around them.

        Parameters
        ----------
        rates : ([integrations,] rows, columns) model of rates
        references : mapping of CutReference
            Those that are wanted.
        selected : mapping of Reference
            Their files, that of the metafile of the shutters among them.

        Returns
        -------
        (rows, columns) bool

        Raises
        ------
        NoProduct
            When no slit falls on the detector.
        """
        meta = rates.to_flat_dict()
        rows, columns = rates.shape[-2:]
        found = np.zeros(DETECTOR, dtype=bool)
        kind = _kind(meta)
        if kind == SLICES:
            found |= _of_slices(rates, meta, references)
            found[FIXED_ROWS] = True
        elif kind in TYPES:
            slits = _slits(rates, meta, references, selected)
            for slit in slits:
                found[cutout_pixels(slit["wcs"].bounding_box.bounding_box(order="F"))] = True
            if kind == SHUTTERS and all(slit["quadrant"] != FIXED_QUADRANT for slit in slits):
                found[FIXED_ROWS] = True
        if kind in self.shutters and not _is_done(meta, "msa_flagging"):
            shutters = failed_open.shutters_of(selected["msaoper"])
            found |= failed_open.pixels_of(shutters, meta, references)
        flagged = has(np.asarray(rates.dq), dqflags.MSA_FAILED_OPEN).reshape(-1, rows, columns)
        seen: Booleans = found[:rows, :columns] | np.logical_or.reduce(flagged, axis=0)
        return seen

    def lacking(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Why the pixels are not known, when a reference is N/A; without MSAOPER they are.

        Parameters
        ----------
        meta : mapping
            Metadata of the exposure by dotted name.
        selected : mapping of Reference

        Returns
        -------
        str
            Empty when they are.
        """
        names = [n for n in self.wanted(meta) if n != "msaoper" and selected[n].path is None]
        return f"no {', '.join(names)} reference applies (N/A)" if names else ""


def needs_metafile(meta: FlatMetadata) -> bool:
    """Whether the metafile of the shutters tells what is open in an exposure.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.

    Returns
    -------
    bool
    """
    return _kind(meta) == SHUTTERS and not _is_done(meta, "assign_wcs")


def _of_slices(
    rates: RateModel, meta: FlatMetadata, references: Mapping[str, CutReference]
) -> Booleans:
    if _is_done(meta, "assign_wcs"):
        regions: Any = _known(rates, "regions")
    else:
        refuse_empty_detector(meta)
        optics = _optics(meta, references)
        _, regions = ifu_wcs(slice_entrances(references, optics, LIMITS), optics)
    found: Booleans = np.asarray(regions) > 0
    return found


def _slits(
    rates: RateModel,
    meta: FlatMetadata,
    references: Mapping[str, CutReference],
    selected: Mapping[str, Reference],
) -> list[Mapping[str, Any]]:
    """The open slits, with their gwcs and quadrant."""
    if _is_done(meta, "assign_wcs"):
        return list(_known(rates, "open_slits"))
    msa = references["msa"]
    metafile = selected[METAFILE].path if METAFILE in selected else None
    slits = open_slits(meta, msa, metafile, LIMITS)
    found = located(slits, msa, _optics(meta, references))
    return [{"quadrant": slit.quadrant, "wcs": wcs} for slit, wcs in found]


def _known(rates: RateModel, name: str) -> Any:
    """What assign_wcs has told: an array, or metadata."""
    if not rates.has(name) and rates.get(name) is None:
        raise InputError(
            f"{rates.get('meta.filename')}: S_WCS is COMPLETE, but there is no {name}; run assign_wcs."
        )
    return getattr(rates, name)


def _optics(meta: FlatMetadata, references: Mapping[str, CutReference]) -> Optics:
    """The optics up to the shutters: for the detector what is beyond does not matter."""
    return Optics.of(meta, references, ((frames.shutters(), None),))


def _is_done(meta: FlatMetadata, step: str) -> bool:
    return meta.get(f"meta.cal_step.{step}") == "COMPLETE"


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
