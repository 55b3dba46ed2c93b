"""Networks that know nothing of Lightning, and what a task may do to any network."""

from lightning_cv.networks.build import build_network
from lightning_cv.networks.head import find_head, find_heads, num_classes, start_head, with_new_head
from lightning_cv.networks.initialize import Initialize, Touched

__all__ = [
    "Initialize",
    "Touched",
    "build_network",
    "find_head",
    "find_heads",
    "num_classes",
    "start_head",
    "with_new_head",
]
