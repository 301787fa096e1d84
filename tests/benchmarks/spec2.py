"""Spectra of NIRSpec beside the peer: `python tests/benchmarks/spec2.py [RUNS [MODE...]]`.

Simulates rates (fixed slits, 100 slitlets of shutters, slices, 200 integrations of a star) with their
reference files, runs `calwebb_spec2` of both packages alternately as whole processes, and prints
a Markdown table. PEER_PYTHON names the interpreter of the peer's environment; without it only our own
figures are measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import Cost, alternate, run

from stpipe.demo.nirspec.settings import SHUTTERS, Setting, Slit, Source
from stpipe.demo.nirspec.shutters import Shutters
from stpipe.demo.observation import (
    NIRSPEC_BOTS,
    NIRSPEC_FS,
    NIRSPEC_IFU,
    Observation,
    plan,
)

BIN = Path(sys.executable).parent
SLITLETS, INTEGRATIONS = 100, 200
SKY_EVERY = 10  # slitlets
# What we leave out, too: cubes, and the spectra in them.
PEER_OPTIONS = ["--steps.cube_build.skip=true"]
SLICES_ALONE = ["--steps.extract_1d.skip=true"]


def many_slitlets() -> Setting:
    """A hundred slitlets of three shutters, in two quadrants; every tenth is of sky alone."""
    slits = []
    for number in range(1, SLITLETS + 1):
        half, place = number % 2, number // 2
        first = 4 + 3 * place
        shutters = Shutters(number, 1 + 2 * half, 60 + 5 * place, first, first + 2, first + 1)
        level = 0.005 + 0.0001 * number
        star = Source(level, 0.5, place=(0.1, -0.1)) if number % SKY_EVERY else None
        slits.append(Slit(str(number), shutters.opening, star, shutters))
    return replace(SHUTTERS, slits=tuple(slits))


def observations() -> dict[str, tuple[str, Observation]]:
    """What is calibrated, by the word of the command line: its name and how it is taken."""
    shutters = replace(
        plan("NIRSPEC", subarray="FULL", ngroups=8, seed=12), spectrum=many_slitlets()
    )
    return {
        "fixed": ("5 fixed slits", NIRSPEC_FS[0]),
        "shutters": (f"{SLITLETS} slitlets", shutters),
        "slices": ("30 slices", NIRSPEC_IFU[0]),
        "series": (f"{INTEGRATIONS} integrations", replace(NIRSPEC_BOTS[0], nints=INTEGRATIONS)),
    }


def simulate(folder: Path, observation: Observation) -> None:
    """The rates of an exposure, the metafile of its shutters, and the reference files."""
    from stpipe.demo.crds_cache import write_crds_cache
    from stpipe.demo.headers import metafile
    from stpipe.demo.nirspec.metafile import save_metafile

    list(write_crds_cache(folder / "crds", [observation]))
    whole = replace(plan("NIRSPEC", subarray="FULL"), spectrum=observation.spectrum)
    list(write_crds_cache(folder / "full", [whole]))
    setting = observation.spectrum
    assert isinstance(setting, Setting)
    save_chromcorr(folder / "chromcorr.asdf")
    if setting.has_shutters:
        save_metafile(folder / metafile(observation), setting)
    suffix = "rateints" if setting.follows_time else "rate"
    _rates(observation, setting).save(folder / f"{observation.root}_{suffix}.fits")


def _rates(observation: Observation, setting: Setting) -> Any:
    """The light that each pixel receives, with noise, as the detector stage leaves it."""
    from stpipe import models
    from stpipe.demo.headers import integration_times, keywords
    from stpipe.demo.nirspec.light import light

    kind = models.IFUImageModel if setting.has_slices else models.ImageModel
    model: Any = models.CubeModel() if setting.follows_time else kind()
    for path, value in keywords(observation).items():
        model.set(path, value)
    model.meta.bunit_data = model.meta.bunit_err = "DN/s"
    rng = np.random.default_rng(observation.seed)
    bright = light(observation.detector, observation.subarray, setting)
    bright /= observation.detector.gain
    shape = (observation.nints, *bright.shape) if setting.follows_time else bright.shape
    sigma = np.sqrt(0.01 + bright / 100)
    model.data = (bright + sigma * rng.normal(size=shape)).astype(np.float32)
    model.err = np.broadcast_to(sigma, shape).astype(np.float32)
    model.var_poisson = np.broadcast_to(bright / 100, shape).astype(np.float32)
    model.var_rnoise = np.full(shape, 0.01, np.float32)
    model.dq = (rng.random(shape) < 0.002).astype(np.uint32)
    if setting.follows_time:
        model.int_times = integration_times(observation)
    return model


def save_chromcorr(path: Path) -> None:
    """Fore optics that shift no colours, which the peer does not take for granted."""
    import asdf
    from astropy.modeling.models import Identity, Mapping

    correction = Identity(3)
    correction.inverse = Mapping((0, 1), n_inputs=3)
    meta = {"reftype": "chromcorr", "telescope": "JWST", "instrument": {"name": "NIRSPEC"}}
    asdf.AsdfFile({"meta": meta, "model": correction}).write_to(path)


def ours(folder: Path) -> Cost:
    """Our pipeline on the exposure in `folder`."""
    return _run(BIN / "strun", folder, "ours", [])


def peer(folder: Path) -> Cost:
    """The peer's pipeline on the same exposure."""
    options = [*PEER_OPTIONS, f"--steps.assign_wcs.override_chromcorr={folder}/chromcorr.asdf"]
    if NIRSPEC_IFU[0].root in "".join(path.name for path in folder.iterdir()):
        options += SLICES_ALONE
    return _run(Path(os.environ["PEER_PYTHON"]).parent / "strun", folder, "peer", options)


