"""How does an image become the one of another kind that belongs to it, learned from pairs?"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, INDEX, Batch, DataInfo, Draws, Gallery, Showing, StepOutput
from lightning_cv.errors import UserError
from lightning_cv.losses.adversarial import AdversarialLoss, NonSaturating
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.tasks.adversaries import Adversaries
from lightning_cv.tasks.base import OptimizerBuilder
from lightning_cv.tasks.sources import EdgesOf, Source
from lightning_cv.tasks.translation_gallery import Side, Translations

_DISCRIMINATOR_SHARE = 0.5  # of its loss: so it does not run ahead (Isola et al. 2017, section 3.3)


class Translate(Adversaries):
    """pix2pix (Isola et al. 2017; row 253): from an image to the one that belongs to it, where there are pairs.

    What goes in is made of the image that is to come out, or of what is told of it: its edges, the classes of its
    pixels. The discriminator sees input and output together, real pairs against those with a translation. Curves:
    `discriminator_loss`, `generator_loss` of the game alone, and `l1`, how far translations are from the true images,
    by which a run is judged.

    Args:
        network: from the source, with draws, to images: such as `UNetTranslator`.
        discriminator: pairs of images, one on top of the other, to scores: such as `PatchDiscriminator`.
        optimizer: see `Adversaries`.
        discriminator_optimizer: see `Adversaries`.
        source: what goes in; None: `EdgesOf`.
        l1_weight: of the distance to the true image, 0 or more.
        loss: what the two want of scores; None: `NonSaturating`.
        options: see `Adversaries`.
    """

    monitor = "val/l1"
    predicts = "images"

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        optimizer: OptimizerBuilder,
        discriminator_optimizer: OptimizerBuilder | None = None,
        *,
        source: Source | None = None,
        l1_weight: float = 100.0,
        loss: AdversarialLoss | None = None,
        **options: Any,
    ) -> None:
        if not l1_weight >= 0:
            raise UserError(f"model.init_args.l1_weight: {l1_weight} given; allowed: 0 or more")
        super().__init__(network, discriminator, optimizer, discriminator_optimizer, **options)
        self.source = source or EdgesOf()
        self.l1_weight = l1_weight
        self.loss = loss or NonSaturating()
        self.loss_is_zero_where_won = self.loss.is_zero_where_won

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        _check("network", self.network, "image", (info.channels, *info.size_px))
        _check("network", self.network, "source_channels", self.source.channels(info))

    def check_discriminator(self, info: DataInfo) -> None:
        """See `Adversaries`."""
        both = (self.source.channels(info) + info.channels, *info.size_px)
        _check("discriminator", self.discriminator, "image", both)

    def discriminator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """Half of its loss of the game."""
        source, image = self._pair(batch)
        fake = self.network(source, draws)
        real_scores, fake_scores = self._judge(source, image), self._judge(source, fake)
        loss = self.loss.discriminator(real_scores, fake_scores)
        means = {"real_score": real_scores.float().mean(), "fake_score": fake_scores.float().mean()}
        return StepOutput(_DISCRIMINATOR_SHARE * loss, {"discriminator_loss": loss, **means})

    def generator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """Its loss of the game, and the weighed distance."""
        source, image = self._pair(batch)
        fake = self.network(source, draws)
        loss, distance = self.loss.generator(self._judge(source, fake)), (fake - image).abs().mean()
        return StepOutput(loss + self.l1_weight * distance, {"generator_loss": loss, "l1": distance})

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """How far translations are from the true images of a set, and how the game stands."""
        source, image = self._pair(batch)
        fake = network(source, OwnDraws.of_indices(batch[INDEX]))
        real_scores, fake_scores = self._judge(source, image), self._judge(source, fake)
        loss, distance = self.loss.generator(fake_scores), (fake - image).abs().mean()
        terms = {
            "l1": distance,
            "generator_loss": loss,
            "discriminator_loss": self.loss.discriminator(real_scores, fake_scores),
        }
        sides = (source, fake, image)
        return StepOutput(loss + self.l1_weight * distance, terms, predictions=sides, targets=image)

    def galleries(self, showing: Showing) -> list[Gallery]:
        """What went in, what came out, and the true image."""
        sides = (Side("input", lambda images: self.source.show(images, showing.info)), Side("output"), Side("truth"))
        return [Translations(showing, sides)]

    def ways(self, info: DataInfo) -> tuple[str, ...]:
        """One: the translation."""
        return ("translated",)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Lightning's hook: translations (B, 1, C, H, W) in [0, 1] of what the source makes of images."""
        source, _ = self._pair(batch)
        translated = self.scored_network(source, OwnDraws.of_indices(batch[INDEX]))
        return {INDEX: batch[INDEX], "prediction": translated[:, None]}

    def _pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        image = self.pixels(batch[IMAGE])
        return self.source.make(batch, image, self.data_info()), image

    def _judge(self, source: Tensor, image: Tensor) -> Tensor:
        return cast(Tensor, self.discriminator(torch.cat([source, image], 1)))


def _check(key: str, network: nn.Module, name: str, wanted: Any) -> None:
    """Refuse a network for other images.

    Raises:
        UserError: names the key and the value to set.
    """
    given = getattr(network, name, wanted)
    given, wanted = (list(value) if isinstance(value, list | tuple) else value for value in (given, wanted))
    if given != wanted:
        raise UserError(
            f"model.init_args.{key}: {type(network).__name__} has {name} {given}, and source and data make {wanted}: "
            f"set its {name} to {wanted}"
        )
