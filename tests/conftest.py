"""The demo's exposures and reference cache, made once for all tests; commands run as a user would."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_server import CommandServer

from stpipe.demo import write_demo
from stpipe.demo.__main__ import MODES
from stpipe.demo.observation import SPECTRA

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Once = Callable[[str, Callable[[Path], object]], Path]
BIN = Path(sys.executable).parent
# As in an activated environment: `python` and our commands are those that run the tests.
os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
# Where bytecode is forbidden, hundreds of processes compile our modules: half of what a job takes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Nothing that tests find out is kept for the user, or comes from him.
os.environ["STPIPE_MEMORY"] = tempfile.mkdtemp(prefix="stpipe-memory-")
atexit.register(shutil.rmtree, os.environ["STPIPE_MEMORY"], ignore_errors=True)

# Long ones first: no worker has one to itself at the end.
LONG = ("workflow", "peer", "science")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the folders of tests; within each the order stays."""
    here = Path(__file__).parent
    folders = {item: item.path.relative_to(here).parts[0] for item in items}
    items.sort(key=lambda item: (*LONG, folders[item]).index(folders[item]))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """`once(name, make)`: a folder that the first worker to ask makes and all others read."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        path, complete = shared / name, shared / f"{name}.complete"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                path.mkdir()
                make(path)
                complete.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def demo_folder(once: Once) -> Path:
    """A complete demo folder: uncal/, truth/, crds/."""
    return once("demo", lambda folder: list(write_demo(folder)))


@pytest.fixture(scope="session")
def series_folder(once: Once) -> Path:
    """A demo folder of spectra of a time series, without a slit."""
    return once("series", lambda folder: list(write_demo(folder, SPECTRA[:1])))


@pytest.fixture(scope="session")
def spectra_folder(once: Once) -> Path:
    """A demo folder of spectra with and without a slit; one exposure is of the whole detector."""
    return once("spectra", lambda folder: list(write_demo(folder, SPECTRA)))


@pytest.fixture(scope="session")
def nirspec_folder(once: Once) -> Callable[[str], Path]:
    """Demo folders of NIRSpec's spectra, by mode: fs, mos, bots."""
    return lambda mode: once(
        f"nirspec-{mode}", lambda folder: list(write_demo(folder, MODES[f"nirspec-{mode}"]))
    )


@pytest.fixture(scope="session")
def mrs_folder(once: Once) -> Path:
    """The demo folder of MIRI's medium-resolution spectrometer."""
    return once("miri-mrs", lambda folder: list(write_demo(folder, MODES["miri-mrs"])))


@pytest.fixture(scope="session")
def exposures(demo_folder: Path) -> list[Path]:
    """Exposures of four instruments."""
    return sorted(demo_folder.glob("uncal/*_uncal.fits"))


@pytest.fixture
def crds(demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's reference cache, in force for this process and its children."""
    for name in ("CRDS_SERVER_URL", "CRDS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CRDS_PATH", str(demo_folder / "crds"))
    monkeypatch.setenv("CRDS_READONLY_CACHE", "1")
    return demo_folder / "crds"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run("strun", "jump", path, cwd=folder)`: a command as a user runs it, output captured."""
    folder = tmp_path_factory.mktemp("commands")
    servers = [CommandServer(names, folder) for names in (["snakemake"], ["stflow", "strun"])]

    def command(*given: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in given]
        server = next((server for server in servers if server.can_run(words)), None)
        if server:
            done = server.run(words, cwd)
        else:
            done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
        assert code == done.returncode, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    yield command
    for server in servers:
        server.close()
