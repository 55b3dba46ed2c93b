"""Which parameters get no gradient, so that processes that train together would wait for them?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from lightning_cv.callbacks import skip_idle_hooks
from lightning_cv.errors import UserError

SHOWN = 4
_TORCH_SAYS = re.compile(r"Parameter indices which did not receive grad for rank \d+: ([\d ]+)")


@skip_idle_hooks
class UnusedParameters(Callback):
    """Refuses, behind the first backward pass of several processes, parameters that got no gradient.

    torch 2.15 would apply this step's gradients without having averaged them, and raise in the next step, or wait
    for ever where only some processes left a parameter out. Later passes cost nothing.
    """

    def __init__(self) -> None:
        self._names: list[str] = []  # of the parameters that DDP waits for, in its order
        self._used: set[str] = set()
        self._handles: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note which parameters get a gradient."""
        model = trainer.strategy.model
        waits = isinstance(model, DistributedDataParallel) and not (model.find_unused_parameters or model.static_graph)
        if not waits or not pl_module.automatic_optimization:
            self._end()
            return
        for name, parameter in pl_module.named_parameters():
            if parameter.requires_grad:
                self._names.append(name)
                note = _Note(self._used, name)
                self._handles.append(parameter.register_post_accumulate_grad_hook(note))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, before the optimizer steps; a pass whose gradients are only accumulated does not count."""
        model: Any = trainer.strategy.model
        unused = [name for name in self._names if name not in self._used]
        self._used.clear()
        if model.require_backward_grad_sync:
            self._end()
            if unused:
                raise unused_error(unused)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave no hooks."""
        self._end()

    def explain(self, error: BaseException) -> UserError | None:
        """What torch says of a parameter that was left out in a later step, with the names."""
        said = _TORCH_SAYS.search(str(error)) if type(error) is RuntimeError else None
        if said is None or not self._names:
            return None
        return unused_error([self._names[int(index)] for index in said.group(1).split()])

    def _end(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.on_after_backward = None  # type: ignore[assignment,method-assign]  # Lightning passes over it


class _Note:
    """Called when a parameter has got its gradient."""

    def __init__(self, used: set[str], name: str) -> None:
        self._used = used
        self._name = name

    def __call__(self, parameter: torch.Tensor) -> None:
        self._used.add(self._name)


def unused_error(names: Sequence[str]) -> UserError:
    """The line about parameters without a gradient."""
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    noun = "parameter gets" if len(names) == 1 else "parameters get"
    return UserError(
        f"{len(names)} {noun} no gradient: {shown}; processes that train together would wait for it: take them out "
        "of the network, freeze them (requires_grad_(False)), or set trainer.strategy: "
        "ddp_find_unused_parameters_true"
    )
