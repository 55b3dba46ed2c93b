"""How is an image drawn by a diffusion of the few numbers that stand for it?"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_cv.contracts import IMAGE, Batches, Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.by_diffusion import ByDiffusion
from lightning_cv.networks.generate.denoise_unet import UNet
from lightning_cv.networks.generate.diffusion import Diffusion
from lightning_cv.networks.generate.in_steps import InSteps
from lightning_cv.networks.generate.kl_autoencoder import KlAutoencoder
from lightning_cv.networks.saved_part import load_saved
from lightning_cv.ops.diagonal_normal import draw_normal


class LatentDiffusion(ByDiffusion):
    """The second stage of latent diffusion (Rombach et al. 2022, section 3.2; row 261).

    Images are encoded by an autoencoder that was trained before, and is frozen; a diffusion learns the latent images,
    divided by their deviation over the training images (the paper's appendix G), and what it draws is decoded. Of p(x)
    it says no number.

    Args:
        autoencoder: as its recipe has it; None: a small one as it starts.
        diffusion: `Diffusion` with `clip: false`, or `FlowMatching`, of images as large as the latent ones; None: a
            small one of a `UNet`.
        weights: a checkpoint of a run with that autoencoder, or the folder of the run: then its best one. None: those
            that the autoencoder starts with.

    Raises:
        UserError: the sizes differ, or the diffusion cuts values off; or see `load_saved`.
    """

    scale: Tensor

    def __init__(
        self, autoencoder: KlAutoencoder | None = None, diffusion: InSteps | None = None, *, weights: str | None = None
    ) -> None:
        autoencoder = autoencoder or KlAutoencoder()
        diffusion = diffusion or Diffusion(UNet(autoencoder.latent_image), levels=None, clip=False)
        if tuple(diffusion.image) != autoencoder.latent_image:
            raise UserError(
                f"network: the diffusion's denoiser has images {list(diffusion.image)}; allowed: those of the "
                f"autoencoder's latents, {list(autoencoder.latent_image)}"
            )
        if getattr(diffusion, "most", None) is not None or diffusion.levels is not None:
            raise UserError(
                "network: the diffusion cuts values off; allowed: clip: false and levels: null, since latents have "
                "neither ends nor levels"
            )
        super().__init__(autoencoder.image, diffusion)
        if weights is not None:
            load_saved(autoencoder, weights, asked_by=type(self).__name__)
        self.autoencoder = autoencoder.requires_grad_(False).eval()
        self.register_buffer("scale", torch.ones(()))  # a latent number is divided by it

    def train(self, mode: bool = True) -> LatentDiffusion:
        """Torch's, but for the autoencoder, which stays as it is."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    @torch.no_grad()
    def fit_images(self, batches: Batches) -> None:
        """Find the deviation of all latent numbers of the training images; see `FitsImages`."""
        count, total, square = 0, 0.0, 0.0
        for batch in batches():
            posterior = self.autoencoder.encode(batch[IMAGE].to(self.scale.device))
            assert posterior.std is not None
            count += posterior.mean.numel()
            total += float(posterior.mean.double().sum())
            square += float((posterior.mean.double().square() + posterior.std.double().square()).sum())
        self.scale.fill_((square / count - (total / count) ** 2) ** 0.5)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """That of the diffusion, of one draw of the latents of each image."""
        with torch.no_grad():
            posterior = self.autoencoder.encode(images)
            assert posterior.std is not None
            latents = draw_normal(posterior.mean, posterior.std.log(), draws.normal(self.num_latents))
        return self.diffusion.loss_of(latents.unflatten(1, self.autoencoder.latent_image) / self.scale, labels, draws)

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1]: the mean images of new latents."""
        return self._images(self.diffusion.draw(draws, labels))

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images (B, C, H, W) in [0, 1] that noise (B, Z) leads to without any chance; see `DecodesLatents`."""
        return self._images(self.diffusion.draw_from(latents, labels))

    def trajectory(self, draws: Draws, labels: Tensor | None = None, *, num_frames: int) -> Tensor:
        """(F, B, C, H, W) in [0, 1]: what the latents decode to on their way; see `SamplesInSteps`."""
        frames = self.diffusion.draw_frames(draws, labels, num_frames=num_frames)
        return torch.stack([self._images(frame) for frame in frames])

    @torch.no_grad()
    def _images(self, values: Tensor) -> Tensor:
        """Of what the diffusion draws, (B, c, h, w)."""
        return self.autoencoder.decode((values * self.scale).flatten(1))
