"""What is a residual network for images too small for the ImageNet stem?"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.residual import BasicBlock, NormName, make_norm


class SmallResNet(nn.Module):
    """Residual network without stem pooling, for images from 8x8 pixels up.

    A 3x3 convolution, then stages of basic blocks, each stage but the first halving height and width, global
    average pooling and a linear head. Widths [16, 32, 64] with 3 blocks each are the CIFAR ResNet-20 (He et
    al. 2016, section 4.2; 6 n + 2 layers with n blocks a stage), with 1x1 convolutions in place of zero
    padding where the shape changes (272,474 parameters for 10 classes instead of 269,722).

    Args:
        num_classes: number of class scores.
        in_channels: channels of the images.
        widths: channels of each stage; their number is the number of stages.
        blocks_per_stage: basic blocks in each stage, 1 or more.
        norm: `batch`, or `group` for batches too small for batch statistics.
        zero_init_residual: start each block as the identity, with zero scale in its last norm (row 50).
        shortcuts: False: the same layers as a plain stack, which fits worse the deeper it is (row 84).
    """

    example_input: ClassVar[tuple[int, int, int]] = (3, 32, 32)

    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        widths: Sequence[int] = (16, 32, 64),
        blocks_per_stage: int = 3,
        norm: NormName = "batch",
        zero_init_residual: bool = False,
        shortcuts: bool = True,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise UserError(f"SmallResNet: widths is {list(widths)}; allowed: one or more widths of 1 or more")
        if blocks_per_stage < 1:
            raise UserError(f"SmallResNet: blocks_per_stage is {blocks_per_stage}; allowed: 1 or more")
        if zero_init_residual and not shortcuts:
            raise UserError("SmallResNet: zero_init_residual without shortcuts would let nothing through")
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            make_norm(norm, widths[0]),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.Sequential()
        channels = widths[0]
        for index, width in enumerate(widths):
            strides = [1 if index == 0 else 2] + [1] * (blocks_per_stage - 1)
            stage = nn.Sequential()
            for stride in strides:
                stage.append(BasicBlock(channels, width, stride=stride, norm=norm, shortcut=shortcuts))
                channels = width
            self.stages.append(stage)
        self.head = nn.Linear(channels, num_classes)
        self._initialize(zero_init_residual)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to class scores (B, num_classes)."""
        features: Tensor = self.stages(self.stem(images))
        return self.head(features.mean(dim=(2, 3)))

    def _initialize(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if zero_init_residual and isinstance(module, BasicBlock):
                nn.init.zeros_(module.norm2.weight)  # type: ignore[arg-type]
