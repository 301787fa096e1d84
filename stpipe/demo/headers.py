"""The header of a demo exposure, and its tables of times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stpipe.demo.detectors import Detector
from stpipe.demo.lrs import Slit, centre
from stpipe.demo.mrs import scene, slices
from stpipe.demo.nirspec import rays
from stpipe.demo.nirspec.metafile import METADATA_ID
from stpipe.demo.nirspec.settings import Setting
from stpipe.demo.nirspec.transforms import SKY_SCALE
from stpipe.demo.nirspec.transforms import v2v3 as slit_v2v3
from stpipe.demo.observation import PROGRAM, Observation
from stpipe.demo.optics import APERTURES, PARITY, reference_point, v2v3

__all__ = ["ROLL", "group_table", "integration_times", "keywords", "metafile", "optics"]

FIRST_EXPOSURE: Final = dt.datetime(2024, 3, 1, 6, 0, 0, tzinfo=dt.UTC)
MJD_EPOCH: Final = dt.datetime(1858, 11, 17, tzinfo=dt.UTC)
GROUP_EPOCH: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
SECONDS_PER_DAY: Final = 86_400.0
TDB_MINUS_UTC: Final = 69.184
"""Seconds; the light time to the barycentre is left out."""
TARGET: Final = (80.4875, -69.4975)
"""RA and Dec in degrees: the calibration field in the Large Magellanic Cloud."""
ROLL: Final = 30.0

_OPTICS: Final = MappingProxyType(
    {
        "NIRCAM": {
            "meta.exposure.type": "NRC_IMAGE",
            "meta.instrument.channel": "SHORT",
            "meta.instrument.module": "A",
            "meta.instrument.filter": "F200W",
            "meta.instrument.pupil": "CLEAR",
        },
        "NIRISS": {
            "meta.exposure.type": "NIS_AMI",
            "meta.instrument.filter": "F480M",
            "meta.instrument.pupil": "NRM",
        },
        "NIRSPEC": {
            "meta.exposure.type": "NRS_BRIGHTOBJ",
            "meta.instrument.filter": "CLEAR",
            "meta.instrument.grating": "PRISM",
            "meta.instrument.fixed_slit": "S1600A1",
            "meta.instrument.lamp_state": "NONE",
            "meta.instrument.lamp_mode": "BRIGHTOBJ",
        },
        "MIRI": {
            "meta.exposure.type": "MIR_IMAGE",
            "meta.instrument.filter": "F770W",
            "meta.instrument.ccc_state": "OPEN",
        },
    }
)
_INT_TIMES: Final = np.dtype(
    [
        ("integration_number", np.int32),
        *((f"int_{when}_MJD_UTC", np.float64) for when in ("start", "mid", "end")),
        *((f"int_{when}_BJD_TDB", np.float64) for when in ("start", "mid", "end")),
    ]
)
_GROUP: Final = np.dtype(
    [
        ("integration_number", np.int32),
        ("group_number", np.int16),
        ("end_day", np.int16),
        ("end_milliseconds", np.int32),
        ("end_submilliseconds", np.int16),
        ("group_end_time", "S26"),
        ("number_of_columns", np.int16),
        ("number_of_rows", np.int16),
        ("number_of_gaps", np.int16),
        ("completion_code_number", np.int16),
        ("completion_code_text", "S36"),
        ("bary_end_time", np.float64),
        ("helio_end_time", np.float64),
    ]
)


def keywords(observation: Observation) -> dict[str, Any]:
    """Every header value of the exposure by its dotted attribute name."""
    return {
        "meta.telescope": "JWST",
        "meta.origin": "stpipe-flow demo",
        "meta.time_sys": "UTC",
        **_identity(observation),
        **_instrument(observation),
        **_readout(observation),
        **_times(observation),
        **_subarray(observation),
        **_pointing(observation),
        **_star(observation),
    }


def optics(
    detector: Detector, spectrum: Slit | Setting | scene.Dither | None = None
) -> Mapping[str, str]:
    """Filter and what else is in the beam, and the exposure type, by dotted attribute name."""
    return _OPTICS[detector.instrument] if spectrum is None else spectrum.optics


def integration_times(observation: Observation) -> npt.NDArray[np.void]:
    """Table INT_TIMES: number, start, middle and end of every integration (MJD, UTC and TDB)."""
    length = _integration_time(observation) / SECONDS_PER_DAY
    step = _integration_step(observation) / SECONDS_PER_DAY
    delay = TDB_MINUS_UTC / SECONDS_PER_DAY
    table = np.zeros(observation.nints, _INT_TIMES)
    for index in range(observation.nints):
        start = _mjd(_start(observation)) + index * step
        utc = (start, start + length / 2, start + length)
        table[index] = (index + 1, *utc, *(time + delay for time in utc))
    return table


def group_table(observation: Observation) -> npt.NDArray[np.void]:
    """Table GROUP: when and how every group of the exposure ended."""
    ny, nx = observation.subarray.shape
    table = np.zeros(observation.nints * observation.ngroups, _GROUP)
    for row in range(len(table)):
        integration, group = divmod(row, observation.ngroups)
        end = _start(observation) + dt.timedelta(
            seconds=integration * _integration_step(observation)
            + (group + 1) * observation.group_time
        )
        day, milliseconds, rest = _clock(end)
        when = (day, milliseconds, rest, f"{end:%Y-%m-%dT%H:%M:%S.%f}")
        mjd = _mjd(end)
        table[row] = (integration + 1, group + 1, *when, nx, ny, 0, 0, "COMPLETE", mjd, mjd)
    return table


def _identity(observation: Observation) -> dict[str, Any]:
    number = f"{observation.number:03d}"
    activity = f"V{PROGRAM}{number}001P0000000002101"
    return {
        "meta.program.title": "A demonstration",
        "meta.program.pi_name": "Demo, Anne",
        "meta.program.category": "CAL",
        "meta.observation.obs_id": activity,
        "meta.observation.visit_id": f"{PROGRAM}{number}001",
        "meta.observation.program_number": PROGRAM,
        "meta.observation.observation_number": number,
        "meta.observation.visit_number": "001",
        "meta.observation.visit_group": "02",
        "meta.observation.sequence_id": "1",
        "meta.observation.activity_id": "01",
        "meta.observation.exposure_number": f"{observation.exposure:05d}",
        "meta.observation.observation_label": f"{observation.detector.instrument} demo",
        "meta.visit.type": "PRIME_TARGETED_FIXED",
        "meta.visit.status": "SUCCESSFUL",
        "meta.visit.tsovisit": False,
        "meta.target.proposer_name": "DEMO-FIELD",
        "meta.target.catalog_name": "DEMO-FIELD",
        "meta.target.type": "FIXED",
        "meta.target.ra": TARGET[0],
        "meta.target.dec": TARGET[1],
    }


def _instrument(observation: Observation) -> dict[str, Any]:
    detector = observation.detector
    return {
        "meta.instrument.name": detector.instrument,
        "meta.instrument.detector": detector.name,
        **optics(detector, observation.spectrum),
    }


def _readout(observation: Observation) -> dict[str, Any]:
    pattern, subarray = observation.pattern, observation.subarray
    used = _integration_time(observation)
    return {
        "meta.exposure.readpatt": pattern.name,
        "meta.exposure.nints": observation.nints,
        "meta.exposure.integration_start": 1,
        "meta.exposure.integration_end": observation.nints,
        "meta.exposure.ngroups": observation.ngroups,
        "meta.exposure.nframes": pattern.nframes,
        "meta.exposure.frame_divisor": pattern.nframes,
        "meta.exposure.groupgap": pattern.groupgap,
        "meta.exposure.drop_frames1": 0,
        "meta.exposure.nsamples": 1,
        "meta.exposure.sample_time": 10.0,
        "meta.exposure.frame_time": subarray.frame_time,
        "meta.exposure.group_time": observation.group_time,
        "meta.exposure.integration_time": used,
        "meta.exposure.exposure_time": used * observation.nints,
        "meta.exposure.measurement_time": used * observation.nints,
        "meta.exposure.duration": _integration_step(observation) * observation.nints,
        "meta.exposure.nresets_at_start": 1,
        "meta.exposure.nresets_between_ints": 1,
        "meta.exposure.noutputs": subarray.noutputs,
        "meta.exposure.zero_frame": observation.detector.instrument == "NIRCAM",
    }


def _times(observation: Observation) -> dict[str, Any]:
    start = _start(observation)
    length = _integration_step(observation) * observation.nints
    end = start + dt.timedelta(seconds=length)
    middle = start + dt.timedelta(seconds=length / 2)
    return {
        "meta.observation.date": f"{start:%Y-%m-%d}",
        "meta.observation.time": _clock_text(start),
        "meta.observation.date_beg": f"{start:%Y-%m-%d}T{_clock_text(start)}",
        "meta.observation.date_end": f"{end:%Y-%m-%d}T{_clock_text(end)}",
        "meta.exposure.start_time": _mjd(start),
        "meta.exposure.mid_time": _mjd(middle),
        "meta.exposure.end_time": _mjd(end),
    }


def _subarray(observation: Observation) -> dict[str, Any]:
    detector, subarray = observation.detector, observation.subarray
    return {
        "meta.subarray.name": subarray.name,
        "meta.subarray.xstart": subarray.xstart,
        "meta.subarray.ystart": subarray.ystart,
        "meta.subarray.xsize": subarray.xsize,
        "meta.subarray.ysize": subarray.ysize,
        "meta.subarray.fastaxis": detector.fastaxis,
        "meta.subarray.slowaxis": detector.slowaxis,
    }


def _pointing(observation: Observation) -> dict[str, Any]:
    aperture = APERTURES[observation.detector.instrument]
    angle, scale = aperture.angle, aperture.scale
    v2, v3 = _reference_point(observation)
    ny, nx = observation.subarray.shape
    ra, dec = _pointed_at(observation)
    roll = observation.pointing.roll if observation.pointing else ROLL
    turn = np.deg2rad(roll + angle)
    cosine, sine = float(np.cos(turn)), float(np.sin(turn))
    return {
        "meta.pointing.ra_v1": TARGET[0],
        "meta.pointing.dec_v1": TARGET[1],
        "meta.pointing.pa_v3": roll,
        "meta.wcsinfo.wcsaxes": 2,
        "meta.wcsinfo.ctype1": "RA---TAN",
        "meta.wcsinfo.ctype2": "DEC--TAN",
        "meta.wcsinfo.cunit1": "deg",
        "meta.wcsinfo.cunit2": "deg",
        "meta.wcsinfo.crpix1": (nx + 1) / 2,
        "meta.wcsinfo.crpix2": (ny + 1) / 2,
        "meta.wcsinfo.crval1": ra,
        "meta.wcsinfo.crval2": dec,
        "meta.wcsinfo.cdelt1": scale / 3600,
        "meta.wcsinfo.cdelt2": scale / 3600,
        "meta.wcsinfo.pc1_1": -cosine,
        "meta.wcsinfo.pc1_2": sine,
        "meta.wcsinfo.pc2_1": sine,
        "meta.wcsinfo.pc2_2": cosine,
        "meta.wcsinfo.v2_ref": v2,
        "meta.wcsinfo.v3_ref": v3,
        "meta.wcsinfo.vparity": PARITY,
        "meta.wcsinfo.v3yangle": angle,
        "meta.wcsinfo.ra_ref": ra,
        "meta.wcsinfo.dec_ref": dec,
        "meta.wcsinfo.roll_ref": roll,
    }


def _pointed_at(observation: Observation) -> tuple[float, float]:
    """RA and Dec in degrees that the header has of the reference point."""
    if isinstance(observation.spectrum, scene.Dither):
        return observation.spectrum.pointing
    return observation.pointing.believed if observation.pointing else TARGET


def _reference_point(observation: Observation) -> tuple[float, float]:
    spectrum = observation.spectrum
    if isinstance(spectrum, scene.Dither):
        return slices.V2V3
    if spectrum is None:
        return reference_point(observation.detector, observation.subarray)
    if isinstance(spectrum, Setting):
        return slit_v2v3(spectrum.slits[0].opening)
    column, row = centre(spectrum, observation.subarray)
    return v2v3(observation.detector, observation.subarray, column, row)


def _star(observation: Observation) -> dict[str, Any]:
    """What the observer says of the star, and where along the slit it is."""
    spectrum = observation.spectrum
    if spectrum is None:
        return {}
    if isinstance(spectrum, Setting):
        return _in_slits(observation, spectrum)
    return _in_slices() if isinstance(spectrum, scene.Dither) else _through_prism(spectrum)


def _open(observation: Observation, setting: Setting) -> dict[str, Any]:
    """What says which slits are open."""
    if setting.has_names:
        return {"meta.instrument.fixed_slit": setting.slits[0].name}
    if setting.has_slices:
        return {}
    return {
        "meta.instrument.msa_metadata_file": metafile(observation),
        "meta.instrument.msa_metadata_id": METADATA_ID,
    }


def metafile(observation: Observation) -> str:
    """Name of the metafile of the shutters."""
    return f"{observation.root.split('_')[0]}_{observation.exposure:02d}_msa.fits"


def _in_slits(observation: Observation, setting: Setting) -> dict[str, Any]:
    """What NIRSpec's wheel reads, and where the target is in its slit."""
    nominal, reading, _ = rays.SENSOR
    target, *_ = setting.slits
    x, y = (target.star and target.star.place) or (0.0, 0.0)
    kind = {"NRS_MSASPEC": "UNKNOWN", "NRS_IFU": "EXTENDED"}
    return {
        **_open(observation, setting),
        "meta.instrument.gwa_xtilt": reading,
        "meta.instrument.gwa_ytilt": nominal,
        "meta.instrument.gwa_tilt": 37.0,
        "meta.wcsinfo.velosys": rays.VELOCITY,
        "meta.visit.tsovisit": setting.follows_time,
        "meta.target.source_type_apt": kind.get(setting.exposure_type, "POINT"),
        "meta.dither.x_offset": x * target.opening.width * SKY_SCALE * 3600,
        "meta.dither.y_offset": y * target.opening.height * SKY_SCALE * 3600,
        "meta.dither.primary_type": "NONE",
        "meta.dither.position_number": 1,
    }


