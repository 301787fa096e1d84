"""The planes of NIRSpec, as frames of gwcs: their names, axes and units are those of jwst.

Slits share them, so that a file holds each once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gwcs.coordinate_frames import CompositeFrame, CoordinateFrame, Frame2D

__all__ = [
    "corrected_slit",
    "focus",
    "pixels",
    "plane",
    "rectified_slit",
    "shutters",
    "slicer",
    "slit",
    "wheel",
]


@cache
def pixels(name: str) -> Frame2D:
    """Pixels, from 0: of the array (`detector`) or of the detector as it was built (`sca`).

    Parameters
    ----------
    name : str

    Returns
    -------
    gwcs.coordinate_frames.Frame2D
    """
    return plane(name, ("x", "y"), "pix")


def plane(name: str, axes: tuple[str, str], unit: str) -> Frame2D:
    """A plane without wavelengths.

    Parameters
    ----------
    name : str
    axes : (str, str)
        Names of both axes.
    unit : str
        Of both axes.

    Returns
    -------
    gwcs.coordinate_frames.Frame2D
    """
    from astropy import units
    from gwcs.coordinate_frames import Frame2D

    both = (units.Unit(unit), units.Unit(unit))
    return Frame2D(name=name, axes_order=(0, 1), axes_names=axes, unit=both)


@cache
def wheel() -> CoordinateFrame:
    """Direction cosines of the light that leaves the grating wheel for the camera.

    Returns
    -------
    gwcs.coordinate_frames.CoordinateFrame
    """
    from astropy import units
    from gwcs.coordinate_frames import CoordinateFrame

    return CoordinateFrame(
        naxes=3,
        axes_type=("SPATIAL",) * 3,
        axes_order=(0, 1, 2),
        axes_names=("alpha_out", "beta_out", "gamma_out"),
        unit=(units.dimensionless_unscaled,) * 3,
        name="gwa",
    )


@cache
def slit() -> CompositeFrame:
    """Places within a slit, in its widths and heights from its centre, and the wavelength in m.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    return _with_wavelength("slit_frame", ("x_slit", "y_slit"))


@cache
def corrected_slit() -> CompositeFrame:
    """The same, where the wavelength is that of the source rather than of the middle of the slit.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    return _with_wavelength("wavecorr_frame", ("x_slit", "y_slit"))


@cache
def rectified_slit() -> CompositeFrame:
    """The same in a rectified spectrum, where the wavelength is in um.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    return _with_wavelength("slit_frame", ("x_slit", "y_slit"), "", "um")


@cache
def slicer() -> CompositeFrame:
    """Places (m) at the image slicer, and the wavelength in m.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    return _with_wavelength("slicer", ("x_slicer", "y_slicer"), "m")


@cache
def shutters(name: str = "msa_frame") -> CompositeFrame:
    """Places (m) in the plane of the shutters, and the wavelength in m.

    Parameters
    ----------
    name : str
        `msa` in images.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    return _with_wavelength(name, ("x_msa", "y_msa"), "m")


@cache
def focus(name: str) -> CompositeFrame:
    """Places (degrees) at the focus of the telescope, and the wavelength in m.

    Parameters
    ----------
    name : str
        `oteip`, or `oteip_chromcorr` when the colours of the fore optics are taken out.

    Returns
    -------
    gwcs.coordinate_frames.CompositeFrame
    """
    return _with_wavelength(name, ("x_oteip", "y_oteip"), "deg")


def _with_wavelength(
    name: str, axes: tuple[str, str], unit: str = "", wave_unit: str = "m"
) -> CompositeFrame:
    from astropy import units
    from gwcs.coordinate_frames import CompositeFrame, SpectralFrame

    wave = SpectralFrame(
        name="spectral", axes_order=(2,), axes_names=("wavelength",), unit=(units.Unit(wave_unit),)
    )
    return CompositeFrame([plane(f"{name}_spatial", axes, unit), wave], name=name)
