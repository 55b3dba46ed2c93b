"""Can every device of this machine be used, at its full speed, and with the others?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lightning_cv.doctor.facts import Facts, TorchDevice
from lightning_cv.doctor.finding import Finding, Status, count, numbers, size

_OF_AN_IMAGE = "NCCL_VERSION"  # container images say with it what they were built with; nothing reads it
_NONE_GIVEN = "No devices were found"  # nvidia-smi, where a container or scheduler gives none
VISIBLE = "CUDA_VISIBLE_DEVICES"
_NATIVE_BF16 = (8, 0)  # compute capability; CUDA C++ Programming Guide, table of features
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


def check_driver(facts: Facts) -> list[Finding]:
    """Whether the driver is there, answers, and is new enough for this torch."""
    driver, torch = facts.driver, facts.torch
    if not driver.has_program:
        if torch.devices and not torch.hip:
            return [Finding("driver", Status.NOTE, "there is no nvidia-smi: the state of the cards is not known")]
        if not driver.has_hardware:
            return []
        found = "this machine has an NVIDIA GPU, but there is no driver for it here (no nvidia-smi)"
        return [Finding("driver", Status.WARNING, found, "install the driver; in a container: docker run --gpus all")]
    if _NONE_GIVEN in driver.problem:
        if not driver.has_hardware:
            return [Finding("driver", Status.NOTE, "nvidia-smi finds no device")]
        found = "this machine has an NVIDIA GPU, but it is not given to this process"
        return [
            Finding("driver", Status.WARNING, found, "sbatch or srun --gpus 1; in a container: docker run --gpus all")
        ]
    if driver.problem:
        mend = "restart the machine, or install the driver again; dmesg says more"
        status = Status.BROKEN if driver.has_hardware or torch.devices else Status.NOTE
        return [Finding("driver", status, driver.problem, mend)]
    found = f"{driver.version}, for CUDA up to {driver.cuda}"
    if torch.cuda and driver.cuda and _major(torch.cuda) > _major(driver.cuda) and not torch.devices:
        found += f"; torch is built for CUDA {torch.cuda}"
        mend = f"update the driver, or install a torch that is built for CUDA {_major(driver.cuda)}"
        return [Finding("driver", Status.BROKEN, found, mend)]
    return [Finding("driver", Status.OK, found)]


def check_devices(facts: Facts) -> list[Finding]:
    """Whether torch can use the devices that are there."""
    torch, driver = facts.torch, facts.driver
    if torch.version is None or torch.problem_at in ("torch", "NCCL", "torchvision"):
        return []  # never asked for its devices
    if torch.problem:
        mend = f"nvidia-smi and dmesg may say why; {VISIBLE} can leave out a device that hangs"
        return [Finding("devices", Status.BROKEN, f"{torch.problem}, when asked for {torch.problem_at}", mend)]
    bad = [index for index, device in enumerate(torch.devices) if device.problem]
    if bad:
        problems = "; ".join(f"device {index}: {torch.devices[index].problem}" for index in bad)
        return [Finding("devices", Status.BROKEN, problems, _mend_device(facts, torch.devices[bad[0]]))]
    if torch.devices:
        return [Finding("devices", Status.OK, _listed(torch.devices))]
    fails = driver.has_hardware and driver.problem and _NONE_GIVEN not in driver.problem
    if (driver.cards or fails) and facts.environ.get(VISIBLE) not in ("", "-1"):
        if torch.cuda is None:
            found = "there is an NVIDIA GPU, but this torch is built without CUDA: training would run on the CPU"
            return [Finding("devices", Status.BROKEN, found, "install a torch with CUDA")]
        mend = "see the line of the driver; if that is as it should be: dmesg, and the permissions of /dev/nvidia*"
        found = f"none can be used: {torch.cuda_problem or 'CUDA finds no device'}"
        return [Finding("devices", Status.BROKEN, found, mend)]
    if torch.mps:
        return [Finding("devices", Status.OK, "an Apple GPU (MPS)")]
    return [Finding("devices", Status.NOTE, "no GPU for this process: training runs on the CPU")]


def check_visible(facts: Facts) -> list[Finding]:
    """What CUDA_VISIBLE_DEVICES leaves; CUDA stops reading it at the first name that it does not know."""
    given = facts.environ.get(VISIBLE)
    cards = len(facts.driver.cards)
    if given is None or not (cards or facts.driver.has_hardware or facts.torch.devices):
        return []
    if given.strip() in ("", "-1"):
        return [Finding(VISIBLE, Status.WARNING, f"{given!r} hides every device", f"unset {VISIBLE}")]
    names = [name.strip() for name in given.split(",")]
    beyond = [name for name in names if name.isdecimal() and cards and int(name) >= cards]
    if beyond:
        found = f"{given} names device {beyond[0]}, of {cards} counted from 0: it and all behind it are left out"
        return [Finding(VISIBLE, Status.BROKEN, found, f"name devices 0 to {cards - 1}")]
    return [Finding(VISIBLE, Status.NOTE, f"{given}: {count(len(names), 'device')} of {cards or 'those here'}")]


def check_bf16(facts: Facts) -> list[Finding]:
    """Whether bf16 is computed by the hardware itself."""
    devices, check = facts.torch.devices, "bf16"
    if not devices:
        if facts.cores.native_bf16 is None:
            return []
        native = "the CPU multiplies bf16 itself" if facts.cores.native_bf16 else "the CPU only imitates bf16: slower"
        return [Finding(check, Status.OK if facts.cores.native_bf16 else Status.NOTE, native)]
    if facts.torch.hip:
        return []
    without = [index for index, device in enumerate(devices) if device.capability < _NATIVE_BF16]
    if not without:
        return [Finding(check, Status.OK, "computed by every device itself")]
    found = f"only imitated, and slow, on device {numbers(without)}"
    return [Finding(check, Status.NOTE, found, "trainer.precision: 16-mixed is fast there")]


def check_nccl(facts: Facts) -> list[Finding]:
    """Whether several GPUs can train together, and what variables change how."""
    torch = facts.torch
    given = [
        f"{name}={value}" for name, value in facts.environ.items() if name.startswith("NCCL_") and name != _OF_AN_IMAGE
    ]
    if not torch.devices or (len(torch.devices) < 2 and not given):
        return []
    if torch.nccl is None:
        found = "this torch has no NCCL: its GPUs cannot train together at speed"
        return [Finding("NCCL", Status.BROKEN, found, "install a torch with CUDA from its own index, on Linux")]
    if not given:
        return [Finding("NCCL", Status.OK, torch.nccl)]
    slow = [name for name in given if re.fullmatch(r"NCCL_(P2P|SHM|IB|NVLS)_DISABLE=[1-9]\d*", name)]
    found = f"{torch.nccl}; {', '.join(given)}"
    if slow:
        mend = f"unset {slow[0].partition('=')[0]}, unless it was set for a reason"
        return [Finding("NCCL", Status.WARNING, f"{found}: it may not use its fastest way", mend)]
    return [Finding("NCCL", Status.NOTE, found)]


def check_peers(facts: Facts) -> list[Finding]:
    """Whether devices reach each other's memory without a detour."""
    devices, pairs = facts.torch.devices, facts.torch.no_peers
    if len(devices) < 2 or facts.torch.problem:
        return []
    total = len(devices) * (len(devices) - 1) // 2
    if not pairs:
        return [Finding("peer access", Status.OK, f"all {count(total, 'pair')} of devices")]
    shown = ", ".join(f"{first}-{second}" for first, second in pairs[:8]) + (", ..." if len(pairs) > 8 else "")
    found = (
        f"missing between {shown} ({len(pairs)} of {total} pairs): they exchange gradients through the host's memory"
    )
    return [Finding("peer access", Status.NOTE, found)]


