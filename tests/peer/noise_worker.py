"""Run the peer's cleaning of images on arrays; served like `steps_worker.py`, which loads this."""

from __future__ import annotations

from typing import Any

import numpy as np
from jwst.clean_flicker_noise import autoparam, background_level, clean_flicker_noise
from jwst.picture_frame import picture_frame as peer_picture_frame
from jwst.straylight import straylight
from stdatamodels.jwst import datamodels

Arrays = dict[str, Any]
Parameters = dict[str, Any]


def model_of(a: Arrays, p: Parameters) -> Any:
    """A ramp, cube or image of arrays, with metadata."""
    kinds = {2: datamodels.ImageModel, 3: datamodels.CubeModel, 4: datamodels.RampModel}
    model = kinds[a["data"].ndim](data=a["data"].copy())
    for name in ("groupdq", "pixeldq", "dq"):
        if name in a:
            setattr(model, name, a[name].copy())
    for name, value in p["meta"].items():
        model[name] = value
    return model


def rates_of(a: Arrays, p: Parameters) -> Any:
    """Draft rates."""
    return model_of({"data": a["rates"], "dq": np.zeros(a["rates"].shape, np.uint32)}, p)


def flicker_clip(a: Arrays, p: Parameters) -> Arrays:
    """Mask of background pixels."""
    mask = a["mask"].copy()
    background_level.clip_to_background(a["image"], mask, **p)
    return {"mask": mask}


def flicker_level(a: Arrays, p: Parameters) -> Arrays:
    """Background level and mask."""
    mask = a["mask"].copy()
    level = background_level.background_level(a["image"].copy(), mask, **p)
    return {"level": np.asarray(level), "mask": mask}


def flicker(a: Arrays, p: Parameters) -> Arrays:
    """Cleaned data with draft rates from outside."""
    clean_flicker_noise.make_rate = lambda *_, **__: rates_of(a, p)
    clean_flicker_noise.post_process_rate = lambda model, **_: model
    clean_flicker_noise.read_flat_file = lambda *_: a.get("flat")
    model, _, background, _, status = clean_flicker_noise.do_correction(
        model_of(a, p), save_background=True, **p["options"]
    )
    found = {"data": model.data, "status": np.array(status)}
    return found if background is None else found | {"background": background.data}


def soss_traces(a: Arrays, p: Parameters) -> Arrays:
    """Mask of background pixels: the traces are none."""
    reference = datamodels.PastasossModel()
    for name, value in p["meta"].items():
        setattr(reference.meta, name, value)
    for number, (x0, y0) in enumerate(p["pivots"]):
        trace = {"spectral_order": number + 1, "trace": a[f"trace_{number}"]}
        reference.traces.append(trace | {"pivot_x": x0, "pivot_y": y0})
        reference.wavecal_models.append(
            {
                "spectral_order": number + 1,
                "coefficients": a[f"coefficients_{number}"],
                "scale_extents": a["extents"],
            }
        )
    model = datamodels.ImageModel(a["rates"].shape)
    model.meta.instrument.pupil_position = p["position"]
    model.meta.subarray.name = p["subarray"]
    mask = np.ones(a["rates"].shape, dtype=bool)
    return {"mask": clean_flicker_noise.mask_soss_traces(model, mask, soss_refmodel=reference)}


def flicker_choice(a: Arrays, p: Parameters) -> Arrays:
    """Parameters chosen from an image."""
    choose = {
        "NIS_IMAGE": autoparam.niriss_image_parameters,
        "NRC_IMAGE": autoparam.nircam_image_parameters,
    }
    found = choose[p["meta"]["meta.exposure.type"]](model_of(a, p), None)
    return {name: np.array(found[name]) for name in ("background_method", "fit_by_channel")}


def picture_frame(a: Arrays, p: Parameters) -> Arrays:
    """Corrected data with draft rates from outside."""
    peer_picture_frame.cfn.make_rate = lambda *_, **__: rates_of(a, p)
    reference = datamodels.PictureFrameModel(data=a["frame"])
    model, _, _, status = peer_picture_frame.correct_picture_frame(
        model_of(a, p), reference, mask_science_regions=False, n_sigma=p["n_sigma"]
    )
    return {"data": model.data, "status": np.array(status)}


def scattered(a: Arrays, _: Parameters) -> Arrays:
    """Light along rows, by pixels; the table as columns."""
    light, columns = a["light"].astype(float), a["light"].shape[1]
    names = ("lor_fwhm", "lor_scale", "gau_fwhm", "gau_xoff", "gau_scale1", "gau_scale2")
    row = [a[name].astype(float) for name in names]
    places = np.arange(columns, dtype=float)
    return {"stray": straylight.makemodel_composite(light, places, 0, columns, *row)}


def showers(a: Arrays, p: Parameters) -> Arrays:
    """An image without the light between slices."""
    model = datamodels.IFUImageModel(data=a["data"].copy(), dq=a["dq"])
    found, _ = straylight.clean_showers(model, a["slices"][None], 0, *p["rules"])
    return {"data": found.data}
