"""How many samples does a step have, on which devices, how many steps are there, and at which rate?"""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl

from lightning_cv.callbacks import skip_idle_hooks
from lightning_cv.contracts import SharesBatches


@skip_idle_hooks
class BatchLine(pl.Callback):
    """Prints one line when training starts, in the first process: what the recipe comes to on these devices."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """All numbers are known: loaders, schedule and a restored checkpoint are there."""
        if trainer.is_global_zero:
            print(f"batch     {batch_line(trainer)}", flush=True)


def batch_line(trainer: pl.Trainer) -> str:
    """`64 = 2 devices x 32, accumulated 1 x; 21 steps an epoch, 315 in all; lr 0.003`.

    The rate is the one that the schedule starts from; groups with other ones are named, and so is what was
    scaled to the batch.
    """
    accumulated = trainer.accumulate_grad_batches
    parts = [f"{_samples(trainer)}accumulated {accumulated} x"]
    batches = trainer.num_training_batches
    total = trainer.estimated_stepping_batches
    in_all = f"{total:,.0f} in all" if 0 <= total < float("inf") else "without an end"
    per_epoch = f"{-(-batches // accumulated):,.0f} steps an epoch" if batches < float("inf") else "endless epochs"
    parts.append(f"{per_epoch}, {in_all}")
    if trainer.optimizers:
        parts.append(_rates(trainer))
    return "; ".join(parts)


def _samples(trainer: pl.Trainer) -> str:
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, SharesBatches):
        return ""  # only our own say what they make of their batch_size
    of_a_step = data.global_batch_size * trainer.accumulate_grad_batches
    on_a_device = data.global_batch_size // trainer.world_size
    nodes, devices = trainer.num_nodes, trainer.world_size // trainer.num_nodes
    places = f"{nodes} nodes x " if nodes > 1 else ""
    return f"{of_a_step} = {places}{devices} device{'s' if devices > 1 else ''} x {on_a_device}, "


def _rates(trainer: pl.Trainer) -> str:
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    rates: dict[float, list[str]] = {}
    for group in groups:
        name = str(group.get("name", "")).removesuffix("_no_decay")
        rates.setdefault(float(group.get("initial_lr", group["lr"])), []).append(name)
    factor = getattr(trainer.lightning_module, "rate_factor", 1.0)
    told = (_rate(rate, names, factor=factor, named=len(rates) > 1) for rate, names in rates.items())
    return f"lr {', '.join(told)}"


def _rate(rate: float, names: Sequence[str], *, factor: Any, named: bool) -> str:
    of = f" ({', '.join(sorted({name for name in names if name}))})" if named and any(names) else ""
    scaled = f" = {rate / factor:.6g} x {factor:.4g}" if factor != 1.0 else ""
    return f"{rate:.6g}{scaled}{of}"
