"""The world coordinate system of MIRI's medium-resolution spectrometer.

Pixels lead by the slice that they see to the place along the slice (alpha), that of the slice (beta,
both in arcsec) and the wavelength (um), then over V2, V3 to the sky. Two channels share a detector;
their wavelengths do not overlap, so that on the way back the wavelength tells the channel, and beta the
slice. The polynomials are those of the DISTORTION and SPECWCS references (Patapis et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from stpipe.errors import InputError, ReferenceMissing
from stpipe.science.wcs.imaging import detector_frame
from stpipe.science.wcs.lrs import velocity_factor, with_wavelength, world_frame
from stpipe.science.wcs.pointing import to_sky

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from astropy.modeling import Model
    from gwcs import WCS

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference

__all__ = ["CHANNEL", "REFERENCES", "THROUGHPUT", "mrs_wcs", "slices_seen"]

Labels: TypeAlias = "npt.NDArray[np.int32]"

REFERENCES = ("distortion", "specwcs", "regions", "wavelengthrange")
THROUGHPUT = 7  # plane of REGIONS: slices where at least 80 % of their light falls
CHANNEL = 100  # a slice is numbered by channel and place: 101 is the first of channel 1
PLACE = ("alpha", "beta", "lam")


@dataclass(frozen=True)
class Channel:
    """A channel of the exposure's band, as its references describe it."""

    number: int
    limits: tuple[float, float]  # of the wavelength, um
    first: float  # beta of the middle of its first slice, arcsec
    step: float  # from slice to slice, arcsec
    to_v2v3: Model  # from alpha and beta, arcsec


def slices_seen(regions: CutReference, shape: tuple[int, ...], plane: int = THROUGHPUT) -> Labels:
    """The slice that every pixel sees.

    Parameters
    ----------
    regions : CutReference
        The REGIONS reference: a plane of slices for each of several throughputs.
    shape : (int, int)
        Rows and columns of the exposure.
    plane : int
        Which of them.

    Returns
    -------
    (rows, columns) int32
        100 times the channel, and the slice in it from 1; 0 between slices.

    Raises
    ------
    ReferenceMissing
        When the reference does not have this plane, or not for these pixels.
    """
    planes = np.asarray(regions.regions)
    if planes.ndim != 3 or not 0 <= plane < len(planes) or planes.shape[1:] != shape:  # noqa: PLR2004
        raise ReferenceMissing(
            f"{regions.meta.filename}: its regions are of shape {planes.shape}, and plane {plane} is "
            f"asked for; allowed: planes of {shape}, as the exposure is. Give another REGIONS "
            "reference with override_regions."
        )
    return np.asarray(planes[plane], dtype=np.int32)


def mrs_wcs(meta: FlatMetadata, references: Mapping[str, CutReference], slices: Labels) -> WCS:
    """The gwcs of an exposure: detector, alpha_beta, v2v3, v2v3vacorr, world.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    references : mapping of CutReference
        `distortion`, `specwcs`, `wavelengthrange`.
    slices : (rows, columns) int32
        By `slices_seen`.

    Returns
    -------
    gwcs.WCS
        To right ascension and declination in degrees and wavelength in um; NaN between slices.

    Raises
    ------
    InputError
        When the header does not say of which channels and band the exposure is.
    ReferenceMissing
        When a reference does not have one of them.
    """
    from astropy.modeling import bind_bounding_box
    from astropy.modeling.models import Identity
    from gwcs import WCS

    channels = _channels(meta, references)
    by_slice = _to_places(references, slices, channels, velocity_factor(meta))
    rows, columns = slices.shape
    # gwcs asks for the corners of the box, and half a pixel is rounded up, to a pixel beyond the image.
    box = tuple((-0.5, float(np.nextafter(size - 0.5, 0))) for size in (columns, rows))
    bind_bounding_box(by_slice, box, order="F")
    aberration, sky = to_sky(meta)
    return WCS(
        [
            (detector_frame(), by_slice),
            (with_wavelength("alpha_beta"), _to_v2v3(channels)),
            (with_wavelength("v2v3"), aberration & Identity(1)),
            (with_wavelength("v2v3vacorr"), sky & Identity(1)),
            (world_frame(), None),
        ]
    )


