"""File names: `<root>_<suffix>.<extension>` and back. The only place that builds or reads one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stpipe.errors import ParameterError
from stpipe.registry import STEPS

__all__ = [
    "ANY_MODEL",
    "EXTENSIONS",
    "LONGEST",
    "ONLY_READ",
    "PRODUCT_SUFFIXES",
    "TABLES",
    "Name",
    "located",
    "of_part",
    "output_path",
    "split",
    "writable",
]

ANY_MODEL = (".fits.gz", ".fits", ".asdf")
LONGEST = 255  # bytes of a name
TABLES = (".ecsv",)  # hold a model that is one table
EXTENSIONS = (*ANY_MODEL, *TABLES)
ONLY_READ = (
    ".fits.fz",
    ".fits.bz2",
    ".fits.xz",
)  # compressed by others; products are written plainly

PRODUCT_SUFFIXES = frozenset(
    """uncal ramp rate rateints fitopt likely_chisq cal calints crf crfints bsub bsubints dark o1d
    i2d s2d s3d slit x1d x1dints c1d cat segm whtlt phot psfstack psfalign psfsub ami amiavg
    aminorm interpolatedflat mbsub masterbg1d masterbg2d""".split()  # noqa: SIM905 - forty quoted words would hide the list
)


_SOURCE = re.compile(r"[sbv]\d{9}")  # the number of a source, which an association places in a name
PLACES = ("{source_id}", "{slit_name}")  # in names of associations, of what tells sources apart


@dataclass(frozen=True)
class Name:
    """The parts of a product's file name; `suffix` is empty when none is known."""

    root: str
    suffix: str
    extension: str

    def with_suffix(self, suffix: str, extension: str = ".fits") -> str:
        """The name of the same exposure's product `suffix`."""
        return f"{self.root}_{suffix}{extension}"


def split(path: str | Path, also: frozenset[str] = frozenset()) -> Name:
    """Take a file name apart.

    Only suffixes of registered steps, of standard products and those in `also` are taken off, and
    only after an underscore: `a-cat.fits` keeps its `cat`.
    """
    name = Path(path).name
    extension = next((e for e in (*EXTENSIONS, *ONLY_READ) if name.lower().endswith(e)), "")
    stem = name[: len(name) - len(extension)] if extension else name
    # Underscores occur in suffixes too (dark_current): try the longest first.
    for known in sorted((*STEPS, *PRODUCT_SUFFIXES, *also), key=len, reverse=True):
        if stem.endswith(f"_{known}") and len(stem) > len(known) + 1:
            return Name(stem[: -len(known) - 1], known, extension)
    return Name(stem, "", extension)


def writable(name: str) -> str:
    """The name that a copy of a file can have: what is only read is written as plain FITS."""
    ending = next((e for e in ONLY_READ if name.lower().endswith(e)), "")
    return f"{name[: len(name) - len(ending)]}.fits" if ending else name


def located(path: str | Path) -> Path:
    """The absolute path of a file under the name that was given, also where that is a link.

    Stores such as git-annex and DVC keep files under names of their own and link to them.
    """
    path = Path(path)
    return path.parent.resolve() / path.name if path.name != ".." else path.resolve()


def of_part(root: str, label: str) -> str:
    """The root name of a part of an exposure; nothing is added to one that is of that part already.

    An association may say where the label goes: `jw01234_{source_id}_nirspec-{slit_name}`. A label such
    as `s000000001-s200a1` has what goes into both places; what is made of all has neither.
    """
    number, _, slits = label.partition("-")
    if not any(place in root for place in PLACES):
        placed = _SOURCE.fullmatch(number) and f"_{number}_" in root
        there = not label or root.endswith(f"_{label}") or placed
        return root if there else f"{root}_{label}"
    if not label:
        return re.sub(rf"[-_]?({'|'.join(map(re.escape, PLACES))})", "", root)
    found = root if PLACES[0] in root else f"{root}_{number}"
    return found.replace(PLACES[0], number).replace(PLACES[1], slits or number)


def output_path(
    source: str | Path,
    suffix: str,
    *,
    extension: str = ".fits",
    output_dir: str | Path | None = None,
    output_file: str | Path | None = None,
    beside: str | None = None,
) -> Path:
    """Where the product `suffix` of `source` goes, whose model is usually kept as `extension`.

    `output_file` is taken to the letter for the first product; any other, `beside` the suffix of the
    first, gets its root and its own suffix. Without `output_dir` the product goes to the current
    directory.
    """
    folder = Path(output_dir) if output_dir is not None else Path()
    if output_file is None:
        return folder / split(source, frozenset({suffix})).with_suffix(suffix, extension)
    exact = folder / output_file
    if beside is None:
        _check_exact(exact.name, EXTENSIONS if extension in TABLES else ANY_MODEL)
        return exact
    name = split(exact, frozenset({suffix, beside}))
    if extension in ANY_MODEL and name.extension in ANY_MODEL:
        extension = name.extension
    return exact.with_name(name.with_suffix(suffix, extension))


def _check_exact(name: str, allowed: tuple[str, ...]) -> None:
    if not name.endswith(allowed):
        raise ParameterError(
            f'output_file: found "{name}", allowed: a name that ends in {", ".join(allowed)}.'
        )
