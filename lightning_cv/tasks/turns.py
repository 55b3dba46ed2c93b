"""What does it take that networks which train against each other take turns, on one device or several?"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lightning_cv.contracts import IMAGE, SHARE, Batch
from lightning_cv.errors import UserError
from lightning_cv.ops.processes import rank_and_devices


def check_turns_of_trainer(trainer: pl.Trainer) -> None:
    """Refuse what a Trainer cannot do for several optimizers, and say what can.

    Raises:
        UserError: names the key, and the one that takes its place.
    """
    if trainer.gradient_clip_val:
        raise UserError(
            f"trainer.gradient_clip_val: {trainer.gradient_clip_val} given; two players are clipped apart: set it to "
            f"null, and model.init_args.gradient_clip to {trainer.gradient_clip_val}"
        )
    if trainer.accumulate_grad_batches != 1:
        raise UserError(
            f"trainer.accumulate_grad_batches: {trainer.accumulate_grad_batches} given; two players accumulate by "
            f"turns: set it to 1, and model.init_args.accumulate to {trainer.accumulate_grad_batches}"
        )
    if isinstance(trainer.strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy):
        raise UserError(
            f"trainer.strategy: {type(trainer.strategy).__name__} shards one network, and two players take turns; "
            "allowed: ddp, or one device"
        )


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Gradients pass through a network, and none is left in it."""
    moving = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)


def shares_of(group: Sequence[Batch]) -> list[Tensor | float]:
    """What each batch of a step counts, so that losses, averaged over devices, are means over all images of the step.

    Args:
        group: the batches of one device; a last one of an epoch may be shared unevenly among devices, see `SHARE`.
    """
    if len(group) == 1:
        return [group[0].get(SHARE, 1.0)]
    counts = [len(batch[IMAGE]) for batch in group]
    even = [count / float(batch.get(SHARE, 1.0)) for count, batch in zip(counts, group, strict=True)]
    return [count / sum(even) for count in counts]


def without_reduction(model: nn.Module | None) -> AbstractContextManager[None]:
    """Let `DistributedDataParallel` wait for no gradients: it knows but one backward pass, of all parameters."""
    if isinstance(model, DistributedDataParallel):
        waiting: AbstractContextManager[None] = model.no_sync()
        return waiting
    return nullcontext()


def average_gradients(network: nn.Module) -> None:
    """Replace the gradients of a network by their means over the devices; every device calls it."""
    _, num_devices = rank_and_devices()
    if num_devices == 1:
        return
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    for dtype in {gradient.dtype: None for gradient in gradients}:
        alike = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.reshape(-1) for gradient in alike])
        distributed.all_reduce(flat)
        flat /= num_devices
        for gradient, averaged in zip(alike, flat.split([gradient.numel() for gradient in alike]), strict=True):
            gradient.copy_(averaged.view_as(gradient))
