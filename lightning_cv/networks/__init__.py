"""Networks that know nothing of Lightning, and what a task may do to any network."""

from lightning_cv.networks.build import build_network
from lightning_cv.networks.head import find_head, find_heads, num_classes, start_head, with_new_head

__all__ = ["build_network", "find_head", "find_heads", "num_classes", "start_head", "with_new_head"]
