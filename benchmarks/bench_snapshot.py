"""For how long does a snapshot stop the training?

The state is that of EfficientNet-B4 with averaged weights and AdamW: 19.3 million parameters, four times, in more
than two thousand tensors. Three ways to save it are compared: `torch.save` alone, which a crash or a power cut
tears; the same with fsync and an atomic rename; and `SnapshotIO`, which does that, reads the file back and writes
a manifest, in the background. The last row is the price: how much slower a computation gets meanwhile.
"""

import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.callbacks.checkpoint_io import SnapshotIO
from lightning_cv.record.atomic import write_atomically

ROUNDS = 9


def _state() -> dict[str, Any]:
    """What the snapshot of a run holds, as far as it is large."""
    network = torchvision.models.efficientnet_b4()
    optimizer = torch.optim.AdamW(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    averaged = copy.deepcopy(network)
    return {
        "epoch": 0,
        "global_step": 1,
        "state_dict": network.state_dict(),
        "averaged_network": averaged.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
    }


def _timed_ms(save: Callable[[], object], finish: Callable[[], object] = lambda: None) -> float:
    """Milliseconds until `save` returns; what it leaves to be done is done before the next measurement."""
    start = time.perf_counter()
    save()
    stall_ms = (time.perf_counter() - start) * 1e3
    finish()
    os.sync()
    return stall_ms


def _compute_ms() -> float:
    """Milliseconds of a fixed computation of a few hundred milliseconds, in many small calls as a step has them."""
    a, b = torch.ones(256, 256), torch.ones(256, 256)
    start = time.perf_counter()
    for _ in range(400):
        (a @ b).sum()
    return (time.perf_counter() - start) * 1e3


def _computed_meanwhile_ms(files: SnapshotIO, state: dict[str, Any], path: Path) -> float:
    files.save_checkpoint(state, path)
    took_ms = _compute_ms()
    files.wait()
    os.sync()
    return took_ms


def measure(folder: Path) -> dict[str, list[float]]:
    """Milliseconds of each way by name, interleaved."""
    state, files = _state(), SnapshotIO()
    path = folder / "state.ckpt"
    first_ms = _timed_ms(lambda: files.save_checkpoint(state, path), files.wait)

    def until_written() -> None:
        files.save_checkpoint(state, path)
        files.wait()

    results = interleaved(
        {
            "save": lambda: _timed_ms(lambda: torch.save(state, path)),
            "atomic": lambda: _timed_ms(lambda: write_atomically(path, lambda file: torch.save(state, file))),
            "snapshot": lambda: _timed_ms(lambda: files.save_checkpoint(state, path), files.wait),
            "written": lambda: _timed_ms(until_written),
            "compute": _compute_ms,
            "meanwhile": lambda: _computed_meanwhile_ms(files, state, path),
        },
        rounds=ROUNDS,
    )
    return results | {"first": [first_ms], "bytes": [float(path.stat().st_size)]}


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        results = measure(Path(folder))
    rows = []
    for name, way in {
        "torch.save": "save",
        "torch.save, fsync, atomic rename": "atomic",
        "SnapshotIO": "snapshot",
    }.items():
        ratios = [f"{median_ratio(results[way], results[other]):.2f}" for other in ("save", "atomic")]
        rows.append((name, f"{statistics.median(results[way]):.0f}", *ratios))
    print_table(
        f"Stall of training by a snapshot of {results['bytes'][0] / 1e6:.0f} MB",
        ("way", "stall, ms", "× torch.save", "× torch.save, fsync, rename"),
        rows,
        how=f"Medians of {ROUNDS} interleaved rounds in one process, ratios taken round by round. The first SnapshotIO"
        f" of a training, which allocates its buffers, stalled {results['first'][0]:.0f} ms; on the disk, verified and"
        f" with its manifest it is after {statistics.median(results['written']):.0f} ms, and until then a computation"
        f" takes {median_ratio(results['meanwhile'], results['compute']):.2f} × its time.",
    )


if __name__ == "__main__":
    main()
