"""How long does a user wait for a comparison of long runs?"""

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import print_table

PROGRAM = str(Path(sys.executable).with_name("lightning-cv"))
NUM_RUNS = 20
NUM_ROWS = 10_000
ROUNDS = 5
VALIDATED = 100  # rows between two validations
RECIPE = """\
seed_everything: {seed}
model:
  class_path: lightning_cv.tasks.Classify
  init_args:
    network: {{class_path: lightning_cv.networks.classify.SmallResNet, init_args: {{widths: [32, 64]}}}}
    optimizer: {{class_path: torch.optim.AdamW, init_args: {{lr: {lr}, weight_decay: 0.05}}}}
data: {{class_path: lightning_cv.data.Digits, init_args: {{batch_size: 64}}}}
callbacks:
  snapshot: {{class_path: lightning_cv.callbacks.Snapshot, init_args: {{monitor: val/accuracy, mode: max}}}}
trainer: {{max_epochs: 100, log_every_n_steps: 10}}
"""


def _row(number: int, draw: random.Random) -> dict[str, object]:
    """A point of the curves, with the six metrics that the shipped recipes log, or a validation."""
    step = 10 * (number + 1)
    metrics = {
        "train/loss": draw.random(),
        "train/accuracy": draw.random(),
        "lr/network": draw.random() * 1e-3,
        "lr/network_no_decay": draw.random() * 1e-3,
        "throughput/images_per_s": draw.random() * 1e4,
        "throughput/step_ms": draw.random() * 10,
    }
    validated = (number + 1) % VALIDATED == 0
    if validated:
        metrics |= {"val/accuracy": draw.random(), "val/loss": draw.random()}
    head = {"event": "validation" if validated else "curve", "epoch": number // VALIDATED, "step": step}
    return {**head, "samples_seen": 64 * step, "time_s": round(0.1 * step, 3), "metrics": metrics}


def _make_runs(folder: Path) -> None:
    """Four groups of five seeds."""
    draw = random.Random(0)  # noqa: S311
    # As many further keys as a resolved recipe has.
    complete = "defaults:\n" + "".join(f"  key_{number}: {number}.5\n" for number in range(130))
    for number in range(NUM_RUNS):
        path = folder / "runs" / "digits" / f"run{number:02}"
        path.mkdir(parents=True)
        recipe = RECIPE.format(seed=number % 5, lr=0.001 * (1 + number // 5))
        (path / "recipe.yaml").write_text(recipe + complete)
        (path / "provenance.json").write_text(json.dumps({"training": {"parameters": 78042, "devices": 1}}))
        rows = [json.dumps(_row(row, draw)) + "\n" for row in range(NUM_ROWS)]
        (path / "progress.jsonl").write_text("".join(rows))


def _seconds(command: list[str], folder: str) -> tuple[float, float]:
    """CPU seconds and wall seconds of one whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    # An installed program has its bytecode, whatever this machine's settings are.
    environ = os.environ | {"COLUMNS": "120", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


READ = """
import sys, orjson, pathlib
for path in sorted(pathlib.Path('runs').glob('*/*/progress.jsonl')):
    [orjson.loads(line) for line in path.read_bytes().splitlines()]
"""


def main() -> None:
    """Print the table."""
    commands = {
        "reading and parsing the lines, nothing else": [sys.executable, "-c", READ],
        "`lightning-cv compare runs`": [PROGRAM, "compare", "runs"],
        "`lightning-cv compare runs --json`": [PROGRAM, "compare", "runs", "--json"],
        "`lightning-cv compare runs --curves`": [PROGRAM, "compare", "runs", "--curves"],
        "`lightning-cv compare runs --plot curves.png`": [PROGRAM, "compare", "runs", "--plot", "curves.png"],
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        _make_runs(Path(folder))
        for round_number in range(ROUNDS + 1):
            for name, command in commands.items():
                seconds = _seconds(command, folder)
                if round_number:  # the first round warms the page cache
                    measured[name].append(seconds)
    rows = [
        (name, f"{statistics.median(c for c, _ in values):.2f}", f"{statistics.median(w for _, w in values):.2f}")
        for name, values in measured.items()
    ]
    how = f"{NUM_RUNS} runs of {NUM_ROWS:,} rows; whole processes, medians of {ROUNDS} interleaved rounds after one."
    print_table("Compare", ("command", "CPU s", "wall s"), rows, how=how)


if __name__ == "__main__":
    main()
