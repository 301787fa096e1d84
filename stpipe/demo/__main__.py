"""`python -m stpipe.demo DIR`: write simulated exposures, their truth and their CRDS cache."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from stpipe.demo.observation import (
    DEMO,
    DITHERS,
    FULL_FRAMES,
    MIRI_MRS,
    NIRSPEC_BOTS,
    NIRSPEC_FS,
    NIRSPEC_IFU,
    NIRSPEC_MOS,
    SPECTRA,
)
from stpipe.demo.project import write_demo
from stpipe.system.text import counted

__all__ = ["MODES", "main"]

MODES = {
    "instruments": DEMO,
    "full": FULL_FRAMES,
    "dithers": DITHERS,
    "spectra": SPECTRA,
    "nirspec-fs": NIRSPEC_FS,
    "nirspec-mos": NIRSPEC_MOS,
    "nirspec-bots": NIRSPEC_BOTS,
    "nirspec-ifu": NIRSPEC_IFU,
    "miri-mrs": MIRI_MRS,
}


def main(arguments: list[str] | None = None) -> int:
    """Bring a demo folder up to date and say what was written; returns the exit code."""
    options = _parser().parse_args(arguments)
    paths = write_demo(options.folder, MODES[options.mode])
    # By the part of the demo that a file belongs to: uncal, truth, asn or crds.
    written = Counter(path.relative_to(options.folder).parts[0] for path in paths)
    for kind, count in written.items():
        print(f"wrote {counted(count, 'file')} in {options.folder / kind}")
    if not written:
        print(f"Nothing to do: everything in {options.folder} is there and unchanged.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stpipe.demo", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="gets uncal/, truth/ and crds/; set CRDS_PATH=DIR/crds",
    )
    parser.add_argument(
        "--mode",
        choices=tuple(MODES),
        default="instruments",
        help="what to simulate: small exposures of four instruments; one full-frame exposure each of "
        "NIRCam and MIRI (1.5 GB); four exposures of a field of known stars, and an association for "
        "a mosaic; the spectrum of a known star through MIRI's prism, with and without slit; spectra "
        "of NIRSpec: fixed slits, shutters, a time series, or an integral field (0.5 GB); "
        "and four exposures of MIRI's medium-resolution spectrometer (0.3 GB)",
    )
    for short in ("full", "dithers", "spectra"):
        parser.add_argument(
            f"--{short}", dest="mode", action="store_const", const=short, help=f"--mode={short}"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
