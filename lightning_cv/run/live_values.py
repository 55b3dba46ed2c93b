"""Where is the live value of one option, and how would a recipe write it?"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lightning_cv.data.sampler import EpochSampler
from lightning_cv.optim import TorchSchedule


class UnknownError(LookupError):
    """Nothing that is live can be told to be what was asked for."""


class LiveParts:
    """What a part's options are: its attributes, but for those that live elsewhere."""

    def __init__(self, trainer: pl.Trainer) -> None:
        self.trainer = trainer
        self.task = trainer.lightning_module
        self.data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a connector

    def option(self, owner: Any, name: str) -> Any:
        """The live value of an option of `owner`."""
        elsewhere: dict[str, Callable[[], Any]] = {}
        if owner is self.task:
            elsewhere = {
                "optimizer": self._optimizer,
                "schedule": self._schedule,
                "backbone_lr_factor": self._backbone_lr_factor,
            }
        elif owner is self.data:
            elsewhere = {"batch_size": self._batch_size}
        elif isinstance(owner, Optimizer):
            elsewhere = {key: functools.partial(self._of_groups, owner, key) for key in owner.param_groups[0]}
        elif isinstance(owner, TorchSchedule):
            elsewhere = {"scheduler": lambda: self.trainer.lr_scheduler_configs[0].scheduler}
        elif isinstance(owner, EarlyStopping):
            elsewhere = {"min_delta": lambda: abs(owner.min_delta)}  # its sign tells the direction
        return elsewhere[name]() if name in elsewhere else _attribute(owner, name)

    def _optimizer(self) -> Optimizer:
        (optimizer,) = self.trainer.optimizers
        return optimizer

    def _schedule(self) -> Any:
        """The task's, if any scheduler came of it."""
        return _attribute(self.task, "schedule") if self.trainer.lr_scheduler_configs else None

    def _of_groups(self, optimizer: Optimizer, name: str) -> Any:
        """What all groups have that get the options as they were given, if there are such."""
        groups = optimizer.param_groups
        groups = [group for group in groups if not _kind(group).startswith("backbone")] or groups
        groups = [group for group in groups if not _kind(group).endswith("_no_decay")] or groups
        first, *others = (self._rate(group) if name == "lr" else group[name] for group in groups)
        return known(first, when=all(other == first for other in others))

    def _rate(self, group: dict[str, Any]) -> Any:
        """The rate that the schedule starts from, as the recipe states it: before it was scaled to the batch."""
        if not self.trainer.lr_scheduler_configs:
            rate = group["lr"]
        else:
            # A scheduler without a base rate may have changed the rate before a resume.
            at_start = self.trainer.global_step == 0
            rate = group["initial_lr"] if "initial_lr" in group else known(group["lr"], when=at_start)
        factor = getattr(self.task, "rate_factor", 1.0)
        return rate if factor == 1.0 else rate / factor

    def _backbone_lr_factor(self) -> float:
        rates = {_kind(group).removesuffix("_no_decay"): self._rate(group) for group in self._optimizer().param_groups}
        return 1.0 if rates.keys() == {"network"} else float(rates["backbone"] / rates["head"])

    def _batch_size(self) -> int:
        """Samples a step over all devices; other loaders than ours are per device."""
        loader = self.trainer.train_dataloader
        sampler = getattr(loader, "batch_sampler", None)
        ours = isinstance(sampler, EpochSampler)
        alone = isinstance(loader, DataLoader) and self.trainer.world_size == 1
        return int(known(sampler, when=ours or alone).batch_size)


def known(value: Any, *, when: bool) -> Any:
    """The value.

    Raises:
        UnknownError: the condition does not hold, so that it tells nothing.
    """
    if not when:
        raise UnknownError
    return value


def _attribute(owner: Any, name: str) -> Any:
    value = getattr(owner, name) if hasattr(owner, name) else getattr(owner, f"_{name}")
    return getattr(value, "_orig_mod", value) if isinstance(value, nn.Module) else value  # behind torch.compile


def entry_of(value: Any, key: object) -> Any:
    """What a mapping or a record has under a key."""
    if is_dataclass(value):
        return getattr(value, str(key))
    return {str(known): item for known, item in value.items()}[str(key)]


def _kind(group: Mapping[str, Any]) -> str:
    return str(group.get("name", ""))


def as_number(live: Any, sampled: float) -> Any:
    """A number for a number, a truth value for a truth value; a share that became a count is the part's own form."""
    if isinstance(sampled, bool) or isinstance(live, bool):
        return known(live, when=isinstance(sampled, bool) and isinstance(live, bool))
    became_count = isinstance(live, int) and isinstance(sampled, float) and not sampled.is_integer()
    return known(live, when=isinstance(live, int | float) and not became_count)


def as_text(live: Any, sampled: str) -> str:
    """Text for a text: of a named choice, a path or a class in the spelling of the recipe, if it is the same."""
    if isinstance(live, Enum):
        return sampled if sampled in (live.name, live.value) else live.name
    if isinstance(live, Path):
        return str(known(sampled, when=Path(sampled).absolute() == live.absolute()))
    plain = isinstance(live, bool | int | float | list | tuple | Mapping)
    return live if isinstance(live, str) else as_class_path(known(live, when=not plain), sampled)


def as_class_path(live: Any, stated: str) -> str:
    """The class of an object: as it is stated, if that is the one."""
    *modules, name = stated.split(".")
    kind = type(live)
    if not modules:
        return str(known(stated, when=kind.__name__ == name))
    named = _loaded(stated)
    if live is named or kind is named:
        return stated
    # A class made to wrap the stated one, a function that makes objects, a maker of objects: nothing can be told.
    maker = isinstance(live, type | functools.partial) or inspect.isroutine(live) or not inspect.isclass(named)
    wrapped = inspect.isclass(named) and issubclass(kind, named) and not isinstance(live, Optimizer)
    return str(known(name_of(kind), when=not maker and not wrapped))


def _loaded(path: str) -> Any:
    """What a dotted path names among the modules that are loaded; nothing is imported."""
    parts = path.split(".")
    for number in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:number]))
        if module is not None:
            return functools.reduce(getattr, parts[number:], module)
    raise UnknownError(path)


def name_of(kind: type) -> str:
    """The class path of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"
