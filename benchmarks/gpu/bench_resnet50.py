"""How near does the platform come to a bare loop, and to the device's matrix rate, with ResNet-50 on a GPU?

Both train the same network, compiled, in bfloat16 and channels last, on the same random images, which lie on the
device. Further lines say what averaged weights and precisions cost in time and memory.
"""

import argparse
import contextlib
import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.callbacks import Ema, Speed
from lightning_cv.contracts import Stage
from lightning_cv.data import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.run.profiler import Unprofiled
from lightning_cv.tasks import Classify

CLASSES = 1000
# Multiplications and additions of a forward pass at 224 (He et al. 2016 count 3.8e9 multiply-adds without the head;
# torchvision's own table says 4.09e9 with it); a training step is three times that, and each is two operations.
OPERATIONS = 3 * 2 * 4.09e9


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    device: torch.device
    batch: int
    pixels: int
    steps: int
    skip: int
    rounds: int


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--small", action="store_true", help="tiny sizes on the CPU: that it runs, not how fast")
    parser.add_argument("--batch", type=int, default=256, help="images a step")
    given = parser.parse_args()
    if not given.small and not torch.cuda.is_available():
        parser.exit(2, "needs a CUDA device; --small runs on the CPU, to see that it works\n")
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    if given.small:
        torch.set_num_threads(1)
        size = Size(torch.device("cpu"), batch=2, pixels=32, steps=3, skip=1, rounds=1)
    else:
        size = Size(torch.device("cuda"), batch=given.batch, pixels=224, steps=60, skip=20, rounds=5)
    print_loop(size)
    print_settings(size)


def print_loop(size: Size) -> None:
    """Images a second of the bare loop and of the platform, and their share of the matrix rate."""
    network = torchvision.models.resnet50()
    compiled = torchvision.models.resnet50()
    programs: dict[str, Callable[[], float]] = {
        "bare PyTorch loop": lambda: bare(compiled, size),
        "lightning_cv": lambda: platform(
            network, size, Speed(channels_last=True, compile=True), precision="bf16-mixed"
        )[0],
    }
    for program in programs.values():
        program()  # compiles
    results = interleaved(programs, rounds=size.rounds)
    rate = matrix_rate(size)
    rows = []
    for name, times_s in results.items():
        images = size.batch / statistics.median(times_s)
        share = images * OPERATIONS * (size.pixels / 224) ** 2 / rate
        ratio = median_ratio(results["bare PyTorch loop"], times_s)
        rows.append((name, f"{images:,.0f}", f"{ratio:.3f}", f"{share:.1%}"))
    print_table(
        "ResNet-50, bf16, channels last, compiled",
        ("program", "images/s", "× bare loop", "share of the matrix rate"),
        rows,
        how=f"{_sizes(size)} Matrix rate: {rate / 1e12:.1f} TFLOP/s, a bf16 product of square matrices measured in the"
        f" same run. {_device(size)}",
    )


def print_settings(size: Size) -> None:
    """Time and memory of a step by precision, and with averaged weights."""
    settings: dict[str, tuple[list[pl.Callback], str]] = {
        "32-true": ([Speed(channels_last=True)], "32-true"),
        "32-true, TF32": ([Speed(channels_last=True, matmul_precision="high")], "32-true"),
        "16-mixed": ([Speed(channels_last=True)], "16-mixed" if size.device.type == "cuda" else "bf16-mixed"),
        "bf16-mixed": ([Speed(channels_last=True)], "bf16-mixed"),
        "bf16-mixed, averaged weights": ([Speed(channels_last=True), Ema()], "bf16-mixed"),
    }
    memory: dict[str, int] = {}

    def program(name: str) -> Callable[[], float]:
        def run() -> float:
            callbacks, precision = settings[name]
            step_s, memory[name] = platform(torchvision.models.resnet50(), size, *callbacks, precision=precision)
            return step_s

        return run

    results = interleaved({name: program(name) for name in settings}, rounds=size.rounds)
    rows = [
        (
            name,
            f"{1e3 * statistics.median(times_s):.1f}",
            f"{median_ratio(results['32-true'], times_s):.2f}",
            f"{memory[name] / 2**30:.2f}",
        )
        for name, times_s in results.items()
    ]
    print_table(
        "ResNet-50 by precision, and averaged weights",
        ("setting", "ms a step", "× as fast as 32-true", "most memory, GiB"),
        rows,
        how=f"{_sizes(size)} Channels last, not compiled. {_device(size)}",
    )


