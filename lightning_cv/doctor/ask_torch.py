"""What do torch and torchvision say of themselves and of the devices? A program of its own: it may hang or crash."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from lightning_cv.doctor.child import answering


def main() -> int:
    """Say the fields of `facts.Torch`, one after the other, the most dangerous last."""
    say = answering()
    say(asking="torch")
    import torch

    say(version=torch.__version__, cuda=torch.version.cuda, hip=torch.version.hip)
    say(architectures=torch.cuda.get_arch_list(), mps=torch.backends.mps.is_available())
    say(asking="NCCL")
    say(nccl=_nccl())
    say(asking="torchvision")
    _ask_torchvision(say)
    if torch.version.cuda or torch.version.hip:
        say(asking="CUDA")
        _ask_cuda(say)
    return 0


def _nccl() -> str | None:
    import torch

    if not (torch.distributed.is_available() and torch.distributed.is_nccl_available()):
        return None
    return ".".join(map(str, torch.cuda.nccl.version()))


def _ask_torchvision(say: Callable[..., None]) -> None:
    """Import it and run one of its own operators: beside a torch of another build they are missing."""
    import torch

    try:
        import torchvision

        say(torchvision=torchvision.__version__)
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9]])
        kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
        if kept.tolist() != [0]:
            say(torchvision_problem=f"its nms keeps {kept.tolist()} of two boxes that are nearly one")
    except Exception as error:
        say(torchvision_problem=_line(error))


def _ask_cuda(say: Callable[..., None]) -> None:
    import torch

    try:
        torch.cuda.init()
        number = torch.cuda.device_count()
    except Exception as error:
        say(cuda_problem=_line(error))
        return
    devices: list[dict[str, Any]] = []
    for index in range(number):
        say(asking=f"device {index}")
        devices.append(_ask_device(index))
        say(devices=devices)
    say(asking="peer access")
    say(no_peers=list(_no_peers(number)))


def _ask_device(index: int) -> dict[str, Any]:
    """What a device is, and whether it adds up."""
    import torch

    known = torch.cuda.get_device_properties(index)
    device = {"name": known.name, "memory": known.total_memory, "capability": [known.major, known.minor]}
    try:
        total = torch.arange(1000, device=f"cuda:{index}").sum().item()
    except Exception as error:
        return device | {"problem": _line(error)}
    return device if total == 499_500 else device | {"problem": f"the sum of 0 to 999 is {total} there"}


def _no_peers(number: int) -> Iterator[tuple[int, int]]:
    import torch

    for first, second in combinations(range(number), 2):
        if not torch.cuda.can_device_access_peer(first, second):
            yield first, second


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


if __name__ == "__main__":
    sys.exit(main())
