"""To which class, and to which thing of it, does each pixel of an image belong?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from torchmetrics import MetricCollection

from lightning_cv.contracts import (
    CLASSES,
    IMAGE,
    INDEX,
    SEGMENT,
    SIZE,
    SOURCE_SIZE,
    Batch,
    DataInfo,
    Gallery,
    Panoptic,
    PanopticNetwork,
    Pixels,
    Showing,
    StepOutput,
)
from lightning_cv.metrics.panoptic import PanopticScores
from lightning_cv.networks import Initialize
from lightning_cv.ops.panoptic import resized
from lightning_cv.optim import RateScaling, Schedule
from lightning_cv.tasks.base import OptimizerBuilder, VisionTask
from lightning_cv.tasks.fit_to_data import check_panoptic_fits_data, outside_of_feature_maps
from lightning_cv.tasks.loss_sum import check_weights, weighted_sum
from lightning_cv.tasks.segmentation_gallery import WrongPixels


class PanopticSegment(VisionTask):
    """Panoptic segmentation: every pixel gets a class, and things are told apart.

    Every named loss of the network is a curve; their weighted sum is trained. Scores are those of
    `metrics.panoptic.PanopticScores`, at the size that `data.eval_transform` gives, or that of the files.

    Args:
        network: keeps the contract `PanopticNetwork`; `lightning_cv.networks.segment.PanopticFpn` does.
        optimizer: builds the optimizer from parameter groups.
        loss_weights: of losses by name, 1 where it says nothing.
        schedule: see `VisionTask`.
        lr_scaling: see `VisionTask`.
        decay_norm_and_bias: see `VisionTask`.
        backbone_lr_factor: rate of the `FeatureMaps` of the network, as a multiple of the rate, in [0, inf).
        init: see `VisionTask`.
    """

    monitor = "val/pq"
    predicts = "segments"
    mode = "max"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerBuilder,
        *,
        loss_weights: Mapping[str, float] | None = None,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
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

    def head(self) -> nn.Module:
        """All parameters outside of the network's `FeatureMaps`."""
        return outside_of_feature_maps(self.network)

    def check_network(self, info: DataInfo) -> None:
        """See `VisionTask`."""
        check_panoptic_fits_data(self.network, info)

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """The weighted losses; in scoring also what is found and what is there, by image."""
        sizes = batch[SIZE]
        truth = [
            Pixels(classes[:height, :width], segments[:height, :width])
            for classes, segments, (height, width) in zip(batch[CLASSES], batch[SEGMENT], sizes.tolist(), strict=True)
        ]
        output = _panoptic(network)(batch[IMAGE], sizes, truth)
        check_weights(self.loss_weights, output.losses, type(self.network).__name__)
        loss = weighted_sum(output.losses, self.loss_weights)
        if network.training:
            return StepOutput(loss, terms=output.losses)
        return StepOutput(loss, terms=output.losses, predictions=list(output.found), targets=truth)

    def make_metrics(self) -> MetricCollection:
        """Panoptic quality."""
        info, network = self.data_info(), _panoptic(self.network)
        names = tuple(map(str, range(network.num_classes))) if info is None else info.class_names
        return MetricCollection({"panoptic": PanopticScores(names, network.things)})

    def galleries(self, showing: Showing) -> list[Gallery]:
        """The images of which the largest share is wrong, with what is there and what was found."""
        return [WrongPixels(showing)]

    def predict(self, network: nn.Module, images: Tensor) -> list[Panoptic]:  # type: ignore[override]
        """The segments of each of the images (B, C, H, W)."""
        return list(_panoptic(network)(images, images.new_tensor([images.shape[-2:]] * len(images)).long()).found)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Lightning's hook: the segments of each image, at the size at which it was read."""
        _, network = self._scored_networks()[0]
        found = _panoptic(network)(batch[IMAGE], batch[SIZE]).found
        sizes = batch[SOURCE_SIZE].tolist()
        fitted = [resized(each, (height, width)) for each, (height, width) in zip(found, sizes, strict=True)]
        # Plain dictionaries: Lightning moves what is predicted, and refuses frozen dataclasses.
        return {INDEX: batch[INDEX], "prediction": [vars(each) for each in fitted]}


def _panoptic(network: nn.Module) -> PanopticNetwork:
    return cast(PanopticNetwork, network)