def _in_slices() -> dict[str, Any]:
    return {
        "meta.target.source_type_apt": "POINT",
        "meta.wcsinfo.velosys": scene.VELOCITY,
        "meta.dither.primary_type": "4-POINT",
    }


def _through_prism(slit: Slit) -> dict[str, Any]:
    return {
        "meta.target.source_type_apt": "POINT",
        "meta.visit.tsovisit": slit.kind == "SLITLESS",
        "meta.dither.x_offset": slit.nod,
        "meta.dither.y_offset": 0.0,
        "meta.dither.primary_type": "ALONG-SLIT-NOD" if slit.nod else "NONE",
    }


def _start(observation: Observation) -> dt.datetime:
    """An hour for each observation, ten minutes for each exposure."""
    return FIRST_EXPOSURE + dt.timedelta(
        hours=observation.number - 1, minutes=10 * (observation.exposure - 1)
    )


def _integration_time(observation: Observation) -> float:
    """Seconds from the reset to the end of the last group."""
    return observation.frames * observation.subarray.frame_time


def _integration_step(observation: Observation) -> float:
    """Seconds from one integration to the next: a reset takes a frame."""
    return _integration_time(observation) + observation.subarray.frame_time


def _mjd(when: dt.datetime) -> float:
    return (when - MJD_EPOCH).total_seconds() / SECONDS_PER_DAY


def _clock_text(when: dt.datetime) -> str:
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}"


def _clock(when: dt.datetime) -> tuple[int, int, int]:
    """Days since 2000, milliseconds of the day, and the microseconds that are left."""
    since = when - GROUP_EPOCH
    milliseconds = since.seconds * 1000 + since.microseconds // 1000
    return since.days, milliseconds, since.microseconds % 1000
