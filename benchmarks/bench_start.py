"""How long does a user wait for the help, and for the first training step?"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import print_table

PROGRAM = str(Path(sys.executable).with_name("lightning-cv"))
IMPORTS = "import torch, torchvision, lightning.pytorch, lightning.pytorch.cli, wandb"
# The command itself, ended at once when its first training step has run.
FIRST_STEP = """
import os, sys
from lightning_cv.cli.main import main
from lightning_cv.tasks.base import VisionTask
VisionTask.on_train_batch_end = lambda *_: os._exit(0)
main(sys.argv[1:])
"""


def _cpu_and_wall(command: list[str], folder: str) -> tuple[float, float]:
    """CPU seconds (user and system) and wall seconds of one whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environ = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _rounds(commands: dict[str, Callable[[], list[str]]], *, rounds: int) -> dict[str, list[tuple[float, float]]]:
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for round_number in range(rounds + 1):
            for name, command in commands.items():
                measured = _cpu_and_wall(command(), folder)
                if round_number:  # the first round warms the page cache
                    results[name].append(measured)
    return results


def main() -> None:
    """Print the table."""
    measured = _rounds(
        {
            "`python -c pass`": lambda: [sys.executable, "-c", "pass"],
            "`lightning-cv --help`": lambda: [PROGRAM, "--help"],
            "`lightning-cv recipes`": lambda: [PROGRAM, "recipes"],
            "importing torch, torchvision, lightning, wandb": lambda: [sys.executable, "-c", IMPORTS],
            "`lightning-cv fit digits_resnet` to its first step": lambda: [
                sys.executable,
                "-c",
                FIRST_STEP,
                "fit",
                "digits_resnet",
                "--trainer.num_sanity_val_steps=0",
            ],
        },
        rounds=5,
    )
    rows = [
        (
            name,
            f"{statistics.median(cpu for cpu, _ in values):.2f}",
            f"{statistics.median(wall for _, wall in values):.2f}",
        )
        for name, values in measured.items()
    ]
    how = "Whole processes, medians of 5 interleaved rounds after one that is not counted."
    print_table("Start", ("command", "CPU s", "wall s"), rows, how=how)


if __name__ == "__main__":
    main()
