"""Which values are live in the objects that train, whatever the recipe says of them?"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from lightning_cv.callbacks.idle_hooks import skip_idle_hooks
from lightning_cv.record.trial import LiveNote, TrialNote, write_live_note
from lightning_cv.run.live_values import LiveParts, as_class_path, as_number, as_text, entry_of, known, name_of

NamedCallbacks = Mapping[str, pl.Callback | None]

_ARGUMENTS = ("init_args", "dict_kwargs")
# Here and at a callback null is a value of its own; elsewhere it leaves the choice to the part.
_NULL_IS_NONE = ("model.init_args.schedule", "trainer.gradient_clip_val")
_PRECISIONS = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}


@skip_idle_hooks
class Echo(pl.Callback):
    """Writes `live.json` when training starts: of each value that the sweep sampled, what is live of it.

    Args:
        note: of the trial.
        callbacks: the recipe's, by name.
        folder: of the run.
    """

    def __init__(self, note: TrialNote, callbacks: NamedCallbacks, folder: Path) -> None:
        self._note = note
        self._callbacks = callbacks
        self._folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look behind a restored checkpoint and what other callbacks change, before the first step."""
        if not trainer.is_global_zero:
            return
        try:
            write_live_note(self._folder, find_live(self._note.values, trainer, callbacks=self._callbacks))
        except Exception as error:
            rank_zero_warn(f"live.json cannot be written ({type(error).__name__}: {error}); training goes on.")


def find_live(values: Mapping[str, Any], trainer: pl.Trainer, *, callbacks: NamedCallbacks) -> LiveNote:
    """What is live of each value, in a trainer that begins to train.

    A part that keeps an option in a form of its own (a range for a number, a module for a probability) tells
    nothing of it: the path is unknown then.

    Args:
        values: sampled, by dotted path; the live ones are given in their form.
        trainer: with task, data, optimizer and loader.
        callbacks: the recipe's, by name.
    """
    finder = _Finder(LiveParts(trainer), callbacks)
    live = finder.each(values, finder.find)
    per_epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
    return LiveNote(
        values=live,
        unknown=tuple(finder.unknown),
        total_steps=_steps(trainer.estimated_stepping_batches),
        steps_per_epoch=_steps(per_epoch),
        pid=os.getpid(),
    )


def _steps(number: float) -> int | None:
    return math.ceil(number) if 0 <= number < math.inf else None


class _Finder:
    """Walks from the trainer to what a path of the recipe means, and gives it in the form of the sampled value."""

    def __init__(self, parts: LiveParts, callbacks: NamedCallbacks) -> None:
        self.unknown: list[str] = []
        self._parts = parts
        self._callbacks = callbacks

    def each(self, sampled: Mapping[str, Any], find: Callable[[str, Any], Any], *, below: str = "") -> dict[str, Any]:
        """What can be found of these values; a part may raise anything when it is asked."""
        found = {}
        for key, value in sampled.items():
            try:
                found[str(key)] = find(key, value)
            except Exception:
                self.unknown.append(f"{below}{key}")
        return found

    def find(self, path: str, sampled: Any) -> Any:
        """The live value at a path of the recipe as plain data."""
        root, *parts = path.split(".")
        if root == "seed_everything":
            live: Any = int(os.environ["PL_GLOBAL_SEED"])
        elif root == "trainer":
            live = self._of_trainer(parts, sampled)
        elif root == "callbacks":
            live = self._walk(self._callback(parts[0]), parts[1:])
        else:
            start = {"model": self._parts.task, "data": self._parts.data}[root]
            live = self._walk(known(start, when=start is not None), parts)
        return self._plain(live, sampled, path=path)

    def _of_trainer(self, parts: list[str], sampled: Any) -> Any:
        """One of its own options; its parts are not found under the names of theirs."""
        (name,) = parts
        live = getattr(self._parts.trainer, name)
        written_otherwise = name == "precision" and _PRECISIONS.get(str(sampled)) == live
        return sampled if written_otherwise else known(live, when=isinstance(live, bool | int | float | str | None))

    def _callback(self, name: str) -> pl.Callback | None:
        callback = self._callbacks[name]
        in_use: list[pl.Callback] = self._parts.trainer.callbacks  # type: ignore[attr-defined]  # set by a connector
        return callback if any(callback is other for other in in_use) else None

    def _walk(self, value: Any, parts: Sequence[str]) -> Any:
        if not parts or list(parts) == ["class_path"] or value is None:
            return value
        head, *rest = parts
        if head in _ARGUMENTS:
            return self._walk(self._parts.option(value, rest[0]), rest[1:])
        if head.isdecimal() and isinstance(value, list | tuple | nn.ModuleList | nn.Sequential):
            return self._walk(value[int(head)], rest)
        return self._walk(entry_of(value, head), rest)

    def _plain(self, live: Any, sampled: Any, *, path: str) -> Any:
        if live is None:
            return known(None, when=not isinstance(sampled, bool))
        if sampled is None:
            counts = path in _NULL_IS_NONE or (path.startswith("callbacks.") and path.count(".") == 1)
            return known(live if isinstance(live, int | float) else name_of(type(live)), when=counts)
        if isinstance(sampled, Mapping):
            return self._mapping(live, sampled, path=path)
        if isinstance(sampled, list | tuple):
            items = known(live, when=isinstance(live, list | tuple))
            pairs = enumerate(zip(items, sampled, strict=True))  # of another length: a form of its own
            return [self._plain(item, other, path=f"{path}.{index}") for index, (item, other) in pairs]
        return as_text(live, sampled) if isinstance(sampled, str) else as_number(live, sampled)

    def _mapping(self, live: Any, sampled: Mapping[str, Any], *, path: str) -> dict[str, Any]:
        """A class with those of its arguments that were sampled, or a plain mapping."""

        def under(get: Callable[[Any, str], Any], at: str) -> Callable[[str, Any], Any]:
            return lambda key, value: self._plain(get(live, key), value, path=f"{at}.{key}")

        if "class_path" not in sampled:
            return self.each(sampled, under(entry_of, path), below=f"{path}.")
        stated = sampled["class_path"]
        found = self.each({"class_path": stated}, lambda _, stated: as_class_path(live, stated), below=f"{path}.")
        if found.get("class_path", stated) == stated:
            for kind in (kind for kind in _ARGUMENTS if kind in sampled):
                at = f"{path}.{kind}"
                found[kind] = self.each(sampled[kind] or {}, under(self._parts.option, at), below=f"{at}.")
        return found
