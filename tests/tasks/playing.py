"""Generators and discriminators small enough that a game's every step can be worked out."""

from __future__ import annotations

import torch
from torch import nn

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.networks.generate import LatentGenerator


class Affine(LatentGenerator):
    """The image is (W z + b), not held to [0, 1]: no norm, nothing that looks across a batch."""

    def __init__(self, image=(1, 2, 2), *, num_latents=4, num_classes=None, seed=4) -> None:
        super().__init__(image, num_latents=num_latents, num_classes=num_classes)
        self.layer = nn.Linear(num_latents, self.num_values)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def decode(self, latents, labels=None):
        return self.layer(latents.to(self.layer.weight.dtype)).view(-1, *self.image)


class Critic(nn.Module):
    """One hidden layer without a norm; `width` 0: a linear score."""

    def __init__(self, image=(1, 2, 2), *, num_classes=None, width=6, seed=5) -> None:
        super().__init__()
        self.image, self.num_classes = image, num_classes
        size = image[0] * image[1] * image[2]
        layers = [nn.Linear(size, width), nn.Tanh(), nn.Linear(width, 1)] if width else [nn.Linear(size, 1)]
        self.layers = nn.Sequential(*layers)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, images, labels=None):
        return self.layers(images.flatten(1).to(self.layers[0].weight.dtype))[:, 0]


class Pixels(VisionData):
    """As many images of 2 x 2 pixels as wanted, in any grey value, in two classes."""

    def __init__(self, number: int = 8, **shared) -> None:
        super().__init__(normalize=False, **shared)
        self.number = number

    def load(self, stage: Stage) -> ResidentSplit:
        generator = torch.Generator().manual_seed(list(Stage).index(stage))
        images = torch.randint(256, (self.number, 1, 2, 2), generator=generator, dtype=torch.uint8)
        return ResidentSplit(images, (images[:, 0, 0, 0] > 127).long(), ("dark", "light"), "Pixels")


def sgd(lr: float):
    """Builds plain gradient descent, by which a step can be worked out."""
    return lambda groups: torch.optim.SGD(groups, lr=lr)