def _channels(meta: FlatMetadata, references: Mapping[str, CutReference]) -> list[Channel]:
    """The channels of the exposure.

    Their band is that of BAND, which has two names where both gratings differ: SHORT-MEDIUM.
    """
    numbers, band = (meta.get(f"meta.instrument.{name}") for name in ("channel", "band"))
    if not str(numbers).isdecimal() or band is None:
        raise InputError(
            f"{meta.get('meta.filename')}: CHANNEL is {numbers} and BAND is {band}; allowed: the "
            "channels of the detector, 12 or 34, and SHORT, MEDIUM, LONG or two of them, as "
            "SHORT-MEDIUM. Correct the header."
        )
    distortion, ranges = references["distortion"], references["wavelengthrange"]
    known = {
        "distortion: first slices": _by_band(distortion.bzero, "beta_zero"),
        "distortion: widths of slices": _by_band(distortion.bdel, "delta_beta"),
        "distortion: transforms to V2, V3": _by_band(distortion.abv2v3_model, "model"),
        "wavelengthrange": dict(
            zip(ranges.waverange_selector, ranges.wavelengthrange, strict=True)
        ),
    }
    names = {int(number): f"{number}{band}" for number in str(numbers)}
    for what, entries in known.items():
        if lacking := [name for name in names.values() if name not in entries]:
            raise ReferenceMissing(
                f"{meta.get('meta.filename')} is of {', '.join(names.values())} (CHANNEL and BAND); "
                f"the reference ({what}) lacks {', '.join(lacking)}, it has: {', '.join(entries)}. "
                f"Give that of this band with override_{what.partition(':')[0]}."
            )
    first, step, to_v2v3, limits = known.values()
    return [
        Channel(n, (limits[name][0], limits[name][1]), first[name], step[name], to_v2v3[name])
        for n, name in names.items()
    ]


def _by_band(table: Any, column: str) -> dict[str, Any]:
    return dict(zip(table.channel_band, getattr(table, column), strict=True))


def _to_places(
    references: Mapping[str, CutReference], slices: Labels, channels: list[Channel], velocity: float
) -> Model:
    """From pixels to alpha, beta and wavelength by the transforms of their slice, and back."""
    from gwcs.selector import LabelMapperArray, LabelMapperRange, RegionsSelector

    distortion, specwcs = references["distortion"], references["specwcs"]
    wavelength = dict(zip(specwcs.slices, specwcs.model, strict=True))
    numbers = [int(number) for number in distortion.slices]
    transforms = {
        number: _to_place(distortion, place, wavelength[number], velocity)
        for place, number in enumerate(numbers)
    }
    pixels = LabelMapperArray(slices)
    pixels.inverse = LabelMapperRange(
        PLACE, {channel.limits: _slice_at(channel, numbers) for channel in channels}, _wavelength()
    )
    return RegionsSelector(
        ("x", "y"), PLACE, selector=transforms, label_mapper=pixels, name="detector_to_abl"
    )


def _to_place(distortion: CutReference, place: int, wavelength: Model, velocity: float) -> Model:
    """The transform of one slice; wavelengths are seen from the barycentre."""
    from astropy.modeling.models import Identity, Mapping, Scale

    alpha, beta = distortion.alpha_model[place], distortion.beta_model[place]
    forward = Mapping((1, 0, 0, 1, 0)) | alpha & beta & (wavelength | Scale(velocity))
    pixels = distortion.x_model[place] & distortion.y_model[place]
    observed = Identity(2) & Scale(1 / velocity)
    forward.inverse = observed | Mapping((2, 0, 2, 0), n_inputs=3) | pixels
    return forward


def _wavelength() -> Model:
    from astropy.modeling.models import Mapping

    return Mapping((2,), n_inputs=3)


def _slice_at(channel: Channel, numbers: list[int]) -> Model:
    """From alpha, beta and wavelength to the slice of a channel that beta is in; 0 beside them."""
    from astropy.modeling.models import Mapping, Tabular1D

    own = [number for number in numbers if number // CHANNEL == channel.number]
    places = np.arange(own[0] - 1, own[-1] + 2)  # with one that is none at either end
    betas = channel.first + channel.step * (places % CHANNEL - 1)
    labels = np.where(np.isin(places, own), places, 0).astype(np.float64)
    nearest = Tabular1D(betas, labels, method="nearest", bounds_error=False, fill_value=0.0)
    return Mapping((1,), n_inputs=3) | nearest


def _to_v2v3(channels: list[Channel]) -> Model:
    """From alpha, beta and wavelength to V2, V3 (arcsec) by the transform of the channel, and back."""
    from astropy.modeling.models import Const1D, Identity
    from gwcs.selector import LabelMapperRange, RegionsSelector

    numbers = {channel.limits: _wavelength() | Const1D(channel.number) for channel in channels}
    by_wavelength = LabelMapperRange(PLACE, numbers, _wavelength())
    by_wavelength.inverse = LabelMapperRange(("v2", "v3", "lam"), numbers, _wavelength())
    return RegionsSelector(
        PLACE,
        ("v2", "v3", "lam"),
        selector={channel.number: channel.to_v2v3 & Identity(1) for channel in channels},
        label_mapper=by_wavelength,
        name="abl_to_v2v3l",
    )
