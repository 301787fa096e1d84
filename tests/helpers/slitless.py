"""A small slitless exposure of NIRISS with known sources, its catalogue, and its references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.modeling.models import Polynomial1D, Polynomial2D, Scale, Shift
from reference_headers import described

from stpipe import models

__all__ = ["AREA", "FACTOR", "SOURCES", "Scene", "make", "response"]

SIZE = 160
SCALE = 0.065  # arcsec per pixel
WAVES = (1.30, 1.70)  # um
AREA = 1e-13  # sr
FACTOR = 2.5  # MJy/sr um per DN/s
TURN = 0.3  # degrees by which the filter wheel missed its position

# number, x and y of where it would be without grism, Jy, extended
SOURCES = (
    (4, 40.3, 50.0, 2e-4, False),
    (7, 70.0, 110.4, 5e-4, False),
    (9, 100.0, 80.0, 1e-4, True),
)
BEYOND = (11, 158.0, 20.0, 9e-4, False)  # whose spectrum is not in the image


@dataclass(frozen=True)
class Scene:
    """Files of an exposure."""

    rate: Path
    catalog: Path
    references: dict[str, str]

    def parameters(self, *types: str) -> dict[str, str]:
        """References of these types, as parameters."""
        return {f"override_{name}": self.references[name] for name in types}


def response(wavelength: Any) -> Any:
    """Relative conversion at a wavelength."""
    return 1 + (wavelength - 1.5) ** 2


def shift(t: Any) -> tuple[Any, Any]:
    """Columns and rows by which light of the parameter t is off, before the turn."""
    return 5 + 40 * t, 1.5 + 0.5 * t


def trace(x: float, y: float, wavelength: Any) -> tuple[Any, Any]:
    """The pixel that light of a source falls on."""
    dx, dy = shift((wavelength - WAVES[0]) / (WAVES[1] - WAVES[0]))
    turn = -np.deg2rad(TURN)
    return x + np.cos(turn) * dx - np.sin(turn) * dy, y + np.sin(turn) * dx + np.cos(turn) * dy


def make(folder: Path) -> Scene:
    """Write everything into a folder."""
    rate = exposure()
    path = rate.save(folder / "jw01_nis_rate.fits")
    references = {
        "distortion": distortion().save(folder / "distortion.asdf"),
        "specwcs": specwcs().save(folder / "specwcs.asdf"),
        "wavelengthrange": wavelengthrange().save(folder / "wavelengthrange.asdf"),
        "photom": photom().save(folder / "photom.fits"),
        "flat": flat().save(folder / "flat.fits"),
    }
    named = {name: str(file) for name, file in references.items()}
    named |= dict.fromkeys(("filteroffset", "area", "apcorr"), "N/A")
    return Scene(path, catalog(rate, folder / "sources_cat.ecsv"), named)


def exposure() -> Any:
    """Rates without noise: every source is five pixels wide, its spectrum is flat in Jy."""
    image = models.ImageModel()
    data = np.zeros((SIZE, SIZE))
    for _, x, y, flux, _ in SOURCES:
        waves = np.linspace(1.2, 1.8, 20_001)
        columns, rows = trace(x, y, waves)
        pixel = np.round(columns).astype(int)
        step = np.gradient(waves) * flux / (FACTOR * response(waves) * AREA * 1e6)
        for offset in range(-2, 3):
            np.add.at(data, (np.round(rows[10_000]).astype(int) + offset, pixel), step / 5)
    image.data = data.astype(np.float32)
    image.var_poisson = image.var_rnoise = np.full_like(image.data, 1e-6)
    image.err = np.sqrt(image.var_poisson + image.var_rnoise)
    for name, value in HEADER.items():
        image.set(f"meta.{name}", value)
    return image


HEADER = {
    "telescope": "JWST",
    "instrument.name": "NIRISS",
    "instrument.detector": "NIS",
    "instrument.filter": "GR150C",
    "instrument.pupil": "F150W",
    "instrument.filter_position": 10.0 + TURN,
    "exposure.type": "NIS_WFSS",
    "exposure.mid_time": 60_100.0,
    "observation.date": "2024-01-01",
    "observation.time": "00:00:00",
    "subarray.name": "FULL",
    "subarray.xstart": 1,
    "subarray.ystart": 1,
    "subarray.xsize": SIZE,
    "subarray.ysize": SIZE,
    "wcsinfo.crpix1": 80.5,
    "wcsinfo.crpix2": 80.5,
    "wcsinfo.v2_ref": -290.0,
    "wcsinfo.v3_ref": -697.0,
    "wcsinfo.v3yangle": -0.5,
    "wcsinfo.vparity": -1,
    "wcsinfo.roll_ref": 33.0,
    "wcsinfo.ra_ref": 80.1,
    "wcsinfo.dec_ref": -69.5,
}


def distortion() -> Any:
    model = described(models.DistortionModel(), "distortion", "NIRISS", "NIS")
    scales = (Scale(-SCALE) & Scale(SCALE)) | (Shift(-290.0) & Shift(-697.0))
    model.model = (Shift(-79.5) & Shift(-79.5)) | scales
    model.meta.exposure.type = "NIS_WFSS"
    return model


def specwcs() -> Any:
    model = described(models.NIRISSGrismModel(), "specwcs", "NIRISS", "NIS")
    width = WAVES[1] - WAVES[0]
    first = [
        Polynomial1D(1, c0=WAVES[0], c1=width),
        Polynomial1D(1, c0=-WAVES[0] / width, c1=1 / width),
    ]
    model.orders = [1, 2]
    model.displ, model.invdispl = [first[0]] * 2, [first[1]] * 2
    for axis, (constant, slope) in {"x": (5, 40), "y": (1.5, 0.5)}.items():
        curves = [
            [Polynomial2D(1, c0_0=k * constant), Polynomial2D(1, c0_0=k * slope)] for k in (1, 9)
        ]
        model.set(f"disp{axis}", curves)
    model.fwcpos_ref = 10.0
    model.meta.instrument.filter, model.meta.instrument.pupil = "GR150C", "F150W"
    model.meta.exposure.type = "NIS_WFSS"
    return model


def wavelengthrange() -> Any:
    model = described(models.WavelengthrangeModel(), "wavelengthrange", "NIRISS", "NIS")
    model.waverange_selector, model.order = ["F150W"], [1, 2]
    model.set("extract_orders", [["F150W", [1]]])
    model.wavelengthrange = [[1, "F150W", *WAVES], [2, "F150W", *WAVES]]
    model.meta.exposure.type = "NIS_WFSS"
    return model


def photom() -> Any:
    model = described(models.NisWfssPhotomModel(), "photom", "NIRISS", "NIS")
    waves = np.linspace(0.5, 2.5, 400)
    schema = model.schema.arrays["phot_table"].dtype
    arrays = {"wavelength": waves, "relresponse": response(waves), "reluncertainty": 0 * waves}
    fields = [(n, schema[n].base, arrays[n].shape if n in arrays else ()) for n in schema.names]
    rows = np.zeros(2, fields)
    rows["filter"], rows["pupil"], rows["order"] = "GR150C", "F150W", (2, 1)
    rows["photmjsr"], rows["nelem"] = (77.0, FACTOR), waves.size
    for name, values in arrays.items():
        rows[name] = values
    model.phot_table = rows
    model.meta.photometry.pixelarea_steradians, model.meta.photometry.pixelarea_arcsecsq = (
        AREA,
        0.004,
    )
    return model


def flat() -> Any:
    model = described(models.FlatModel(), "flat", "NIRISS", "NIS")
    model.data = np.ones((SIZE, SIZE), np.float32)
    model.err, model.dq = 0 * model.data, np.zeros((SIZE, SIZE), np.uint32)
    for axis in "xy":
        model.set(f"meta.subarray.{axis}start", 1)
        model.set(f"meta.subarray.{axis}size", SIZE)
    return model


def catalog(image: Any, path: Path) -> Path:
    """A product of source_catalog, of the sources and of one that is not in the exposure."""
    from stpipe.science.wcs.imaging import imaging_wcs

    wcs = imaging_wcs(image.to_flat_dict(), image.shape, distortion().model, ())
    model = models.SourceCatalogModel()
    sources = (*SOURCES, BEYOND)
    columns = model.schema.arrays["catalog"].dtype.descr
    more = [("isophotal_abmag", "f8"), ("is_extended", "?")]
    rows = np.zeros(len(sources), [*columns, *more])
    for row, (number, x, y, flux, extended) in zip(rows, sources, strict=True):
        row["label"], row["xcentroid"], row["ycentroid"] = number, x, y
        row["sky_centroid.ra"], row["sky_centroid.dec"] = wcs(x, y, with_bounding_box=False)
        row["isophotal_abmag"], row["is_extended"] = -2.5 * np.log10(flux / 3631), extended
    model.catalog = rows
    return Path(model.save(path))
