"""Exposures that lie on a server: fetched as the documentation says, then calibrated."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PAGE = Path(__file__).parents[2] / "docs/clusters.md"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests have nothing to say about each request."""


@pytest.fixture
def archive(exposures: list[Path], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a server with two exposures."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for path in exposures[:2]:
        shutil.copy2(path, folder)
        os.utime(folder / path.name, (1e9, 1e9))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("crds")
def test_exposures_are_fetched_planned_and_fetched_again(
    run: Run, archive: tuple[str, Path], tmp_path: Path
) -> None:
    """The workflow of the documentation; a newer file in the archive remakes its products alone."""
    pytest.importorskip("snakemake_storage_plugin_http")
    address, folder = archive
    (block,) = re.findall(r"```python\n(# fetch\.smk.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "fetch.smk").write_text(block)
    names = [path.name.removesuffix("_uncal.fits") for path in sorted(folder.iterdir())]
    words = ["--config", f"archive={address}", f"names={','.join(names)}"]
    fetch = ["snakemake", "--snakefile", "fetch.smk", "--cores", "2", *words]

    run(*fetch, cwd=tmp_path)
    for name in names:
        path = f"{name}_uncal.fits"
        assert (folder / path).read_bytes() == (tmp_path / "uncal" / path).read_bytes()
    fetched = sorted(tmp_path.glob("uncal/*_uncal.fits"))
    run("stflow", "init", "project", "--pipeline=calwebb_detector1", *fetched, cwd=tmp_path)
    run("snakemake", "--cores", "2", "cal", cwd=tmp_path / "project")
    assert "Nothing to be done" in run(*fetch, cwd=tmp_path).stderr

    newer = time.time() + 5
    shutil.copyfile(folder / f"{names[0]}_uncal.fits", folder / f"{names[1]}_uncal.fits")
    os.utime(folder / f"{names[1]}_uncal.fits", (newer, newer))
    assert f"name={names[1]}" in run(*fetch, cwd=tmp_path).stderr
    planned = run("snakemake", "-n", "cal", cwd=tmp_path / "project").stdout
    assert f"root={names[1]}" in planned
    assert f"root={names[0]}" not in planned
