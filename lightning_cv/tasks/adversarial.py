"""How is a generator trained by a discriminator that tells its images from real ones?"""

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from lightning_cv.contracts import (
    IMAGE,
    INDEX,
    LABEL,
    Batch,
    DataInfo,
    Draws,
    Gallery,
    GenerativeNetwork,
    Showing,
    StepOutput,
)
from lightning_cv.errors import UserError
from lightning_cv.losses.adversarial import AdversarialLoss, NonSaturating, gradient_penalty, r1_penalty
from lightning_cv.networks.generate import LatentGenerator
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.tasks.adversaries import Adversaries
from lightning_cv.tasks.base import OptimizerBuilder
from lightning_cv.tasks.fit_to_data import check_generator_fits_data
from lightning_cv.tasks.generation_gallery import generation_galleries
from lightning_cv.tasks.sample_quality import SampleQuality


class Adversarial(Adversaries):
    """Images from noise, learned in a game (Goodfellow et al. 2014; row 247): see `Adversaries` for who steps when.

    Curves, each a mean over images: `discriminator_loss` and `generator_loss` of the game alone, penalties unweighed,
    and `real_score` and `fake_score`, the discriminator's. `val/loss` is the generator's loss on fixed draws: it says
    how the game stands, not how good the images are (row 249); `quality` does.

    Args:
        network: a generator of images from latent vectors, see `lightning_cv.networks.generate`.
        discriminator: images, and classes where the generator has some, to scores (B, ...).
        optimizer: see `Adversaries`.
        discriminator_optimizer: see `Adversaries`.
        loss: what the two want of scores; None: `NonSaturating`.
        gradient_penalty: weight of that of WGAN-GP, 0 or more; the paper has 10.
        r1: weight (gamma) of the penalty on the slope at real images, 0 or more (Mescheder et al. 2018).
        r1_every: steps of the discriminator for one with that penalty, which then counts so many times (Karras et al.
            2020, StyleGAN2, appendix B, has 16).
        quality: scores samples; their `val/fid` then judges a run.
        options: see `Adversaries`.
    """

    sparse_losses: ClassVar[dict[str, str]] = {"r1": "r1"}

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        optimizer: OptimizerBuilder,
        discriminator_optimizer: OptimizerBuilder | None = None,
        *,
        loss: AdversarialLoss | None = None,
        gradient_penalty: float = 0.0,
        r1: float = 0.0,
        r1_every: int = 1,
        quality: SampleQuality | None = None,
        **options: Any,
    ) -> None:
        _check_players(network, discriminator)
        for name, value, least in (("gradient_penalty", gradient_penalty, 0), ("r1", r1, 0), ("r1_every", r1_every, 1)):
            if not value >= least:
                raise UserError(f"model.init_args.{name}: {value} given; allowed: {least} or more")
        super().__init__(network, discriminator, optimizer, discriminator_optimizer, **options)
        self.loss = loss or NonSaturating()
        self.loss_is_zero_where_won = self.loss.is_zero_where_won
        self.gradient_penalty = gradient_penalty
        self.r1 = r1
        self.r1_every = r1_every
        self.quality = quality
        self.monitor = (quality.monitor if quality is not None else None) or "val/loss"

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        check_generator_fits_data(cast(GenerativeNetwork, self.network), info)

    def taken(self, images: Tensor) -> Tensor:
        """See `VisionTask`."""
        return self.pixels(images)

    def discriminator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """The loss of the game, and the weighed penalties."""
        real, labels = self.pixels(batch[IMAGE]), self._labels(batch)
        fake = self._generator(self.network).make(draws, labels)
        real_scores, fake_scores = self.discriminator(real, labels), self.discriminator(fake, labels)
        loss = self.loss.discriminator(real_scores, fake_scores)
        means = {"real_score": real_scores.float().mean(), "fake_score": fake_scores.float().mean()}
        terms = {"discriminator_loss": loss, **means}
        # A slope can be too small for 16 bits, whatever the loss is scaled by.
        with torch.autocast(real.device.type, enabled=False):
            if self.gradient_penalty:
                uniform = draws.uniform(1)[:, 0]
                terms["gradient_penalty"] = gradient_penalty(self._judge(labels), real, fake, uniform)
                loss = loss + self.gradient_penalty * terms["gradient_penalty"]
            if self.r1 and self.trainer.global_step % self.r1_every == 0:
                penalty = r1_penalty(self._judge(labels), real)
                self._curves.add_to("r1", batch, {"r1": penalty})
                loss = loss + self.r1 * self.r1_every * penalty
        return StepOutput(loss, terms)

    def generator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """Its loss of the game."""
        labels = self._labels(batch)
        loss = self.loss.generator(self.discriminator(self._generator(self.network).make(draws, labels), labels))
        return StepOutput(loss, {"generator_loss": loss})

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """How the game stands on a set, with draws that belong to each image."""
        real, labels = self.pixels(batch[IMAGE]), self._labels(batch)
        fake = self._generator(network).make(OwnDraws.of_indices(batch[INDEX]), labels)
        real_scores, fake_scores = self.discriminator(real, labels), self.discriminator(fake, labels)
        terms = {
            "discriminator_loss": self.loss.discriminator(real_scores, fake_scores),
            "real_score": real_scores.float().mean(),
            "fake_score": fake_scores.float().mean(),
        }
        return StepOutput(self.loss.generator(fake_scores), terms, predictions=fake, targets=real)

    def galleries(self, showing: Showing) -> list[Gallery]:
        """Samples from fixed noise."""
        return generation_galleries(cast(GenerativeNetwork, self.scored_network), showing)

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch[LABEL] if cast(GenerativeNetwork, self.network).num_classes is not None else None

    def _generator(self, network: nn.Module) -> LatentGenerator:
        return cast(LatentGenerator, network)

    def _judge(self, labels: Tensor | None) -> "_Judge":
        return _Judge(self.discriminator, labels)


class _Judge:
    """The discriminator of these images' classes."""

    def __init__(self, discriminator: nn.Module, labels: Tensor | None) -> None:
        self._discriminator = discriminator
        self._labels = labels

    def __call__(self, images: Tensor) -> Tensor:
        scores: Tensor = self._discriminator(images, self._labels)
        return scores


def _check_players(network: nn.Module, discriminator: nn.Module) -> None:
    """Refuse what cannot play.

    Raises:
        UserError: names the key and what is allowed.
    """
    if not isinstance(network, LatentGenerator):
        raise UserError(
            f"model.init_args.network: {type(network).__name__} is no generator of images from latent vectors without "
            "a loss of its own; allowed: such as lightning_cv.networks.generate.DcganGenerator"
        )
    for key in ("image", "num_classes"):
        wanted: Any = getattr(network, key)
        given: Any = getattr(discriminator, key, wanted)
        if given != wanted and (key != "image" or tuple(given) != tuple(wanted)):
            raise UserError(
                f"model.init_args.discriminator: its {key} is {_shown(given)}, and that of the network is "
                f"{_shown(wanted)}: set both to the same"
            )


def _shown(value: Any) -> Any:
    """As it stands in a recipe."""
    return "null" if value is None else list(value) if isinstance(value, tuple) else value
