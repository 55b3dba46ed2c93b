"""Where on an image is which object?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import MetricCollection

from lightning_cv.contracts import (
    IMAGE,
    INDEX,
    SIZE,
    SOURCE_SIZE,
    Batch,
    DataInfo,
    Detections,
    Detector,
    Gallery,
    Showing,
    StepOutput,
)
from lightning_cv.metrics.detection import DetectionScores
from lightning_cv.networks import Initialize
from lightning_cv.networks.detect.test_time import TestTimeAugmentation
from lightning_cv.ops.objects import scaled, scaled_objects, unpack
from lightning_cv.ops.suppress import Suppression
from lightning_cv.optim import RateScaling, Schedule
from lightning_cv.tasks.base import OptimizerBuilder, VisionTask
from lightning_cv.tasks.detection_gallery import Findings
from lightning_cv.tasks.fit_to_data import check_detector_fits_data, outside_of_feature_maps
from lightning_cv.tasks.loss_sum import check_weights, weighted_sum


class Detect(VisionTask):
    """Object detection: boxes, and where the network gives them masks and keypoints of each object.

    Every named loss of the network is a curve; their weighted sum is trained. Scores are COCO's, see
    `metrics.detection.DetectionScores`, in the pixels of the image as it was read.

    Args:
        network: keeps the contract `Detector`; those of `lightning_cv.networks.detect` do.
        optimizer: builds the optimizer from parameter groups.
        schedule: see `VisionTask`.
        lr_scaling: see `VisionTask`.
        loss_weights: of losses by name, 1 where it says nothing; 0 leaves one out (row 179).
        suppression: what becomes of overlapping detections in test and prediction, beside what the network does.
        test_time: look at several views of each image in test and prediction.
        decay_norm_and_bias: see `VisionTask`.
        backbone_lr_factor: rate of the `FeatureMaps` of the network, as a multiple of the rate, in [0, inf).
        init: see `VisionTask`.
    """

    monitor = "val/map"
    predicts = "objects"
    mode = "max"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerBuilder,
        *,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
        loss_weights: Mapping[str, float] | None = None,
        suppression: Suppression | None = None,
        test_time: TestTimeAugmentation | None = None,
        decay_norm_and_bias: bool = False,
        backbone_lr_factor: float = 1.0,
        init: Initialize | None = None,
    ) -> None:
        self.loss_weights = dict(loss_weights or {})
        super().__init__(
            network,
            optimizer,
            schedule=schedule,
            lr_scaling=lr_scaling,
            decay_norm_and_bias=decay_norm_and_bias,
            backbone_lr_factor=backbone_lr_factor,
            init=init,
        )
        self.suppression = suppression
        self.test_time = test_time

    def head(self) -> nn.Module:
        """All parameters outside of the network's `FeatureMaps`."""
        return outside_of_feature_maps(self.network)

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        check_detector_fits_data(self.network, info)

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """The weighted losses; in scoring also what is found and what is there, by image."""
        objects = unpack(batch, [(height, width) for height, width in batch[SIZE].tolist()])
        to_find = [each.select(~each.crowd) for each in objects]
        output = _detector(network)(batch[IMAGE], batch[SIZE], to_find)
        loss = self._total(output.losses)
        if network.training:
            return StepOutput(loss, terms=output.losses)
        found = self._finished(network, batch, list(output.detections))
        factors = (batch[SOURCE_SIZE] / batch[SIZE]).tolist()
        there = [scaled_objects(each, x=x, y=y) for each, (y, x) in zip(objects, factors, strict=True)]
        targets = list(zip(batch[INDEX].tolist(), there, strict=True))
        return StepOutput(loss, terms=output.losses, predictions=found, targets=targets)

    def make_metrics(self) -> MetricCollection:
        """COCO's scores."""
        info, detector = self.data_info(), _detector(self.network)
        if info is None:
            names = [str(label) for label in range(detector.num_classes)]
            return MetricCollection({"coco": DetectionScores(names, detector.finds)})
        scores = DetectionScores(info.class_names, detector.finds, info.keypoints)
        return MetricCollection({"coco": scores})

    def galleries(self, showing: Showing) -> list[Gallery]:
        """The images on which most is missed or wrong, with what is there and what was found."""
        return [Findings(showing)]

    def predict(self, network: nn.Module, images: Tensor) -> list[Detections]:  # type: ignore[override]
        """What is found on each of the images (B, C, H, W)."""
        sizes = torch.tensor([images.shape[-2:]] * len(images))
        return list(_detector(network)(images, sizes).detections)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Lightning's hook: what is found on each image, in its pixels as it was read."""
        _, network = self._scored_networks()[0]
        found = [] if self.test_time else list(_detector(network)(batch[IMAGE], batch[SIZE]).detections)
        finished = self._finished(network, batch, found)
        sizes = batch[SOURCE_SIZE].tolist()
        # Plain dictionaries: Lightning moves what is predicted, and refuses frozen dataclasses.
        rows = [{**vars(each), "extras": {**each.extras}, "size": s} for each, s in zip(finished, sizes, strict=True)]
        return {INDEX: batch[INDEX], "prediction": rows}

    def _total(self, losses: Mapping[str, Tensor]) -> Tensor:
        check_weights(self.loss_weights, losses, type(self.network).__name__)
        return weighted_sum(losses, self.loss_weights)

    def _finished(self, network: nn.Module, batch: Batch, found: list[Detections]) -> list[Detections]:
        """Detections as they are scored: of several views and suppressed where asked for, in pixels as read."""
        if self.trainer.state.fn in (TrainerFn.TESTING, TrainerFn.PREDICTING):
            if self.test_time is not None:
                found = self.test_time(_detector(network), batch[IMAGE], batch[SIZE])
            if self.suppression is not None:
                found = [self.suppression(each) for each in found]
        factors = (batch[SOURCE_SIZE] / batch[SIZE]).tolist()
        return [scaled(each, x=x, y=y) for each, (y, x) in zip(found, factors, strict=True)]


def _detector(network: nn.Module) -> Detector:
    return cast(Detector, network)
