"""Networks that learn a distribution of images, or a code of them."""

from lightning_cv.networks.generate.autoencoder import ConvAutoencoder, LinearAutoencoder, MlpAutoencoder
from lightning_cv.networks.generate.base import Autoregressive, Generative
from lightning_cv.networks.generate.by_diffusion import ByDiffusion
from lightning_cv.networks.generate.captioned_codes import CaptionedCodes
from lightning_cv.networks.generate.control_net import ConditionUNet, ControlledDiffusion
from lightning_cv.networks.generate.cycle import CycleDiscriminators, CycleTranslator, ResidualTranslator
from lightning_cv.networks.generate.dcgan import DcganDiscriminator, DcganGenerator
from lightning_cv.networks.generate.denoise_unet import UNet
from lightning_cv.networks.generate.diffusion import Diffusion
from lightning_cv.networks.generate.dit import Dit
from lightning_cv.networks.generate.flow_matching import FlowMatching
from lightning_cv.networks.generate.gsn import Gsn
from lightning_cv.networks.generate.in_steps import InSteps
from lightning_cv.networks.generate.kl_autoencoder import KlAutoencoder
from lightning_cv.networks.generate.latent_diffusion import LatentDiffusion
from lightning_cv.networks.generate.latent_generator import LatentGenerator
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
from lightning_cv.networks.generate.nade import Nade
from lightning_cv.networks.generate.pixel_cnn import PixelCnn
from lightning_cv.networks.generate.pixel_rnn import PixelRnn
from lightning_cv.networks.generate.pixel_transformer import PixelTransformer
from lightning_cv.networks.generate.rbm import Rbm
from lightning_cv.networks.generate.residual_gan import ResidualDiscriminator, ResidualGenerator
from lightning_cv.networks.generate.style_gan import StyleDiscriminator, StyleGenerator
from lightning_cv.networks.generate.unet_translator import PatchDiscriminator, UNetTranslator
from lightning_cv.networks.generate.vae import ConvVae, MlpVae
from lightning_cv.networks.generate.variational import VariationalAutoencoder
from lightning_cv.networks.generate.vq_vae import VqVae

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "ByDiffusion",
    "CaptionedCodes",
    "Categorical",
    "ConditionUNet",
    "ControlledDiffusion",
    "ConvAutoencoder",
    "ConvVae",
    "CycleDiscriminators",
    "CycleTranslator",
    "DcganDiscriminator",
    "DcganGenerator",
    "Diffusion",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Dit",
    "FlowMatching",
    "Generative",
    "Gsn",
    "InSteps",
    "KlAutoencoder",
    "LatentDiffusion",
    "LatentGenerator",
    "Likelihood",
    "LinearAutoencoder",
    "Made",
    "MlpAutoencoder",
    "MlpVae",
    "MultiscaleVqVae",
    "Nade",
    "Normal",
    "PatchDiscriminator",
    "PixelCnn",
    "PixelRnn",
    "PixelTransformer",
    "Rbm",
    "ResidualDiscriminator",
    "ResidualGenerator",
    "ResidualTranslator",
    "StyleDiscriminator",
    "StyleGenerator",
    "UNet",
    "UNetTranslator",
    "VariationalAutoencoder",
    "VqVae",
]
