"""Runs in the peer's environment: run its steps and pipelines on files, and save the products.

Each line read from standard input is a request in JSON: `step` (module:class), `input`, `output`,
`parameters` and `crds`, the cache of references if not that of the process. A line answers "done" or
with what went wrong.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from crds.core.utils import clear_function_caches
from jwst.datamodels import ModelContainer, ModelLibrary


def run(request: dict[str, Any]) -> None:
    """Run a step of the peer; save its product, the first of several, or all of many exposures."""
    module, _, name = request["step"].partition(":")
    step = getattr(importlib.import_module(module), name)
    with selecting(request["crds"]):
        result = step.call(request["input"], **request["parameters"])
    if isinstance(result, ModelLibrary):
        save_members(result, Path(request["output"]))
    elif isinstance(result, Table):
        result.write(request["output"], format="ascii.ecsv")
    elif result is not None:  # a pipeline of stage 3 has saved its products
        several = isinstance(result, (list, tuple, ModelContainer))
        product = result[0] if several else result
        product.save(request["output"])
        RECENT.clear()
        RECENT[request["output"]] = product


RECENT: dict[str, Any] = {}  # the last product by its path: that of slices takes 9 s to open


def opened(path: str) -> Any:
    """A product to look at, in a context."""
    from stdatamodels.jwst import datamodels

    return contextlib.nullcontext(RECENT[path]) if path in RECENT else datamodels.open(path)


@contextlib.contextmanager
def selecting(cache: str | None) -> Iterator[None]:
    """References are those of a cache and its own context, not of what the client has read before."""
    if not cache:
        yield
        return
    before = {name: os.environ.pop(name, None) for name in ("CRDS_PATH", "CRDS_CONTEXT")}
    os.environ["CRDS_PATH"] = cache
    clear_function_caches()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        clear_function_caches()


def save_members(library: ModelLibrary, folder: Path) -> None:
    """Write exposures by their numbers."""
    folder.mkdir()
    with library:
        for number, model in enumerate(library):
            model.save(str(folder / f"{number:03d}.fits"))
            library.shelve(model, number, modify=False)


def mask(request: dict[str, Any]) -> None:
    """Save which pixels of rates are background, where science regions are known."""
    from jwst.clean_flicker_noise.clean_flicker_noise import create_mask
    from stdatamodels.jwst import datamodels

    with opened(request["input"]) as model:
        found = create_mask(
            model, mask_science_regions=True, single_mask=True, **request["parameters"]
        )
    datamodels.ImageModel(data=found.astype("f4")).save(request["output"])


def frames(request: dict[str, Any]) -> None:
    """Save coordinates in each frame of a gwcs, and the pixels that those of the last are of.

    `inputs` are those of the gwcs, `only` the frames if not all. With wavelengths there is a way back.
    """
    given = request["parameters"]
    inputs = [np.array(axis) for axis in given["inputs"]]
    with opened(request["input"]) as model:
        first, *names = model.meta.wcs.available_frames
        found = {"frames": np.array([first, *names])}
        for name in given.get("only", names):
            there = model.meta.wcs.get_transform(first, name)(*inputs)
            found[name] = np.array(np.broadcast_arrays(*there))
        if "only" not in given and names[-1] != "msa" and len(found[names[-1]]) > 2:
            way = model.meta.wcs.get_transform(names[-1], first)
            found["back"] = np.array(way(*(found[names[-1]])))
    with Path(request["output"]).open("wb") as file:
        np.savez(file, **found)


def read(request: dict[str, Any]) -> None:
    """Open a product as the peer would, with warnings as errors, validate it and save it again."""
    from stdatamodels.jwst import datamodels

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(request["input"]) as model:
            model.validate()
            model.save(request["output"])


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the peer prints is no answer
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                {"run": run, "read": read, "mask": mask, "frames": frames}[request["do"]](request)
            answer = "done"
        except Exception:  # noqa: BLE001 - the test shows it
            answer = json.dumps(traceback.format_exc())
        answers.write(answer + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
