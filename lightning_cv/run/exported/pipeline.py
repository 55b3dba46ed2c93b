"""How does diffusers sample from a diffusion with classes, of latents, or from a flow? Copied into the exported folder.

Nothing here imports this file: diffusers does, from the folder, where it is told to trust it.
"""

# What diffusers loads lazily, mypy sees without attributes.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor


class LightningCvPipeline(DiffusionPipeline):
    """Images of classes by guidance (Ho and Salimans 2022), of latent images, and along a flow.

    Args:
        unet: `UNet2DModel`; with classes, the last of its embeddings stands for none.
        scheduler: `DDIMScheduler` or `FlowMatchEulerDiscreteScheduler`.
        vae: `AutoencoderKL` of latent images; None: the U-Net's images are those of the pipeline.
        centred: whether black is -1 in what comes out, else 0.
    """

    _optional_components = ["vae"]

    def __init__(self, unet: Any, scheduler: Any, vae: Any = None, centred: bool = True) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, vae=vae)
        self.register_to_config(centred=centred)

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int = 1,
        class_labels: torch.Tensor | list[int] | None = None,
        guidance_scale: float = 1.0,
        num_inference_steps: int = 50,
        generator: torch.Generator | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Sample.

        Args:
            batch_size: how many images; as many as there are labels or latents.
            class_labels: (B,) in [0, K), where the network takes a class.
            guidance_scale: weight of the class; 1: as trained.
            num_inference_steps: of the scheduler.
            generator: of the noise.
            latents: the noise that they start from, (B, C, H, W); None: drawn.
            output_type: pil, np or pt.
            return_dict: whether to return an `ImagePipelineOutput` or a tuple.
        """
        labels = None if class_labels is None else torch.as_tensor(class_labels, device=self._execution_device)
        batch_size = batch_size if labels is None else len(labels)
        if latents is None:
            size = self.unet.config.sample_size
            shape = (batch_size, self.unet.config.in_channels, *((size, size) if isinstance(size, int) else size))
            latents = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.unet.dtype)
        steps: dict[str, Any] = {}
        if isinstance(self.scheduler, FlowMatchEulerDiscreteScheduler):
            even = [left / num_inference_steps for left in range(num_inference_steps, 0, -1)]
            self.scheduler.set_timesteps(sigmas=even, device=latents.device)
        else:
            self.scheduler.set_timesteps(num_inference_steps, device=latents.device)
            steps["use_clipped_model_output"] = True  # the noise follows from the clean values that were cut off
        for t in self.progress_bar(self.scheduler.timesteps):
            answer = self._guided(latents, t, labels, guidance_scale)
            latents = self.scheduler.step(answer, t, latents, **steps).prev_sample
        images: Any = self._images(latents)
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).numpy()
            images = self.numpy_to_pil(images) if output_type == "pil" else images
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _guided(self, noisy: torch.Tensor, t: Any, labels: torch.Tensor | None, weight: float) -> torch.Tensor:
        if labels is None or weight == 1:
            answer: torch.Tensor = self.unet(noisy, t, class_labels=labels).sample
            return answer
        none = torch.full_like(labels, self.unet.config.num_class_embeds - 1)
        both = self.unet(noisy.repeat(2, 1, 1, 1), t, class_labels=torch.cat([none, labels])).sample
        without, with_class = both.chunk(2)
        return torch.lerp(without, with_class, weight)

    def _images(self, latents: torch.Tensor) -> torch.Tensor:
        """In [0, 1]."""
        if self.vae is not None:
            decoded = self.vae.decode(latents / self.vae.config.scaling_factor).sample
            latents = decoded[:, : self.vae.config.in_channels]  # a decoder may tell more than the mean
        return (latents / 2 + 0.5 if self.config.centred else latents).clamp(0, 1)
