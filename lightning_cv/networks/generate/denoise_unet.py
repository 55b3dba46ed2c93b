"""Which network tells, of a noisy image and the time, what the noise is: the U-Net of DDPM."""

import math
from typing import Any

from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.coders import check_widths
from lightning_cv.networks.generate.base import check_at_least, check_image, check_labels


class UNet(nn.Module):
    """The U-Net of Ho et al. 2020, appendix B, by diffusers (row 259): see `lightning_cv.contracts.Denoiser`.

    With the widths 128, 256, 256, 256 on 32 x 32 in colour, attention at level 1 and dropout 0.1 it is that of CIFAR-10
    with 35,746,307 parameters. Its last convolution starts at zero, as there, so that the first loss of the noise is 1.

    Args:
        image: (C, H, W); H and W multiples of 2 to the number of halvings.
        num_classes: K classes that it can be told, and none as well; None: it takes no class.
        widths: channels of each level, from the full size on; each next one has half of it.
        blocks_per_level: residual blocks on the way down; one more on the way up.
        attention_levels: levels with self-attention after each block, 0 the full size. The middle always has some.
        dropout: in each block, in [0, 1).
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_classes: int | None = None,
        widths: tuple[int, ...] = (32, 64),
        blocks_per_level: int = 1,
        attention_levels: tuple[int, ...] = (1,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_unet_options(image, widths, attention_levels)
        check_at_least("num_classes", num_classes, 1)
        check_at_least("blocks_per_level", blocks_per_level, 1)
        if not 0 <= dropout < 1:
            raise UserError(f"network: dropout is {dropout}; allowed: 0 or more, below 1")
        from diffusers import UNet2DModel  # loads what no other network needs

        self.image = image
        self.num_classes = num_classes
        unet: Any = UNet2DModel(
            sample_size=image[1:],
            **unet_options(image, widths, blocks_per_level, attention_levels),
            dropout=dropout,
            attention_head_dim=None,  # one head
            num_class_embeds=None if num_classes is None else num_classes + 1,
        )
        nn.init.zeros_(unet.conv_out.weight)
        nn.init.zeros_(unet.conv_out.bias)
        self.unet = unet

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `lightning_cv.contracts.Denoiser`."""
        check_labels(labels, self.num_classes)
        answer: Tensor = self.unet(noisy, time, class_labels=labels, return_dict=False)[0]
        return answer


def unet_options(
    image: tuple[int, int, int], widths: tuple[int, ...], blocks_per_level: int, attention_levels: tuple[int, ...]
) -> dict[str, object]:
    """What diffusers' U-Nets are built with to be that of DDPM: sizes, and how time, padding and norms are done.

    Args:
        image: (C, H, W).
        widths: see `UNet`.
        blocks_per_level: see `UNet`.
        attention_levels: see `UNet`.
    """
    down = tuple("AttnDownBlock2D" if level in attention_levels else "DownBlock2D" for level in range(len(widths)))
    up = tuple("AttnUpBlock2D" if level in attention_levels else "UpBlock2D" for level in range(len(widths)))
    return {
        "in_channels": image[0],
        "out_channels": image[0],
        "block_out_channels": tuple(widths),
        "layers_per_block": blocks_per_level,
        "down_block_types": down,
        "up_block_types": up[::-1],
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-6,
        # 32 groups of at least 4 channels: a channel by itself would forget its mean.
        "norm_num_groups": max(1, math.gcd(*widths, 128) // 4),
    }


def check_unet_options(image: tuple[int, int, int], widths: tuple[int, ...], attention_levels: tuple[int, ...]) -> None:
    """Refuse sizes that do not fit each other.

    Raises:
        UserError: names the key and what is allowed.
    """
    check_image(image)
    check_widths(widths)
    step = 2 ** (len(widths) - 1)
    if image[1] % step or image[2] % step:
        raise UserError(
            f"network: image is {list(image)}, and {len(widths)} widths halve it {len(widths) - 1} times; allowed: "
            f"height and width that are multiples of {step}"
        )
    if any(width % 4 for width in widths):
        raise UserError(f"network: widths is {list(widths)}; allowed: multiples of 4")
    if not set(attention_levels) <= set(range(len(widths))):
        raise UserError(
            f"network: attention_levels is {list(attention_levels)}; allowed: from 0 to {len(widths) - 1}, of "
            f"{len(widths)} widths"
        )
