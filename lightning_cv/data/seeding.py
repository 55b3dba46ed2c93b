"""How do transforms that draw from torch's global generator give the same draws in every process?"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def borrowed_cpu_generator() -> Iterator[torch.Generator]:
    """Torch's default CPU generator, to be seeded at will; its state is put back at the end.

    torchvision's transforms can draw from no other generator. CUDA generators are not touched (as
    `torch.manual_seed` would).
    """
    generator = torch.default_generator
    state = generator.get_state()
    try:
        yield generator
    finally:
        generator.set_state(state)
