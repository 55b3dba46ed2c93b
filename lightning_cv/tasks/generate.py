"""What do images look like, and how likely is each?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from lightning_cv.contracts import (
    IMAGE,
    INDEX,
    LABEL,
    Batch,
    DataInfo,
    Density,
    Draws,
    FollowsControl,
    Gallery,
    GeneratedOutput,
    GenerativeNetwork,
    HasBound,
    HasCodes,
    HasLatents,
    Reconstructs,
    Showing,
    StepOutput,
)
from lightning_cv.errors import UserError
from lightning_cv.metrics.generation import GenerationScores
from lightning_cv.networks import Initialize
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from lightning_cv.optim import RateScaling, Schedule
from lightning_cv.tasks.base import OptimizerBuilder, VisionTask
from lightning_cv.tasks.control import agreement, control_galleries
from lightning_cv.tasks.fit_to_data import check_generator_fits_data
from lightning_cv.tasks.generation_gallery import generation_galleries
from lightning_cv.tasks.loss_sum import check_weights, weighted_sum
from lightning_cv.tasks.pixel_scale import PixelScale
from lightning_cv.tasks.sample_quality import SampleQuality


class Generate(VisionTask):
    """Generative modelling: the distribution of images, of any family of networks.

    The network keeps `contracts.GenerativeNetwork`; a new family is a network and a recipe. Every named loss is a
    curve, in nats an image where it is one of the likelihood; their weighted sum is trained. A conditional network
    learns p(x | label). Scores are those of `metrics.generation.GenerationScores`: bits per dimension of a tractable
    density are exact, of a bounded one at most too high. In scoring each image has random draws of its own, so that
    nothing depends on batches or devices.

    Args:
        network: with a density, see `lightning_cv.networks.generate`.
        optimizer: builds the optimizer from parameter groups.
        loss_weights: of losses by name, 1 where it says nothing; `kl: 4` makes a beta-VAE (Higgins et al. 2017).
        importance_samples: of a bounded density, samples an image by which the test scores it once more, and more
            tightly (Burda et al. 2016); where the losses are no bound, as of a diffusion, by which it scores it at all;
            0: not.
        quality: scores samples too; a network that knows no likelihood is then judged by their `val/fid`.
        schedule: see `VisionTask`.
        lr_scaling: see `VisionTask`.
        decay_norm_and_bias: see `VisionTask`.
        init: see `VisionTask`.
    """

    monitor = "val/bits_per_dim"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerBuilder,
        *,
        loss_weights: Mapping[str, float] | None = None,
        importance_samples: int = 0,
        quality: SampleQuality | None = None,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
        decay_norm_and_bias: bool = False,
        init: Initialize | None = None,
    ) -> None:
        if not isinstance(getattr(network, "density", None), Density):
            raise UserError(
                f"model.init_args.network: {type(network).__name__} is no generative network; allowed: those of "
                "lightning_cv.networks.generate"
            )
        if importance_samples < 0 or (importance_samples and not isinstance(network, HasBound)):
            raise UserError(
                f"model.init_args.importance_samples: {importance_samples} given; allowed: 0, or more for a network "
                f"with a bound, which {type(network).__name__} {'has' if isinstance(network, HasBound) else 'has not'}"
            )
        super().__init__(
            network,
            optimizer,
            schedule=schedule,
            lr_scaling=lr_scaling,
            decay_norm_and_bias=decay_norm_and_bias,
            init=init,
        )
        self.loss_weights = dict(loss_weights or {})
        self.importance_samples = importance_samples
        self.quality = quality
        self.monitor = _monitor(self._model, quality)
        self._pixels = PixelScale()

    @property
    def _model(self) -> GenerativeNetwork:
        return cast(GenerativeNetwork, self.network)

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        check_generator_fits_data(self._model, info)

    def taken(self, images: Tensor) -> Tensor:
        """See `VisionTask`."""
        return self.pixels(images)

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """The weighted losses; in scoring also what is known of each image."""
        model = cast(GenerativeNetwork, network)
        images = self.pixels(batch[IMAGE])
        labels = batch[LABEL] if model.num_classes is not None else None
        draws = StreamDraws(len(images), images.device) if network.training else OwnDraws.of_indices(batch[INDEX])
        each = model(images, labels, draws)
        check_weights(self.loss_weights, each, type(network).__name__)
        terms = {name: value.float().mean() for name, value in each.items()}
        nll = torch.stack([each[name].detach().float() for name in model.nll_terms]).sum(0) if model.nll_terms else None
        said = GeneratedOutput(nll) if network.training else self._examine(network, batch, images, nll)
        return StepOutput(weighted_sum(terms, self.loss_weights), terms=terms, predictions=said, targets=images)

    def make_metrics(self) -> MetricCollection:
        """Bits per dimension, reconstruction error, active units, perplexity: of what the network has."""
        model = self._model
        sizes = {"num_latents": getattr(model, "num_latents", 0), "num_codes": getattr(model, "num_codes", 0)}
        return MetricCollection({"generation": GenerationScores(math.prod(model.image), model.levels, **sizes)})

    def train_terms(self, output: StepOutput) -> Mapping[str, Tensor]:
        """Bits per dimension of the batch, where pixels have levels."""
        nll = output.predictions.nll
        if nll is None or self._model.levels is None:
            return {}
        return {"bits_per_dim": nll.mean() / (math.prod(self._model.image) * math.log(2))}

    def galleries(self, showing: Showing) -> list[Gallery]:
        """Samples from fixed noise, reconstructions beside their originals, traversals, codes in use."""
        _, network = self._scored_networks()[0]
        model = cast(GenerativeNetwork, network)
        return [*generation_galleries(model, showing), *control_galleries(model, showing)]

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Lightning's hook: -log p in nats of each image, of a conditional network for each class; and its error."""
        _, network = self._scored_networks()[0]
        images, index = self.pixels(batch[IMAGE]), batch[INDEX]
        classes: list[int | None] = list(range(self._model.num_classes or 0)) or [None]
        columns = [self._nll(cast(GenerativeNetwork, network), images, index, label) for label in classes]
        if isinstance(network, Reconstructs) and classes == [None]:
            columns.append((network.reconstruct(images).float() - images).square().flatten(1).mean(1))
        known = [column for column in columns if column is not None]
        if not known:
            raise UserError(f"{type(network).__name__} says nothing of an image: its density is {self._model.density}")
        return {INDEX: index, "prediction": torch.stack(known, 1)}

    def prediction_rows(self, prediction: Tensor, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Nats and bits per dimension (squared error) of each image; of a conditional network the class that fits."""
        model = self._model
        if model.num_classes is None:
            names = [
                *(("nats",) if model.nll_terms or self.importance_samples else ()),
                *(("mse",) if isinstance(model, Reconstructs) else ()),
            ]
            rows = [dict(zip(names, values, strict=True)) for values in prediction.tolist()]
        else:
            p = (-prediction.double()).softmax(1)  # of classes that are equally frequent, by Bayes
            rows = [
                {"class": class_names[int(own.argmax())], "nats": float(nll.min())}
                | {f"p({name})": float(value) for name, value in zip(class_names, own, strict=True)}
                for own, nll in zip(p, prediction, strict=True)
            ]
        values_in_image = math.prod(model.image)
        for row in rows:
            if "nats" in row and model.levels is not None:
                row["bits_per_dim"] = row["nats"] / (values_in_image * math.log(2))
        return [
            {key: value if isinstance(value, str) else round(value, 6) for key, value in row.items()} for row in rows
        ]

    def _nll(self, network: GenerativeNetwork, images: Tensor, index: Tensor, label: int | None) -> Tensor | None:
        """(B,) float32 in nats, of images of one class; None: the network does not say."""
        labels = None if label is None else torch.full_like(index, label)
        if not network.nll_terms:
            if not (self.importance_samples and isinstance(network, HasBound)):
                return None
            draws = OwnDraws.of_indices(index, seed=1)
            return -network.bound(images, labels, draws, num_samples=self.importance_samples)
        terms = network(images, labels, OwnDraws.of_indices(index))
        return torch.stack([terms[name].float() for name in network.nll_terms]).sum(0)

    def pixels(self, images: Tensor) -> Tensor:
        """Values in [0, 1] of normalized images (B, C, H, W): what generative networks take."""
        return self._pixels(images, self.data_info())

    @torch.no_grad()
    def _examine(self, network: nn.Module, batch: Batch, images: Tensor, nll: Tensor | None) -> GeneratedOutput:
        labels = batch[LABEL] if self._model.num_classes is not None else None
        reconstruction = network.reconstruct(images, labels).float() if isinstance(network, Reconstructs) else None
        importance = None
        if self.importance_samples and self.trainer.testing and isinstance(network, HasBound):
            draws: Draws = OwnDraws.of_indices(batch[INDEX], seed=1)
            importance = -network.bound(images, labels, draws, num_samples=self.importance_samples)
        return GeneratedOutput(
            nll=nll,
            importance=importance,
            squared_error=None if reconstruction is None else (reconstruction - images).square().flatten(1).mean(1),
            reconstruction=reconstruction,
            latents=network.encode(images, labels).mean if isinstance(network, HasLatents) else None,
            codes=network.codes(images) if isinstance(network, HasCodes) else (),
            controlled=self._agreement(network, images, labels, batch[INDEX]),
        )

    def _agreement(self, network: nn.Module, images: Tensor, labels: Tensor | None, index: Tensor) -> Tensor | None:
        """(B, 2) of a test: how well samples follow the control of the images."""
        if not (self.trainer.testing and isinstance(network, FollowsControl)):
            return None
        return agreement(cast(GenerativeNetwork, network), images, labels, index)


def _monitor(network: GenerativeNetwork, quality: SampleQuality | None) -> str:
    """The score by which runs of a network are judged."""
    if not network.nll_terms:
        if quality is not None and quality.monitor is not None:
            return quality.monitor
        return "val/mse" if isinstance(network, Reconstructs) else "val/loss"
    return "val/nats" if network.levels is None else "val/bits_per_dim"
