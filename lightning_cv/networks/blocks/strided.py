"""How does a small convolutional network halve an image again and again, and how does one double it back?"""

from torch import Tensor, nn

from lightning_cv.errors import UserError


class PreActivationBlock(nn.Module):
    """x + f(x) with f = relu, 3x3 convolution, relu, 1x1 convolution (van den Oord et al. 2017, section 4.1).

    Args:
        width: channels of x.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        carried: Tensor = features + self.body(features)
        return carried


def down(in_channels: int, out_channels: int, *, width: int, num_halvings: int, num_blocks: int) -> nn.Sequential:
    """Convolutions of 4x4 and stride 2, residual blocks, and a 1x1 convolution.

    Maps (B, in_channels, H, W) to (B, out_channels, H / 2^num_halvings, W / 2^num_halvings).

    Args:
        in_channels: of the image.
        out_channels: of the code.
        width: channels between.
        num_halvings: how often height and width are halved; 0: a convolution of 3x3 keeps them.
        num_blocks: residual blocks on the smallest grid.
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for _ in range(num_halvings):
        layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.ReLU()]
        channels = width
    layers.append(nn.Conv2d(channels, width, 3, padding=1))
    blocks = [PreActivationBlock(width) for _ in range(num_blocks)]
    return nn.Sequential(*layers, *blocks, nn.ReLU(), nn.Conv2d(width, out_channels, 1))


def up(in_channels: int, out_channels: int, *, width: int, num_doublings: int, num_blocks: int) -> nn.Sequential:
    """A 3x3 convolution, residual blocks, and transposed convolutions of 4x4 and stride 2.

    Maps (B, in_channels, h, w) to (B, out_channels, h * 2^num_doublings, w * 2^num_doublings).

    Args:
        in_channels: of the code.
        out_channels: of the image.
        width: channels between.
        num_doublings: how often height and width are doubled; 0: a convolution of 3x3 keeps them.
        num_blocks: residual blocks on the smallest grid.
    """
    blocks = [PreActivationBlock(width) for _ in range(num_blocks)]
    layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1), *blocks, nn.ReLU()]
    for _ in range(num_doublings):
        layers += [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, out_channels, 3, padding=1))


def grid_of(image: tuple[int, int, int], num_halvings: int) -> tuple[int, int]:
    """Height and width of an image (C, H, W) that was halved so often.

    Raises:
        UserError: it cannot be.
    """
    _, height, width = image
    step = 2**num_halvings if num_halvings >= 0 else 0
    if not step or height % step or width % step:
        raise UserError(
            f"network: num_halvings is {num_halvings} of an image of {height} x {width}; allowed: 0 or more, so that "
            "both can be halved so often"
        )
    return height // step, width // step
