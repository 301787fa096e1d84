"""Run calibration functions of the `jwst` and `stcal` packages on arrays, for comparison.

Executed by the interpreter that has those packages. Each line read from standard input names a step
and an .npz file with its arguments; the results are written to the .npz file named third, and a
line says "done" or what went wrong.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from types import SimpleNamespace
from typing import Any

import noise_worker
import numpy as np
from jwst.charge_migration.charge_migration import charge_migration as peer_charge_migration
from jwst.emicorr import emicorr as peer_emicorr
from jwst.firstframe import firstframe_sub
from jwst.gain_scale import gain_scale as peer_gain_scale
from jwst.group_scale import group_scale as peer_group_scale
from jwst.guider_cds import guider_cds as peer_guider_cds
from jwst.ipc import ipc_corr
from jwst.lastframe import lastframe_sub
from jwst.persistence import persistence as peer_persistence
from jwst.refpix import irs2_subtract_reference, reference_pixels
from jwst.reset import reset_sub
from jwst.rscd import rscd_sub
from jwst.saturation import saturation as peer_saturation
from jwst.superbias import bias_sub
from stcal.dark_current import dark_class, dark_sub
from stcal.jump import jump as peer_jump
from stcal.jump.jump_class import JumpData
from stcal.linearity.linearity import linearity_correction
from stcal.ramp_fitting import ramp_fit as peer_ramp_fit
from stcal.saturation.saturation import flag_saturated_pixels
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

Arrays = dict[str, Any]
Parameters = dict[str, Any]


def ramp_model(arrays: Arrays, meta: Parameters) -> datamodels.RampModel:
    """Ramp model of arrays and dotted metadata."""
    model = datamodels.RampModel()
    for name in ("data", "groupdq", "pixeldq", "zeroframe"):
        if name in arrays:
            setattr(model, name, arrays[name].copy())
    for name, value in meta.items():
        model[name] = value
    return model


def results_of(model: datamodels.RampModel, *, zeroframe: bool = False) -> Arrays:
    """Arrays of a ramp model."""
    found = {"data": model.data, "groupdq": model.groupdq, "pixeldq": model.pixeldq}
    return found | ({"zeroframe": model.zeroframe} if zeroframe else {})


def frames(ngroups: int, nframes: int) -> list[list[int]]:
    """Frames of each group, from 1, without gaps."""
    return [[f + 1 + g * nframes for f in range(nframes)] for g in range(ngroups)]


def saturation(a: Arrays, p: Parameters) -> Arrays:
    """Flags and zero frame."""
    gdq, pdq, zeroframe = flag_saturated_pixels(
        a["data"],
        a["groupdq"],
        a["pixeldq"],
        a["threshold"],
        a["dq"],
        65535.0,
        dqflags.pixel,
        n_pix_grow_sat=p["grow"],
        zframe=a.get("zeroframe"),
        read_pattern=frames(a["data"].shape[1], p["nframes"]) if p["use_readpatt"] else None,
        bias=a.get("bias"),
    )
    out = {"groupdq": gdq, "pixeldq": pdq}
    return out | ({} if zeroframe is None else {"zeroframe": zeroframe})


def superbias(a: Arrays, _: Parameters) -> Arrays:
    """Bias-subtracted ramp."""
    model = ramp_model(a, {"meta.exposure.zero_frame": True})
    bias = datamodels.SuperBiasModel(data=a["bias"].copy(), dq=a["dq"].copy())
    bias.data[np.isnan(bias.data)] = 0
    return results_of(bias_sub.subtract_bias(model, bias), zeroframe=True)


def linearity(a: Arrays, p: Parameters) -> Arrays:
    """Linearised ramp."""
    by_reads = "inverse" in a
    data, pdq, zeroframe = linearity_correction(
        a["data"],
        a["groupdq"],
        a["pixeldq"],
        a["coeffs"],
        a["dq"],
        dqflags.pixel,
        zframe=a.get("zeroframe"),
        ilin_coeffs=a.get("inverse"),
        read_pattern=frames(a["data"].shape[1], p["nframes"]) if by_reads else None,
    )
    out = {"data": data, "pixeldq": pdq}
    return out | ({} if zeroframe is None else {"zeroframe": zeroframe})


def dark_current(a: Arrays, p: Parameters) -> Arrays:
    """Dark-subtracted ramp."""
    science = dark_class.ScienceData()
    science.data, science.groupdq, science.pixeldq = a["data"], a["groupdq"], a["pixeldq"]
    science.exp_nframes, science.exp_groupgap = p["nframes"], p["groupgap"]
    science.exp_intstart = p["first"]
    dark = dark_class.DarkData()
    dark.data, dark.groupdq = a["dark"], a["dq"]
    dark.exp_nframes, dark.exp_groupgap = p["dark_nframes"], p["dark_groupgap"]
    dark.exp_ngroups = a["dark"].shape[-3]
    out, _ = dark_sub.do_correction_data(science, dark)
    return {
        "data": out.data,
        "pixeldq": out.pixeldq,
        "skipped": np.array(out.cal_step == "SKIPPED"),
    }


SIDES = {"refpix_algorithm": "median", "sigreject": 4.0, "gaussmooth": 1.0, "halfwidth": 30}


def sirs_of(a: Arrays, detector: str) -> Parameters:
    """Arguments for filtered sides."""
    flat = {f"{detector.lower()}.{name}": a[name] for name in ("gamma", "zeta")}
    model = SimpleNamespace(to_flat_dict=lambda: flat)
    return {"refpix_algorithm": "sirs", "sirs_kernel_model": model}


def refpix(a: Arrays, p: Parameters) -> Arrays:
    """Ramp corrected with reference pixels."""
    model = ramp_model(a, p["meta"])
    status = reference_pixels.correct_model(
        model,
        p["odd_even_columns"],
        p["use_side_ref_pixels"],
        p["side_smoothing_length"],
        p["side_gain"],
        p["odd_even_rows"],
        SIDES | ({"sirs_kernel_model": None} if "gamma" not in a else sirs_of(a, p["detector"])),
        p["siglimit"],
    )
    return results_of(model, zeroframe="zeroframe" in a) | {"status": np.array(status)}


def interleaved_saturation(a: Arrays, p: Parameters) -> Arrays:
    """Flags of an IRS2 readout."""
    model = ramp_model(a, p["meta"])
    reference = datamodels.SaturationModel(data=a["threshold"], dq=a["dq"])
    bias = datamodels.SuperBiasModel(data=a["bias"]) if "bias" in a else None
    for of_frame in (model, reference, bias):
        for name in ("xstart", "ystart", "xsize", "ysize"):
            if of_frame is not None:
                of_frame[f"meta.subarray.{name}"] = p["meta"][f"meta.subarray.{name}"]
    model = peer_saturation.irs2_flag_saturation(
        model, reference, p["grow"], p["use_readpatt"], bias
    )
    return results_of(model)


def interleaved_ipc(a: Arrays, p: Parameters) -> Arrays:
    """Deconvolved IRS2 readout."""
    reference = datamodels.IPCModel(data=a["kernel"])
    return results_of(ipc_corr.do_correction(ramp_model(a, p["meta"]), reference))


def interleaved_refpix(a: Arrays, p: Parameters) -> Arrays:
    """Corrected IRS2 readout."""
    model = ramp_model(a, p["meta"])
    columns = [(f"{n}_{i}", a["table"].dtype) for n in ("alpha", "beta") for i in range(4)]
    table = np.zeros(a["table"].shape[1], dtype=columns)
    for (name, _), column in zip(columns, a["table"], strict=True):
        table[name] = column
    reference = datamodels.IRS2Model(irs2_table=table)
    listed = np.zeros(len(a["listed"]), dtype=reference.get_dtype("dq_table"))
    for name, column in zip(listed.dtype.names, a["listed"].T, strict=True):
        listed[name] = column
    reference.dq_table = listed
    irs2_subtract_reference.flag_bad_refpix(model, n_sigma=p["sigma"], flag_only=True)
    if p["means"]:
        sides = SIDES | {"sirs_kernel_model": None}
        rules = (p["by_parity"], False, 11, 1.0, True, sides, p["siglimit"])
        reference_pixels.correct_model(model, *rules)
    irs2_subtract_reference.flag_bad_refpix(model, replace_only=True)
    model = irs2_subtract_reference.correct_model(model, reference, preserve_refpix=p["preserve"])
    return results_of(model)


def jump(a: Arrays, p: Parameters) -> Arrays:
    """Flags of groups and pixels, and the number of primary events."""
    data = JumpData(None, a["gain"], a["readnoise"], dqflags.pixel)
    data.data, data.gdq, data.pdq = a["data"], a["groupdq"], a["pixeldq"]
    data.nframes = p["nframes"]
    data.dt_group, data.n_reads_groupdiff = np.ones(1), np.ones(1) * 2 * p["nframes"]
    data.set_detection_settings(
        p["rejection_threshold"],
        p["three_group_rejection_threshold"],
        p["four_group_rejection_threshold"],
        p["max_jump_to_flag_neighbors"],
        p["min_jump_to_flag_neighbors"],
        p["flag_4_neighbors"],
    )
    data.set_after_jump(*p["after_jump"])
    data.min_diffs_single_pass = p["min_diffs_single_pass"]
    data.set_sigma_clipping_info(3, *p["clipping"])
    data.max_cores = "1"
    data.expand_large_events = data.find_showers = False
    gdq, pdq, count, _ = peer_jump.detect_jumps_data(data)
    return {"groupdq": gdq, "pixeldq": pdq, "count": np.array(count)}


def large_events(a: Arrays, p: Parameters) -> Arrays:
    """Flags of a searched ramp with snowballs and showers, and their numbers."""
    data = JumpData(None, a["gain"], a["readnoise"], dqflags.pixel)
    data.nframes = p["nframes"]
    data.set_snowball_info(True, *p["snowballs"])
    data.set_shower_info(True, *p["showers"])
    data.set_sigma_clipping_info(3, p["many"], True)
    data.mask_persist_grps_next_int = p["groups_next"] > 0
    data.persist_grps_flagged = p["groups_next"]
    data.grps_masked_after_shower = p["groups_after"]
    data.max_shower_amplitude = p["most_change"]
    snowy, snowballs = peer_jump.flag_large_events(
        a["groupdq"].copy(), dqflags.pixel["JUMP_DET"], dqflags.pixel["SATURATED"], data
    )
    electrons = a["data"] * a["gain"]
    electrons[a["groupdq"] & 3 != 0] = np.nan  # as the search leaves them
    showery, showers = peer_jump.find_faint_extended(
        electrons, a["groupdq"].copy(), a["pixeldq"], a["readnoise"] * a["gain"], data
    )
    found = {"snowballs": np.array(snowballs), "showers": np.array(showers)}
    return found | {"snowy": snowy, "showery": showery}


def ramp_fit(a: Arrays, p: Parameters) -> Arrays:
    """Arrays of rate, rateints and optional products, prefixed; none without product."""
    meta = {f"meta.exposure.{k}": v for k, v in p["exposure"].items()}
    model = ramp_model(a, meta | {"meta.instrument.name": p["instrument"]})
    model.average_dark_current = a["dark_current"]
    if "zeroframe" not in a:
        model.zeroframe = None
    rate, rateints, optional = peer_ramp_fit.ramp_fit(
        model,
        p["save_opt"],
        a["readnoise"],
        a["gain"],
        p.get("algorithm", "OLS_C"),
        "optimal",
        "1",
        dqflags.pixel,
        suppress_one_group=p["suppress_one_group"],
    )
    if rate is None:
        return {}
    out = {f"rate_{k}": v for k, v in rate.items()}
    out |= {f"rateints_{k}": v for k, v in rateints.items()}
    return out | {f"opt_{k}": v for k, v in (optional or {}).items()}


def ipc(a: Arrays, p: Parameters) -> Arrays:
    """Deconvolved group."""
    nref = ipc_corr.NumRefPixels(*p["borders"])
    for integration in a["data"]:
        for group in integration:
            ipc_corr.ipc_convolve(group, a["kernel"], nref)
    return {"data": a["data"]}


def reset(a: Arrays, p: Parameters) -> Arrays:
    """Reset-corrected ramp."""
    nints, ngroups = a["data"].shape[:2]
    meta = {
        "meta.exposure.nints": p["first"] - 1 + nints,
        "meta.exposure.ngroups": ngroups,
        "meta.exposure.integration_start": p["first"],
        "meta.exposure.integration_end": p["first"] - 1 + nints,
    }
    reference = datamodels.ResetModel(data=a["reset"], dq=a["dq"])
    reference.meta.exposure.nints, reference.meta.exposure.ngroups = a["reset"].shape[:2]
    return results_of(reset_sub.do_correction(ramp_model(a, meta), reference))


def lastframe(a: Arrays, _: Parameters) -> Arrays:
    """Flagged ramp."""
    model = lastframe_sub.do_correction(ramp_model(a, {}))
    return results_of(model) | {"skipped": np.array(model.meta.cal_step.lastframe == "SKIPPED")}


def firstframe(a: Arrays, p: Parameters) -> Arrays:
    """Flagged ramp."""
    model = firstframe_sub.do_correction(ramp_model(a, {}), p["bright_use_group1"])
    return results_of(model) | {"skipped": np.array(model.meta.cal_step.firstframe == "SKIPPED")}


def rscd(a: Arrays, p: Parameters) -> Arrays:
    """Flagged ramp and the numbers for its header."""
    meta = {
        "meta.exposure.nints": p["nints"],
        "meta.exposure.ngroups": a["data"].shape[1],
        "meta.exposure.integration_start": p["first"],
    }
    model = rscd_sub.correction_skip_groups(ramp_model(a, meta), *p["skip"])
    out = results_of(model) | {"skipped": np.array(model.meta.cal_step.rscd == "SKIPPED")}
    names = ("ngroups_skip", "keep_groups_saturation", "keep_bright_firstgroup")
    for name in (f"{n}_{i}" for n in names for i in ("int1", "int2p")):
        value = getattr(model.meta.rscd, name)
        out[name] = np.array(-1 if value is None else value)
    return out


def group_scale(a: Arrays, p: Parameters) -> Arrays:
    """Scaled ramp."""
    names = {"meta.exposure.nframes": p["nframes"], "meta.exposure.frame_divisor": p["divisor"]}
    model = ramp_model(a, names)
    peer_group_scale.do_correction(model)
    return results_of(model)


def gain_scale(a: Arrays, p: Parameters) -> Arrays:
    """Scaled rates."""
    model = datamodels.ImageModel(data=a["data"])
    for name in ("err", "var_poisson", "var_rnoise"):
        setattr(model, name, a[name])
    model = peer_gain_scale.do_correction(model, p["factor"])
    return {n: getattr(model, n) for n in ("data", "err", "var_poisson", "var_rnoise")}


def charge_migration(a: Arrays, p: Parameters) -> Arrays:
    """Flagged ramp."""
    return results_of(peer_charge_migration(ramp_model(a, {}), p["threshold"]))


def guider_cds(a: Arrays, p: Parameters) -> Arrays:
    """Rates of the guider."""
    model = datamodels.GuiderRawModel(data=a["data"], dq=a["dq"])
    gain, noise = (
        datamodels.GainModel(data=a["gain"]),
        datamodels.ReadnoiseModel(data=a["readnoise"]),
    )
    for of_frame in (model, gain, noise):
        of_frame.meta.subarray.xstart = of_frame.meta.subarray.ystart = 1
        size = of_frame.data.shape
        of_frame.meta.subarray.ysize, of_frame.meta.subarray.xsize = size[-2:]
    if p["lost"]:  # a strip that lies nowhere on the detector
        model.meta.subarray.xstart = 2000
    model.meta.exposure.type, model.meta.exposure.group_time = p["kind"], p["seconds"]
    found = peer_guider_cds.guider_cds(model, gain, noise)
    return {"data": found.data, "err": found.err, "dq": found.dq}


def persistence(a: Arrays, p: Parameters) -> Arrays:
    """Flagged ramp and the windows that stay open."""
    model = ramp_model(a, p["meta"])
    if "starts" in a:
        table = np.zeros(len(a["starts"]), dtype=model.get_dtype("int_times"))
        table["int_start_MJD_UTC"] = a["starts"]
        model.int_times = table
    rules = (p["time"], p["threshold"], a["windows"], p["unusable"])
    data = peer_persistence.DataSet(model, None, *rules)
    data.do_all()
    return results_of(model) | {"windows": data.persistence_array}


def emicorr(a: Arrays, p: Parameters) -> Arrays:
    """Ramp without interference."""
    model = ramp_model(a, p["meta"])
    reference = None
    if "wave" in a:
        waves = {n: {"frequency": f, "phase_amplitudes": a["wave"]} for n, f in p["waves"].items()}
        reference = datamodels.EmiModel()
        reference.frequencies, reference.subarray_cases = waves, p["cases"]
    return {"data": peer_emicorr.apply_emicorr(model, reference, **p["options"]).data}


def main() -> None:
    """Serve requests until standard input ends."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        step, arguments, results = line.split()
        try:
            with np.load(arguments) as stored:
                arrays = {name: stored[name] for name in stored}
            parameters = json.loads(str(arrays.pop("parameters")))
            function = globals().get(step) or getattr(noise_worker, step)
            found = function(arrays, parameters)
            np.savez(results, **found)
            print("done", file=answers, flush=True)
        except Exception:  # noqa: BLE001 - the other side shows it
            print(json.dumps(traceback.format_exc()), file=answers, flush=True)


if __name__ == "__main__":
    main()
