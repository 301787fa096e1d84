"""How a grism of NIRISS disperses the light of a source, by a SPECWCS reference.

Light of the wavelength that the parameter t (0 to 1) stands for falls dx(t), dy(t) pixels from where
it would fall without the grism. Both are polynomials of t, whose coefficients depend on that place,
turned by the angle by which the filter wheel missed its position (Willott et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from stpipe.errors import InputError, ReferenceMissing
from stpipe.science.dispersion import HORIZONTAL
from stpipe.science.wcs.lrs import velocity_factor

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.modeling import Model
    from gwcs import WCS
    from numpy.polynomial import Polynomial

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles

__all__ = ["Grism", "Trace", "direction_of"]

# Values of t between which wavelengths are interpolated; traces go on beyond the filter's band.
REACH, SAMPLES = (-1.0, 2.0), 151


def direction_of(meta: FlatMetadata) -> int:
    """The axis along which a grism of NIRISS disperses: 1 rows (GR150C), 2 columns (GR150R).

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.

    Returns
    -------
    {1, 2}
        DISPAXIS.
    """
    return 1 if str(meta.get("meta.instrument.filter")).upper().endswith("C") else 2


@dataclass(frozen=True)
class Trace:
    """The spectrum of one source in one order.

    Attributes
    ----------
    x, y
        0-based pixels, as polynomials of t.
    wavelength, parameter
        From t to the wavelength in um, and back.
    """

    x: Polynomial
    y: Polynomial
    wavelength: Callable[[float | Doubles], float | Doubles]
    parameter: Callable[[float], float]

    def at(self, wavelength: float) -> tuple[float, float]:
        """The pixel that light of a wavelength falls on.

        Parameters
        ----------
        wavelength : float, um

        Returns
        -------
        x, y : float, pixels from 0
        """
        t = self.parameter(wavelength)
        return float(self.x(t)), float(self.y(t))


@dataclass(frozen=True)
class Grism:
    """A grism as it was in an exposure."""

    reference: CutReference
    turn: float  # radians
    velocity: float  # factor from wavelengths as observed to those of the barycentre
    direction: int

    @classmethod
    def of(cls, meta: FlatMetadata, reference: CutReference) -> Self:
        """The grism of an exposure.

        Parameters
        ----------
        meta : mapping
            Metadata by dotted name; `meta.instrument.filter_position` in degrees.
        reference : CutReference
            The SPECWCS reference.

        Returns
        -------
        Grism
        """
        position = meta.get("meta.instrument.filter_position")
        if position is None:
            raise InputError(
                f"{meta.get('meta.filename')} lacks FWCPOS (meta.instrument.filter_position), the "
                "position of the grism, by which its spectra are turned."
            )
        turned = position - reference.fwcpos_ref
        turn = -float(np.deg2rad(turned))
        return cls(reference, turn, velocity_factor(meta), direction_of(meta))

    def trace(self, order: int, x: float, y: float) -> Trace:
        """The spectrum of light that would fall on a pixel of the full frame without the grism.

        Parameters
        ----------
        order : int
            Spectral order.
        x, y : float, pixels from 0

        Returns
        -------
        Trace

        Raises
        ------
        ReferenceMissing
            When the reference does not have the order.
        """
        from numpy.polynomial import Polynomial

        orders = [int(known) for known in self.reference.orders]
        if order not in orders:
            raise ReferenceMissing(
                f"the specwcs reference has no order {order}, allowed: {', '.join(map(str, orders))}."
            )
        index = orders.index(order)
        shifts = [
            Polynomial([float(c(x, y)) for c in getattr(self.reference, name)[index]])
            for name in ("dispx", "dispy")
        ]
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        waves, back = self.reference.displ[index], self.reference.invdispl[index]
        return Trace(
            x=x + cosine * shifts[0] - sine * shifts[1],
            y=y + sine * shifts[0] + cosine * shifts[1],
            wavelength=lambda t: waves(t) * self.velocity,
            parameter=lambda wavelength: back(wavelength / self.velocity),
        )


def cutout_wcs(
    trace: Trace, place: tuple[float, float], box: tuple[slice, slice], direction: int
) -> WCS:
    """The gwcs of a cutout: from its pixels to those of the exposure, to the source and wavelength.

    Every pixel is at the source's place; its wavelength, in um, goes with the dispersion.

    Parameters
    ----------
    trace : Trace
        The spectrum, in pixels of the exposure.
    place : (float, float), degrees
        Right ascension and declination of the source.
    box : (slice, slice)
        Rows and columns of the exposure that were cut out.
    direction : {1, 2}
        DISPAXIS: 1 along rows, 2 along columns.

    Returns
    -------
    gwcs.WCS
    """
    from astropy.modeling import bind_bounding_box
    from astropy.modeling.models import Shift
    from gwcs import WCS

    from stpipe.science.wcs.imaging import detector_frame
    from stpipe.science.wcs.lrs import world_frame

    rows, columns = box
    shift = Shift(columns.start) & Shift(rows.start)
    sizes = (columns.stop - columns.start, rows.stop - rows.start)
    bind_bounding_box(shift, tuple((-0.5, size - 0.5) for size in sizes), order="F")
    cutout, exposure = detector_frame(), detector_frame()
    cutout.name = "cutout"
    dispersion = _dispersion(trace, place, direction)
    return WCS([(cutout, shift), (exposure, dispersion), (world_frame(), None)])


def _dispersion(trace: Trace, place: tuple[float, float], direction: int) -> Model:
    """The transform from pixels of the exposure to the source's place and the wavelength."""
    from astropy.modeling.models import Const1D, Mapping

    t = np.linspace(*REACH, SAMPLES)
    x, y, waves = trace.x(t), trace.y(t), np.asarray(trace.wavelength(t))
    axis = 0 if direction == HORIZONTAL else 1
    sky = Const1D(place[0]) & Const1D(place[1])
    transform = Mapping((0, 0, axis), n_inputs=2) | sky & _curve((x, y)[axis], waves)
    transform.inverse = Mapping((2, 2), n_inputs=3) | _curve(waves, x) & _curve(waves, y)
    return transform


def _curve(points: Doubles, values: Doubles) -> Model:
    """The line through values at points; NaN beyond its ends."""
    from astropy.modeling.models import Tabular1D

    order = np.argsort(points)
    return Tabular1D(points[order], values[order], bounds_error=False)
