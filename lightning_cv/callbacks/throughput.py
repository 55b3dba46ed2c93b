"""How fast does training run?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from lightning_cv.callbacks.curves import first_logged_step, log_period, log_values
from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.callbacks.images import num_images

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


@skip_idle_hooks
class Throughput(Callback):
    """Logs images a second and the time of a step, every `trainer.log_every_n_steps` optimizer steps.

    * `throughput/images_per_s`: images trained on, all devices together (taken to run alike);
    * `throughput/step_ms`: time of an optimizer step with loading its data, all micro-batches together;
    * `throughput/gpu_memory_mb`: highest memory of the tensors so far, in MB of 10^6 bytes (CUDA only).

    Wall-clock time between two logged steps, without validation; the first step, which compiles and
    fills caches, does not count. The device is never waited for.
    """

    def __init__(self) -> None:
        self._images = 0
        self._step = 0
        self._next_step: float = float("inf")
        self._started_s: float | None = None
        self._validation_started_s = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the first step to log; the clock starts after the first step."""
        self._started_s = None
        self._step = trainer.global_step
        self._next_step = first_logged_step(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images, and log where a period ends."""
        self._images += num_images(batch)
        if self._started_s is None and trainer.global_step > self._step:
            self._restart(trainer.global_step)
        if trainer.global_step >= self._next_step:
            self._log(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._validation_started_s = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        if self._started_s is not None:
            self._started_s += time.perf_counter() - self._validation_started_s

    def _log(self, trainer: Trainer, task: LightningModule) -> None:
        assert self._started_s is not None
        self._next_step += log_period(trainer)
        steps = trainer.global_step - self._step
        if steps > 0:
            elapsed_s = time.perf_counter() - self._started_s
            values = {
                "throughput/images_per_s": self._images * trainer.world_size / elapsed_s,
                "throughput/step_ms": 1000 * elapsed_s / steps,
            }
            if task.device.type == "cuda":
                values["throughput/gpu_memory_mb"] = torch.cuda.max_memory_allocated(task.device) / 1e6
            log_values(trainer, values, step=trainer.global_step)
        self._restart(trainer.global_step)

    def _restart(self, step: int) -> None:
        self._images = 0
        self._step = step
        self._started_s = time.perf_counter()