def _listed(devices: Sequence[TorchDevice]) -> str:
    kinds = Counter((device.name, size(device.memory), device.capability) for device in devices)
    return "; ".join(
        f"{number} × {name}, {memory}, compute capability {major}.{minor}"
        for (name, memory, (major, minor)), number in kinds.items()
    )


def _mend_device(facts: Facts, device: TorchDevice) -> str:
    if facts.torch.cuda and facts.torch.architectures and not _has_kernels(device, facts.torch.architectures):
        major, minor = device.capability
        has = ", ".join(facts.torch.architectures)
        return f"install a torch with kernels for compute capability {major}.{minor}; this one has {has}"
    return f"nvidia-smi says who uses it, dmesg what befell it; {VISIBLE} can leave it out"


def _has_kernels(device: TorchDevice, architectures: Sequence[str]) -> bool:
    """Kernels run on the same major and any later minor version; intermediate code on anything later.

    Source: CUDA C++ Programming Guide, "Application Compatibility".
    """
    for name in architectures:
        match = _ARCHITECTURE.fullmatch(name)
        if match is None:
            continue
        made_for = int(match[2]), int(match[3])
        if match[1] == "compute" and not match[4] and made_for <= device.capability:
            return True
        if match[1] == "sm" and made_for[0] == device.capability[0] and made_for[1] <= device.capability[1]:
            return True
    return False


def _major(version: str) -> int:
    return int(version.split(".")[0])