def _run(strun: Path, folder: Path, name: str, options: list[str]) -> Cost:
    (folder / name).mkdir(exist_ok=True)
    (exposure,) = folder.glob("*_rate*.fits")
    environment = {
        "CRDS_PATH": str(folder / "crds"),
        "CRDS_READONLY_CACHE": "1",
        "STPIPE_DISABLE_CRDS_STEPPARS": "true",
        "STPIPE_MEMORY": str(folder / "memory"),
    }
    words = [strun, "calwebb_spec2", exposure.name, f"--output_dir={name}", *options]
    return run([*words, *_flats(folder)], folder, environment)


def _flats(folder: Path) -> list[str]:
    """Flats of the whole detector: the peer takes no others."""
    found = {
        t: next(folder.glob(f"full/references/jwst/nirspec/*_{t}_*")) for t in ("sflat", "dflat")
    }
    return [f"--steps.flat_field.override_{kind}={path}" for kind, path in found.items()]


def main() -> None:
    """Measure all modes, or those that are named, and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    cases = observations()
    print(f"Medians of {runs} runs; exposures of NIRSpec with G140M and F100LP.\n")
    print("| exposure | ours | jwst 3.0.0 | times faster (CPU) | memory |")
    print("|---|---|---|---|---|")
    for word in sys.argv[2:] or cases:
        name, observation = cases[word]
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            print(_row(name, observation, Path(scratch), runs), flush=True)


def _row(name: str, observation: Observation, folder: Path, runs: int) -> str:
    # In a process of its own: the peak memory of a child counts from that of its parent.
    with ProcessPoolExecutor(1) as pool:
        pool.submit(simulate, folder, observation).result()
    contestants: list[Callable[[], Cost]] = [partial(ours, folder)]
    if "PEER_PYTHON" in os.environ:
        contestants.append(partial(peer, folder))
    own, *others = alternate(runs, *contestants)
    columns: list[object] = [name, own]
    if others:
        theirs = others[0]
        columns += [theirs, f"{theirs.cpu / own.cpu:.1f}", f"1/{theirs.peak / own.peak:.1f}"]
    else:
        columns += ["", "", ""]
    return "| " + " | ".join(map(str, columns)) + " |"


if __name__ == "__main__":
    main()
