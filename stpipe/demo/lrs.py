"""The spectrum of a star through MIRI's prism (LRS), with a slit or without, and its references.

The star's light is spread over a Gaussian whose width grows with the wavelength. It falls on a
slightly bent trace along the columns, on an even background. Numbers are rounded ones of the real
instrument (Kendrew et al. 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from stpipe import models
from stpipe.demo.detectors import Detector, Subarray
from stpipe.demo.json_reference import JsonReference
from stpipe.demo.optics import APERTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stpipe.models.protocols import Table

__all__ = [
    "Slit",
    "aperture_correction",
    "aperture_reference",
    "centre",
    "fill_specwcs",
    "light",
    "response",
    "spectrum",
    "specwcs_table",
    "width",
]

Doubles = npt.NDArray[np.float64]

FIXED: Final = (325.13, 298.7)
"""0-based column and row of the full frame of the slit's centre."""
FREE: Final = (37.5, 828.0)
"""The same of the nominal place without a slit."""
ROWS: Final = (-294, 93)
"""The spectrum's first and last row, from the centre."""
HALF: Final = 20
"""Half the length of the slit, and half of what is used without one, pixels."""
SKY: Final = 0.0005
"""Background in the slit, full wells per frame and pixel."""
PEAK: Final = 0.02
"""The star's brightest pixel, about, full wells per frame."""
APERTURE: Final = 10
"""Width of the aperture, pixels."""
RECTIFIED: Final = HALF + 0.4
"""0-based column of the slit's centre in the rectified image."""
BLUR: Final = {"FIXEDSLIT": 1 / 3, "SLITLESS": 1 / 6}
"""What pixels add to the variance of the profile, pixel^2.

Pixels on the edge of the aperture count in part, but show light of all of their width: on average over
places in a pixel that is 1/6. Pixels of a rectified image share the light of two of the detector's,
which adds as much again.
"""


@dataclass(frozen=True)
class Slit:
    """How the prism is used: `FIXEDSLIT` or `SLITLESS`, and how far from its place the star is.

    `nod` is in arcsec along the slit, and known from the header.
    """

    kind: str
    nod: float = 0.0

    @property
    def exposure_type(self) -> str:
        """EXP_TYPE."""
        return f"MIR_LRS-{self.kind}"

    @property
    def optics(self) -> dict[str, str]:
        """What is in the beam, by dotted attribute name."""
        return {
            "meta.exposure.type": self.exposure_type,
            "meta.instrument.filter": "P750L",
            "meta.instrument.ccc_state": "OPEN",
        }


def centre(slit: Slit, subarray: Subarray) -> tuple[float, float]:
    """0-based column and row, in the subarray, of the slit's centre or of the nominal place."""
    column, row = FIXED if slit.kind == "FIXEDSLIT" else FREE
    return column - subarray.xstart + 1, row - subarray.ystart + 1


def wavelengths(row: Doubles) -> Doubles:
    """Wavelength in um by row, from the centre."""
    return 9.6 - 0.0215 * row - 1.3e-5 * row**2


def bend(row: Doubles) -> Doubles:
    """How far the trace is from the centre's column, by row from the centre, pixels."""
    return 0.3 + 1e-3 * row + 4e-6 * row**2


def width(wavelength: Doubles) -> Doubles:
    """Standard deviation of the star's profile across the dispersion, pixels."""
    return 0.7 + 0.06 * wavelength


def response(wavelength: Doubles) -> Doubles:
    """Conversion at a wavelength over that of the reference."""
    return 1 + 0.06 * (wavelength - 8) ** 2


def spectrum(
    detector: Detector, subarray: Subarray, wavelength: Doubles, megajansky: float
) -> Doubles:
    """The star's flux in Jy, where `megajansky` MJy/sr are 1 DN/s at the reference wavelength."""
    continuum = (wavelength / 7) ** -1.5 + 0.4 * np.exp(-(((wavelength - 9.7) / 0.3) ** 2))
    pixel = np.deg2rad(APERTURES[detector.instrument].scale / 3600) ** 2  # sr
    total = PEAK * np.sqrt(2 * np.pi) * detector.full_well / subarray.frame_time / detector.gain
    found: Doubles = total * megajansky * pixel * 1e6 * continuum
    return found


def light(detector: Detector, subarray: Subarray, slit: Slit, megajansky: float) -> Doubles:
    """Light that each pixel receives, e-/s, shape (ny, nx); 0 outside the slit."""
    from scipy.special import erf

    column, first = centre(slit, subarray)
    rows = np.arange(float(subarray.ysize))[:, np.newaxis] - first
    waves: Doubles = np.clip(wavelengths(rows), 1, 20)
    edges = np.arange(subarray.xsize + 1.0)[np.newaxis, :] - 0.5
    place = column + bend(rows) + slit.nod / APERTURES[detector.instrument].scale
    within = (1 + erf((edges - place) / (np.sqrt(2) * width(waves)))) / 2
    pixel = np.deg2rad(APERTURES[detector.instrument].scale / 3600) ** 2
    star = spectrum(detector, subarray, waves, megajansky) / (megajansky * pixel * 1e6)
    sky = SKY * detector.full_well / subarray.frame_time
    image = (star * detector.gain * np.diff(within, axis=1) + sky) / response(waves)
    across = np.abs(np.arange(subarray.xsize)[np.newaxis, :] - column) <= HALF
    lit = (rows >= ROWS[0]) & (rows <= ROWS[1]) & across
    return np.where(lit, image, 0.0)


