"""How is a network trained that is too large for each device to hold whole?"""

from __future__ import annotations

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from lightning_cv.errors import UserError


class FullyShard(ModelParallelStrategy):
    """Fully sharded data parallelism (torch's FSDP2): each device keeps a part of weights, gradients and optimizer.

    A unit of the network is put together on each device just before it is needed, and taken apart again. Gradients
    are those of DDP. Snapshots are the same single files as without it, so that a run goes on with either, and its
    network is loaded on one device. Averaged weights (`Ema`) cannot be kept.

    Args:
        unit_parameters: a module with at least so many parameters, not counting those of units within it, is a unit.
            Smaller units need less memory and more messages.
        process_group_backend: nccl, gloo ...; None: torch's choice for the device.

    Raises:
        UserError: fewer parameters than 1 for a unit.

    Source: Zhao et al., PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel, 2023.
    """

    def __init__(self, unit_parameters: int = 1_000_000, process_group_backend: str | None = None) -> None:
        if unit_parameters < 1:
            raise UserError(f"FullyShard: unit_parameters is {unit_parameters}; allowed: 1 or more")
        super().__init__(save_distributed_checkpoint=False, process_group_backend=process_group_backend)
        self.unit_parameters = unit_parameters

    def setup_environment(self) -> None:
        """Connect the processes; all of them share the data and the network alike."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        self._tensor_parallel_size = 1
        super().setup_environment()

    def shard(self, network: nn.Module) -> None:
        """Shard a network in place, unless it is; called by the task when the devices are known."""
        if isinstance(network, FSDPModule):
            return
        mesh = self.device_mesh["data_parallel"]
        _shard_units(network, mesh, self.unit_parameters)
        fully_shard(network, mesh=mesh)


def _shard_units(module: nn.Module, mesh: DeviceMesh, least: int) -> int:
    """Make units of what lies within a module, from the inside out; returns the parameters that belong to none."""
    rest = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    for child in module.children():
        left = _shard_units(child, mesh, least)
        # A container without a forward pass of its own would never be put together.
        if left >= least and type(child).forward is not nn.Module.forward:
            fully_shard(child, mesh=mesh)
            left = 0
        rest += left
    return rest
