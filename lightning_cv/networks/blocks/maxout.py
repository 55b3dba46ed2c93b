"""Which of several linear functions is largest?"""

from torch import Tensor, nn

from lightning_cv.errors import UserError


class Maxout(nn.Module):
    """max over k pieces: with a linear layer of k times the width before it, max_i (w_i x + b_i) (row 59).

    Goodfellow et al. 2013. `Mlp` makes its layers as wide as this needs. With two pieces, one of them 0, it is ReLU.

    Args:
        pieces: k, 2 or more.

    Raises:
        UserError: fewer pieces.
    """

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        if pieces < 2:
            raise UserError(f"Maxout: pieces is {pieces}; allowed: 2 or more")
        self.pieces = pieces

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, k D, ...) to (B, D, ...): D groups of k neighbours, the largest of each."""
        return features.unflatten(1, (-1, self.pieces)).amax(dim=2)
