"""A SLURM of one node in a folder, started by a test: its daemons as root, without systemd and cgroups."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sweep.watching import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
STARTS_WITHIN = 1500  # looks of about 1/50 s
_CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=60 State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Run a SLURM that this process and its children find; skips the test, with the reason, where there can be none."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs SLURM: {', '.join(missing)} not found")
    if os.getuid() != 0:
        pytest.skip("needs root to start a SLURM of its own")
    for name in ("controller", "node", "munge"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    text = _CONFIGURATION.format(host=socket.gethostname().partition(".")[0], folder=folder, ports=_free_ports(2))
    # More cores than there are: jobs that wait for one another would be another test.
    configuration.write_text(text + "SlurmdParameters=config_overrides\n")
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    for path, mode in (("munge", 0o711), ("munge/key", 0o600)):
        (folder / path).chmod(mode)
    commands = [
        ["munged", "--force", "--foreground", *_munge_files(folder / "munge")],
        ["slurmctld", "-D", "-i", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration)],
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    with pytest.MonkeyPatch.context() as patch, (folder / "daemons.log").open("wb") as log:
        patch.setenv("SLURM_CONF", str(configuration))
        for name in [name for name in os.environ if name.startswith(("SLURM_J", "SLURM_STEP", "SBATCH_"))]:
            patch.delenv(name)
        try:
            for command in commands:
                daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
                if command[0] == "munged":
                    until((folder / "munge" / "socket").exists, polls=STARTS_WITHIN)
            until(lambda: said(["sinfo", "--noheader", "--format=%T"]) == "idle", polls=STARTS_WITHIN)
        except AssertionError:
            tail = " ".join((folder / "daemons.log").read_text(errors="replace").split())[-300:]
            _end(daemons)
            pytest.skip(f"SLURM does not start here: {tail}")
        try:
            yield
        finally:
            subprocess.run(["scancel", "--signal=KILL", "--full", f"--user={os.getuid()}"], check=False)
            subprocess.run(["scancel", f"--user={os.getuid()}"], check=False)
            _end(daemons)


def said(words: Sequence[str]) -> str:
    """What a program of SLURM prints; empty where it fails."""
    return subprocess.run(list(words), capture_output=True, text=True, check=False).stdout.strip()


def state_of(job: str) -> str:
    """SLURM's word for the state of a job."""
    return said(["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T"])


def _munge_files(folder: Path) -> list[str]:
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [f"--{option}={folder / name}" for option, name in names.items()]


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _end(daemons: list[subprocess.Popen[bytes]]) -> None:
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in daemons:
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
