"""What does an encoder that was trained without labels know of classes?"""

from typing import ClassVar

from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.saved_part import load_saved


class EncoderClassifier(nn.Module):
    """The encoder of an autoencoder or of a VAE, its decoder thrown away, and a linear layer on the code (row 239).

    Of a VAE the code is the mean of the posterior. Images have values in [0, 1], as the encoder saw them in training.

    Args:
        num_classes: number of class scores.
        network: whose `encoder` is used, as its recipe has it; None: a small `MlpAutoencoder` as it starts.
        weights: a checkpoint of a run with that network, or the folder of the run: then its best one. None: those that
            the network starts with.
        freeze: the encoder stays as it is, and only the linear layer learns: a linear probe (row 142).

    Raises:
        UserError: the network has no encoder to vectors, or one that needs the class; or see `load_saved`.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    takes_unit_range: ClassVar[bool] = True

    def __init__(
        self,
        num_classes: int = 10,
        *,
        network: nn.Module | None = None,
        weights: str | None = None,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        network = network or _small()
        encoder, num_latents = getattr(network, "encoder", None), getattr(network, "num_latents", None)
        heads = getattr(encoder, "heads", None)
        if not isinstance(encoder, nn.Module) or not isinstance(heads, nn.ModuleList) or num_latents is None:
            raise UserError(
                f"EncoderClassifier: {type(network).__name__} has no encoder to a vector; allowed: autoencoders and "
                "VAEs of lightning_cv.networks.generate"
            )
        if getattr(network, "num_classes", None) is not None:
            raise UserError(
                f"EncoderClassifier: the encoder of {type(network).__name__} needs the class that is asked for; "
                "allowed: num_classes: null in network"
            )
        if weights is not None:
            load_saved(encoder, weights, part="encoder", asked_by=type(self).__name__)
        del heads[1:]  # of a VAE the deviation, which says nothing of the class
        self.encoder = encoder.requires_grad_(not freeze)
        self.head = nn.Linear(num_latents, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to class scores (B, num_classes)."""
        scores: Tensor = self.head(self.encoder(images)[:, 0])
        return scores


def _small() -> nn.Module:
    from lightning_cv.networks.generate import MlpAutoencoder

    return MlpAutoencoder(widths=(64,))
