"""What the grating wheel does to light: gratings and the prism of NIRSpec.

Light comes from the collimator in the direction (a_in, b_in) and leaves for the camera in the
direction (a_out, b_out), both direction cosines in the frame of the grating wheel. Across the
dispersion every disperser mirrors: b_out = -b_in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stpipe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.modeling import Model
    from astropy.modeling.models import Polynomial1D

    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.opened import CutReference

__all__ = ["Disperser", "Grating", "Prism", "disperser_of", "wheel_angles"]

# Wavelengths (m) between which the refraction of the prism is turned round: jwst's table, each of
# its steps cut so finely that lines in n and lines in n squared are the same to 1e-11.
PRISM_TABLE, PRISM_STEPS = (0.3e-6, 8.0e-6, 1541), 16
ROOM_TEMPERATURES = 20.0  # K above the reference from which the index depends on temperature


class Disperser(Protocol):
    """Both ways through a disperser."""

    def directions(self) -> Model:
        """(wavelength in m, a_in, b_in, c_in) to (a_out, b_out, c_out)."""
        ...

    def wavelength(self, entry: Polynomial1D, scale: float) -> Model:
        """(y, a_out, b_out) to `scale` times the wavelength in m, where `entry` gives a_in at y."""
        ...


@dataclass(frozen=True)
class Grating:
    """A grating: a_in + a_out = -order * grooves * wavelength."""

    grooves: float  # per m
    order: int

    def directions(self) -> Model:
        """(wavelength, a_in, b_in, c_in) to (a_out, b_out, c_out).

        Returns
        -------
        astropy.modeling.Model
        """
        from astropy.modeling.models import Identity, Mapping, Scale
        from gwcs.spectroscopy import AnglesFromGratingEquation3D

        # gwcs measures a_in the other way.
        turned = Mapping((0, 1, 2), n_inputs=4) | Identity(1) & Scale(-1) & Identity(1)
        return turned | AnglesFromGratingEquation3D(self.grooves, self.order)

    def wavelength(self, entry: Polynomial1D, scale: float) -> Model:
        """(y, a_out, b_out) to a multiple of the wavelength.

        Parameters
        ----------
        entry : Polynomial1D
            a_in at a place y along the slit.
        scale : float
            What to multiply wavelengths in m with.

        Returns
        -------
        astropy.modeling.Model
        """
        from astropy.modeling.models import Mapping, Polynomial2D

        factor = -scale / (self.grooves * self.order)
        terms = {f"c{k}_0": factor * c for k, c in enumerate(entry.parameters)}
        degree = max(entry.degree, 1)
        return Mapping((0, 1), n_inputs=3) | Polynomial2D(degree, **terms, c0_1=factor)


@dataclass(frozen=True)
class Prism:
    """The prism, a mirror behind glass: light is refracted, reflected and refracted again."""

    angle: float  # degrees
    glass: tuple[Sequence[float], Sequence[float], Sequence[float]]  # K, L and thermal coefficients
    reference: tuple[float, float]  # temperature in K and pressure in atm
    temperature: float  # K

    def index(self) -> Model:
        """The refractive index at a wavelength in um (Sellmeier), relative to the vacuum.

        Returns
        -------
        astropy.modeling.Model
        """
        from gwcs.spectroscopy import SellmeierGlass, SellmeierZemax

        strengths, resonances, thermal = (np.array(c, float) for c in self.glass)
        at, pressure = self.reference
        if self.temperature - at < ROOM_TEMPERATURES:
            return SellmeierGlass(strengths, resonances)
        return SellmeierZemax(
            self.temperature,
            at,
            pressure,
            pressure,
            strengths,
            resonances,
            thermal[:3],
            thermal[3:],
        )

    def directions(self) -> Model:
        """(wavelength, a_in, b_in, c_in) to (a_out, b_out, c_out).

        Returns
        -------
        astropy.modeling.Model
        """
        from astropy.modeling.models import Identity, Mapping, Scale
        from gwcs.spectroscopy import Snell3D

        glass = (Scale(1e6) | self.index()) & Identity(3)
        inside = Mapping((0, 0, 1, 2, 3)) | Identity(1) & Snell3D()
        back = rotation([self.angle], "y") | Scale(-1) & Scale(-1) & Identity(1)
        front = rotation([-self.angle], "y")
        out = (Identity(1) / Identity(1) / Identity(1)) & Identity(3) | Snell3D()
        return glass | inside | Identity(1) & back | Identity(1) & front | out

    def wavelength(self, entry: Polynomial1D, scale: float) -> Model:
        """(y, a_out, b_out) to a multiple of the wavelength.

        The square of the index is ((a_out + a_in cos 2A) / sin 2A)^2 + a_in^2 + b^2 in a prism of
        angle A; wavelengths are looked up by it.

        Parameters
        ----------
        entry : Polynomial1D
            a_in at a place y along the slit.
        scale : float
            What to multiply wavelengths in m with.

        Returns
        -------
        astropy.modeling.Model
        """
        from astropy.modeling.models import Identity, Mapping, Polynomial1D, Polynomial2D

        twice = 2 * np.deg2rad(self.angle)
        slope = 1 / np.sin(twice)
        terms = {f"c{k}_0": c * np.cos(twice) * slope for k, c in enumerate(entry.parameters)}
        along = Polynomial2D(max(entry.degree, 1), **terms, c0_1=slope)
        squares = [Polynomial1D(2, c2=1) for _ in range(3)]
        sides = Mapping((0, 1, 0, 2)) | along & entry & Identity(1)
        squared = sides | squares[0] & squares[1] & squares[2]
        added = Mapping((0,), n_inputs=3) + Mapping((1,), n_inputs=3) + Mapping((2,), n_inputs=3)
        return squared | added | self._table(scale)

    def _table(self, scale: float) -> Model:
        """The square of the index to a multiple of the wavelength."""
        from astropy.modeling.models import Tabular1D

        coarse = np.linspace(*PRISM_TABLE)
        # Falling wavelengths have a rising index.
        coarse_index = np.asarray(self.index()(coarse * 1e6))[::-1]
        fine = np.interp(
            np.linspace(0, coarse.size - 1, (coarse.size - 1) * PRISM_STEPS + 1),
            np.arange(coarse.size),
            coarse_index,
        )
        waves = np.interp(fine, coarse_index, coarse[::-1])
        return Tabular1D(fine**2, waves * scale, bounds_error=False)


def rotation(angles: Sequence[float], axes: str) -> Model:
    """Turn directions about axes, one after the other.

    Parameters
    ----------
    angles : sequence of float, degrees
    axes : str
        The axis of each angle.

    Returns
    -------
    astropy.modeling.Model
        Of three direction cosines.
    """
    from astropy.modeling.models import RotationSequence3D

    # asdf-astropy cannot write a sequence of one: astropy takes its only angle for a number.
    still = "z" if axes[-1] != "z" else "x"
    return RotationSequence3D([*angles, 0.0], axes_order=axes + still)


def wheel_angles(meta: FlatMetadata, reference: CutReference) -> list[float]:
    """Angles from the collimator's frame to that of the wheel, about x, y, z and y.

    The sensors of the wheel say by how much it missed its place: the one of x turns about y, and
    that of y about x. Half of it counts, as light is reflected.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name; a reading that is not known is taken as the nominal.
    reference : CutReference
        The DISPERSER reference.

    Returns
    -------
    list of float, degrees
    """

    def missed(sensor: str) -> float:
        reading = meta.get(f"meta.instrument.gwa_{sensor[0]}tilt")
        if reading is None:
            return 0.0
        calibration = getattr(reference, f"gwa_tilt{sensor}")
        zero = float(calibration.zeroreadings[0])
        arcsec = calibration.tilt_model(float(reading)) - calibration.tilt_model(zero)
        return 0.5 * float(arcsec) / 3600

    return [
        float(reference.theta_x) + missed("y"),
        float(reference.theta_y) + missed("x"),
        float(reference.theta_z),
        float(reference.tilt_y),
    ]


def disperser_of(meta: FlatMetadata, reference: CutReference, order: int) -> Disperser:
    """The disperser of an exposure.

    Parameters
    ----------
    meta : mapping
        Metadata of the exposure by dotted name.
    reference : CutReference
        The DISPERSER reference.
    order : int
        The spectral order.

    Returns
    -------
    Grating or Prism

    Raises
    ------
    InputError
        When the temperature of the prism is not known.
    """
    if str(meta.get("meta.instrument.grating")).upper() != "PRISM":
        return Grating(float(reference.groovedensity), order)
    temperature = meta.get("meta.instrument.gwa_tilt")
    if temperature is None:
        raise InputError(
            f"{meta.get('meta.filename')}: the temperature of the prism is not known (GWA_TILT); "
            "the index of refraction needs it, in K."
        )
    glass = (list(reference.kcoef), list(reference.lcoef), list(reference.tcoef))
    state = (float(reference.tref), float(reference.pref))
    return Prism(float(reference.angle), glass, state, float(temperature))
