"""Networks that learn a distribution of images, or a code of them."""

from lightning_cv.networks.generate.base import Autoregressive, Generative
from lightning_cv.networks.generate.captioned_codes import CaptionedCodes
from lightning_cv.networks.generate.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    DiscretizedNormal,
    Likelihood,
    Normal,
)
from lightning_cv.networks.generate.made import Made
from lightning_cv.networks.generate.multiscale_vq_vae import MultiscaleVqVae
from lightning_cv.networks.generate.pixel_cnn import PixelCnn
from lightning_cv.networks.generate.pixel_transformer import PixelTransformer
from lightning_cv.networks.generate.vq_vae import VqVae

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "CaptionedCodes",
    "Categorical",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Generative",
    "Likelihood",
    "Made",
    "MultiscaleVqVae",
    "Normal",
    "PixelCnn",
    "PixelTransformer",
    "VqVae",
]
