"""How does a diffusion that can draw learn to follow a picture of edges?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from lightning_cv.contracts import Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import check_at_least, check_labels
from lightning_cv.networks.generate.by_diffusion import ByDiffusion
from lightning_cv.networks.generate.denoise_unet import check_unet_options, unet_options
from lightning_cv.networks.generate.diffusion import Diffusion
from lightning_cv.networks.generate.in_steps import InSteps
from lightning_cv.networks.saved_part import load_saved
from lightning_cv.ops.edges import edges

_CONTROL_WIDTH = 16  # channels of the first layer on a control


class ConditionUNet(nn.Module):
    """Stable Diffusion's U-Net without its text, by diffusers: a `Denoiser` that `ControlledDiffusion` can steer.

    The same as `UNet` in what it takes and gives.

    Args:
        image: (C, H, W); H and W multiples of 2 to the number of halvings.
        num_classes: see `Denoiser`.
        widths: channels of each level, from the full size on; each next one has half of it; multiples of 4.
        blocks_per_level: residual blocks on the way down; one more on the way up.
        attention_levels: levels with self-attention after each block, 0 the full size.
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
    ) -> None:
        super().__init__()
        check_unet_options(image, widths, attention_levels)
        check_at_least("num_classes", num_classes, 1)
        check_at_least("blocks_per_level", blocks_per_level, 1)
        from diffusers import UNet2DConditionModel  # loads what no other network needs

        self.image, self.num_classes = image, num_classes
        self.unet: Any = UNet2DConditionModel(
            sample_size=image[1:],
            mid_block_type="UNetMidBlock2D",
            num_class_embeds=None if num_classes is None else num_classes + 1,
            **unet_options(image, widths, blocks_per_level, attention_levels),
        )

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """See `Denoiser`."""
        return self.answer(noisy, time, labels, {})

    def answer(self, noisy: Tensor, time: Tensor, labels: Tensor | None, added: Mapping[str, Any]) -> Tensor:
        """The same, with residuals that are added in its decoder, by the names of diffusers."""
        check_labels(labels, self.num_classes)
        answer: Tensor = self.unet(noisy, time, None, class_labels=labels, return_dict=False, **added)[0]
        return answer.float()


class _ControlNet(nn.Module):
    """A frozen denoiser, and beside it a copy of its encoder that learns to follow a control (row 265).

    What the copy makes of the noisy image and the control is added to what the frozen decoder takes, through 1 x 1
    convolutions that start at zero: it starts as the frozen one, exactly. Without a control it is the frozen one.
    """

    def __init__(self, base: ConditionUNet) -> None:
        super().__init__()
        from diffusers import ControlNetModel  # loads what no other network needs

        self.image, self.num_classes = base.image, base.num_classes
        self.net: Any = ControlNetModel.from_unet(
            base.unet, conditioning_channels=1, conditioning_embedding_out_channels=(_CONTROL_WIDTH,)
        )
        self.base = base.requires_grad_(False).eval()
        self._control: Tensor | None = None

    def train(self, mode: bool = True) -> _ControlNet:
        """Torch's, but for the base, which stays as it is."""
        super().train(mode)
        self.base.eval()
        return self

    @contextmanager
    def follows(self, control: Tensor) -> Iterator[None]:
        """Within it, noisy images follow a control (B, 1, H, W), also where a multiple of B is asked about at once."""
        self._control = control
        try:
            yield
        finally:
            self._control = None

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """See `Denoiser`."""
        if self._control is None:
            return self.base(noisy, time, labels)
        control = self._control.repeat(len(noisy) // len(self._control), 1, 1, 1)
        down, middle = self.net(noisy, time, None, control, class_labels=labels, return_dict=False)
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return self.base.answer(noisy, time, labels, added)


class ControlledDiffusion(ByDiffusion):
    """A diffusion that was trained before, and a ControlNet that makes it follow edges: see `FollowsControl` (row 265).

    Zhang et al. 2023, section 3.1, by diffusers: beside the frozen denoiser a copy of its encoder learns. In training
    the control is that of the image itself. A sample without a control is one of the diffusion as it was.

    Args:
        diffusion: of a `ConditionUNet`, as its recipe has it; None: a small one as it starts.
        weights: a checkpoint of a run with that diffusion, or the folder of the run: then its best one. None: those
            that it starts with.

    Raises:
        UserError: it has another denoiser; or see `load_saved`.
    """

    def __init__(self, diffusion: InSteps | None = None, *, weights: str | None = None) -> None:
        diffusion = diffusion or Diffusion(ConditionUNet())
        base = diffusion.denoiser
        if not isinstance(base, ConditionUNet):
            raise UserError(
                f"network: the diffusion's denoiser is {type(base).__name__}; allowed: ConditionUNet, beside which a "
                "ControlNet can stand"
            )
        if weights is not None:
            load_saved(diffusion, weights, asked_by=type(self).__name__)
        super().__init__(diffusion.image, diffusion)
        diffusion.denoiser = _ControlNet(base)

    @property
    def control_net(self) -> _ControlNet:
        """The denoiser that can follow a control."""
        denoiser = self.diffusion.denoiser
        assert isinstance(denoiser, _ControlNet)
        return denoiser

    def control_of(self, images: Tensor) -> Tensor:
        """Edges (B, 1, H, W); see `FollowsControl`."""
        return edges(images)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """That of the diffusion, told the edges of each image."""
        with self.control_net.follows(self.control_of(images)):
            return self.diffusion.loss_terms(images, labels, draws)

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1] of the diffusion as it was."""
        return self.diffusion.sample(draws, labels)

    def sample_controlled(self, draws: Draws, control: Tensor, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1] that follow edges (B, 1, H, W); see `FollowsControl`."""
        with self.control_net.follows(control):
            return self.diffusion.sample(draws, labels)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images that noise (B, Z) leads to without chance or control; see `DecodesLatents`."""
        return self.diffusion.decode(latents, labels)

    def trajectory(self, draws: Draws, labels: Tensor | None = None, *, num_frames: int) -> Tensor:
        """Of a sample without a control; see `SamplesInSteps`."""
        return self.diffusion.trajectory(draws, labels, num_frames=num_frames)
