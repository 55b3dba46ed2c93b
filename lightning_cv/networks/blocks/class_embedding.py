"""How does a network that is conditional hear of the class?"""

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
