"""What does every task share: optimizer, schedule, curves, exact metrics, and which weights are scored?"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from lightning_cv.contracts import (
    IMAGE,
    INDEX,
    Batch,
    DataInfo,
    Gallery,
    PublishesInfo,
    Scored,
    Showing,
    Stage,
    StepOutput,
)
from lightning_cv.errors import UserError
from lightning_cv.networks import Initialize, find_head, start_head
from lightning_cv.ops.processes import gather, rank_and_devices
from lightning_cv.optim import RateScaling, Schedule, build_optimizer
from lightning_cv.tasks.curves import TrainingCurves, track
from lightning_cv.tasks.fit_to_data import check_network_fits_data, fit_to_images
from lightning_cv.tasks.full_batch import warn_of_minibatches
from lightning_cv.tasks.idle_hooks import remember_signature, skip_idle_hooks
from lightning_cv.tasks.rates import configure_schedule, scale_to_batch, warn_if_ignored
from lightning_cv.tasks.sample_quality import SampleQuality
from lightning_cv.tasks.scores import SetScores
from lightning_cv.tasks.shares import agree_on_buffers, to_differentiate

OptimizerBuilder = Callable[[Iterable[Any]], Optimizer]


class VisionTask(pl.LightningModule, ABC):
    """One kind of learning problem: a network, how it is scored, and how it is trained.

    An author writes `step`, and where they apply `make_metrics`, `train_terms`, `predict`,
    `prediction_rows` and `galleries`, and names the metric to watch in `monitor` and `mode`. The base logs
    `stage/name`: in training, means over all samples of each window of `trainer.log_every_n_steps` optimizer steps
    (collected on the device, read once per window) and of each epoch (`train/<name>_epoch`); in
    validation and test, means and metrics over the whole set, exact over devices and ragged batches.

    Args:
        network: the module that is trained; it knows nothing of Lightning.
        optimizer: builds the optimizer from parameter groups.
        schedule: multiplies the rate at each optimizer step; None: constant.
        lr_scaling: lets the rate follow from the samples of a step; None: it is as stated, whatever the batch.
        decay_norm_and_bias: whether weight decay also touches norms, biases and other vectors.
        backbone_lr_factor: rate of everything but the head, as a multiple of the rate, in [0, inf).
        init: if given, weights are drawn anew by it, whatever the network started with, and a line says which.
        head_std: if given, the head starts anew: weights from N(0, head_std), biases 0, so that the
            first loss is that of uniform scores. None: as the network made it.
    """

    monitor: str = "val/loss"
    predicts: ClassVar[Literal["rows", "objects", "pixels", "segments", "images"]] = "rows"  # what `predict` writes
    mode: Literal["min", "max"] = "min"
    # Lightning notes the running hook in this attribute about 40 times a training step.
    _noted_often: ClassVar[str] = "_current_fx_name"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerBuilder,
        *,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
        decay_norm_and_bias: bool = False,
        backbone_lr_factor: float = 1.0,
        init: Initialize | None = None,
        head_std: float | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.averaged: nn.Module | None = None
        self.scored: Scored = "averaged"
        self._build_optimizer = optimizer
        self._schedule = schedule
        self._lr_scaling = lr_scaling
        self.rate_factor = 1.0  # of the rates that train to those that the recipe states
        self._decay_norm_and_bias = decay_norm_and_bias
        self._backbone_lr_factor = backbone_lr_factor
        self._curves = TrainingCurves()
        self.quality: SampleQuality | None = None  # of tasks whose networks draw images, and whose targets are such
        self._set_scores = SetScores(self.make_metrics)
        if init is not None:
            rank_zero_info(f"init      {init.scheme or 'weights as they are'}: {init(network)}")
        if head_std is not None:
            start_head(network, std=head_std)

    # What an author writes.

    @abstractmethod
    def step(self, network: nn.Module, batch: Batch) -> StepOutput:
        """The loss of one batch under `network`: the trained one, or in scoring the averaged one."""

    def make_metrics(self) -> MetricCollection:
        """Metrics of one validation or test run; each takes (predictions, targets) and gives named scalars."""
        return MetricCollection({})

    def train_terms(self, output: StepOutput) -> Mapping[str, Tensor]:
        """Cheap batch means for the training curves, by name."""
        return {}

    def predict(self, network: nn.Module, images: Tensor) -> Tensor:
        """What the task predicts for images (B, C, H, W); first dimension B."""
        raise UserError(f"{type(self).__name__} does not predict")

    def prediction_rows(self, prediction: Tensor, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
        """One row an image for the table of predictions; `prediction` is what `predict` returned."""
        raise UserError(f"{type(self).__name__} does not predict")

    def galleries(self, showing: Showing) -> Sequence[Gallery]:
        """What a person would look at, for the callback `Media`; none: nothing to show."""
        return ()

    def head(self) -> nn.Module:
        """What trains at the full rate where `backbone_lr_factor` is not 1: a module that holds these parameters.

        Raises:
            UserError: the network has no head.
        """
        return find_head(self.network)

    def taken(self, images: Tensor) -> Tensor:
        """What the network takes of the data's images (B, C, H, W): these, unless a task says otherwise."""
        return images

    def check_network(self, info: DataInfo) -> None:
        """Refuse a network that does not fit the data.

        Raises:
            UserError: names the key and the value to set.
        """
        check_network_fits_data(self.network, info)

    def data_info(self) -> DataInfo | None:
        """What the data of the Trainer publish; None where they publish nothing."""
        data = getattr(self.trainer, "datamodule", None)
        return data.info if isinstance(data, PublishesInfo) else None

    def forward(self, images: Tensor) -> Any:
        """What the trained network gives for images (B, C, H, W); see `predict` for what the task makes of it."""
        return self.network(images)

    # Training.

    def configure_model(self) -> None:
        """Lightning's hook: shard the network where the strategy is one that does."""
        shard = getattr(self.trainer.strategy, "shard", None)
        if shard is not None:
            shard(self.network)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Lightning's hook: the loss to differentiate; values for the curves stay on the device."""
        output = self.step(self.network, batch)
        with torch.no_grad():
            terms = self.train_terms(output)
        self._curves.add(batch, {"loss": output.loss, **output.terms, **terms})
        return to_differentiate(output.loss, batch)

    def on_train_start(self) -> None:
        """Lightning's hook: a resume ends the step that a checkpoint was written in, if it was within one."""
        self._write_curves()
        warn_of_minibatches(self.trainer)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Lightning's hook: write the curves once per window."""
        self._write_curves()

    def _write_curves(self) -> None:
        if self._curves.is_due(self.trainer):
            self._curves.flush(self.trainer)
        if self.trainer.is_last_batch:
            self._curves.end_epoch(self.trainer)

    def on_train_epoch_end(self) -> None:
        """Lightning's hook: an epoch that was cut short has means too."""
        self._curves.end_epoch(self.trainer)

    # Scoring.

    @property
    def scored_network(self) -> nn.Module:
        """The network of the weights by which the task is judged: averaged ones where there are some."""
        return self._scored_networks()[0][1]

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Lightning's hook: add one batch to the validation scores; callbacks get predictions and targets."""
        return self._score(Stage.VAL, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Lightning's hook: add one batch to the test scores; callbacks get predictions and targets."""
        return self._score(Stage.TEST, batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Lightning's hook: predictions with the index of each sample."""
        _, network = self._scored_networks()[0]
        return {INDEX: batch[INDEX], "prediction": self.predict(network, batch[IMAGE])}

    def on_validation_start(self) -> None:
        """Lightning's hook: nothing is scored, and so no snapshot taken, after a non-finite loss."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._curves.flush(self.trainer)
            agree_on_buffers(self.trainer.strategy.model)
        self._start_quality()

    def on_test_start(self) -> None:
        """Lightning's hook: what judges samples is there before the first batch."""
        self._start_quality()

    def on_validation_epoch_end(self) -> None:
        """Lightning's hook: log the scores of the whole validation set."""
        self._log_scores(Stage.VAL)

    def on_test_epoch_end(self) -> None:
        """Lightning's hook: log the scores of the whole test set."""
        self._log_scores(Stage.TEST)

    def _scored_networks(self) -> list[tuple[str, nn.Module]]:
        """Which weights are scored: (suffix of the stage's name, network); the first is the one to watch."""
        if self.averaged is None or self.scored == "raw":
            return [("", self.network)]
        self.averaged.to(self.device)
        return [("", self.averaged), ("_raw", self.network)][: 2 if self.scored == "both" else 1]

    def _score(self, stage: Stage, batch: Batch) -> dict[str, Any]:
        outputs = [(suffix, self.step(network, batch)) for suffix, network in self._scored_networks()]
        for suffix, output in outputs:
            self._set_scores.add(stage + suffix, batch, output)
        _, watched = outputs[0]
        if self.quality is not None and not self.trainer.sanity_checking:
            self.quality.add(stage, batch[INDEX], watched.targets)
        return {"predictions": watched.predictions, "targets": watched.targets}

    def _log_scores(self, stage: Stage) -> None:
        networks, quality = self._scored_networks(), {}
        if self.quality is not None and not self.trainer.sanity_checking:
            quality = self.quality.take(stage, networks)
        for suffix, _ in networks:
            scores = self._set_scores.take(stage + suffix, self.device)
            scores |= {f"{stage}{suffix}/{name}": value for name, value in quality.get(suffix, {}).items()}
            fitting = self.trainer.state.fn == TrainerFn.FITTING
            self.log_dict(scores, prog_bar=not suffix, logger=not fitting)
            if fitting and not self.trainer.sanity_checking:
                track(self.trainer, {name: float(value) for name, value in scores.items()})

    # Set-up and checkpoints.

    def setup(self, stage: str) -> None:
        """Lightning's hook: refuse a network that does not fit the data, before anything is trained."""
        info = self.data_info()
        if info is not None:
            self.check_network(info)
            if self.quality is not None:
                self.quality.check(self.network, info)
        data = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and not self.trainer.ckpt_path:  # else the checkpoint brings what was found
            fit_to_images(self.network, data, self.taken)

    def on_fit_start(self) -> None:
        """Lightning's hook: training steps pay for no hook that does nothing."""
        skip_idle_hooks(self, self.trainer)
        self._start_quality()

    def _start_quality(self) -> None:
        if self.quality is not None:
            self.quality.start(getattr(self.trainer, "datamodule", None))

    def configure_optimizers(self) -> Any:
        """Lightning's hook: parameter groups, optimizer, and the schedule over the real number of steps."""
        optimizer = build_optimizer(
            self.network,
            self._build_optimizer,
            head=self.head() if self._backbone_lr_factor != 1.0 else None,
            decay_norm_and_bias=self._decay_norm_and_bias,
            backbone_lr_factor=self._backbone_lr_factor,
        )
        self.rate_factor = scale_to_batch(optimizer, self._lr_scaling, self.trainer)
        if self._schedule is None:
            return optimizer
        rates = [group["lr"] for group in optimizer.param_groups]
        configured = configure_schedule(self._schedule, optimizer, self.trainer)
        if self._lr_scaling is not None:
            warn_if_ignored(optimizer, rates)
        return {"optimizer": optimizer, "lr_scheduler": configured}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: the averaged weights travel with the trained ones, and the unfinished window."""
        checkpoint["curves"] = gather(self._curves.state_dict())
        if self.averaged is not None:
            checkpoint["averaged_network"] = self.averaged.state_dict()
            checkpoint["scored"] = self.scored
        if self.quality is not None and (found := self.quality.state_dict()) is not None:
            checkpoint["quality"] = found

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: the averaged weights come back, also for test and prediction."""
        rank, num_devices = rank_and_devices()
        if len(checkpoint.get("curves", ())) == num_devices:
            self._curves.load_state_dict(checkpoint["curves"][rank])
        if self.quality is not None and "quality" in checkpoint:
            self.quality.load_state_dict(checkpoint["quality"])
        if "averaged_network" not in checkpoint:
            return
        if self.averaged is None:
            self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.averaged.load_state_dict(checkpoint["averaged_network"])
        self.scored = checkpoint["scored"]

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep `averaged` out of the parameters, and Lightning's frequent note out of nn.Module's slow path."""
        if name == self._noted_often or name == "averaged":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)


remember_signature(VisionTask)
