"""The demo folder: exposures, the truth about them, and the CRDS cache that calibrates them.

A part (an exposure with its truth, or the cache) is written again only if a file of it is missing
or changed, or if it would come out differently now: who edits or deletes a file and asks again gets
back that part and keeps the others, time stamps included. `.demo.json` holds the checksums.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stpipe.demo.crds_cache import write_crds_cache
from stpipe.demo.field import save_stars
from stpipe.demo.headers import metafile
from stpipe.demo.mrs.scene import Dither
from stpipe.demo.mrs.truth import save_truth
from stpipe.demo.nirspec.metafile import save_metafile
from stpipe.demo.nirspec.settings import Setting
from stpipe.demo.nirspec.truth import save_spectra
from stpipe.demo.observation import DEMO, FIELD, PROGRAM, Observation
from stpipe.demo.scene import SIGMA
from stpipe.demo.simulation import expose

__all__ = ["write_demo"]

MANIFEST: Final = ".demo.json"
MOSAIC: Final = f"jw{PROGRAM}-o{FIELD:03d}_t001_nircam_clear-f200w"
"""The product of the dithered exposures, named as the archive does."""
CUBES: Final = f"jw{PROGRAM}-o{Dither.number:03d}_t001_miri"
"""The products of the exposures of MIRI's spectrometer, the same."""


@dataclass(frozen=True)
class _Part:
    """Files that are written together; `recipe` changes when their content would."""

    name: str
    recipe: str
    write: Callable[[], Iterable[Path]]


def write_demo(folder: Path, observations: Iterable[Observation] = DEMO) -> Iterator[Path]:
    """Bring the demo folder up to date; yields every path that it writes, and nothing if none.

    Parameters
    ----------
    folder
        Gets `uncal/`, `truth/` and `crds/`; made if it does not exist.
    observations
        What to expose; by default five small exposures with four instruments.
    """
    known = _read_manifest(folder)
    for part in _parts(folder, tuple(observations)):
        if _is_current(folder, known.get(part.name), part.recipe):
            continue
        files = {}
        for path in part.write():
            files[str(path.relative_to(folder))] = _checksum(path)
            yield path
        known[part.name] = {"recipe": part.recipe, "files": files}
        _write_manifest(folder, known)


def _parts(folder: Path, observations: tuple[Observation, ...]) -> Iterator[_Part]:
    for observation in observations:
        yield _Part(
            observation.root,
            _recipe(observation),
            functools.partial(_write_exposure, folder, observation),
        )
    if dithers := tuple(o for o in observations if o.pointing):
        yield _Part(MOSAIC, _recipe(*dithers), functools.partial(_write_field, folder, dithers))
    if dithers := tuple(o for o in observations if isinstance(o.spectrum, Dither)):
        yield _Part(CUBES, _recipe(*dithers), functools.partial(_write_scene, folder, dithers))
    yield _Part(
        "crds",
        _recipe(*observations),
        functools.partial(write_crds_cache, folder / "crds", observations),
    )


def _write_exposure(folder: Path, observation: Observation) -> Iterator[Path]:
    simulation = expose(observation)
    for name in ("uncal", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    yield simulation.truth.save(folder / "truth" / f"{observation.root}_truth.fits")
    if isinstance(observation.spectrum, Setting):
        path = folder / "truth" / f"{observation.root}_spectra.fits"
        yield save_spectra(path, observation.spectrum)
        if observation.spectrum.has_shutters:
            yield save_metafile(folder / "uncal" / metafile(observation), observation.spectrum)
    yield simulation.exposure.save(folder / "uncal" / f"{observation.root}_uncal.fits")


def _write_field(folder: Path, dithers: tuple[Observation, ...]) -> Iterator[Path]:
    """The exposures that make a mosaic, and the stars in it."""
    yield _write_association(folder, MOSAIC, "image3", dithers)
    first = dithers[0]
    truth = folder / "truth" / f"{MOSAIC}_stars.fits"
    yield save_stars(truth, first.detector, first.subarray, SIGMA)


def _write_scene(folder: Path, dithers: tuple[Observation, ...]) -> Iterator[Path]:
    """The exposures that make cubes, and what is in them."""
    yield _write_association(folder, CUBES, "spec3", dithers)
    yield save_truth(folder / "truth" / f"{CUBES}_scene.fits")


def _write_association(
    folder: Path, product: str, kind: str, dithers: tuple[Observation, ...]
) -> Path:
    """The exposures that make a product, as calibration will name them."""
    members = [
        {"expname": f"../cal/{observation.root}_cal.fits", "exptype": "science"}
        for observation in dithers
    ]
    content = {
        "asn_type": kind,
        "asn_rule": "DMS_Level3_Base",
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": PROGRAM,
        "products": [{"name": product, "members": members}],
    }
    for name in ("asn", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    path = folder / "asn" / f"jw{PROGRAM}-a3001_{kind}_asn.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _recipe(*observations: Observation) -> str:
    """Digest of the plan and of the simulator's source."""
    digest = hashlib.sha256(repr(observations).encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _is_current(folder: Path, written: dict[str, Any] | None, recipe: str) -> bool:
    if written is None or written["recipe"] != recipe:
        return False
    return all(
        (folder / name).is_file() and _checksum(folder / name) == checksum
        for name, checksum in written["files"].items()
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return known


def _write_manifest(folder: Path, known: dict[str, Any]) -> None:
    temporary = folder / f"{MANIFEST}.{os.getpid()}"
    temporary.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    temporary.replace(folder / MANIFEST)
