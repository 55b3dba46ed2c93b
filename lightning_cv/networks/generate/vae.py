"""How is a distribution of images learned that has a latent vector behind each image?"""

from torch import Tensor

from lightning_cv.networks.blocks.coders import (
    Coders,
    ConvDecoder,
    ConvEncoder,
    MlpDecoder,
    MlpEncoder,
    check_widths,
)
from lightning_cv.networks.generate.base import check_at_least
from lightning_cv.networks.generate.likelihoods import Likelihood
from lightning_cv.networks.generate.variational import VariationalAutoencoder


class _Vae(VariationalAutoencoder):
    """With an `encoder` (B, C, H, W) -> (B, 2, Z) and a `decoder` (B, Z) -> (B, P, C, H, W) that are built alike.

    A conditional one learns p(x | y) with the class in both (Sohn et al. 2015); its prior is N(0, 1) for every class.

    Args:
        image: (C, H, W) of the images.
        coders: the kind of encoder, and of decoder.
        widths: of the encoder's layers, from the image on; the decoder is its mirror.
        num_latents: Z, 1 or more.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        coders: Coders,
        *,
        widths: tuple[int, ...],
        num_latents: int,
        likelihood: Likelihood | None,
        num_classes: int | None,
    ) -> None:
        super().__init__(image, num_latents=num_latents, likelihood=likelihood, num_classes=num_classes)
        encoder, decoder = coders
        sizes = {"num_latents": num_latents, "num_classes": num_classes}
        self.encoder = encoder(image, widths, num_heads=2, **sizes)
        self.decoder = decoder(image, widths[::-1], num_maps=self.likelihood.maps, **sizes)

    def encoded(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """See `VariationalAutoencoder`."""
        parts: Tensor = self.encoder(images, labels)
        return parts

    def decoded(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """See `VariationalAutoencoder`."""
        outputs: Tensor = self.decoder(latents, labels)
        return outputs


class MlpVae(_Vae):
    """Fully connected: one linear layer with a ReLU, then parallel linear layers, on each side (row 241).

    Those of the encoder are the mean and the logarithm of the deviation of z; those of the decoder what the likelihood
    takes of each value: of `DiscretizedNormal` and `Normal` (with `std: null`) again a mean and a deviation.

    Args:
        image: (C, H, W) of the images.
        num_latents: Z.
        width: units of the first layer on each side.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 16,
        width: int = 512,
        likelihood: Likelihood | None = None,
        num_classes: int | None = None,
    ) -> None:
        check_at_least("width", width, 1)
        super().__init__(
            image,
            (MlpEncoder, MlpDecoder),
            widths=(width,),
            num_latents=num_latents,
            likelihood=likelihood,
            num_classes=num_classes,
        )


class ConvVae(_Vae):
    """Convolutions in the encoder, transposed convolutions in the decoder.

    Args:
        image: (C, H, W) of the images; H and W multiples of 2 to the number of widths.
        num_latents: Z.
        widths: channels of each convolution of the encoder, from the image on.
        likelihood: p(x|z); None: `DiscretizedNormal` of 17 levels. Its levels are those of the network.
        num_classes: see `Generative`.
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 16,
        widths: tuple[int, ...] = (32, 64),
        likelihood: Likelihood | None = None,
        num_classes: int | None = None,
    ) -> None:
        check_widths(widths)
        super().__init__(
            image,
            (ConvEncoder, ConvDecoder),
            widths=widths,
            num_latents=num_latents,
            likelihood=likelihood,
            num_classes=num_classes,
        )
