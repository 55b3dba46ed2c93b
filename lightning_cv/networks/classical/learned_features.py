"""What does a trained network see in an image, before it scores the classes?"""

from typing import Any, ClassVar

from torch import Tensor, nn

from lightning_cv.networks.head import find_head
from lightning_cv.networks.saved_part import load_saved


class LearnedFeatures(nn.Module):
    """What enters the head of a network: the features that it learned, or those that it was pretrained with (row 12).

    Args:
        network: a classifier; None: a small residual network as it starts.
        weights: a checkpoint of a run with that network, or the folder of the run: then its best snapshot. Averaged
            weights are taken where the run scored by them. None: the weights that the network has.

    Raises:
        UserError: the file is missing or no checkpoint, or holds another network.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)

    def __init__(self, network: nn.Module | None = None, *, weights: str | None = None) -> None:
        super().__init__()
        self.network = network or _small()
        head = find_head(self.network)
        self.num_features = head.in_features if isinstance(head, nn.Linear) else head.in_channels
        self._seen: list[Tensor] = []
        if weights is not None:
            load_saved(self.network, weights, asked_by=type(self).__name__)
        head.register_forward_pre_hook(self._see)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to (B, num_features)."""
        self._seen.clear()
        self.network(images)
        features = self._seen.pop()
        if features.ndim == 4:
            features = features.mean(dim=(2, 3))
        return features

    def _see(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen.append(inputs[0])


def _small() -> nn.Module:
    from lightning_cv.networks.classify import SmallResNet

    return SmallResNet(in_channels=1, widths=[16, 32], blocks_per_stage=1)
