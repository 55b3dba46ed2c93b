"""How does a part of a network keep what it found in the training images?"""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, Batches, FitsImages
from lightning_cv.errors import UserError


class Fitted(nn.Module):
    """A module whose buffers are found in the training images before training, and travel with its weights.

    They are empty until then. Loading weights takes the shapes that were saved, so that what was found in other
    images, and so has other sizes, comes back as it was.
    """

    def find(self, name: str, value: Tensor) -> None:
        """Keep what was found in the buffer `name`, on the device of the module."""
        setattr(self, name, value.detach().to(getattr(self, name).device))

    def declare(self, *names: str, dtype: torch.dtype = torch.float32) -> None:
        """Register buffers that are empty until they are found."""
        for name in names:
            self.register_buffer(name, torch.empty(0, dtype=dtype))

    def check_found(self, buffer: Tensor) -> None:
        """Refuse to work before anything was found.

        Raises:
            UserError: `buffer` is empty.
        """
        if not buffer.numel():
            raise UserError(
                f"{type(self).__name__} has not seen the training images yet: train it with lightning-cv fit, or give "
                "--ckpt with the run that did"
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name, buffer in list(self.named_buffers(recurse=False)):
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and saved.shape != buffer.shape:
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def features_of(features: nn.Module, batches: Batches) -> Tensor:
    """Features of all training images, (N, D) float32 on the CPU; fits `features` first where they need it."""
    if isinstance(features, FitsImages):
        features.fit_images(batches)
    was_training = features.training
    features.eval()
    device = next((t.device for t in (*features.parameters(), *features.buffers())), torch.device("cpu"))
    with torch.no_grad():
        found = torch.cat([features(batch[IMAGE].to(device)).float().cpu() for batch in batches()])
    features.train(was_training)
    return found
