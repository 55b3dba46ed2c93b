"""What are the first deep networks on ImageNet, AlexNet as published and ZFNet, which torchvision lacks?"""

from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError


class _FullyConnectedNet(nn.Module):
    """Convolutions to (256, 6, 6), two wide layers with dropout, and the scores."""

    example_input: ClassVar[tuple[int, int, int]] = (3, 224, 224)

    def __init__(self, features: nn.Sequential, num_classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, 224, 224) to class scores (B, num_classes)."""
        maps = self.features(images)
        if maps.shape[-2:] != (6, 6):
            given = f"{images.shape[-2]}x{images.shape[-1]}"
            raise UserError(f"{type(self).__name__}: images are {given}; allowed: 224x224")
        return self.head(self.hidden(maps))


class AlexNet2012(_FullyConnectedNet):
    """AlexNet as published: three convolutions in two groups, local response normalization; 60,965,224 parameters.

    Krizhevsky, Sutskever, Hinton 2012. `torchvision.models.alexnet` is the ungrouped variant of 2014 (row 78).

    Args:
        num_classes: number of class scores.
        in_channels: channels of the images.
        hidden: width of the two layers before the scores.
        dropout: probability that one of their units is zero in training.
    """

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, hidden: int = 4096, dropout: float = 0.5
    ) -> None:
        features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, k=2.0),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, k=2.0),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        super().__init__(features, num_classes, hidden, dropout)


class ZFNet(_FullyConnectedNet):
    """AlexNet with a finer first layer, 7x7 with stride 2, and no groups: 62,357,608 parameters (row 79).

    Zeiler and Fergus 2014 (fig. 3).

    Args:
        num_classes: number of class scores.
        in_channels: channels of the images.
        hidden: width of the two layers before the scores.
        dropout: probability that one of their units is zero in training.
    """

    def __init__(
        self, num_classes: int = 1000, *, in_channels: int = 3, hidden: int = 4096, dropout: float = 0.5
    ) -> None:
        features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.LocalResponseNorm(5, k=2.0),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.LocalResponseNorm(5, k=2.0),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        super().__init__(features, num_classes, hidden, dropout)
