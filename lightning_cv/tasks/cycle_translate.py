"""How do images of two kinds become each other, where no image of one belongs to one of the other?"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Batch, DataInfo, Draws, Gallery, Showing, StepOutput
from lightning_cv.errors import UserError
from lightning_cv.losses.adversarial import AdversarialLoss, LeastSquares
from lightning_cv.networks.generate import CycleDiscriminators, CycleTranslator
from lightning_cv.ops.processes import gather, rank_and_devices
from lightning_cv.tasks.adversaries import Adversaries
from lightning_cv.tasks.base import OptimizerBuilder
from lightning_cv.tasks.image_pool import ImagePool
from lightning_cv.tasks.translation_gallery import Side, Translations

_Map = Callable[[Tensor], Tensor]
_USUAL = {"network": "CycleTranslator", "discriminator": "CycleDiscriminators"}
_DISCRIMINATOR_SHARE = 0.5  # of its loss (Zhu et al. 2017, appendix 7.1)


class CycleTranslate(Adversaries):
    """CycleGAN (Zhu et al. 2017; rows 254, 255): two kinds of images become each other, without pairs.

    The kinds are the classes 0 and 1 of the data, of which there may be different numbers: a loss is the sum of both
    sides, each a mean over the images of its kind in the batch, so that both weigh the same. A batch without any image
    of one kind moves nothing. Curves: `discriminator_loss` and `generator_loss` of the game alone, of both sides;
    `cycle`, how far images that went there and back are from themselves; `identity`, how far images of the kind that a
    generator makes are from what it makes of them. Runs are judged by all that the generators minimize.

    Args:
        network: such as `CycleTranslator`, with the generators `there` (0 to 1) and `back`.
        discriminator: such as `CycleDiscriminators`, with one for each kind, `first` and `second`.
        optimizer: see `Adversaries`; one for both generators.
        discriminator_optimizer: see `Adversaries`; one for both discriminators.
        cycle_weight: 0 or more.
        identity_weight: 0 or more; the paper's, where it has one, is half of that of the cycle.
        pool_size: images of each kind that are shown to a discriminator again, 0 or more.
        loss: what players want of scores; None: `LeastSquares`.
        options: see `Adversaries`.
    """

    predicts = "images"

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        optimizer: OptimizerBuilder,
        discriminator_optimizer: OptimizerBuilder | None = None,
        *,
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        pool_size: int = 50,
        loss: AdversarialLoss | None = None,
        **options: Any,
    ) -> None:
        weights = {"cycle_weight": cycle_weight, "identity_weight": identity_weight, "pool_size": pool_size}
        for name, value in weights.items():
            if not value >= 0:
                raise UserError(f"model.init_args.{name}: {value} given; allowed: 0 or more")
        for key, given, parts in (
            ("network", network, ("there", "back")),
            ("discriminator", discriminator, ("first", "second")),
        ):
            if not all(hasattr(given, part) for part in parts):
                raise UserError(
                    f"model.init_args.{key}: {type(given).__name__} has no parts {parts[0]} and {parts[1]}; allowed: "
                    f"such as lightning_cv.networks.generate.{_USUAL[key]}"
                )
        super().__init__(network, discriminator, optimizer, discriminator_optimizer, **options)
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.loss = loss or LeastSquares()
        self.loss_is_zero_where_won = self.loss.is_zero_where_won
        self._pools = (ImagePool(pool_size), ImagePool(pool_size))

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        size = (info.channels, *info.size_px)
        given = tuple(getattr(self.network, "image", size))
        if given != size:
            raise UserError(
                f"model.init_args.network: {type(self.network).__name__} takes images {list(given)}, but those of the "
                f"data are {list(size)}: set its image to {list(size)}"
            )
        if info.num_classes != 2 or info.objects or info.pixels is not None or info.multilabel:
            raise UserError(
                f"data: CycleTranslate needs images of two classes, the kinds, and these have {info.num_classes}"
            )

    def discriminator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """Half of their losses of the game, on generated images of which some are old."""
        first, second = self._kinds(batch)
        if not len(first) or not len(second):
            nothing = _nothing(self.discriminator)
            return StepOutput(nothing, {"discriminator_loss": nothing})
        there, back = _generators(self.network)
        chance, is_second = draws.uniform(2), batch[LABEL] == 1
        fake_first = self._pools[0].exchange(back(second), chance[is_second])
        fake_second = self._pools[1].exchange(there(first), chance[~is_second])
        judge_first, judge_second = self._judges
        loss = self.loss.discriminator(judge_first(first), judge_first(fake_first))
        loss = loss + self.loss.discriminator(judge_second(second), judge_second(fake_second))
        return StepOutput(_DISCRIMINATOR_SHARE * loss, {"discriminator_loss": loss})

    def generator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """Their losses of the game, and the weighed distances."""
        first, second = self._kinds(batch)
        if not len(first) or not len(second):
            nothing = _nothing(self.network)
            return StepOutput(nothing, dict.fromkeys(("generator_loss", "cycle", "identity"), nothing))
        there, back = _generators(self.network)
        judge_first, judge_second = self._judges
        sides = [self._side(first, there, back, judge_second), self._side(second, back, there, judge_first)]
        terms = {name: sides[0][name].mean() + sides[1][name].mean() for name in sides[0]}
        return StepOutput(self._weighed(terms), terms)

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """The same on a set, as means over images of either kind; with the images and what became of them."""
        images, is_second = self.pixels(batch[IMAGE]), batch[LABEL] == 1
        there, back = _generators(network)
        judge_first, judge_second = self._judges
        sides = [self._side(images, there, back, judge_second), self._side(images, back, there, judge_first)]
        terms = {name: torch.where(is_second, sides[1][name], sides[0][name]).mean() for name in sides[0]}
        which = is_second.view(-1, 1, 1, 1)
        translated = torch.where(which, back(images), there(images))
        returned = torch.where(which, there(translated), back(translated))
        return StepOutput(self._weighed(terms), terms, predictions=(images, translated, returned), targets=images)

    def galleries(self, showing: Showing) -> list[Gallery]:
        """Images of both kinds, what became of each, and what came back of that."""
        return [Translations(showing, (Side("input"), Side("output"), Side("and back")))]

    def ways(self, info: DataInfo) -> tuple[str, ...]:
        """Both: an image is made one of the second kind, and one of the first, whichever it is of."""
        return tuple(f"to_{name}" for name in info.class_names[::-1])

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Lightning's hook: what both generators make of images, (B, 2, C, H, W) in [0, 1]."""
        images = self.pixels(batch[IMAGE])
        return {
            INDEX: batch[INDEX],
            "prediction": torch.stack([go(images) for go in _generators(self.scored_network)], 1),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: see `VisionTask`; and the old images."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["pools"] = gather([pool.state_dict() for pool in self._pools])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: see `VisionTask`; where the number of devices changed, pools fill anew."""
        super().on_load_checkpoint(checkpoint)
        rank, num_devices = rank_and_devices()
        if len(checkpoint.get("pools", ())) == num_devices:
            for pool, state in zip(self._pools, checkpoint["pools"][rank], strict=True):
                pool.load_state_dict(state)

    def _side(self, images: Tensor, go: _Map, come: _Map, judge: _Map) -> dict[str, Tensor]:
        """Losses (B,) of images of one kind, which go to the other and come back.

        Args:
            images: (B, C, H, W) in [0, 1].
            go: makes images of the other kind.
            come: makes images of this kind, and is to leave these as they are.
            judge: of the other kind.
        """
        made = go(images)
        game = [self.loss.generator(scores) for scores in judge(made)]
        return {
            "generator_loss": torch.stack(game),
            "cycle": _distance(come(made), images),
            "identity": _distance(come(images), images),
        }

    def _weighed(self, terms: Mapping[str, Tensor]) -> Tensor:
        game = terms["generator_loss"]
        return game + self.cycle_weight * terms["cycle"] + self.identity_weight * terms["identity"]

    def _kinds(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images = self.pixels(batch[IMAGE])
        return images[batch[LABEL] == 0], images[batch[LABEL] == 1]

    @property
    def _judges(self) -> tuple[_Map, _Map]:
        judges = cast(CycleDiscriminators, self.discriminator)
        return judges.first, judges.second


def _generators(network: nn.Module) -> tuple[_Map, _Map]:
    generators = cast(CycleTranslator, network)
    return generators.there, generators.back


def _distance(made: Tensor, images: Tensor) -> Tensor:
    """(B,) float32, mean over the values of an image."""
    return (made.float() - images).abs().flatten(1).mean(1)


def _nothing(network: nn.Module) -> Tensor:
    """0, with a gradient of 0 for each parameter: players on other devices may have images of both kinds."""
    return torch.stack([parameter.float().sum() for parameter in network.parameters()]).sum() * 0
