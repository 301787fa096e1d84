"""The cache as the stock `crds` client sees it, in a fresh process without any server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stpipe import models
from stpipe.demo import DEMO
from stpipe.demo.mrs import files as mrs
from stpipe.demo.nirspec import files as nirspec
from stpipe.demo.reference_files import REFERENCE_TYPES
from stpipe.models import open_metadata

SELECT = """
import json, sys
try:
    import stdatamodels.exceptions
except ModuleNotFoundError:
    # crds 14.0 imports one name from this package without requiring it; not used here.
    import types
    stand_in = types.ModuleType("stdatamodels.exceptions")
    stand_in.ValidationWarning = Warning
    sys.modules["stdatamodels"] = types.ModuleType("stdatamodels")
    sys.modules["stdatamodels.exceptions"] = stand_in
import crds
headers, types_ = json.load(sys.stdin)
answers = [
    crds.getreferences(header, reftypes=types_, context=None, observatory="jwst")
    for header in headers
]
from crds.core import heavy_client, rmap
mappings = rmap.get_cached_mapping(heavy_client.get_context_name("jwst")).mapping_names()
print("ANSWER " + json.dumps([answers, mappings]))
"""

Header = dict[str, Any]
Answers = Any  # JSON: references of every header, and the names of all mappings

NONE_FOR = {
    "NIRCAM": {"reset", "rscd", "filteroffset"},
    "NIRISS": {"reset", "rscd", "ipc", "filteroffset"},
    "NIRSPEC": {"reset", "rscd", "ipc", "distortion", "filteroffset", "flat", "photom", "apcorr"},
    "MIRI": {"superbias"},
}
PRISM = {"specwcs", "extract1d"}  # of MIRI's spectra alone
SPECTRA = PRISM | {*nirspec.MAKERS, "sflat", "dflat", *mrs.OWN} - {"photom", "apcorr"}
NEVER = ("refpix", "emicorr", "sirskernel", "pars-jumpstep", "pars-detector1pipeline")


def ask(folder: Path, headers: list[Header], types: list[str], **environment: str) -> Answers:
    """What a fresh process with CRDS_PATH, and nothing else of CRDS, is told."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRDS")}
    done = subprocess.run(
        [sys.executable, "-c", SELECT],
        input=json.dumps([headers, types]),
        env={**clean, "CRDS_PATH": str(folder / "crds"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    return json.loads(line.removeprefix("ANSWER "))


@pytest.fixture(scope="module")
def headers(demo_folder: Path) -> list[Header]:
    """Flat headers of the five exposures, as selection gets them."""
    paths = [demo_folder / "uncal" / f"{observation.root}_uncal.fits" for observation in DEMO]
    return [
        {
            name: value
            for name, value in open_metadata(path).to_flat_dict().items()
            if isinstance(value, str | int | float | bool)
        }
        for path in paths
    ]


@pytest.fixture(scope="module")
def answers(demo_folder: Path, headers: list[Header]) -> Answers:
    return ask(demo_folder, headers, [*REFERENCE_TYPES, *NEVER])


def test_client_finds_every_reference_of_every_exposure(
    demo_folder: Path, answers: Answers
) -> None:
    """Paths of files in the cache where the instrument has the type, N/A where it has not."""
    for observation, found in zip(DEMO, answers[0], strict=True):
        instrument = observation.detector.instrument
        for reftype in REFERENCE_TYPES:
            if reftype in NONE_FOR[instrument] | SPECTRA:
                assert "n/a" in found[reftype].lower(), (instrument, reftype)
            else:
                path = Path(found[reftype])
                assert path.is_file(), (instrument, reftype)
                assert demo_folder / "crds" in path.parents


def test_spectra_have_references_of_their_own(series_folder: Path) -> None:
    """Selected by the exposure type; the aperture is a JSON file."""
    (path,) = series_folder.glob("uncal/*.fits")
    header = open_metadata(path).to_flat_dict()
    plain = {n: v for n, v in header.items() if isinstance(v, str | int | float | bool)}
    ((found,), _) = ask(series_folder, [plain], [*PRISM, "apcorr", "photom"])

    assert all(Path(name).is_file() for name in found.values())
    assert (
        "MIR_LRS-SLITLESS" == json.loads(Path(found["extract1d"]).read_text())["apertures"][0]["id"]
    )
    with models.open(found["photom"]) as photom:
        assert "MirLrsPhotomModel" == type(photom).__name__


@pytest.mark.parametrize(
    ("mode", "lacking"),
    [
        ("fs", {"msaoper", "barshadow", "ifuslicer", "ifupost", "ifufore"}),
        ("bots", {"msaoper", "barshadow", "ifuslicer", "ifupost", "ifufore"}),
        ("mos", {"ifuslicer", "ifupost", "ifufore"}),
    ],
)
def test_spectra_of_nirspec_have_all_that_they_need(
    nirspec_folder: Any, mode: str, lacking: set[str]
) -> None:
    """Optics, flats, what passes slits, and how to extract; others are N/A."""
    folder = nirspec_folder(mode)
    (path,) = folder.glob("uncal/*_uncal.fits")
    header = open_metadata(path).to_flat_dict()
    plain = {n: v for n, v in header.items() if isinstance(v, str | int | float | bool)}
    types = [*nirspec.MAKERS, "sflat", "dflat"]
    ((found,), _) = ask(folder, [plain], types)

    assert lacking == {name for name in types if "n/a" in found[name].lower()}
    assert all(Path(found[name]).is_file() for name in types if name not in lacking)


def test_types_that_the_demo_lacks_are_not_applicable(answers: Answers) -> None:
    for found in answers[0]:
        assert ["NOT FOUND n/a"] * len(NEVER) == [found[reftype] for reftype in NEVER]


def test_references_fit_the_exposure_they_are_selected_for(
    headers: list[Header], answers: Answers
) -> None:
    """Instrument, detector and type agree; dark and reset have exactly the exposure's subarray."""
    for header, found in zip(headers, answers[0], strict=True):
        for reftype in REFERENCE_TYPES:
            if "NOT FOUND" in found[reftype]:
                continue
            reference = open_metadata(found[reftype]).to_flat_dict()
            assert reftype.upper() == reference["meta.reftype"]
            for name in ("name", "detector"):
                key = f"meta.instrument.{name}"
                assert header[key] == reference[key]
            if reftype in {"dark", "reset"}:
                for name in ("xstart", "ystart", "xsize", "ysize"):
                    key = f"meta.subarray.{name}"
                    assert header[key] == reference[key]


def test_a_read_only_cache_is_enough(
    demo_folder: Path, headers: list[Header], answers: Answers
) -> None:
    found = ask(demo_folder, headers[:1], ["dark"], CRDS_READONLY_CACHE="1")
    assert answers[0][0]["dark"] == found[0][0]["dark"]


def test_mappings_carry_their_checksum(demo_folder: Path, answers: Answers) -> None:
    """CRDS's rule: the SHA-1 of the text without the line that holds it."""
    folder = demo_folder / "crds" / "mappings" / "jwst"
    names = answers[1]

    assert {path.name for path in folder.iterdir()} == set(names)
    for name in names:
        lines = (folder / name).read_text().splitlines(keepends=True)
        text = "".join(line for line in lines if "sha1sum" not in line)
        (held,) = (line for line in lines if "sha1sum" in line)
        assert repr(hashlib.sha1(text.encode()).hexdigest()) in held  # noqa: S324 - as CRDS does


def test_the_cache_is_small(demo_folder: Path) -> None:
    size = sum(path.stat().st_size for path in (demo_folder / "crds").rglob("*") if path.is_file())
    assert size < 10_000_000
