"""What becomes of an image when its latent vector is changed?"""

import torch
from torch import Tensor

from lightning_cv.contracts import HasLatents, Posterior

STEPS = torch.linspace(-3, 3, 7)  # of a traversal
MOST_ROWS = 12


def traversal(network: HasLatents, posterior: Posterior, label: Tensor | None = None) -> Tensor:
    """Images of one latent vector, of which one number after another is set to -3 ... 3 (row 243).

    Rows are of those numbers that the encoder is most certain of: they say most of the image, and one that says nothing
    has the deviation 1 of the prior. A certain code has them in order, and is changed by as much from where it is.

    Args:
        network: with latent vectors.
        posterior: of one image, (1, Z).
        label: (1,) int64 where the network is conditional.

    Returns:
        (rows * 7, C, H, W) float32 in [0, 1]; up to 12 rows.
    """
    rows = min(network.num_latents, MOST_ROWS)
    steps = STEPS.to(posterior.mean.device)
    places = torch.arange(rows)
    changed = posterior.mean.float().repeat(rows, len(STEPS), 1)
    if posterior.std is None:
        for row in range(rows):
            changed[row, :, row] += steps
    else:
        places = posterior.std[0].argsort(stable=True)[:rows]
        for row, place in enumerate(places.tolist()):
            changed[row, :, place] = steps
    return _decode(network, changed.flatten(0, 1), label)


def interpolation(network: HasLatents, ends: Posterior, label: Tensor | None = None, *, num_steps: int = 10) -> Tensor:
    """Images on the straight line between two latent vectors, ends included.

    Args:
        network: with latent vectors.
        ends: of two images, (2, Z).
        label: (1,) int64 where the network is conditional.
        num_steps: how many images, 2 or more.

    Returns:
        (num_steps, C, H, W) float32 in [0, 1].
    """
    first, last = ends.mean.float()
    share = torch.linspace(0, 1, num_steps, device=first.device)[:, None]
    return _decode(network, first + share * (last - first), label)


@torch.no_grad()
def _decode(network: HasLatents, latents: Tensor, label: Tensor | None) -> Tensor:
    labels = None if label is None else label.expand(len(latents))
    return network.decode(latents, labels).float()
