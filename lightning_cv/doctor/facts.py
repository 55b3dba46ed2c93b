"""What is known about a machine? Gathered once; every check is a function of it.

None stands for what this system does not tell. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Package:
    """A package that lightning_cv, or a package that it needs, asks for.

    Args:
        name: its name.
        wanted: what versions are allowed, e.g. `>=2.11`.
        installed: the version that is there; None: it is not.
        fits: whether that version is allowed.
        asked_by: the package that asks for it.
    """

    name: str
    wanted: str
    installed: str | None
    fits: bool
    asked_by: str = "lightning_cv"


@dataclass(frozen=True, kw_only=True)
class Software:
    """Python and the packages, read from the metadata of what is installed; `packages` is empty if there are none."""

    python: str
    python_wanted: str
    python_fits: bool
    packages: tuple[Package, ...]


@dataclass(frozen=True, kw_only=True)
class TorchDevice:
    """An accelerator as torch sees it; `problem` is why a sum on it failed."""

    name: str
    memory: int
    capability: tuple[int, int]
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Torch:
    """What torch says, asked in a process of its own.

    Args:
        problem: why it could not be asked to the end: it does not import, crashed or hung; empty: it could.
        problem_at: what it was asked then: `torch`, `torchvision`, `CUDA`, `device 0`, ...
        version: of torch; None: it does not import.
        cuda: version of CUDA that it was built with; None: a build for the CPU, or for ROCm.
        hip: version of ROCm that it was built with.
        cuda_problem: why CUDA cannot be used.
        architectures: what it has kernels for: `sm_90`, `compute_90`.
        nccl: version; None: it has none.
        no_peers: pairs of devices that cannot reach each other's memory.
        torchvision: version; None: it does not import.
        torchvision_problem: why it does not import, or why its operators do not run.
        mps: whether there is an Apple GPU.
    """

    problem: str = ""
    problem_at: str = ""
    version: str | None = None
    cuda: str | None = None
    hip: str | None = None
    cuda_problem: str = ""
    architectures: tuple[str, ...] = ()
    devices: tuple[TorchDevice, ...] = ()
    nccl: str | None = None
    no_peers: tuple[tuple[int, int], ...] = ()
    torchvision: str | None = None
    torchvision_problem: str = ""
    mps: bool = False


@dataclass(frozen=True, kw_only=True)
class Card:
    """A card as the driver sees it.

    Args:
        index: the driver's number of it.
        used: memory that is in use, by whomever.
        mig: whether it can be cut into parts and is set to be.
        parts: number of its parts (MIG devices).
        uncorrected: memory errors since the driver was loaded that could not be corrected.
        remap_pending: whether a bad row of memory waits for a reset to be replaced.
        remap_failed: whether a bad row could not be replaced.
        recovery: what the driver asks for after a fault (Xid): `Reset`, `Reboot`, ...; empty: nothing.
        slowed_by: why its clock is held down: heat or the power supply.
        temperature_c: of the chip.
        compute_mode: `Default`, `Exclusive_Process` or `Prohibited`.
    """

    index: int
    name: str
    uuid: str = ""
    memory: int | None = None
    used: int | None = None
    mig: bool = False
    parts: int = 0
    uncorrected: int = 0
    remap_pending: bool = False
    remap_failed: bool = False
    recovery: str = ""
    slowed_by: tuple[str, ...] = ()
    temperature_c: int | None = None
    compute_mode: str = "Default"


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What nvidia-smi says.

    Args:
        has_hardware: whether the machine has an NVIDIA GPU, as its bus or its device files say.
        has_program: whether there is an nvidia-smi.
        problem: why it gave no answer.
        version: of the driver.
        cuda: the newest CUDA that the driver can run.
    """

    has_hardware: bool = False
    has_program: bool = False
    problem: str = ""
    version: str | None = None
    cuda: str | None = None
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cores:
    """CPU cores: of the machine, those that this process may run on, and how much of them its cgroup may use."""

    machine: int
    affinity: int
    quota: float | None = None
    native_bf16: bool | None = None

    @property
    def usable(self) -> int:
        """How many can be kept busy, at least 1."""
        return max(1, min(self.affinity, int(self.quota) if self.quota is not None else self.affinity))


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory of the machine, what of it is free, and the limit of the cgroup with what counts against it."""

    total: int | None = None
    available: int | None = None
    limit: int | None = None
    limit_used: int | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of this process; None: unlimited."""

    open_files: int | None
    open_files_hard: int | None
    locked_memory: int | None


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder as it behaves, seen by writing there.

    Args:
        path: as the user names it.
        kind: type of its file system, e.g. `ext4`.
        free: space that is left.
        free_names: number of files that still can be made; None: not told.
        problem: why nothing can be written.
        locks: whether a lock keeps others out; None: the file system has no locks.
        rename_problem: what a reader saw while a file was replaced; empty: always the old or the new content.
        fsync_s: how long it takes until a small file is on the disk, median of three.
    """

    path: str
    kind: str | None = None
    free: int | None = None
    free_names: int | None = None
    problem: str = ""
    locks: bool | None = True
    rename_problem: str = ""
    fsync_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Wandb:
    """What W&B says, asked in a process of its own.

    Args:
        problem: why it could not be asked: it does not import, crashed or hung, or refuses the key.
        url: address of the server.
        logged_in: whether there is a key for it.
        answers: whether the server answered in time; None: not asked, since nothing would be sent.
    """

    problem: str = ""
    url: str = ""
    logged_in: bool = False
    answers: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything.

    Args:
        system: name of the operating system, e.g. `Linux`.
        shared_memory: size of /dev/shm and what of it is free; None: there is none.
        infiniband: whether there is an InfiniBand adapter.
        slurm: what `srun --version` says; None: there is no srun.
        slurm_problem: why no cluster answers.
        environ: the variables that checks look at, without secrets.
    """

    software: Software
    torch: Torch
    driver: Driver
    cores: Cores
    memory: Memory
    shared_memory: tuple[int, int] | None
    limits: Limits
    runs: Folder
    temporary: Folder
    wandb: Wandb
    system: str = "Linux"
    infiniband: bool = False
    slurm: str | None = None
    slurm_problem: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