# --- reference files ----------------------------------------------------------------------------


def specwcs_table(*, straight: bool = False) -> Table:
    """The table of a SPECWCS reference: rows downwards, with the trace and the slit's corners."""
    dtype = models.MiriLRSSpecwcsModel().schema.arrays["wavetable"].dtype
    rows = np.arange(ROWS[1], ROWS[0] - 1, -1.0)
    table = np.zeros(rows.size, dtype)
    table["y_center"], table["x_center"] = rows, 0.3 if straight else bend(rows)
    table["wavelength"] = wavelengths(rows)
    corners = [(-HALF, 0.5), (HALF, 0.5), (HALF, -0.5), (-HALF, -0.5)]
    for corner, (x, y) in enumerate(corners):
        table[f"x{corner}"], table[f"y{corner}"] = table["x_center"] + x, rows + y
    return table


def fill_specwcs(model: models.MiriLRSSpecwcsModel, *, straight: bool = False) -> None:
    """Put into a SPECWCS reference where the slit is and how it is dispersed."""
    model.meta.x_ref, model.meta.y_ref = FIXED[0] + 1, FIXED[1] + 1
    model.meta.x_ref_slitless, model.meta.y_ref_slitless = FREE[0] + 1, FREE[1] + 1
    corners = [(-414.7, -400.6), (-419.4, -400.2), (-419.4, -400.7), (-414.7, -401.1)]
    for number, (v2, v3) in enumerate(corners, 1):
        model.set(f"meta.v2_vert{number}", v2)
        model.set(f"meta.v3_vert{number}", v3)
    model.wavetable = specwcs_table(straight=straight)


def photom_rows(model: models.DataModel, subarrays: Sequence[str], megajansky: float) -> Table:
    """The table of a PHOTOM reference: one row for each subarray."""
    waves = np.linspace(4, 15, 200)
    known = {"wavelength": waves, "relresponse": response(waves), "reluncertainty": 0 * waves}
    schema: Any = model.schema.arrays["phot_table"].dtype
    cells = {name: values.shape for name, values in known.items()}
    rows = np.zeros(len(subarrays), [(n, schema[n].base, cells.get(n, ())) for n in schema.names])
    rows["filter"], rows["subarray"] = "P750L", subarrays
    rows["photmjsr"], rows["nelem"] = megajansky, waves.size
    for name, values in known.items():
        rows[name] = values
    return rows


def aperture_correction(size: Doubles, wavelength: Doubles, blur: float) -> Doubles:
    """All light of the star over that within `size` pixels around it, see `BLUR`."""
    from scipy.special import erf

    sigma = np.sqrt(width(wavelength) ** 2 + blur)
    found: Doubles = 1 / erf(size / 2 / (np.sqrt(2) * sigma))
    return found


def apcorr_rows(model: models.DataModel, subarrays: Sequence[str]) -> Table:
    """The table of an APCORR reference: one row for each subarray."""
    waves, sizes = np.linspace(4, 15, 56), np.arange(3.0, 21.0)
    blur = [BLUR["FIXEDSLIT" if name == "FULL" else "SLITLESS"] for name in subarrays]
    factors = [aperture_correction(sizes, waves[:, np.newaxis], each) for each in blur]
    known = {
        "wavelength": np.tile(waves, (len(blur), 1)),
        "size": np.tile(sizes, (len(blur), 1)),
        "apcorr": np.array(factors),
        "apcorr_err": np.zeros((len(blur), waves.size, sizes.size)),
    }
    schema: Any = model.schema.arrays["apcorr_table"].dtype
    cells = {name: values.shape[1:] for name, values in known.items()}
    rows = np.zeros(len(subarrays), [(n, schema[n].base, cells.get(n, ())) for n in schema.names])
    rows["subarray"], rows["nelem_wl"], rows["nelem_size"] = subarrays, waves.size, sizes.size
    for name, values in known.items():
        rows[name] = values
    return rows


def aperture_reference(slit: Slit, subarray: Subarray) -> JsonReference:
    """An aperture that follows a star in the rectified slit; without slit between fixed columns."""
    column, _ = centre(slit, subarray)
    half, sides = APERTURE / 2, (7.0, 15.0)
    middle = RECTIFIED if slit.kind == "FIXEDSLIT" else column + bend(np.zeros(1))[0]
    entry: dict[str, Any] = {
        "id": slit.exposure_type,
        "region_type": "target",
        "dispaxis": 2,
        "extract_width": APERTURE,
        "xstart": middle - half + 0.5,
        "xstop": middle + half - 0.5,
        "bkg_order": 0,
        "bkg_coeff": [[middle + x] for x in (-sides[1], -sides[0], sides[0], sides[1])],
        "use_source_posn": slit.kind == "FIXEDSLIT",
    }
    header = {"REFTYPE": "EXTRACT1D", "TELESCOP": "JWST", "INSTRUME": "MIRI"}
    return JsonReference({**header, "apertures": [entry]})
