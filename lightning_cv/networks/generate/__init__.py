"""Networks that learn a distribution of images, or a code of them."""

from lightning_cv.networks.generate.autoencoder import ConvAutoencoder, LinearAutoencoder, MlpAutoencoder
from lightning_cv.networks.generate.base import Autoregressive, Generative
from lightning_cv.networks.generate.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    DiscretizedNormal,
    Likelihood,
    Normal,
)
from lightning_cv.networks.generate.made import Made
from lightning_cv.networks.generate.vae import ConvVae, MlpVae

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "ConvAutoencoder",
    "ConvVae",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Generative",
    "Likelihood",
    "LinearAutoencoder",
    "Made",
    "MlpAutoencoder",
    "MlpVae",
    "Normal",
]
