"""What is LeNet-5 in today's layers?"""

from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError


class LeNet5(nn.Module):
    """Two stages of 5x5 convolution, tanh and pooling, then three linear layers: 61,706 parameters (row 77).

    LeCun et al. 1998 (fig. 2) with the usual simplifications: the second convolution sees all 6 maps instead
    of a table of subsets, average pooling has no trained scale and bias, and the output is linear instead of
    radial basis functions. Convolution C5, which spans its whole input, is the linear layer that it equals.

    Args:
        num_classes: number of class scores.
        in_channels: channels of the images.
        padding: zeros around the images: 0 for 32x32 as in the paper, 2 for 28x28 as in MNIST.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 32, 32)

    def __init__(self, num_classes: int = 10, *, in_channels: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.size_px = 32 - 2 * padding
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=padding),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh())
        self.head = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, 32 - 2 padding, 32 - 2 padding) to class scores (B, num_classes)."""
        if images.shape[-2:] != (self.size_px, self.size_px):
            given, allowed = f"{images.shape[-2]}x{images.shape[-1]}", f"{self.size_px}x{self.size_px}"
            raise UserError(f"LeNet5: images are {given}; allowed: {allowed}, or padding: 2 for 28x28, 0 for 32x32")
        return self.head(self.hidden(self.features(images)))
