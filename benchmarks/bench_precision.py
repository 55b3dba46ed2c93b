"""How much faster does a training step get by one key of the recipe each: precision, layout of images, compiler?

ResNet-18 is trained by the platform on resident random images, once as it is and once with each setting, small
images and larger ones; what is compared is the time of a whole step, data and optimizer included.
"""

import contextlib
import io
import logging
import statistics
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

from benchmarks.bench_step import _Clock, _Images, _options, _resnet18
from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.callbacks import Speed
from lightning_cv.run.profiler import Unprofiled
from lightning_cv.tasks import Classify

ROUNDS = 5
BF16 = {"precision": "bf16-mixed"}
# name: makes the callback, options of the Trainer
SETTINGS: dict[str, tuple[Callable[[], Speed], dict[str, Any]]] = {
    "32-true": (Speed, {}),
    "32-true, channels_last": (lambda: Speed(channels_last=True), {}),
    "bf16-mixed": (Speed, BF16),
    "bf16-mixed, channels_last": (lambda: Speed(channels_last=True), BF16),
    "bf16-mixed, channels_last, compile": (lambda: Speed(channels_last=True, compile=True), BF16),
}


def _step_ms(network: nn.Module, data: _Images, setting: str, *, steps: int, skip: int) -> float:
    """Milliseconds a step, without the first `skip`, which compile."""
    clock = _Clock(skip)
    make_speed, options = SETTINGS[setting]
    task = Classify(network, lambda groups: torch.optim.AdamW(groups, lr=1e-3))
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        settings = _options(folder, steps) | {"limit_val_batches": 0, "enable_progress_bar": False} | options
        trainer = pl.Trainer(
            logger=False,
            enable_checkpointing=False,
            callbacks=[make_speed(), clock],
            profiler=Unprofiled(),
            **settings,
        )
        trainer.fit(task, datamodule=data)
    return clock.per_step_us / 1e3


def measure(size_px: int, batch_size: int, *, steps: int, skip: int) -> dict[str, list[float]]:
    """Milliseconds a step of each setting, interleaved; `batch_size` images (3, size_px, size_px) a step."""
    generator = torch.Generator().manual_seed(0)
    number = batch_size * (steps + 1)
    images = torch.randint(0, 256, (number, 3, size_px, size_px), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (number,), generator=generator)

    def program(setting: str) -> Callable[[], float]:
        network = _resnet18()  # the same in all rounds, so that it is compiled once

        def step_ms() -> float:
            data = _Images(images, labels)
            data.batch_size = batch_size
            return _step_ms(network, data, setting, steps=steps, skip=skip)

        return step_ms

    programs = {setting: program(setting) for setting in SETTINGS}
    programs[next(reversed(programs))]()  # compiles
    return interleaved(programs, rounds=ROUNDS)


def main() -> None:
    """Print the table."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    small = measure(32, 16, steps=6, skip=1)
    large = measure(128, 2, steps=4, skip=1)
    rows = []
    for setting in SETTINGS:
        cells = []
        for results in (small, large):
            plain = results["32-true"]
            cells += [
                f"{statistics.median(results[setting]):.0f}",
                f"{median_ratio(plain, results[setting]):.2f}",
            ]
        rows.append((setting, *cells))
    print_table(
        "Speed of a training step by recipe key, ResNet-18",
        ("precision and Speed", "32×32, batch 16: ms", "× 32-true", "128×128, batch 2: ms", "× 32-true"),
        rows,
        how=f"Medians of {ROUNDS} interleaved rounds in one process, of 5 and 3 counted steps; ratios (how many times"
        " faster) taken round by round.",
    )


if __name__ == "__main__":
    main()
