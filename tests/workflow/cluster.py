"""A real Slurm on this machine's loopback interface: Debian's packages, one node, no root's files."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Unavailable", "slurm"]

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
_PATH = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
# Memory is polled and what takes more than it asked for is killed: no control groups are needed.
_CONFIGURATION = """
ClusterName=box
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/store
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=5
MpiDefault=none
ReturnToService=2
MinJobAge=300
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):  # noqa: N818 - no error of a program: a test is skipped
    """Why there can be no Slurm here."""


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster whose files all lie in `folder`; yields the environment that finds it."""
    missing = [p for p in _PROGRAMS if shutil.which(p, path=_PATH) is None]
    if missing:
        raise Unavailable(f"no {', '.join(missing)}: apt-get install slurm-wlm munge")
    configuration = _configure(folder)
    path = f"{_shim(folder, configuration)}:{_PATH}"
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)}
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in _commands(folder):
            daemons.append(_start(command, folder, environment))  # noqa: PERF401 - stopped below, also when the next fails
        _wait_until_idle(environment, folder)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def _configure(folder: Path) -> Path:
    for name in ("state", "store"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    controller, node = _free_ports(2)
    text = _CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        user=getpass.getuser(),
        controller=controller,
        node=node,
        cpus=min(2, os.cpu_count() or 1),
    )
    path = folder / "slurm.conf"
    path.write_text(text)
    return path


def _shim(folder: Path, configuration: Path) -> Path:
    """A folder with an `srun` that finds this cluster: the plugin clears SLURM_CONF in its jobs."""
    program = folder / "bin/srun"
    program.parent.mkdir()
    own = shutil.which("srun", path=_PATH)
    program.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {own} "$@"\n')
    program.chmod(0o755)
    return program.parent


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _commands(folder: Path) -> Iterator[list[str]]:
    yield [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={folder}/munge.key",
        f"--socket={folder}/munge.socket",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munge.seed",
    ]
    yield ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"]
    yield ["slurmd", "-D", "-f", f"{folder}/slurm.conf"]


def _start(
    command: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    program = shutil.which(command[0], path=_PATH) or command[0]
    with (folder / f"{command[0]}.out").open("wb") as output:
        daemon = subprocess.Popen(
            [program, *command[1:]], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    time.sleep(1)
    if daemon.poll() is not None:
        raise Unavailable(f"{command[0]} does not start: {_last_words(folder, command[0])}")
    return daemon


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    for _ in range(30):
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == "idle":
            return
        time.sleep(1)
    raise Unavailable(f"no node is idle after 30 s: {_last_words(folder, 'slurmd')}")


def _last_words(folder: Path, name: str) -> str:
    text = "".join(path.read_text() for path in folder.glob(f"{name}.[lo]*"))
    return text.strip().rpartition("\n")[2] or "it says nothing"
