"""Data models beside those of the peer, in one run: ``python tests/benchmarks/models.py``.

Prints a table in Markdown. The peer (stdatamodels) is run in the environment of PEER_PYTHON, in turns
with ours; without it its column stays empty. Times are medians; every file is new, in a temporary
folder. The floor of a 100 MB image is plain writing, and plain reading and touching, of its bytes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 2887  # data, err and dq of SIDE x SIDE pixels are 100 MB
REPEATS = 9
ROUNDS = 3  # of each package in turn
PATIENCE = 10_000  # ms for all repeats of one action
SLITS = 200


def median(action: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Median time of an action in milliseconds; the first does not count unless it is slow."""
    times: list[float] = []
    while len(times) <= REPEATS and sum(times) < PATIENCE:
        before()
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:] or times)


def image_of(model: Any) -> Any:
    """Fill a model of either package with 100 MB."""
    pixels = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    model.data, model.err = pixels, pixels.copy()
    model.dq = np.zeros((SIDE, SIDE), np.uint32)
    model.meta.instrument.name = "NIRCAM"
    return model


def touch(model: Any) -> None:
    """Read every pixel."""
    for name in ("data", "err", "dq"):
        np.asarray(getattr(model, name)).max()


def our_images(folder: Path) -> dict[str, float]:
    """Files of one image, and what the machine needs for their bytes alone."""
    from stpipe import models

    image, path = image_of(models.ImageModel()), folder / "ours.fits"
    found = {"save": median(lambda: image.save(path), lambda: path.unlink(missing_ok=True))}
    found["open"] = median(lambda: touch(models.open(path)))
    found["metadata"] = median(lambda: models.open_metadata(path).meta.instrument.name)
    arrays, plain = [image.data, image.err, image.dq], folder / "plain"
    found["save_floor"] = median(
        lambda: write_plainly(plain, arrays), lambda: plain.unlink(missing_ok=True)
    )
    found["open_floor"] = median(lambda: np.fromfile(plain, np.float32).max())
    return found


def our_lists(folder: Path) -> dict[str, float]:
    """A ramp that does not fit into memory, and files of many extensions."""
    from stpipe import models

    found = {"ramp": megabytes_of(lambda: open_ramp(sparse_ramp(folder / "ramp.fits")))}
    slits = models.MultiSlitModel()
    for number in range(SLITS):
        slits.slits.append({"data": np.ones((10, 20)), "name": str(number)})
        for name in ("err", "dq", "wavelength", "var_poisson", "var_rnoise"):
            slits.slits[number].set(
                name, np.ones((10, 20), slits.slits[0].schema.arrays[name].dtype)
            )
    many = slits.save(folder / "slits.fits")
    found["slits"] = median(lambda: [part.name for part in models.open(many).slits])
    found["astropy"] = median(lambda: headers(many))
    for number, part in enumerate(slits.slits):
        part.meta.wcs = coordinates(number)
    placed = folder / "placed.fits"
    found["save_placed"] = median(lambda: slits.save(placed))
    found["placed"] = median(lambda: [part.name for part in models.open(placed).slits])
    return found


@cache
def shared_links() -> list[Any]:
    """Coordinates from places in a slit to the sky, which all slits have in common."""
    from astropy.modeling import models as shapes

    from stpipe.science.wcs.lrs import world_frame
    from stpipe.science.wcs.nirspec import frames

    bent = shapes.Polynomial2D(5, c0_0=1e-3, c1_0=1e-5, c0_1=2e-6)
    to_sky = shapes.Mapping((0, 1, 0, 1, 2)) | bent & bent & shapes.Scale(1e6)
    return [(frames.slit(), to_sky), (world_frame(), None)]


def coordinates(number: int) -> Any:
    """The gwcs of a slit: a shift and a dispersion of its own, and what slits share."""
    from astropy.modeling import models as shapes
    from gwcs import WCS

    from stpipe.science.wcs.nirspec import frames

    shift = shapes.Shift(number) & shapes.Shift(2 * number)
    wave = shapes.Polynomial2D(1, c0_0=1e-6, c1_0=1e-9 * number)
    own = shift | shapes.Mapping((0, 1, 0, 1)) | shapes.Identity(2) & wave
    return WCS([(frames.pixels("detector"), own), *shared_links()])


def peer_images(folder: Path) -> dict[str, float]:
    """As `our_images`, of stdatamodels."""
    from stdatamodels.jwst import datamodels
    from stdatamodels.jwst.datamodels.util import read_metadata

    image, path = image_of(datamodels.ImageModel()), folder / "peer.fits"
    found = {"save": median(lambda: image.save(str(path)), lambda: path.unlink(missing_ok=True))}
    found["open"] = median(lambda: open_and(touch, path))
    found["metadata"] = median(lambda: read_metadata(str(path))["meta.instrument.name"])
    return found


