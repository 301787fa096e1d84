"""The optics of NIRSpec that all slits of an exposure share, as transforms between planes.

detector - (fpa, camera) - grating wheel - (collimator) - shutters - (fore optics) - focus of the
telescope - V2, V3 - sky. Every part is a model of astropy or gwcs, which any software reads; slits
refer to the same objects, in memory and in files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from stpipe.science.wcs.imaging import subarray_shift
from stpipe.science.wcs.lrs import velocity_factor
from stpipe.science.wcs.nirspec.dispersers import Disperser, disperser_of, rotation, wheel_angles
from stpipe.science.wcs.pointing import to_sky

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.modeling import Model
    from gwcs.coordinate_frames import CoordinateFrame

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference

__all__ = ["Band", "Link", "Optics", "band_of", "fore_optics", "is_lamp", "telescope"]

Link = tuple["CoordinateFrame", "Model | None"]  # a plane, and the way to the next one

LAMPS = frozenset({"NRS_LAMP", "NRS_AUTOWAVE", "NRS_AUTOFLAT"})
LAST_PIXEL = 2047  # of a detector; both axes of NRS2 run the other way
WHOLE_BAND = (0.6e-6, 5.3e-6)  # m, of gratings that the WAVELENGTHRANGE reference does not list
MICRON = 1e6  # per m


def is_lamp(meta: FlatMetadata) -> bool:
    """Whether the light comes from a lamp within the instrument, so that there is no sky.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.

    Returns
    -------
    bool
    """
    closed = str(meta.get("meta.instrument.filter")).upper() == "OPAQUE"
    return closed or str(meta.get("meta.exposure.type")).upper() in LAMPS


@dataclass(frozen=True)
class Band:
    """The spectral order of a filter and a grating, and its limits in m."""

    order: int
    limits: tuple[float, float]

    @property
    def middle(self) -> float:
        """The middle wavelength, m."""
        return (self.limits[0] + self.limits[1]) / 2


def band_of(meta: FlatMetadata, reference: CutReference) -> Band:
    """The band of an exposure.

    Of a filter that the reference does not list with the grating, the first one that it does.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    reference : CutReference
        The WAVELENGTHRANGE reference.

    Returns
    -------
    Band
    """
    source = "lamp_state" if is_lamp(meta) else "filter"
    grating = str(meta.get("meta.instrument.grating"))
    listed = list(reference.waverange_selector)
    wanted = f"{meta.get(f'meta.instrument.{source}')}_{grating}"
    places = [i for i, name in enumerate(listed) if name == wanted] or [
        i for i, name in enumerate(listed) if name.partition("_")[2] == grating
    ]
    if not places:
        return Band(-1, WHOLE_BAND)
    low, high = reference.wavelengthrange[places[0]]
    return Band(int(reference.order[places[0]]), (float(low), float(high)))


@dataclass(frozen=True)
class Optics:
    """The shared transforms of an exposure.

    Attributes
    ----------
    to_sca : Model
        Pixels of the array, from 0, to pixels of the detector as it was built.
    to_wheel : Model
        Those to direction cosines at the grating wheel.
    from_shutters : Model
        Places (m) in the plane of the shutters to direction cosines at the wheel.
    disperser : Disperser
    to_sky : tuple of links
        From the plane of the shutters (m, m, wavelength in m) on; that plane alone for lamps, whose
        wavelengths there are in um.
    band : Band
    velocity : float
        Factor from wavelengths as observed to those of the barycentre.
    unit : float
        Units of wavelengths in the frame of the slit, per m: um for lamps, else m.
    """

    to_sca: Model
    to_wheel: Model
    from_shutters: Model
    disperser: Disperser
    to_sky: tuple[Link, ...]
    band: Band
    velocity: float
    unit: float

    @property
    def scale(self) -> float:
        """Wavelengths in the frame of the slit per wavelength in m of the grating equation."""
        return self.velocity * self.unit

    @classmethod
    def of(
        cls, meta: FlatMetadata, references: Mapping[str, CutReference], beyond: tuple[Link, ...]
    ) -> Self:
        """The optics of an exposure.

        Parameters
        ----------
        meta : mapping
            Metadata of the exposure by dotted name.
        references : mapping of CutReference
            `fpa`, `camera`, `collimator`, `disperser` and `wavelengthrange`.
        beyond : tuple of links
            From the plane of the shutters on.

        Returns
        -------
        Optics
        """
        band = band_of(meta, references["wavelengthrange"])
        angles = wheel_angles(meta, references["disperser"])
        detector = str(meta["meta.instrument.detector"]).lower()
        camera = getattr(references["fpa"], f"{detector}_model") | references["camera"].model
        collimator = references["collimator"].model
        return cls(
            to_sca=_to_sca(meta, detector),
            to_wheel=_turned(camera, camera.inverse, angles),
            from_shutters=_turned(collimator.inverse, collimator, angles),
            disperser=disperser_of(meta, references["disperser"], band.order),
            to_sky=beyond,
            band=band,
            velocity=velocity_factor(meta),
            unit=MICRON if is_lamp(meta) else 1.0,
        )


def _to_sca(meta: FlatMetadata, detector: str) -> Model:
    """Pixels of the array to those of the detector as it was built."""
    from astropy.modeling.models import Identity, Scale, Shift

    shift = subarray_shift(meta) or Identity(2)
    if detector == "nrs1":
        return shift
    turned = Shift(-LAST_PIXEL) & Shift(-LAST_PIXEL) | Scale(-1) & Scale(-1)
    return shift | turned


def _turned(there: Model, back: Model, angles: list[float]) -> Model:
    """What leads to a plane, then to directions in the frame of the wheel; and the way back."""
    from astropy.modeling.models import Const1D, Identity, Mapping
    from gwcs.geometry import ToDirectionCosines

    cosines = Mapping((0, 1, 1)) | Identity(2) & Const1D(1) | ToDirectionCosines()
    turned = rotation(angles, "xyzy")
    transform = there | cosines | Mapping((0, 1, 2), n_inputs=4) | turned
    a, b, c = (Mapping((axis,), n_inputs=3) for axis in range(3))
    plane = Mapping((0, 1, 2, 0, 1, 2)) | (a / c) & (b / c)
    transform.inverse = turned.inverse | plane | back
    return transform


def telescope(meta: FlatMetadata, references: Mapping[str, CutReference]) -> tuple[Link, ...]:
    """From the plane of the shutters to the sky: x, y in m and the wavelength in m.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    references : mapping of CutReference
        `fore` and `ote`.

    Returns
    -------
    tuple of links
        msa_frame, oteip, v2v3, v2v3vacorr, world; msa_frame alone for lamps.
    """
    from stpipe.science.wcs.nirspec import frames

    if is_lamp(meta):
        return ((frames.shutters(), None),)
    return (
        (frames.shutters(), _chromatic(references["fore"].model)),
        (frames.focus("oteip"), _to_v2v3(references["ote"].model)),
        *sky_links(meta),
    )


def fore_optics(meta: FlatMetadata, references: Mapping[str, CutReference]) -> tuple[Link, ...]:
    """The same for the integral-field unit, whose fore optics shift colours.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    references : mapping of CutReference
        `fore`, `ote` and `chromcorr`; without the latter nothing is corrected.

    Returns
    -------
    tuple of links
        msa_frame, oteip, oteip_chromcorr, v2v3, v2v3vacorr, world; msa_frame alone for lamps.
    """
    from stpipe.science.wcs.nirspec import frames

    if is_lamp(meta):
        return telescope(meta, references)
    shutters, (focus, to_v2v3), *sky = telescope(meta, references)
    colours = _correction(references)
    return (shutters, (focus, colours), (frames.focus("oteip_chromcorr"), to_v2v3), *sky)


def _correction(references: Mapping[str, CutReference]) -> Model:
    """What takes the shifts of colours out; wavelengths go along."""
    from astropy.modeling.models import Identity, Mapping

    if "chromcorr" not in references:
        return Identity(3)
    reference = references["chromcorr"].model
    back = reference.inverse
    there = Mapping((0, 1, 2)) | reference
    # The correction of places may come back without the wavelength that it needs.
    there.inverse = (
        back if back.n_outputs == back.n_inputs else Mapping((0, 1, 2, 2)) | back & Identity(1)
    )
    return there


def sky_links(meta: FlatMetadata) -> tuple[Link, ...]:
    """From V2, V3 to the sky; the wavelength in um goes along.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.

    Returns
    -------
    tuple of links
        v2v3, v2v3vacorr, world.
    """
    from astropy.modeling.models import Identity

    from stpipe.science.wcs.lrs import with_wavelength, world_frame

    aberration, sky = to_sky(meta)
    return (
        (with_wavelength("v2v3"), aberration & Identity(1)),
        (with_wavelength("v2v3vacorr"), sky & Identity(1)),
        (world_frame(), None),
    )


def _chromatic(fore: Model) -> Model:
    """A transform (x, y, wavelength) to (x, y), with the wavelength going along."""
    from astropy.modeling.models import Identity, Mapping

    there = Mapping((0, 1, 2, 2)) | fore & Identity(1)
    there.inverse = Mapping((0, 1, 2, 2)) | fore.inverse & Identity(1)
    return there


def _to_v2v3(ote: Model) -> Model:
    """The focus of the telescope to V2, V3 in arcsec; wavelengths from m to um."""
    from astropy.modeling.models import Scale

    return ote & Scale(MICRON)
