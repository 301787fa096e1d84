"""The package stays clear of slow packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stpipe import models


def test_importing_models_imports_nothing_heavy() -> None:
    """`import stpipe.models` and opening a FITS file stay clear of slow packages."""
    heavy = ["astropy", "asdf", "jsonschema", "yaml", "crds", "scipy"]
    code = f"import sys, stpipe.models; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_fits_files_need_neither_astropy_nor_asdf(image: models.ImageModel, tmp_path: Path) -> None:
    """Reading and writing FITS, rich trees included, imports neither package."""
    path = image.save(tmp_path / "x.fits")
    code = (
        "import sys; from stpipe import models; m = models.open(sys.argv[1]); m.data; "
        "m.meta.exposure.nints = 1; m.save(sys.argv[1]); "
        "print([n for n in ('astropy', 'asdf', 'jsonschema') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
