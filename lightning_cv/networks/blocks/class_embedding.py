"""How does a network that is conditional hear of the class?"""

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError


class ClassEmbedding(nn.Module):
    """A vector for each class, or none where a network is not conditional (row 231).

    Args:
        num_classes: None: gives 0.
        width: of the vector.
    """

    def __init__(self, num_classes: int | None, width: int) -> None:
        super().__init__()
        self.table = None if num_classes is None else nn.Embedding(num_classes, width)

    def forward(self, labels: Tensor | None, *, ndim: int = 2) -> Tensor | float:
        """(B, width, 1, ...) with `ndim` dimensions; 0 without classes.

        Raises:
            UserError: labels are missing, or given in vain.
        """
        if self.table is None:
            if labels is not None:
                raise UserError("the network is not conditional: it takes no class")
            return 0.0
        if labels is None:
            raise UserError(
                f"the network is conditional: give the class of each image, 0 to {len(self.table.weight) - 1}"
            )
        vectors: Tensor = self.table(labels)
        return vectors.view(*vectors.shape, *[1] * (ndim - 2))


class BesideClass(nn.Module):
    """Latent vectors, and beside each the vector of its class where a network is conditional (Mirza and Osindero 2014).

    Args:
        num_classes: None: gives the latent vectors alone.
        width: Z, of the latent vectors, and of those of the classes.

    Attributes:
        out_features: of what it gives, Z or 2 Z.
    """

    def __init__(self, num_classes: int | None, width: int) -> None:
        super().__init__()
        self.classes = ClassEmbedding(num_classes, width)
        self.out_features = width if num_classes is None else 2 * width

    def forward(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """(B, `out_features`) of latent vectors (B, Z) and labels (B,) int64.

        Raises:
            UserError: labels are missing, or given in vain.
        """
        told = self.classes(labels)
        return latents if isinstance(told, float) else torch.cat([latents, told.to(latents.dtype)], 1)
