"""What is said of which machine? Each row is a machine, and what somebody who knows the trade would say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightning_cv.doctor.checks import CHECKS, examine
from lightning_cv.doctor.facts import Cores, Facts, Folder, Limits, Memory, Package, Torch, TorchDevice, Wandb
from lightning_cv.doctor.finding import Status, worst
from tests.doctor.machines import (
    A100,
    BUILT_FOR,
    GIB,
    LAPTOP,
    MIB,
    gpu_node,
    with_card,
    with_driver,
    with_runs,
    with_torch,
)

NODE = gpu_node(8)
V100 = TorchDevice(name="Tesla V100", memory=32 * GIB, capability=(7, 0))


def environ(facts: Facts, **variables: str) -> Facts:
    return replace(facts, environ=variables)


def packages(facts: Facts, *changed: Package) -> Facts:
    return replace(facts, software=replace(facts.software, packages=changed))


TORCH = Package("torch", ">=2.11", "2.15.0", True)
# machine, check, status, what is said of it, how it is mended
ROWS = {
    "an old Python": (
        replace(LAPTOP, software=replace(LAPTOP.software, python="3.10.2", python_fits=False)),
        ("Python", "broken", "3.10.2 (wanted: >=3.11)", "Python >=3.11"),
    ),
    "a checkout that is not installed": (packages(LAPTOP), ("packages", "warning", "not installed", "pip install .")),
    "an old package": (
        packages(LAPTOP, TORCH, Package("wandb", ">=0.31", "0.20", False)),
        ("packages", "broken", "wandb>=0.31 is wanted, 0.20 is installed", "pip install 'wandb>=0.31'"),
    ),
    "a package that is missing": (
        packages(LAPTOP, TORCH, Package("timm", ">=1", None, False)),
        ("packages", "broken", "timm>=1 is wanted, it is not installed", "pip install 'timm>=1'"),
    ),
    "packages that do not fit one another": (
        packages(LAPTOP, TORCH, Package("triton", "~=3.9", None, False, "torch")),
        ("packages", "warning", "triton~=3.9 is wanted, it is not installed (torch asks for it)", "--upgrade torch"),
    ),
    "torch that does not import": (
        replace(LAPTOP, torch=Torch(problem="ImportError: libcudart.so.13", problem_at="torch")),
        ("torch", "broken", "it does not import: ImportError: libcudart.so.13", "--force-reinstall torch torchvision"),
    ),
    "torch on a slow file system": (
        replace(LAPTOP, torch=Torch(problem="no answer within 120 s", problem_at="torch")),
        ("torch", "broken", "no answer within 120 s", "--timeout"),
    ),
    "torchvision of another build": (
        packages(
            with_torch(LAPTOP, torchvision=None, torchvision_problem="operator torchvision::nms does not exist"),
            TORCH,
            Package("torch", "==2.13.0", "2.15.0", False, "torchvision"),
        ),
        ("torchvision", "broken", "exist; it is made for torch==2.13.0, installed is 2.15.0", "both together"),
    ),
    "torchvision that crashes": (
        with_torch(LAPTOP, torchvision=None, problem="killed by SIGSEGV", problem_at="torchvision"),
        ("torchvision", "broken", "it does not import: killed by SIGSEGV", "both together"),
    ),
    "torchvision that says it is for another torch, but works": (
        packages(LAPTOP, TORCH, Package("torch", "==2.14.0", "2.15.0", False, "torchvision")),
        ("torchvision", "warning", "made for torch==2.14.0, installed is 2.15.0", "both together"),
    ),
    "a GPU without a driver": (
        with_driver(LAPTOP, has_hardware=True),
        ("driver", "warning", "there is no driver for it here", "--gpus all"),
    ),
    "a job without a GPU on a machine with some": (
        with_driver(LAPTOP, has_hardware=True, has_program=True, problem="nvidia-smi fails: No devices were found"),
        ("driver", "warning", "it is not given to this process", "srun --gpus 1"),
    ),
    "a driver that does not answer": (
        with_torch(with_driver(NODE, cards=(), problem="nvidia-smi does not answer within 30 s"), devices=()),
        ("driver", "broken", "does not answer within 30 s", "dmesg"),
        ("devices", "broken", "none can be used", "the line of the driver"),
    ),
    "a driver that is too old": (
        with_torch(with_driver(NODE, version="535.1", cuda="12.2"), devices=(), cuda_problem="driver is too old"),
        ("driver", "broken", "535.1, for CUDA up to 12.2; torch is built for CUDA 13.2", "built for CUDA 12"),
        ("devices", "broken", "none can be used: driver is too old", "the line of the driver"),
    ),
    "an older driver of the same CUDA": (with_driver(NODE, cuda="13.0"), ("driver", "ok", "for CUDA up to 13.0", "")),
    "a driver with the compatibility libraries": (with_driver(NODE, cuda="12.2"), ("driver", "ok", "up to 12.2", "")),
    "torch for the CPU on a machine with a GPU": (
        with_torch(NODE, devices=(), cuda=None),
        ("devices", "broken", "built without CUDA: training would run on the CPU", "a torch with CUDA"),
    ),
    "a device that hangs": (
        with_torch(NODE, devices=(A100,), problem="no answer within 120 s", problem_at="device 1"),
        ("devices", "broken", "no answer within 120 s, when asked for device 1", "CUDA_VISIBLE_DEVICES"),
        ("torch", "ok", "2.15.0, built for CUDA 13.2", ""),
    ),
    "a device that is too old for this torch": (
        with_torch(NODE, devices=(A100, replace(V100, problem="no kernel image is available"))),
        ("devices", "broken", "device 1: no kernel image is available", "compute capability 7.0; this one has sm_75"),
    ),
    "a device that another program holds": (
        with_torch(NODE, devices=(replace(A100, problem="CUDA-capable device(s) is/are busy"),)),
        ("devices", "broken", "device 0: CUDA-capable device(s) is/are busy", "nvidia-smi says who uses it"),
    ),
    "eight GPUs": (
        NODE,
        ("devices", "ok", "8 × NVIDIA A100-SXM4-80GB, 80 GiB, compute capability 8.0", ""),
        ("peer access", "ok", "all 28 pairs of devices", ""),
        ("NCCL", "ok", "2.30.7", ""),
        ("bf16", "ok", "computed by every device itself", ""),
        ("health", "ok", "8 cards, no fault, no memory error, full clocks, at most 35 °C", ""),
        ("locked memory", "ok", "no limit, as InfiniBand needs", ""),
        ("SLURM", "ok", "slurm 24.05.1", ""),
    ),
    "old GPUs": (with_torch(NODE, devices=(A100, V100, V100)), ("bf16", "note", "on device 1-2", "16-mixed")),
    "devices that are hidden": (
        environ(with_torch(NODE, devices=()), CUDA_VISIBLE_DEVICES=""),
        ("CUDA_VISIBLE_DEVICES", "warning", "'' hides every device", "unset CUDA_VISIBLE_DEVICES"),
        ("devices", "note", "training runs on the CPU", ""),
    ),
    "a device that does not exist": (
        environ(NODE, CUDA_VISIBLE_DEVICES="0,8,1"),
        ("CUDA_VISIBLE_DEVICES", "broken", "names device 8, of 8 counted from 0: it and all behind", "0 to 7"),
    ),
    "two of the devices": (
        environ(NODE, CUDA_VISIBLE_DEVICES="2,3"),
        ("CUDA_VISIBLE_DEVICES", "note", "2,3: 2 devices of 8", ""),
    ),
    "a fault": (
        with_card(NODE, 3, recovery="Reset"),
        ("health", "broken", "card 3: the driver asks for this after a fault: Reset", "--gpu-reset -i 3"),
    ),
    "memory errors": (
        with_card(NODE, 2, uncorrected=4),
        ("health", "broken", "card 2: 4 memory errors that could not be corrected", "--gpu-reset -i 2"),
    ),
    "a bad row": (
        with_card(NODE, 5, remap_failed=True, uncorrected=1),
        ("health", "broken", "card 5: a bad row of its memory could not be replaced", "have card 5 exchanged"),
    ),
    "a bad row that waits": (
        with_card(NODE, 5, remap_pending=True),
        ("health", "warning", "card 5", "--gpu-reset -i 5"),
    ),
    "heat": (
        with_card(NODE, 1, slowed_by=("heat",), temperature_c=91),
        ("health", "warning", "card 1 is slowed down by heat (91 °C)", "cooling"),
    ),
    "a card in use": (
        with_card(NODE, 0, used=70 * GIB),
        ("free memory", "warning", "card 0: 70 GiB of 80 GiB in use by others", "CUDA_VISIBLE_DEVICES"),
    ),
    "a desktop's card": (with_card(NODE, 0, used=2 * GIB), ("free memory", "ok", "no card is in use", "")),
    "a prohibited card": (
        with_card(NODE, 6, compute_mode="Prohibited"),
        ("free memory", "broken", "card 6 takes no programs", "nvidia-smi -c DEFAULT -i 6"),
    ),
    "MIG": (with_card(NODE, 0, mig=True, parts=7), ("MIG", "note", "card 0 in 7 parts: a process uses one", "")),
    "MIG without parts": (
        with_card(NODE, 4, mig=True),
        ("MIG", "broken", "card 4 is set to be cut into parts, but has none", "nvidia-smi -mig 0 -i 4"),
    ),
    "torch without NCCL": (with_torch(NODE, nccl=None), ("NCCL", "broken", "has no NCCL", "with CUDA")),
    "NCCL that is held back": (
        environ(NODE, NCCL_P2P_DISABLE="1", NCCL_DEBUG="WARN"),
        ("NCCL", "warning", "2.30.7; NCCL_P2P_DISABLE=1, NCCL_DEBUG=WARN: it may not", "unset NCCL_P2P_DISABLE"),
    ),
    "NCCL that is told a network": (
        environ(NODE, NCCL_SOCKET_IFNAME="ib0", NCCL_IB_DISABLE="0", NCCL_VERSION="2.20"),
        ("NCCL", "note", "2.30.7; NCCL_SOCKET_IFNAME=ib0, NCCL_IB_DISABLE=0", ""),
    ),
    "cards without a bridge": (
        with_torch(NODE, devices=(A100,) * 3, no_peers=((0, 2), (1, 2))),
        ("peer access", "note", "missing between 0-2, 1-2 (2 of 3 pairs)", ""),
    ),
    "two cores of 64": (
        replace(LAPTOP, cores=Cores(machine=64, affinity=64, quota=2.0)),
        ("cores", "note", "2 cores of the 64 of this machine: the limit of its control group is 2", ""),
        ("threads", "warning", "torch starts 64 threads in each process, for 2 cores", "export OMP_NUM_THREADS=2"),
    ),
    "half a core": (
        replace(LAPTOP, cores=Cores(machine=4, affinity=4, quota=0.5)),
        ("cores", "note", "1 core of the 4 of this machine", ""),
        ("threads", "warning", "torch starts 4 threads in each process, for 1 core", "export OMP_NUM_THREADS=1"),
    ),
    "a job bound to 4 cores": (
        replace(LAPTOP, cores=Cores(machine=64, affinity=4)),
        ("cores", "note", "4 cores of the 64 of this machine: it may not run on the others", ""),
        ("threads", "ok", "torch starts one a core in each process, 4", ""),
    ),
    "too many threads": (
        environ(LAPTOP, OMP_NUM_THREADS="32"),
        ("threads", "warning", "OMP_NUM_THREADS=32, for 8 cores", "export OMP_NUM_THREADS=8"),
    ),
    "threads that are no number": (
        environ(LAPTOP, OMP_NUM_THREADS="all"),
        ("threads", "warning", "OMP_NUM_THREADS=all is no number from 1", "OMP_NUM_THREADS=8"),
    ),
    "nested threads": (environ(LAPTOP, OMP_NUM_THREADS="8,1"), ("threads", "ok", "OMP_NUM_THREADS=8,1", "")),
    "little memory": (
        replace(LAPTOP, memory=Memory(total=16 * GIB, available=GIB)),
        ("memory", "warning", "1 GiB free of 16 GiB", "--mem"),
    ),
    "a container with a limit of memory": (
        replace(LAPTOP, memory=Memory(total=64 * GIB, available=50 * GIB, limit=8 * GIB, limit_used=7 * GIB)),
        ("memory", "warning", "1 GiB free of 8 GiB, the limit of its control group (the machine has 64 GiB)", "--mem"),
    ),
    "a container as docker makes it": (
        replace(LAPTOP, shared_memory=(64 * MIB, 64 * MIB)),
        ("shared memory", "warning", "64 MiB free of 64 MiB in /dev/shm", "--shm-size=8g"),
    ),
    "a shared memory that is full": (
        replace(LAPTOP, shared_memory=(8 * GIB, 10 * MIB)),
        ("shared memory", "warning", "10 MiB free of 8 GiB", "--shm-size"),
    ),
    "no shared memory": (replace(LAPTOP, shared_memory=None), ("shared memory", "broken", "no /dev/shm", "--shm-size")),
    "256 files": (
        replace(LAPTOP, limits=Limits(open_files=256, open_files_hard=4096, locked_memory=None)),
        ("open files", "warning", "limit 256", "ulimit -n 4096"),
    ),
    "256 files and no more": (
        replace(LAPTOP, limits=Limits(open_files=256, open_files_hard=256, locked_memory=None)),
        ("open files", "warning", "limit 256", "limits.conf"),
    ),
    "1024 files": (
        replace(LAPTOP, limits=Limits(open_files=1024, open_files_hard=None, locked_memory=None)),
        ("open files", "note", "limit 1,024", "ulimit -n 65536"),
    ),
    "InfiniBand with little locked memory": (
        replace(NODE, limits=Limits(open_files=None, open_files_hard=None, locked_memory=64 << 10)),
        ("locked memory", "broken", "limit 64 KiB", "ulimit -l unlimited"),
    ),
    "a folder that cannot be written": (
        with_runs(LAPTOP, problem="read-only file system"),
        ("runs folder", "broken", "runs (ext4): nothing can be written: read-only file system", "--runs-dir"),
    ),
    "a full disk": (with_runs(LAPTOP, free=5 * MIB), ("runs folder", "broken", "5 MiB free", "free some space")),
    "a nearly full disk": (with_runs(LAPTOP, free=2 * GIB), ("runs folder", "warning", "2 GiB free", "--runs-dir")),
    "a disk without names": (
        with_runs(LAPTOP, free_names=3),
        ("runs folder", "broken", "room for 3 files (inodes) only", "free some space"),
    ),
    "runs in memory": (
        with_runs(LAPTOP, kind="tmpfs"),
        ("runs folder", "warning", "gone when the machine restarts", "--runs-dir"),
    ),
    "runs in a container": (
        with_runs(LAPTOP, kind="overlay"),
        ("runs folder", "note", "gone with the container", "mount"),
    ),
    "runs on NFS": (with_runs(LAPTOP, kind="nfs4"), ("runs folder", "ok", "runs (nfs4, over the network)", "")),
    "a file system without locks": (
        with_runs(LAPTOP, locks=None),
        ("locks, renames", "warning", "this file system has no locks", "-o flock"),
    ),
    "locks that hold nobody": (
        with_runs(LAPTOP, locks=False),
        ("locks, renames", "warning", "a lock keeps nobody out", "-o flock"),
    ),
    "renames in two steps": (
        with_runs(LAPTOP, rename_problem="a reader found no file"),
        ("locks, renames", "broken", "a reader found no file", "--runs-dir"),
    ),
    "a slow disk": (with_runs(LAPTOP, fsync_s=0.3), ("locks, renames", "note", "on the disk after 300 ms", "")),
    "a very slow disk": (
        with_runs(LAPTOP, fsync_s=2.5),
        ("locks, renames", "warning", "after 2.5 s: every snapshot", "--runs-dir"),
    ),
    "a full temporary folder": (
        replace(LAPTOP, temporary=Folder(path="/scratch", kind="tmpfs", free=MIB)),
        ("temporary folder", "broken", "/scratch (tmpfs): 1 MiB free", "TMPDIR"),
    ),
    "W&B that does not import": (
        replace(LAPTOP, wandb=Wandb(problem="ImportError: protobuf, when asked for wandb")),
        ("W&B", "broken", "ImportError: protobuf", "--force-reinstall wandb"),
    ),
    "a key that W&B refuses": (
        replace(LAPTOP, wandb=Wandb(problem="API key must have 40 characters", url="https://api.example.org")),
        ("W&B", "broken", "40 characters", "wandb login"),
    ),
    "nobody logged in": (
        replace(LAPTOP, wandb=Wandb(url="https://api.example.org")),
        ("W&B", "note", "nobody is logged in at https://api.example.org: runs are recorded on disk", "wandb login"),
    ),
    "a node without a network": (
        replace(LAPTOP, wandb=replace(LAPTOP.wandb, answers=False)),
        ("W&B", "warning", "https://api.example.org does not answer: runs are recorded on disk", "HTTPS_PROXY"),
    ),
    "offline": (environ(LAPTOP, WANDB_MODE="offline"), ("W&B", "note", "recorded on disk", "lightning-cv sync")),
    "disabled": (environ(LAPTOP, WANDB_MODE="disabled"), ("W&B", "note", "nothing is recorded", "unset WANDB_MODE")),
    "a mode that there is not": (environ(LAPTOP, WANDB_MODE="off"), ("W&B", "broken", "WANDB_MODE=off", "offline")),
    "a shell of a W&B sweep": (
        environ(LAPTOP, WANDB_SWEEP_ID="abc"),
        ("W&B variables", "warning", "WANDB_SWEEP_ID gives every run another id and project", "unset WANDB_SWEEP_ID"),
    ),
    "W&B variables": (
        environ(LAPTOP, WANDB_PROJECT="p", WANDB_TAGS="t"),
        (
            "W&B variables",
            "note",
            "WANDB_PROJECT: without effect, the recipe or the run folder says it; WANDB_TAGS",
            "",
        ),
    ),
    "Hugging Face offline": (
        environ(LAPTOP, HF_HUB_OFFLINE="1"),
        ("Hugging Face", "note", "HF_HUB_OFFLINE is set", "unset"),
    ),
    "SLURM's programs alone": (
        replace(LAPTOP, slurm="SLURM", slurm_problem="no configuration"),
        ("SLURM", "note", "no cluster answers: no configuration", ""),
    ),
    "a task of a job": (
        environ(NODE, SLURM_JOB_ID="77", SLURM_NTASKS="8", SLURM_JOB_NUM_NODES="2", SLURM_STEP_ID="0"),
        ("SLURM", "ok", "in job 77: 8 tasks on 2 nodes", ""),
    ),
    "the script of a job": (
        environ(NODE, SLURM_JOB_ID="77", SLURM_NTASKS="8"),
        ("SLURM", "note", "in job 77: 8 tasks on 1 node; this is not one of its tasks", "srun lightning-cv"),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_each_machine_is_told_what_is_wrong_with_it_and_how_to_mend_it(name):
    """Oracle: the table above, by hand."""
    facts, *expected = ROWS[name]
    findings = {finding.check: finding for finding in examine(facts)}
    for check, status, found, mend in expected:
        finding = findings[check]
        assert finding.status == status
        assert found in finding.found
        assert mend in finding.mend if mend else not finding.mend
    # Nothing else is the matter with it.
    others = [finding for check, finding in findings.items() if check not in [row[0] for row in expected]]
    assert worst(others) in (Status.OK, Status.NOTE), others


@pytest.mark.parametrize("facts", [LAPTOP, NODE, gpu_node(1)], ids=["laptop", "8 GPUs", "1 GPU"])
def test_a_sound_machine_has_no_warning(facts):
    findings = examine(facts)
    assert {finding.status for finding in findings} <= {Status.OK, Status.NOTE}
    assert len({finding.check for finding in findings}) == len(findings)


def test_every_check_is_seen_to_complain():
    """A check that no row of the table makes complain is not tested; the suite finds its checks by itself."""
    complaining = set()
    for facts, *_ in ROWS.values():
        complaining |= {check for check in CHECKS if worst(check(facts)) is not Status.OK}
    assert complaining == set(CHECKS)


def test_whatever_is_not_as_it_should_be_says_how_to_mend_it():
    for facts, *_ in ROWS.values():
        for finding in examine(facts):
            assert finding.found
            assert "\n" not in finding.found + finding.mend
            assert finding.mend or finding.status in (Status.OK, Status.NOTE), finding


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((8, 6), ("sm_80",), True),  # a later minor version of the same major one
        ((8, 0), ("sm_86",), False),  # not an earlier one
        ((9, 0), ("sm_80",), False),  # nor another major one
        ((9, 0), ("sm_80", "compute_80"), True),  # intermediate code is translated for anything later
        ((7, 0), ("compute_75",), False),
        ((9, 0), ("sm_90a",), True),
        ((12, 0), BUILT_FOR, True),
    ],
)
def test_which_kernels_run_where_follows_nvidias_rules(capability, architectures, runs):
    """CUDA C++ Programming Guide, "Application Compatibility"."""
    device = TorchDevice(name="GPU", memory=GIB, capability=capability, problem="it failed")
    findings = examine(with_torch(gpu_node(1), devices=(device,), architectures=architectures))
    (finding,) = [finding for finding in findings if finding.check == "devices"]
    assert ("install a torch with kernels" in finding.mend) != runs
