"""How finely a cube is sampled, and how far pixels reach in it: the reference CUBEPAR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.errors import ParameterError, ReferenceMissing

if TYPE_CHECKING:
    from stpipe.references.opened import CutReference
    from stpipe.science.arrays import Doubles
    from stpipe.science.cubes.bands import Band

__all__ = ["Reach", "Sampling", "Wanted", "sampling_of"]

FEW = 4  # exposures: of fewer, pixels have to reach further
FURTHER = 1.5
NARROW = {"m": "med", "h": "high", "prism": "prism"}  # names of tables by the end of a grating's
WEIGHTS = {"emsm": ("scalerad",), "msm": ("power", "softrad"), "drizzle": ()}


@dataclass(frozen=True)
class Wanted:
    """What the user wants of a cube: 0 and None leave it to the reference."""

    weighting: str = "drizzle"
    linear: bool = True
    spaxel: float = 0.0
    step: float = 0.0
    radius: float = 0.0
    depth: float = 0.0
    power: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Reach:
    """How far pixels reach, one value or one for each plane.

    Attributes
    ----------
    radius, depth : (1,) or (planes,) float64, arcsec and um
    shape : sequence of (1,) or (planes,) float64
        The scale of the exponential (arcsec), or the power of the distance and its least value.
    """

    radius: Doubles
    depth: Doubles
    shape: tuple[Doubles, ...]


@dataclass(frozen=True)
class Sampling:
    """Sizes of a cube.

    Attributes
    ----------
    spaxel : float, arcsec
    step : float, um
        Between planes; 0 where `waves` has them.
    waves : (planes,) float64, um, or None
    low, high : float, um
        Limits of wavelengths.
    reach : Reach or None
        None when pixels are drizzled.
    """

    spaxel: float
    step: float
    waves: Doubles | None
    low: float
    high: float
    reach: Reach | None


def sampling_of(
    reference: CutReference, bands: Sequence[Band], wanted: Wanted, exposures: int
) -> Sampling:
    """Sizes of a cube of some bands.

    Parameters
    ----------
    reference : CutReference
        CUBEPAR.
    bands : sequence of (str, str)
    wanted : Wanted
    exposures : int
        How many are put into the cube.

    Returns
    -------
    Sampling
        Of several bands, with the smallest spaxels.

    Raises
    ------
    ReferenceMissing
        When the reference lacks a band, or a number that is needed.
    ParameterError
        When bands have different steps and none is given.
    """
    rows = [_row(reference, "ifucubepars_table", band) for band in bands]
    finest = int(np.argmin([row["spaxelsize"] for row in rows]))
    low = min(float(row["wavemin"]) for row in rows) if wanted.low is None else wanted.low
    high = max(float(row["wavemax"]) for row in rows) if wanted.high is None else wanted.high
    if not low < high:
        raise ParameterError(f"wavemin {low:g} is not below wavemax {high:g} um.")
    spaxel = wanted.spaxel or float(rows[finest]["spaxelsize"])
    if not wanted.linear:
        return _by_table(reference, bands, wanted, exposures, (spaxel, low, high))
    reach = None
    if wanted.weighting != "drizzle":
        name = f"ifucubepars_{wanted.weighting}_table"
        own = [_row(reference, name, band) for band in bands]
        reach = _reach(own, finest, wanted, exposures)
    step = wanted.step or _common([float(row["spectralstep"]) for row in rows], bands)
    _check_finite(reference, bands, (spaxel, step, low, high))
    return Sampling(spaxel, step, None, low, high, reach)


def _common(steps: list[float], bands: Sequence[Band]) -> float:
    if len(set(steps)) > 1:
        raise ParameterError(
            f"the bands {', '.join('-'.join(band) for band in bands)} have different steps of "
            f"wavelength ({', '.join(f'{step:g}' for step in steps)} um). Give linear_wave=False, a "
            "step (scalew), or output_type=band."
        )
    return steps[0]


def _reach(rows: Sequence[Any], finest: int, wanted: Wanted, exposures: int) -> Reach:
    """The same reach for all pixels: of several bands and a given step, the shortest."""
    radius = wanted.radius or float(rows[finest]["roispatial"])
    if not wanted.radius and exposures < FEW and wanted.weighting != "emsm":
        radius *= FURTHER
    depth = wanted.depth or _least(rows, "roispectral", wanted)
    shape = {name: _least(rows, name, wanted) for name in WEIGHTS[wanted.weighting]}
    if wanted.power and "power" in shape:
        shape["power"] = wanted.power
    return Reach(
        np.array([radius]), np.array([depth]), tuple(np.array([each]) for each in shape.values())
    )


def _least(rows: Sequence[Any], name: str, wanted: Wanted) -> float:
    values = [float(row[name]) for row in rows]
    return min(values) if wanted.step else values[0]


def _by_table(
    reference: CutReference,
    bands: Sequence[Band],
    wanted: Wanted,
    exposures: int,
    sizes: tuple[float, float, float],
) -> Sampling:
    """Planes, and the reach of pixels there, of a table of wavelengths."""
    spaxel, low, high = sizes
    table = np.asarray(getattr(reference, _table_name(bands, wanted.weighting), ()))
    if not table.size:
        raise ReferenceMissing(
            f"{reference.meta.filename}: it has no table {_table_name(bands, wanted.weighting)}. Give "
            "linear_wave=True, or another reference with override_cubepar."
        )
    waves = table["wavelength"].astype(np.float64)
    first, last = (int(np.argmin(np.abs(waves - limit))) for limit in (low, high))
    # The limits themselves are to be within the cube; of the second row the first is left, as in jwst.
    if first > 1 and waves[first] > low:
        first -= 1
    if last < waves.size - 1 and waves[last] < high:
        last += 1
    used = table[first : last + 1]
    if len(used) < 2:  # noqa: PLR2004 - the distance of planes is their depth
        raise ParameterError(
            f"between {low:g} and {high:g} um the table has {len(used)} wavelengths."
        )
    reach = None
    if wanted.weighting != "drizzle":
        radius, depth = (used[n].astype(np.float64) for n in ("roispatial", "roispectral"))
        radius *= FURTHER if exposures < FEW else 1
        shape = tuple(used[n].astype(np.float64) for n in WEIGHTS[wanted.weighting])
        reach = Reach(radius, depth, shape)
    _check_finite(reference, bands, (spaxel, low, high))
    return Sampling(spaxel, 0.0, waves[first : last + 1], low, high, reach)


def _table_name(bands: Sequence[Band], weighting: str) -> str:
    kind = "driz" if weighting == "drizzle" else weighting
    grating = bands[-1][0]
    if grating.isdecimal():
        return f"ifucubepars_multichannel_{kind}_wavetable"
    return f"ifucubepars_{NARROW[grating if grating == 'prism' else grating[-1]]}_{kind}_wavetable"


def _row(reference: CutReference, name: str, band: Band) -> Any:
    """The row of a band."""
    table = np.asarray(getattr(reference, name, ()))
    names = table.dtype.names or ()
    keys = ("channel", "band") if "channel" in names else ("disperser", "filter")
    for row in table:
        if tuple(_text(row[key]) for key in keys) == band:
            return row
    known = ", ".join("-".join(_text(row[key]) for key in keys) for row in table)
    raise ReferenceMissing(
        f"{reference.meta.filename}: {name} lacks the band {'-'.join(band)}; it has: {known or 'none'}"
        ". Give another reference with override_cubepar."
    )


def _text(value: object) -> str:
    found = value.decode() if isinstance(value, bytes) else str(value)
    return found.strip().lower()


def _check_finite(reference: CutReference, bands: Sequence[Band], sizes: tuple[float, ...]) -> None:
    if not np.all(np.isfinite(sizes)):
        raise ReferenceMissing(
            f"{reference.meta.filename}: sizes of {', '.join('-'.join(b) for b in bands)} are not "
            f"finite: {sizes}. Give another reference with override_cubepar."
        )
