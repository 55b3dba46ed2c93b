"""How well does the network do on a whole set: validation and test, averaged and raw weights?"""

from collections.abc import Callable
from typing import Any

import torch
from torchmetrics import MetricCollection

from lightning_cv.contracts import IMAGE, Batch, StepOutput
from lightning_cv.tasks.means import SampleMeans, mean_over_devices


class SetScores:
    """Means and metrics over a set, by group (`val`, `test`, `val_raw`, ...); exact over devices and ragged batches.

    Args:
        make_metrics: the metrics of one group; each takes (predictions, targets).
    """

    def __init__(self, make_metrics: Callable[[], MetricCollection]) -> None:
        self._make_metrics = make_metrics
        self._metrics: dict[tuple[str, torch.device], MetricCollection] = {}
        self._means: dict[str, SampleMeans] = {}

    def add(self, group: str, batch: Batch, output: StepOutput) -> None:
        """Add one batch to a group."""
        means = self._means.setdefault(group, SampleMeans())
        means.add_batch(len(batch[IMAGE]))
        means.add("loss", output.loss)
        for name, value in output.terms.items():
            means.add(name, value)
        self._of(group, batch[IMAGE].device).update(output.predictions, output.targets)

    def take(self, group: str, device: torch.device) -> dict[str, Any]:
        """Return `group/name: value` over the whole set and start again; every process calls it."""
        values: dict[str, Any] = mean_over_devices(self._means.pop(group, SampleMeans()).take_totals())
        metrics = self._of(group, device)
        values |= metrics.compute()
        with torch.inference_mode(False):
            metrics.reset()
        return {f"{group}/{name}": value for name, value in values.items()}

    def _of(self, group: str, device: torch.device) -> MetricCollection:
        if (group, device) not in self._metrics:
            # `Trainer.validate` runs in inference mode, `fit` does not: states of one must work in the other.
            with torch.inference_mode(False):
                self._metrics[group, device] = self._make_metrics().to(device)
        return self._metrics[group, device]
