"""Cut the open slits out of an exposure of NIRSpec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.science.invalid_pixels import VALUES
from stpipe.science.wcs.imaging import polygon
from stpipe.science.wcs.nirspec.slit_wcs import cutout_wcs, pixels_in
from stpipe.science.wcs.nirspec.slits import FIXED_QUADRANT
from stpipe.science.wcs.pointing import dithered_v2v3

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from logging import Logger

    from gwcs import WCS

    from stpipe.models import Part, SlitModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.science.ramps.integrations import RateModel

__all__ = ["chosen", "cut"]

AT = 2.0e-6  # m, the wavelength at which places on the sky are told
OF_EXPOSURE = ("meta.wcsinfo.", "meta.bunit_", "meta.exposure.type")  # jwst looks for it there
OF_SHUTTERS = [
    "source_name",
    "source_alias",
    "source_ra",
    "source_dec",
    "stellarity",
    "slitlet_id",
    "dither_position",
    "slit_xscale",
    "slit_yscale",
    "shutter_state",
    "quadrant",
    "xcen",
    "ycen",
]


def chosen(
    slits: Sequence[Mapping[str, Any]], names: Iterable[str], sources: Iterable[int], log: Logger
) -> list[Mapping[str, Any]]:
    """The open slits that parameters leave; all of them without parameters."""
    wanted = {"name": {str(n) for n in names}, "source_id": {str(n) for n in sources}}
    for key, values in wanted.items():
        if unknown := sorted(values - {str(slit[key]) for slit in slits}):
            log.warning("No slit has the %s %s", key, ", ".join(unknown))
    if not any(wanted.values()):
        return list(slits)
    return [s for s in slits if any(str(s[key]) in wanted[key] for key in wanted)]


def cut(
    exposure: RateModel,
    slit: SlitModel | Part,
    found: Mapping[str, Any],
    meta: FlatMetadata,
) -> None:
    """Give a slit the pixels of its box, their coordinates and wavelengths, and its source."""
    rows, columns = pixels_in(found["wcs"].bounding_box.bounding_box(order="F"))
    for name in ("dq", *(name for name in VALUES if exposure.has(name))):
        slit.set(name, exposure.read(name, (..., rows, columns)))
    wcs = cutout_wcs(found["wcs"], rows, columns)
    y, x = np.indices(slit.data.shape[-2:]).astype(np.float64)
    slit.wavelength = np.asarray(wcs(x, y)[2], dtype=np.float32)
    slit.meta.wcs = wcs
    values = {**_described(found, wcs, meta), **_placed(rows, columns)}
    values["meta.wcsinfo.s_region"] = _region(wcs, found["ymin"], found["ymax"])
    for name, value in values.items():
        if value is not None:
            slit.set(name, value)


def _placed(rows: slice, columns: slice) -> dict[str, int]:
    """The box in the array, from 1."""
    return {
        "xstart": columns.start + 1,
        "xsize": columns.stop - columns.start,
        "ystart": rows.start + 1,
        "ysize": rows.stop - rows.start,
    }


def _described(found: Mapping[str, Any], wcs: WCS, meta: FlatMetadata) -> dict[str, Any]:
    """What is known of the slit and of the source in it."""
    values = {
        "name": found["name"],
        "source_id": found["source_id"],
        "slit_ymin": found["ymin"],
        "slit_ymax": found["ymax"],
        "shutter_id": found["shutter_id"],
        "source_xpos": found["source_xpos"],
        "source_ypos": found["source_ypos"],
    }
    values |= {path: value for path, value in meta.items() if path.startswith(OF_EXPOSURE)}
    if found["source_name"]:
        shutters = {name: found[name] for name in OF_SHUTTERS}
        if found["quadrant"] == FIXED_QUADRANT:
            shutters["slitlet_id"] = found["shutter_id"]
        return values | shutters
    primary = meta.get("meta.instrument.fixed_slit")
    if found["name"] == primary or meta["meta.exposure.type"] == "NRS_BRIGHTOBJ":
        values["source_xpos"], values["source_ypos"] = _dithered(wcs, meta)
    return values


def _dithered(wcs: WCS, meta: FlatMetadata) -> tuple[float, float]:
    """Where the target is in its slit after the dither, in widths and heights from the centre."""
    place = dithered_v2v3(meta)
    if place is None or "v2v3" not in wcs.available_frames:
        return 0.0, 0.0
    x, y, _ = wcs.get_transform("v2v3", "slit_frame")(*place, AT * 1e6)
    return float(x), float(y)


def _region(wcs: WCS, low: float, high: float) -> str | None:
    """The outline of the slit on the sky; None of lamps."""
    if "world" not in wcs.available_frames:
        return None
    x, y = np.array([-0.5, -0.5, 0.5, 0.5]), np.array([low, high, high, low])
    ra, dec, _ = wcs.get_transform("slit_frame", "world")(x, y, np.full(4, AT))
    return polygon(ra, dec)