def bare(network: nn.Module, size: Size) -> float:
    """Seconds a step of the shortest loop with the same network, data and precision."""
    images, labels = _random(size)
    device = size.device
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network.compile()
    images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=device.type == "cuda")
    mean, scale = _statistics(images)
    start_s = 0.0
    for step in range(size.steps):
        if step == size.skip:
            start_s = _now_s(device)
        batch = images.float().sub_(mean).mul_(scale)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss = F.cross_entropy(network(batch), labels)
        loss.backward()
        optimizer.step()
    return (_now_s(device) - start_s) / (size.steps - size.skip)


def platform(network: nn.Module, size: Size, *callbacks: pl.Callback, precision: Any) -> tuple[float, int]:
    """Seconds a step under the platform, and the most memory of the device in bytes."""
    fused = size.device.type == "cuda"
    task = Classify(network, lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, fused=fused))
    clock = _Clock(size)
    if fused:
        torch.cuda.reset_peak_memory_stats()
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        trainer = pl.Trainer(
            accelerator=size.device.type, devices=1, max_steps=size.steps, max_epochs=-1, precision=precision,
            callbacks=[*callbacks, clock], logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0, default_root_dir=folder,
            profiler=Unprofiled(),
        )  # fmt: skip
        trainer.fit(task, datamodule=_Images(size))
    return clock.step_s, torch.cuda.max_memory_allocated() if fused else 0


def matrix_rate(size: Size) -> float:
    """Operations a second of a large bf16 product on this device; the best of ten, after two that warm it up."""
    side = 8192 if size.device.type == "cuda" else 256
    left, right = (torch.randn(side, side, device=size.device, dtype=torch.bfloat16) for _ in range(2))
    times_s = []
    for _ in range(12):
        start_s = _now_s(size.device)
        left @ right
        times_s.append(_now_s(size.device) - start_s)
    return float(2 * side**3 / min(times_s[2:]))


class _Clock(pl.Callback):
    """Wall time of the counted steps; waits for the device before the first and behind the last of them."""

    def __init__(self, size: Size) -> None:
        self._size, self._steps, self._start_s, self.step_s = size, 0, 0.0, 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self._steps += 1
        if self._steps == self._size.skip:
            self._start_s = _now_s(self._size.device)
        if self._steps == self._size.steps:
            self.step_s = (_now_s(self._size.device) - self._start_s) / (self._size.steps - self._size.skip)


class _Images(VisionData):
    """Random images on the device, a batch of its own for each step, so that no epoch ends among those counted."""

    def __init__(self, size: Size) -> None:
        super().__init__(batch_size=size.batch, keep_on_device=True)
        self._size = size

    def load(self, stage: Stage) -> ResidentSplit:
        images, labels = _random(self._size, batches=self._size.steps + 1)
        names = tuple(str(label) for label in range(CLASSES))
        return ResidentSplit(images, labels, names, f"random {stage}")


def _random(size: Size, *, batches: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (size.batch * batches, 3, size.pixels, size.pixels)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, CLASSES, shape[:1], generator=generator)


def _statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    floats = images.float()
    return floats.mean(dim=(0, 2, 3), keepdim=True), 1 / floats.std(dim=(0, 2, 3), keepdim=True)


def _now_s(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _sizes(size: Size) -> str:
    counted = size.steps - size.skip
    return (
        f"Batch {size.batch}, {size.pixels}×{size.pixels}; medians of {size.rounds} interleaved rounds of {counted} "
        "counted steps."
    )


def _device(size: Size) -> str:
    return f"{torch.cuda.get_device_name()}." if size.device.type == "cuda" else "On a CPU: only that it runs."


if __name__ == "__main__":
    main()
