"""Which few numbers say most of an image, if an image must come back of them?"""

from collections.abc import Mapping

from torch import Tensor

from lightning_cv.contracts import Density, Draws, Posterior
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.coders import (
    Coders,
    ConvDecoder,
    ConvEncoder,
    MlpDecoder,
    MlpEncoder,
    check_widths,
)
from lightning_cv.networks.generate.base import Generative, check_at_least


class _Autoencoder(Generative):
    """An encoder to a latent vector and a decoder of it, trained by the squared error (row 238).

    It is no distribution: there is nothing to sample from.

    Args:
        image: (C, H, W) of the images.
        coders: the kind of encoder, images to (B, 1, Z), and of decoder, (B, Z) to (B, 1, C, H, W).
        widths: of the encoder's layers, from the image on; the decoder is its mirror.
        num_latents: Z.
    """

    density = Density.NONE
    example_input = (1, 8, 8)

    def __init__(
        self, image: tuple[int, int, int], coders: Coders, *, widths: tuple[int, ...], num_latents: int
    ) -> None:
        super().__init__(image, levels=None, num_classes=None)
        check_at_least("num_latents", num_latents, 1)
        encoder, decoder = coders
        self.num_latents = num_latents
        self.encoder = encoder(image, widths, num_latents=num_latents)
        self.decoder = decoder(image, widths[::-1], num_latents=num_latents)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`squared_error` (B,): |x - decoder(encoder(x))|^2, before values are cut off at black and white."""
        decoded = self.decoder(self.encoder(images)[:, 0])[:, 0]
        return {"squared_error": (decoded.float() - images).square().flatten(1).sum(1)}

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Posterior:
        """See `HasLatents`: a code that is certain."""
        return Posterior(self.encoder(images)[:, 0].float())

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `HasLatents`."""
        decoded: Tensor = self.decoder(latents)[:, 0].float()
        return decoded.clamp(0, 1)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `Reconstructs`."""
        return self.decode(self.encode(images).mean)

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """Nothing.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{type(self).__name__} has no distribution of codes, so there is nothing to sample; allowed: to "
            "reconstruct, edit and interpolate, or a variational autoencoder such as MlpVae"
        )


class LinearAutoencoder(_Autoencoder):
    """One linear layer each way: it finds the subspace of the principal components (Baldi and Hornik 1989; row 238).

    Args:
        image: (C, H, W) of the images.
        num_latents: Z, dimensions of the subspace.
    """

    def __init__(self, image: tuple[int, int, int] = (1, 8, 8), *, num_latents: int = 16) -> None:
        super().__init__(image, (MlpEncoder, MlpDecoder), widths=(), num_latents=num_latents)


class MlpAutoencoder(_Autoencoder):
    """Fully connected layers with ReLUs, the decoder a mirror of the encoder (Hinton and Salakhutdinov 2006; row 238).

    Args:
        image: (C, H, W) of the images.
        num_latents: Z.
        widths: units of each hidden layer of the encoder, from the image on.
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 16,
        widths: tuple[int, ...] = (256, 128),
    ) -> None:
        check_widths(widths)
        super().__init__(image, (MlpEncoder, MlpDecoder), widths=widths, num_latents=num_latents)


class ConvAutoencoder(_Autoencoder):
    """Convolutions in the encoder, transposed convolutions in the decoder (row 238).

    Args:
        image: (C, H, W) of the images; H and W multiples of 2 to the number of widths.
        num_latents: Z.
        widths: channels of each convolution of the encoder, from the image on.
    """

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_latents: int = 16,
        widths: tuple[int, ...] = (32, 64),
    ) -> None:
        check_widths(widths)
        super().__init__(image, (ConvEncoder, ConvDecoder), widths=widths, num_latents=num_latents)