def peer_lists(folder: Path) -> dict[str, float]:
    """As `our_lists`, of the same files."""
    ramp = folder / "ramp.fits"
    found = {"ramp": megabytes_of(lambda: open_and(lambda model: model.shape, ramp))}
    names: Callable[[Any], object] = lambda model: [slit.name for slit in model.slits]  # noqa: E731
    found["slits"] = median(lambda: open_and(names, folder / "slits.fits"))
    found["placed"] = median(lambda: open_and(names, folder / "placed.fits"))
    copy = str(folder / "peer.fits")
    with_slits: Callable[[Any], object] = lambda model: model.save(copy)  # noqa: E731
    both = median(lambda: open_and(with_slits, folder / "placed.fits"))
    found["save_placed"] = both - found["placed"]
    return found


def open_and(action: Callable[[Any], object], name: Path) -> None:
    """Open a file with the peer, do something, close it."""
    from stdatamodels.jwst import datamodels

    with datamodels.open(str(name)) as model:
        action(model)


def write_plainly(path: Path, arrays: list[Any]) -> None:
    """The bytes of arrays, as they are in memory."""
    with path.open("wb") as stream:
        for array in arrays:
            array.tofile(stream)


def headers(path: Path) -> list[Any]:
    """What raw astropy takes for the same: all headers, one keyword of each slit."""
    from astropy.io import fits

    with fits.open(path) as units:
        return [unit.header["SLTNAME"] for unit in units if unit.name == "SCI"]


def sparse_ramp(path: Path) -> Path:
    """A ramp of 10 GB that takes no room on the disk."""
    shape = (10, 60, 2048, 2048)
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8"]
    cards += ["NAXIS   =                    0", "DATAMODL= 'RampModel'", "END"]
    axes = [f"NAXIS{n}  = {size:>20}" for n, size in enumerate(reversed(shape), start=1)]
    more = [
        "XTENSION= 'IMAGE   '",
        "BITPIX  =                  -32",
        "NAXIS   =                    4",
    ]
    more += [*axes, "PCOUNT  =                    0", "GCOUNT  =                    1"]
    more += ["EXTNAME = 'SCI     '", "END"]
    with path.open("wb") as stream:
        for unit in (cards, more):
            text = "".join(f"{card:<80}" for card in unit)
            stream.write(f"{text:<2880}".encode())
        end = stream.tell() + 4 * int(np.prod(shape))
        stream.truncate(end + -end % 2880)
    return path


def open_ramp(path: Path) -> None:
    """Open, ask for the shape, read a few rows of one group."""
    from stpipe import models

    with models.open(path) as ramp:
        assert (10, 60, 2048, 2048) == ramp.shape
        ramp.read("data", np.s_[0, 0, 100:104])


def megabytes_of(action: Callable[[], object]) -> float:
    """The most memory that an action allocates."""
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


ROWS = {
    "save": ("100 MB ImageModel: save", "ms", "half the peer"),
    "open": ("100 MB ImageModel: open, touch every array", "ms", "half the peer"),
    "metadata": ("metadata of an exposure", "ms", "5"),
    "ramp": ("10 GB ramp: open, shape, 4 rows; memory", "MB", "50"),
    "slits": ("200 slits of 6 arrays: open, name of each", "ms", "twice raw astropy"),
    "placed": ("200 slits with a gwcs each: open, name of each", "ms", "1/50 of the peer"),
    "save_placed": ("200 slits with a gwcs each: save", "ms", "1/50 of the peer"),
}


def table(found: dict[str, float], theirs: dict[str, float]) -> str:
    """The figures in Markdown."""
    lines = ["| what | unit | stpipe | stdatamodels | goal | floor |", "|---|---|---|---|---|---|"]
    for key, (what, unit, goal) in ROWS.items():
        more = f" ({found['astropy']:.1f})" if key == "slits" else ""
        columns = [what, unit, f"{found[key]:.1f}", told(theirs, key), goal + more]
        lines.append("| " + " | ".join([*columns, told(found, f"{key}_floor")]) + " |")
    return "\n".join(lines)


def told(figures: dict[str, float], key: str) -> str:
    """A figure, or a dash."""
    return f"{figures[key]:.1f}" if key in figures else "-"


def measured(interpreter: str, what: str, folder: Path) -> dict[str, float]:
    """What a process of its own finds; nothing of a peer that fails."""
    # Isolated: a PYTHONPATH with our package would hide the stpipe that the peer needs.
    command = [interpreter, "-I", __file__, what, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    figures: dict[str, float] = json.loads(done.stdout) if done.returncode == 0 else {}
    return figures


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def main() -> None:
    """Measure both in turns, and print the table."""
    if sys.argv[1:]:
        json.dump(globals()[sys.argv[1]](Path(sys.argv[2])), sys.stdout)
        return
    own, other = sys.executable, os.environ.get("PEER_PYTHON")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, theirs = [], []
        for _ in range(ROUNDS):
            found.append(measured(own, "our_images", folder))
            theirs.append(measured(other, "peer_images", folder) if other else {})
        lists = measured(own, "our_lists", folder)
        more = measured(other, "peer_lists", folder) if other else {}
    print(table(middle(found) | lists, middle(theirs) | more))


if __name__ == "__main__":
    main()
