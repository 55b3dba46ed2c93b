"""Which class, or classes, does an image belong to?"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from lightning_cv.contracts import IMAGE, LABEL, Batch, Gallery, Showing, StepOutput
from lightning_cv.explain import find_templates
from lightning_cv.metrics import classification_metrics
from lightning_cv.networks import Initialize, num_classes
from lightning_cv.optim import RateScaling, Schedule
from lightning_cv.tasks.base import OptimizerBuilder, VisionTask
from lightning_cv.tasks.gallery import ClassTemplates, Confusions, Mistakes, MultilabelMistakes


class Classify(VisionTask):
    """Image classification: one label per image, or with `multilabel` any number of them.

    The network maps images (B, C, H, W) to class scores (B, num_classes), or to one logit (B, 1) for two
    classes. A network that in training also returns scores of auxiliary heads (GoogLeNet, Inception: a tuple
    whose first entry is the main one) adds `aux_weight` times their losses to the training loss only
    (Szegedy et al. 2015, section 5; row 81).

    Args:
        network: images to class scores.
        optimizer: builds the optimizer from parameter groups.
        loss: takes scores (B, C) and labels, (B,) int64 or soft (B, C); returns the batch mean. Cross-entropy
            if not given; label smoothing is `torch.nn.CrossEntropyLoss`'s own.
        schedule: see `VisionTask`.
        lr_scaling: see `VisionTask`.
        multilabel: labels are (B, C) in {0, 1}; needs `lightning_cv.losses.BinaryCrossEntropy` or the like as loss.
        aux_weight: weight of each auxiliary head's loss in training.
        decay_norm_and_bias: see `VisionTask`.
        backbone_lr_factor: see `VisionTask`.
        init: see `VisionTask`.
        head_std: see `VisionTask`; 0.001 makes the first cross-entropy ln C within 5% for every network.
    """

    monitor = "val/accuracy"
    mode = "max"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerBuilder,
        *,
        loss: nn.Module | None = None,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
        multilabel: bool = False,
        aux_weight: float = 0.3,
        decay_norm_and_bias: bool = False,
        backbone_lr_factor: float = 1.0,
        init: Initialize | None = None,
        head_std: float | None = None,
    ) -> None:
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
        self.loss = loss if loss is not None else nn.CrossEntropyLoss()
        self.multilabel = multilabel
        self.aux_weight = aux_weight

    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """Loss and scores (B, C) of one batch."""
        labels = batch[LABEL]
        scores = network(batch[IMAGE])
        if not isinstance(scores, tuple):
            return StepOutput(self.loss(scores, labels), predictions=self._class_scores(scores), targets=labels)
        main, *others = scores
        main_loss = self.loss(main, labels)
        auxiliary_loss = torch.stack([self.loss(head, labels) for head in others if head is not None]).sum()
        return StepOutput(
            main_loss + self.aux_weight * auxiliary_loss,
            terms={"main_loss": main_loss, "auxiliary_loss": auxiliary_loss},
            predictions=self._class_scores(main),
            targets=labels,
        )

    def _class_scores(self, scores: Tensor) -> Tensor:
        """Scores (B, C) of every class; one logit z means (0, z), whose softmax is (1 - sigmoid(z), sigmoid(z))."""
        if self.multilabel or (scores.ndim == 2 and scores.shape[1] > 1):
            return scores
        logit = scores.reshape(-1, 1)
        return torch.cat([torch.zeros_like(logit), logit], dim=1)

    def make_metrics(self) -> MetricCollection:
        """Accuracy (micro), top-5 where there are more than 5 classes, calibration error."""
        count = num_classes(self.network)
        assert count is not None, "a classifier has a head"
        return classification_metrics(max(count, 2), multilabel=self.multilabel)

    def train_terms(self, output: StepOutput) -> Mapping[str, Tensor]:
        """Share of the batch whose best score is the label's (mixed labels: the heavier one's).

        With `multilabel`: the share of all (image, class) pairs that are right at threshold 0.5.
        """
        scores, labels = output.predictions, output.targets
        if self.multilabel:
            return {"accuracy": ((scores > 0) == (labels > 0.5)).float().mean()}
        hits = scores.argmax(1) == (labels.argmax(1) if labels.ndim == 2 else labels)
        return {"accuracy": hits.float().mean()}

    def galleries(self, showing: Showing) -> list[Gallery]:
        """The most confident mistakes, unless images have several labels the confusion matrix, templates if linear."""
        found: list[Gallery] = (
            [MultilabelMistakes(showing)] if self.multilabel else [Mistakes(showing), Confusions(showing)]
        )
        _, network = self._scored_networks()[0]
        templates = find_templates(network, (showing.info.channels, *showing.info.size_px))
        return found if templates is None else [*found, ClassTemplates(showing, templates)]

    def predict(self, network: nn.Module, images: Tensor) -> Tensor:
        """Class probabilities (B, C) float32; for `multilabel` each in [0, 1] by itself."""
        scores = self._class_scores(network(images).float())
        return scores.sigmoid() if self.multilabel else scores.softmax(dim=1)

    def prediction_rows(self, prediction: Tensor, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
        """One row an image for a table: the best class, its probability, and the probability of each class."""
        rows = []
        for probabilities in prediction.tolist():
            best = max(range(len(probabilities)), key=probabilities.__getitem__)
            row: dict[str, Any] = {"class": class_names[best], "probability": round(probabilities[best], 6)}
            row |= {f"p({name})": round(p, 6) for name, p in zip(class_names, probabilities, strict=True)}
            rows.append(row)
        return rows
