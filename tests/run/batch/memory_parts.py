"""Parts of a recipe that need memory: so much a sample, or more than there is from some number of samples on."""

import os

import torch
from torch import nn

HERE = "tests.run.batch.memory_parts"


class Hungry(nn.Module):
    """Runs out of memory, as a GPU does, in training with more samples at once than its device has room for.

    Args:
        room: samples, for each device by its rank.
        in_backward: where it happens: in the backward pass, else in the forward pass.
        kills: whether the system ends the process, as it does where the machine's memory is full.
    """

    def __init__(self, room: list[int], in_backward: bool = False, kills: bool = False) -> None:
        super().__init__()
        self.room = room
        self.in_backward = in_backward
        self.kills = kills
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        scores = self.layers(images)
        rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))
        if self.training and len(images) > self.room[rank]:
            if self.in_backward:
                scores.register_hook(self.run_out)
            else:
                self.run_out()
        return scores

    def run_out(self, gradient=None):
        if self.kills:
            os.kill(os.getpid(), 9)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of")


class Greedy(nn.Module):
    """Holds so many bytes a sample from the forward pass to the backward pass."""

    def __init__(self, megabytes: int) -> None:
        super().__init__()
        self.megabytes = megabytes
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        scores = self.layers(images)
        if self.training:
            held = torch.ones(len(images), self.megabytes * 250_000)
            scores.register_hook(lambda gradient: gradient + 0 * held[0, 0])
        return scores


class Broken(nn.Module):
    """Fails in training, for another reason than memory."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, images):
        if self.training:
            raise ZeroDivisionError("meant")
        return self.layers(images)
