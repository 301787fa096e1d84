"""The gwcs of the integral-field unit of NIRSpec: 30 slices, each of which is a slit."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from stpipe.errors import NoProduct
from stpipe.science.wcs.nirspec import frames
from stpipe.science.wcs.nirspec.slit_wcs import Entrance, lit_pixels, place_of_row, slit_wcs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.wcs.nirspec.optics import Link, Optics

__all__ = [
    "DETECTOR",
    "SLICES",
    "ifu_wcs",
    "refuse_empty_detector",
    "slice_entrances",
]

Labels: TypeAlias = npt.NDArray[np.int32]

SLICES = 30
DETECTOR = (2048, 2048)
SAME_SLICE = 1e-4  # m at the slicer; slices are 0.8 mm apart


def refuse_empty_detector(meta: FlatMetadata) -> None:
    """Spectra of medium resolution, and of the bluest at high resolution, are on NRS1 alone.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.

    Raises
    ------
    NoProduct
        When no slice falls on the detector.
    """
    grating, filter_ = (meta.get(f"meta.instrument.{name}") for name in ("grating", "filter"))
    blue = (grating, filter_) == ("G140H", "F070LP")
    if meta["meta.instrument.detector"] == "NRS2" and (str(grating).endswith("M") or blue):
        raise NoProduct(f"no slice falls on NRS2 with {grating} and {filter_}")


def slice_entrances(
    references: Mapping[str, CutReference], optics: Optics, limits: tuple[float, float]
) -> list[Entrance]:
    """The slices, in order.

    Parameters
    ----------
    references : mapping of CutReference
        `ifuslicer`, `ifupost`, `ifufore`.
    optics : Optics
        Beyond the plane of the shutters the links of the fore optics, chromatic correction included.
    limits : (float, float)
        Lowest and highest place along a slice, in its heights.

    Returns
    -------
    list of Entrance
    """
    from astropy.modeling.models import Identity, Mapping

    slicer, post = references["ifuslicer"], references["ifupost"]
    fore = references["ifufore"].model
    to_shutters = Mapping((0, 1, 2, 2)) | fore & Identity(1)
    to_shutters.inverse = Mapping((0, 1, 2, 2)) | fore.inverse & Identity(1)
    beyond = ((frames.slicer(), to_shutters), *optics.to_sky)
    found = []
    for number in range(SLICES):
        plane = place_of_row(slicer.data[number]) | slicer.model
        behind = _behind(getattr(post, f"slice_{number}"))
        found.append(
            Entrance(
                limits=limits,
                to_wheel=plane & Identity(1) | behind | optics.from_shutters,
                beyond=((frames.slit(), plane & Identity(1)), *beyond),
            )
        )
    return found


def _behind(post: CutReference) -> Model:
    """From a slice (m, m, wavelength in m) to the plane of the shutters: linear, then bent."""
    from astropy.modeling.models import Identity, Mapping

    wavelength = Mapping((2,), n_inputs=3)
    place = Mapping((0, 1), n_inputs=3)
    x = (place | post.xpoly) + (place | post.xpoly_distortion) * wavelength
    y = (place | post.ypoly) + (place | post.ypoly_distortion) * wavelength
    return post.linear & Identity(1) | Mapping((0, 1, 2, 0, 1, 2)) | x & y


def ifu_wcs(entrances: list[Entrance], optics: Optics) -> tuple[WCS, Labels]:
    """One gwcs for all slices, which tells by the pixel which slice it sees.

    Parameters
    ----------
    entrances : list of Entrance
    optics : Optics

    Returns
    -------
    wcs : gwcs.WCS
        coordinates, detector, slicer, msa_frame, oteip, oteip_chromcorr, v2v3, v2v3vacorr, world.
    regions : (2048, 2048) int32
        The number of the slice, from 1, that a pixel sees; 0 between slices.
    """
    from astropy.modeling.models import Identity
    from gwcs import WCS

    regions = np.zeros(DETECTOR, dtype=np.int32)
    transforms: dict[int, Model] = {}
    for number, entrance in enumerate(entrances, start=1):
        wcs = slit_wcs(entrance, optics)
        to_slicer = wcs.get_transform("detector", "slicer")
        if _mark(regions, number, wcs, entrance, optics):
            transforms[number] = to_slicer
    beyond: tuple[Link, ...] = tuple(entrances[0].beyond[1:])
    links = [
        (frames.pixels("coordinates"), Identity(2)),
        (frames.pixels("detector"), _by_slice(regions, transforms)),
        *beyond,
    ]
    return WCS(links), regions


def _mark(regions: Labels, number: int, wcs: WCS, entrance: Entrance, optics: Optics) -> bool:
    """Give the pixels that a slice lights its number; false when there are none."""
    seen = lit_pixels(wcs, entrance, optics)
    regions[seen] = number
    return bool(seen[0].size)


def _by_slice(regions: Labels, transforms: dict[int, Model]) -> Model:
    """From pixels to the slicer by the transform of the slice, and back by the place there."""
    from astropy.modeling.models import Const1D, Mapping
    from gwcs.selector import LabelMapperArray, LabelMapperDict, RegionsSelector

    by_place = {}
    for number, transform in transforms.items():
        y, x = (float(axis[len(axis) // 2]) for axis in np.nonzero(regions == number))
        place = round(float(transform(x, y)[0]), 5)
        by_place[place] = Mapping((0,), n_inputs=3) | Const1D(number)
    slicer = ("x_slice", "y_slice", "lam")
    pixels = LabelMapperArray(regions)
    pixels.inverse = LabelMapperDict(
        slicer, by_place, inputs_mapping=Mapping((0,), n_inputs=3), atol=SAME_SLICE
    )
    return RegionsSelector(
        ("x", "y"), slicer, selector=transforms, label_mapper=pixels, name="det2slicer"
    )
