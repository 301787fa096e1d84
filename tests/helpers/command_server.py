"""Commands without the second that their imports take: a process that has them forks.

As a script this is that process: it reads requests, one line of JSON each, and answers each with the
exit status of a child that was the command.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

__all__ = ["CommandServer"]

BIN = Path(sys.executable).parent
TASKS = Path("/proc/self/task")
# What commands import when they need it; but for the client of CRDS, which sets variables meanwhile.
OURS = [
    *(f"stpipe.pipelines.{name}" for name in ("detector1", "image2", "image3", "spec2")),
    *("stpipe.project.init", "stpipe.project.snakemake", "stpipe.references.crds"),
    *(
        "stpipe.models.io.fits_writer",
        "stpipe.models.io.fits_reader",
        "stpipe.models.io.asdf_reader",
    ),
]
LATER = {
    # It imports its plugins when it reads its arguments, and we `jsonschema` when we plan.
    "snakemake": [
        *("jsonschema", "jinja2", "snakemake.report", "snakemake.dag", "snakemake.parser", *OURS),
        *(m.name for m in pkgutil.iter_modules() if re.match(r"snakemake_\w+_plugin_", m.name)),
    ],
    "stflow": OURS,
    "strun": ["asdf", "astropy.table", "astropy.time", "astropy.io.ascii", "requests", *OURS],
}


class CommandServer:
    """Runs commands as `subprocess.run` does: in the environment of the moment, output captured.

    Its own command line names them, so that whoever looks for their processes finds its children.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._names = names
        self._output, self._errors = folder / "stdout", folder / "stderr"
        self._interpreter = _interpreter()
        self._process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        """No more requests."""
        if self._process is not None:
            self._process.communicate()

    def can_run(self, words: Sequence[str]) -> bool:
        """Whether it is one of these, and a new interpreter would start as the server's did."""
        return words[0] in self._names and _interpreter() == self._interpreter

    def run(self, words: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """The command with these arguments in this folder."""
        request = {
            "argv": [str(BIN / words[0]), *words[1:]],
            "cwd": str(cwd),
            "env": dict(os.environ),
            "output": [str(self._output), str(self._errors)],
        }
        status = self._ask(json.dumps(request))
        output, errors = self._output.read_text(), self._errors.read_text()
        return subprocess.CompletedProcess(list(words), status, output, errors)

    def _ask(self, request: str) -> int:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, *self._names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # No thread of a library may be there when it forks.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _interpreter() -> dict[str, str]:
    """What an interpreter heeds when it starts."""
    return {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}


def _become(request: dict[str, Any]) -> None:
    """Be a process that was started like this."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[:] = request["argv"]
    read, write = os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for target, path in enumerate([os.devnull, *request["output"]]):
        opened = os.open(path, write if target else read)
        os.dup2(opened, target)
        os.close(opened)


def _serve(names: Sequence[str]) -> None:
    sys.path[0] = str(BIN)  # as for the commands, and not where the helpers of tests are
    scripts = entry_points(group="console_scripts")
    mains = {name: scripts[name].load() for name in names}
    for module in (module for name in names for module in LATER[name]):
        importlib.import_module(module)
    assert 1 == len([*TASKS.iterdir()]), "what another thread holds, a child never gets"
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            request = json.loads(line)
            _become(request)
            sys.exit(mains[Path(request["argv"][0]).name]())
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1:])
