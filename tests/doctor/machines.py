"""Machines as the doctor knows them, for tests of what it says about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning_cv.doctor.facts import (
    Card,
    Cores,
    Driver,
    Facts,
    Folder,
    Limits,
    Memory,
    Package,
    Software,
    Torch,
    TorchDevice,
    Wandb,
)

MIB, GIB = 1 << 20, 1 << 30
A100 = TorchDevice(name="NVIDIA A100-SXM4-80GB", memory=80 * GIB, capability=(8, 0))
BUILT_FOR = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")

LAPTOP = Facts(
    software=Software(
        python="3.12.4",
        python_wanted=">=3.11",
        python_fits=True,
        packages=(
            Package("torch", ">=2.11", "2.15.0", True),
            Package("torch", "==2.15.0", "2.15.0", True, "torchvision"),
        ),
    ),
    torch=Torch(
        version="2.15.0",
        cuda="13.2",
        architectures=BUILT_FOR,
        nccl="2.30.7",
        torchvision="0.29.2",
        cuda_problem="no driver",
    ),
    driver=Driver(),
    cores=Cores(machine=8, affinity=8, native_bf16=True),
    memory=Memory(total=16 * GIB, available=9 * GIB),
    shared_memory=(8 * GIB, 8 * GIB),
    limits=Limits(open_files=65536, open_files_hard=65536, locked_memory=8 * MIB),
    runs=Folder(path="runs", kind="ext4", free=200 * GIB, free_names=10**6, fsync_s=0.004),
    temporary=Folder(path="/scratch", kind="ext4", free=200 * GIB, free_names=10**6, fsync_s=0.004),
    wandb=Wandb(url="https://api.example.org", logged_in=True, answers=True),
)


def with_torch(facts: Facts, **changes: Any) -> Facts:
    """The same machine with another answer of torch."""
    return replace(facts, torch=replace(facts.torch, **changes))


def with_driver(facts: Facts, **changes: Any) -> Facts:
    """The same machine with another answer of the driver."""
    return replace(facts, driver=replace(facts.driver, **changes))


def with_card(facts: Facts, index: int, **changes: Any) -> Facts:
    """The same machine with something about one card."""
    cards = list(facts.driver.cards)
    cards[index] = replace(cards[index], **changes)
    return with_driver(facts, cards=tuple(cards))


def with_runs(facts: Facts, **changes: Any) -> Facts:
    """The same machine with another folder of runs."""
    return replace(facts, runs=replace(facts.runs, **changes))


def gpu_node(number: int, device: TorchDevice = A100) -> Facts:
    """A node of a cluster with some GPUs."""
    cards = tuple(
        Card(index=i, name=device.name, memory=device.memory, used=0, temperature_c=35) for i in range(number)
    )
    facts = replace(
        LAPTOP,
        driver=Driver(has_hardware=True, has_program=True, version="600.10", cuda="13.2", cards=cards),
        cores=Cores(machine=128, affinity=128, native_bf16=True),
        memory=Memory(total=1024 * GIB, available=1000 * GIB),
        limits=Limits(open_files=None, open_files_hard=None, locked_memory=None),
        infiniband=True,
        slurm="slurm 24.05.1",
    )
    return with_torch(facts, devices=(device,) * number, cuda_problem="")
