"""To which class does each pixel of an image belong?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import MetricCollection

from lightning_cv.contracts import (
    CLASSES,
    IGNORED,
    IMAGE,
    INDEX,
    SIZE,
    SOURCE_SIZE,
    Batch,
    DataInfo,
    Gallery,
    Showing,
    StepOutput,
)
from lightning_cv.losses import PixelCrossEntropy
from lightning_cv.metrics.segmentation import SegmentationScores
from lightning_cv.networks import Initialize, num_classes
from lightning_cv.networks.segment.scores import pixel_scores, resized_scores, scores_of_each
from lightning_cv.networks.segment.test_time import SlidingWindows, TestTimeAugmentation
from lightning_cv.optim import RateScaling, Schedule
from lightning_cv.tasks.base import OptimizerBuilder, VisionTask
from lightning_cv.tasks.fit_to_data import check_segmenter_fits_data, outside_of_backbone
from lightning_cv.tasks.loss_sum import check_weights, weighted_sum
from lightning_cv.tasks.segmentation_gallery import WrongPixels


class Segment(VisionTask):
    """Semantic segmentation: a class for every pixel.

    The network gives scores (B, num_classes, H, W) of images (B, C, H, W), see `pixel_scores` for what else it may
    return: those of auxiliary heads count in training only. Every named loss is a curve; their weighted sum is trained.
    Scores are those of `metrics.segmentation.SegmentationScores`, at the size that `data.eval_transform` gives, or that
    of the files. What is said of an image in scoring depends on no other: its loss is computed for it alone.

    Args:
        network: images to scores.
        optimizer: builds the optimizer from parameter groups.
        losses: by name, each takes scores (B, C, H, W) and classes (B, H, W) int64 with `IGNORED` where nobody knows;
            None: cross-entropy alone. See `lightning_cv.losses`: PixelCrossEntropy, Dice, Focal, Lovasz.
        loss_weights: of losses by name, 1 where it says nothing.
        aux_weight: weight of the losses of auxiliary heads.
        windows: score images window by window, in validation, test and prediction.
        test_time: look at several views of each image in test and prediction.
        divisible_by: images are padded at the right and below to heights and widths that it divides; most networks that
            halve the image five times ask for 32.
        boundary: distance of the boundary F1, see `SegmentationScores`; null: none, which is faster for large images.
        schedule: see `VisionTask`.
        lr_scaling: see `VisionTask`.
        decay_norm_and_bias: see `VisionTask`.
        backbone_lr_factor: rate of the network's `encoder` or `backbone`, as a multiple of the rate, in [0, inf).
        init: see `VisionTask`.
        head_std: see `VisionTask`; 0.001 makes the first cross-entropy ln C for every network.
    """

    monitor = "val/mean_iou"
    predicts = "pixels"
    mode = "max"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerBuilder,
        *,
        losses: dict[str, nn.Module] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        aux_weight: float = 0.4,
        windows: SlidingWindows | None = None,
        test_time: TestTimeAugmentation | None = None,
        divisible_by: int = 32,
        boundary: float | None = 0.0075,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
        decay_norm_and_bias: bool = False,
        backbone_lr_factor: float = 1.0,
        init: Initialize | None = None,
        head_std: float | None = None,
    ) -> None:
        self.loss_weights = dict(loss_weights or {})
        self.boundary = boundary
        super().__init__(
            network,
            optimizer,
            schedule=schedule,
            lr_scaling=lr_scaling,
            decay_norm_and_bias=decay_norm_and_bias,
            backbone_lr_factor=backbone_lr_factor,
            init=init,
            head_std=head_std,
        )
        self.losses = nn.ModuleDict(losses or {"cross_entropy": PixelCrossEntropy()})
        check_weights(self.loss_weights, self.losses)
        self.aux_weight = aux_weight
        self.windows = windows
        self.test_time = test_time
        self.divisible_by = divisible_by

    def head(self) -> nn.Module:
        """All parameters outside of the network's `encoder` or `backbone`."""
        return outside_of_backbone(self.network)

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        check_segmenter_fits_data(self.network, info)

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """The weighted losses; in scoring also the classes that are found and that are there, by image."""
        return self._train(network, batch) if network.training else self._score_images(network, batch)

    def make_metrics(self) -> MetricCollection:
        """Mean intersection over union, accuracies, boundary F1."""
        info = self.data_info()
        names = tuple(map(str, range(num_classes(self.network) or 0))) if info is None else info.class_names
        return MetricCollection({"pixels": SegmentationScores(names, boundary=self.boundary)})

    def train_terms(self, output: StepOutput) -> Mapping[str, Tensor]:
        """Share of the batch's pixels that are right."""
        known = output.targets != IGNORED
        right = (output.predictions.argmax(1) == output.targets) & known
        return {"pixel_accuracy": right.sum() / known.sum().clamp(min=1)}

    def galleries(self, showing: Showing) -> list[Gallery]:
        """The images of which the largest share is wrong, with what is there and what was found."""
        return [WrongPixels(showing)]

    def predict(self, network: nn.Module, images: Tensor) -> Tensor:
        """Probabilities (B, num_classes, H, W) float32 of the classes of each pixel."""
        return self._class_scores(network, images).softmax(1)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Lightning's hook: the classes (H, W) int16 of each image, at the size at which it was read."""
        _, network = self._scored_networks()[0]
        each = scores_of_each(partial(self._class_scores, network), batch[IMAGE], batch[SIZE])
        sizes = batch[SOURCE_SIZE].tolist()
        fitted = [resized_scores(own[None], (height, width)) for own, (height, width) in zip(each, sizes, strict=True)]
        return {INDEX: batch[INDEX], "prediction": [scores[0].argmax(0).to(torch.int16) for scores in fitted]}

    def _train(self, network: nn.Module, batch: Batch) -> StepOutput:
        classes = batch[CLASSES].long()
        main, *others = pixel_scores(network, batch[IMAGE], divisible_by=self.divisible_by)
        terms = self._terms(main, classes)
        loss = weighted_sum(terms, self.loss_weights)
        if others:
            auxiliary = [weighted_sum(self._terms(scores, classes), self.loss_weights) for scores in others]
            terms["auxiliary"] = torch.stack(auxiliary).sum()
            loss = loss + self.aux_weight * terms["auxiliary"]
        return StepOutput(loss, terms=terms, predictions=main, targets=classes)

    def _score_images(self, network: nn.Module, batch: Batch) -> StepOutput:
        each = scores_of_each(partial(self._class_scores, network), batch[IMAGE], batch[SIZE])
        sizes = batch[SIZE].tolist()
        there = [own[:height, :width] for own, (height, width) in zip(batch[CLASSES].long(), sizes, strict=True)]
        terms = [self._terms(own[None], truth[None]) for own, truth in zip(each, there, strict=True)]
        means = {name: torch.stack([own[name] for own in terms]).mean() for name in self.losses}
        loss = weighted_sum(means, self.loss_weights)
        return StepOutput(loss, terms=means, predictions=[own.argmax(0) for own in each], targets=there)

    def _class_scores(self, network: nn.Module, images: Tensor) -> Tensor:
        """Scores (B, num_classes, H, W) float32 as they are scored: of windows, and of several views."""

        def whole(views: Tensor) -> Tensor:
            return pixel_scores(network, views, divisible_by=self.divisible_by)[0].float()

        def score(views: Tensor) -> Tensor:
            return whole(views) if self.windows is None else self.windows(whole, views)

        if self.test_time is None or self.trainer.state.fn not in (TrainerFn.TESTING, TrainerFn.PREDICTING):
            return score(images)
        return self.test_time(score, images).clamp(min=torch.finfo(torch.float32).tiny).log()

    def _terms(self, scores: Tensor, classes: Tensor) -> dict[str, Tensor]:
        return {name: loss(scores, classes) for name, loss in self.losses.items()}
