"""Does a small network train under DDP, and have all ranks the same weights afterwards?"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lightning_cv.doctor.finding import numbers
from lightning_cv.doctor.rank_report import Training

if TYPE_CHECKING:
    from lightning_cv.doctor.rank import Part

STEPS = 20
BATCH_SIZE = 32  # of each rank
LEARNING_RATE = 0.5
_DIGITS = (1 << 63) - 1  # an int64 holds them


def train(part: Part) -> None:
    """Train, compare the weights of all ranks, and keep what came of it.

    Raises:
        ValueError: the loss is not finite, or ranks have other weights than most.
    """
    part.post.begin("the start of DDP", together=True)
    indices = [part.device.index] if part.device.type == "cuda" else None
    network = DistributedDataParallel(make_network().to(part.device), device_ids=indices)
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    losses = []
    start_s = time.perf_counter()
    for step in range(STEPS):
        part.post.begin(f"training step {step + 1}")
        images, labels = (tensor.to(part.device) for tensor in make_batch(part.rank, step))
        loss = nn.functional.cross_entropy(network(images), labels)
        part.post.begin(f"the backward pass of training step {step + 1}", together=True)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    part.synchronize()
    time_s = time.perf_counter() - start_s
    part.post.begin("the mean of the losses", together=True)
    means = torch.stack(losses)
    distributed.all_reduce(means)
    first, *_, last = (means / part.num_ranks).tolist()
    part.post.begin("the comparison of the weights", together=True)
    _compare(part, network.module)
    if not math.isfinite(last):
        raise ValueError(f"the loss is {last} after {STEPS} steps")
    part.measured.training = Training(steps=STEPS, first_loss=first, last_loss=last, time_s=time_s)


def make_network() -> nn.Module:
    """Images (B, 1, 8, 8) to scores (B, 4), with the same weights on every rank."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(32, 4))


def make_batch(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (B, 1, 8, 8) and the number of its brightest quarter (B,), other ones for each rank and step."""
    generator = torch.Generator().manual_seed(rank * STEPS + step)
    images = torch.randn(BATCH_SIZE, 1, 8, 8, generator=generator)
    return images, nn.functional.avg_pool2d(images, 4).flatten(1).argmax(dim=1)


def _compare(part: Part, network: nn.Module) -> None:
    """Compare the bits of the weights of all ranks, as a digest."""
    weights = b"".join(value.detach().cpu().numpy().tobytes() for value in network.parameters())
    digest = int.from_bytes(hashlib.sha256(weights).digest()[:8]) & _DIGITS
    own = torch.tensor([digest], device=part.device)
    gathered = [torch.zeros_like(own) for _ in range(part.num_ranks)]
    distributed.all_gather(gathered, own)
    digests = [int(each) for each in gathered]
    usual, _ = Counter(digests).most_common(1)[0]
    others = [rank for rank, each in enumerate(digests) if each != usual]
    if others:
        part.post.begin("the comparison of the weights")
        raise ValueError(f"rank {numbers(others)} of {part.num_ranks} has other weights than the rest")
