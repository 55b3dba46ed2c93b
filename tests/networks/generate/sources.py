"""Distributions of images small enough that what a network should learn of them is known."""

import torch


def bars() -> torch.Tensor:
    """(8, 1, 4, 4) float32: each row and each column alone, white on black."""
    images = torch.zeros(8, 1, 4, 4)
    for place in range(4):
        images[place, 0, place] = 1
        images[4 + place, 0, :, place] = 1
    return images
