"""How do devices that have uneven shares of a batch, or none, compute what one device with all of it would?"""

from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from lightning_cv.contracts import SHARE, Batch


def to_differentiate(loss: Tensor, batch: Batch) -> Tensor:
    """The loss whose gradients, averaged over the devices, are those of the mean over all of their samples (row 8).

    Only the last batch of an epoch may be shared unevenly: there the mean of the devices' means is not the mean
    over the samples. A loss that is no mean over samples, such as one with weights by class, is not exact there.

    Args:
        loss: scalar, mean over the samples of this device.
        batch: says which part of the shared one it is.
    """
    return loss * batch[SHARE] if SHARE in batch else loss


def agree_on_buffers(model: nn.Module | None) -> None:
    """Give every device the buffers of the first one, before a validation; every process calls it.

    DDP does so in the first batch: a device without any would leave the others waiting for ever.
    """
    if isinstance(model, DistributedDataParallel) and model.will_sync_module_buffers():
        for buffer in model.module.buffers():
            distributed.broadcast(buffer, src=0, group=model.process_group)
        model.require_forward_param_sync = False  # as DDP leaves it behind a batch without gradients
    elif model is not None and any(isinstance(module, FSDPModule) for module in model.modules()):
        for buffer in model.buffers():  # sharded training never makes them equal
            distributed.broadcast(buffer, src=0)
