"""How much faster is an image drawn if activations are kept, than by a full pass for each value?

Full passes are timed on some of the values and counted for all: each costs the same, and drawing whole images by them
takes minutes.
"""

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.networks.generate import Autoregressive, PixelCnn, PixelTransformer

PASSES = 6
ROUNDS = 5


def _networks() -> dict[str, tuple[Autoregressive, int]]:
    """Networks, and how many images are drawn at once."""
    gray, colors = (1, 28, 28), (3, 32, 32)
    return {
        "PixelCnn 1×28×28": (PixelCnn(gray, levels=256, width=32, num_layers=6, kernel_size=5), 8),
        "PixelTransformer 1×28×28": (PixelTransformer(gray, levels=256, width=64, num_layers=4), 8),
        "PixelCnn 3×32×32": (PixelCnn(colors, levels=256, width=48, num_layers=6, kernel_size=5), 2),
    }


def _kept(network: Autoregressive, uniform: Tensor) -> float:
    """Seconds for whole images."""
    start = time.perf_counter()
    network.draw_values(uniform)
    return time.perf_counter() - start


@torch.no_grad()
def _full(network: Autoregressive, uniform: Tensor) -> float:
    """Seconds for whole images, from some of the passes."""
    values = torch.zeros(uniform.shape, dtype=torch.int64)
    start = time.perf_counter()
    for _ in range(PASSES):
        network.scores(values)
    return (time.perf_counter() - start) / PASSES * network.num_values


def _row(name: str, network: Autoregressive, count: int) -> tuple[str, ...]:
    nn.init.normal_(network.head.weight, std=0.1)  # type: ignore[arg-type, union-attr]
    uniform = torch.rand(count, *network.image)
    programs: dict[str, Any] = {
        "kept": lambda: _kept(network.eval(), uniform),
        "full": lambda: _full(network.eval(), uniform),
    }
    for program in programs.values():
        program()
    took = interleaved(programs, rounds=ROUNDS)
    per_image = [f"{statistics.median(took[key]) / count:.2f}" for key in ("kept", "full")]
    return name, str(count), *per_image, f"{median_ratio(took['full'], took['kept']):.0f}"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print_table(
        "Drawing images value by value",
        ("network", "images at once", "activations kept, s an image", "full passes, s an image", "times faster"),
        [_row(name, network, count) for name, (network, count) in _networks().items()],
        how=f"Medians of {ROUNDS} interleaved rounds, ratios taken round by round; full passes: {PASSES} of them, times"
        " the values of an image.",
    )


if __name__ == "__main__":
    main()
