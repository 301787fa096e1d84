"""Where the metafile of the shutters is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from stpipe.core.context import Context
from stpipe.errors import InputError
from stpipe.references.metafile import METAFILE, select_metafile
from stpipe.references.selection import FixedResolver, override

META = {"meta.filename": "x_rate.fits", "meta.instrument.msa_metadata_file": "../x_msa.fits"}


@pytest.fixture
def metafile(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data/x_msa.fits"
    path.write_bytes(b"SIMPLE")
    return path


def test_it_is_beside_the_exposure_as_it_came(metafile: Path, tmp_path: Path) -> None:
    """By its name alone; not beside a product of the exposure."""
    raw, product = metafile.parent / "x_uncal.fits", tmp_path / "cal/x_rate.fits"

    assert metafile == select_metafile(None, Context(source=raw), META).path
    assert metafile == select_metafile(None, Context(source=product, origin=raw), META).path
    with pytest.raises(
        InputError, match=r"there is no file .*cal/x_msa.fits, which MSAMETFL names"
    ):
        select_metafile(None, Context(source=product), META)


def test_the_user_and_the_plan_go_first(metafile: Path) -> None:
    """An override counts before what a plan has found, and that before the header."""
    planned = override(METAFILE, str(metafile))
    resolver = FixedResolver({METAFILE: planned})

    assert planned == select_metafile(None, Context(resolver=resolver), META)
    given = select_metafile(str(metafile), Context(resolver=resolver), META)
    assert (metafile, "override") == (given.path, given.origin)
    with pytest.raises(InputError, match="MSAMETFL is not set"):
        select_metafile(None, Context(source=metafile), {})
