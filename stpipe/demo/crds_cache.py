"""A CRDS cache for the demo: the rules and reference files that the stock `crds` client reads.

`CRDS_PATH=<folder>` is all that the client needs; no server is asked. The layout is the client's::

    config/jwst/                   server_config and two small files the client looks for
    mappings/jwst/                 jwst_0001.pmap, which names
                                   jwst_<instrument>_0001.imap, which name
                                   jwst_<instrument>_<type>_0001.rmap, which name
    references/jwst/<instrument>/  jwst_<instrument>_<type>_<number>.fits
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stpipe.demo.mrs.files import ASDF, OWN
from stpipe.demo.mrs.scene import Dither
from stpipe.demo.nirspec.files import OPTICS
from stpipe.demo.observation import Observation
from stpipe.demo.reference_files import REFERENCE_TYPES, USEAFTER, Setup, make_reference, setups

__all__ = ["CONTEXT", "write_crds_cache"]

CONTEXT: Final = "jwst_0001.pmap"

_DETECTOR: Final = "META.INSTRUMENT.DETECTOR"
_SUBARRAY: Final = "META.SUBARRAY.NAME"
_READPATT: Final = "META.EXPOSURE.READPATT"
_EXP_TYPE: Final = "META.EXPOSURE.TYPE"
_WHEN: Final = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")

_PARKEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "mask": (_DETECTOR, _SUBARRAY),
    "saturation": (_DETECTOR, _SUBARRAY),
    "superbias": (_DETECTOR, _READPATT, _SUBARRAY),
    "reset": (_DETECTOR, _READPATT, _SUBARRAY),
    "rscd": (_DETECTOR,),
    "ipc": (_DETECTOR,),
    "linearity": (_DETECTOR, _SUBARRAY),
    "dark": (_DETECTOR, _READPATT, _SUBARRAY),
    "gain": (_DETECTOR, _SUBARRAY),
    "readnoise": (_DETECTOR, _READPATT, _SUBARRAY),
    "distortion": (_DETECTOR,),
    "filteroffset": (_DETECTOR,),
    "flat": (_DETECTOR, _SUBARRAY),
    "photom": (_DETECTOR, _EXP_TYPE),
    "specwcs": (_EXP_TYPE,),
    "apcorr": (_EXP_TYPE,),
    "extract1d": (_EXP_TYPE,),
    **dict.fromkeys((*OPTICS, *OWN), (_EXP_TYPE,)),
    **dict.fromkeys(
        ("msaoper", "wavecorr", "fflat", "pathloss", "barshadow", "area"), (_EXP_TYPE,)
    ),
    **dict.fromkeys(("sflat", "dflat"), (_DETECTOR, _SUBARRAY)),
}
"""What decides about a reference file of each type."""

_EXTENSIONS: Final = {
    **dict.fromkeys(("distortion", "filteroffset", "wavecorr", *OPTICS), "asdf"),
    "extract1d": "json",
    "msaoper": "json",
}

_ABSENT: Final = (
    *("abvegaoffset", "bkg", "chromcorr", "emicorr", "fringefreq"),
    *("mrsptcorr", "psf", "speckernel", "specprofile", "straymask"),
    *("pastasoss", "persat", "pictureframe", "refpix", "sirskernel"),
    *("trapdensity", "trappars", "wfssbkg"),
    *("pars-assignwcsstep", "pars-backgroundstep", "pars-extract1dstep", "pars-flatfieldstep"),
    *("pars-image3pipeline", "pars-outlierdetectionstep", "pars-photomstep", "pars-resamplestep"),
    *("pars-skymatchstep", "pars-sourcecatalogstep", "pars-spec2pipeline", "pars-srctypestep"),
    *("pars-tweakregstep", "pars-extract2dstep"),
    *("pars-chargemigrationstep", "pars-cleanflickernoisestep", "pars-darkcurrentstep"),
    *("pars-darkpipeline", "pars-detector1pipeline", "pars-dqinitstep", "pars-emicorrstep"),
    *("pars-firstframestep", "pars-gainscalestep", "pars-groupscalestep", "pars-image2pipeline"),
    *("pars-ipcstep", "pars-jumpstep", "pars-lastframestep", "pars-linearitystep"),
    *("pars-persistencestep", "pars-pictureframestep", "pars-rampfitstep", "pars-refpixstep"),
    *("pars-resetstep", "pars-rscdstep", "pars-saturationstep", "pars-superbiasstep"),
)
"""Types that the client may be asked for and that the demo does not have."""

_CONFIG: Final = {
    "bad_files": "",
    "bad_files_list": [],
    "connected": False,
    "edit_context": CONTEXT,
    "effective_context": CONTEXT,
    "force_remote_mode": False,
    "last_synced": "2024-01-01 00:00:00",
    "mapping_url": {"jwst": ""},
    "observatory": "jwst",
    "operational_context": CONTEXT,
    "reference_url": {"jwst": ""},
    "server": "none",
    "status": "cache",
}


@dataclass(frozen=True)
class _Rule:
    """A reference file and the values of the parkeys that select it."""

    values: tuple[str, ...]
    file: str


def write_crds_cache(folder: Path, observations: Iterable[Observation]) -> Iterator[Path]:
    """Write the cache for a set of exposures; yields each path once it is complete.

    References come first and `config` last, so that an interrupted cache does not look usable.
    """
    instruments: dict[str, list[Setup]] = {}
    for setup in setups(observations):
        instruments.setdefault(setup.detector.instrument, []).append(setup)
    for instrument, needed in instruments.items():
        yield from _write_instrument(folder, instrument, needed)
    imaps = {name: f"jwst_{name.lower()}_0001.imap" for name in instruments}
    header = {"mapping": "PIPELINE", "name": CONTEXT, "parkey": ("META.INSTRUMENT.NAME",)}
    yield _write_mapping(folder, CONTEXT, _mapping(header, _dictionary(imaps)))
    yield from _write_config(folder / "config" / "jwst")


def _write_instrument(folder: Path, instrument: str, needed: list[Setup]) -> Iterator[Path]:
    rmaps = dict.fromkeys((name.upper() for name in _ABSENT), "N/A")
    for reftype in REFERENCE_TYPES:
        rules: list[_Rule] = []
        for setup in needed:
            stem = f"jwst_{instrument.lower()}_{reftype}_{len(rules) + 1:04d}"
            name = f"{stem}.{_extension(reftype, setup)}"
            path = folder / "references" / "jwst" / instrument.lower() / name
            rule = _Rule(_values(reftype, setup), name)
            if rule.values in {known.values for known in rules}:
                continue
            reference = make_reference(reftype, setup)
            if reference is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                yield reference.save(path)
                rules.append(rule)
        rmaps[reftype.upper()] = "N/A"
        if rules:
            name = f"jwst_{instrument.lower()}_{reftype}_0001.rmap"
            yield _write_mapping(folder, name, _rmap(name, instrument, reftype, rules))
            rmaps[reftype.upper()] = name
    name = f"jwst_{instrument.lower()}_0001.imap"
    yield _write_mapping(folder, name, _imap(name, instrument, rmaps))


def _extension(reftype: str, setup: Setup) -> str:
    if isinstance(setup.spectrum, Dither) and reftype in ASDF:
        return "asdf"
    return _EXTENSIONS.get(reftype, "fits")


def _values(reftype: str, setup: Setup) -> tuple[str, ...]:
    patterns = "|".join(pattern.name for pattern in setup.detector.patterns)
    known = {
        _DETECTOR: setup.detector.name,
        _SUBARRAY: setup.subarray.name,
        _READPATT: patterns,
        _EXP_TYPE: setup.exposure_type,
    }
    return tuple(known[parkey] for parkey in _PARKEYS[reftype])


def _imap(name: str, instrument: str, rmaps: Mapping[str, str]) -> str:
    header = {
        "instrument": instrument,
        "mapping": "INSTRUMENT",
        "name": name,
        "parkey": ("REFTYPE",),
    }
    return _mapping(header, _dictionary(rmaps))


def _rmap(name: str, instrument: str, reftype: str, rules: Iterable[_Rule]) -> str:
    header = {
        "classes": ("Match", "UseAfter"),
        "filekind": reftype.upper(),
        "instrument": instrument,
        "mapping": "REFERENCE",
        "name": name,
        "parkey": (_PARKEYS[reftype], _WHEN),
    }
    since = USEAFTER.replace("T", " ")
    lines = [
        f"    {rule.values!r} : UseAfter({{\n        {since!r} : {rule.file!r},\n    }}),\n"
        for rule in sorted(rules, key=lambda rule: rule.values)
    ]
    return _mapping(header, f"Match({{\n{''.join(lines)}}})")


def _mapping(header: Mapping[str, Any], selector: str) -> str:
    """Text of a mapping; its checksum is that of the text without the line that holds it."""
    fields = {**header, "derived_from": "generated by the stpipe-flow demo", "observatory": "JWST"}
    head = f"header = {_dictionary(fields)}"
    text = f"{head}\n\nselector = {selector}\n"
    checksum = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - what CRDS uses
    return text.replace("}\n", f"    'sha1sum' : {checksum!r},\n}}\n", 1)


def _dictionary(values: Mapping[str, Any]) -> str:
    lines = [f"    {key!r} : {values[key]!r},\n" for key in sorted(values)]
    return f"{{\n{''.join(lines)}}}"


def _write_mapping(folder: Path, name: str, text: str) -> Path:
    return _write_text(folder / "mappings" / "jwst" / name, text)


def _write_config(folder: Path) -> Iterator[Path]:
    yield _write_text(folder / "bad_files.txt", "")
    yield _write_text(folder / "ref_cache_subdir_mode", "instrument\n")
    yield _write_text(folder / "server_config", f"{_CONFIG!r}\n")


def _write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
    return path
