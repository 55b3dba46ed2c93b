"""Where in training does this process stand, and may it stand there for long?"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lightning_cv.run.processes.board import Standing

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

SLOWER = 20.0  # than the slowest batch of its kind so far: no batch takes that long
_FETCHING = "/lightning/pytorch/loops/fetchers.py"
_WAITING = ("_engine_run_backward",)  # in a backward pass DDP waits for the gradients of the others
_WAITING_IN = ("/torch/distributed/", "/torch/nn/parallel/distributed")
_LIBRARIES = (
    "/torch/",
    "/lightning/",
    "/torchmetrics/",
    "/lightning_cv/run/",
    "<frozen",
    f"{Path(threading.__file__).parent}/",
)


class Standings:
    """Looks at the main thread from another one; training pays nothing for it.

    A batch of training or scoring, and the wait for its data, may take `bound_s`, or `SLOWER` times as long as the
    slowest one so far. The first one of its kind, which compiles and starts the readers, and whatever is done
    between batches (set-up, downloads, the end of a validation, snapshots, pictures) may take any time.

    Args:
        bound_s: least time after which a batch is taken to hang.
    """

    def __init__(self, bound_s: float) -> None:
        self.trainer: Trainer | None = None
        self._bound_s = bound_s
        self._at: tuple[str, tuple[int, ...]] = ("", ())
        self._since_s = time.monotonic()
        self._slowest_s: dict[str, float] = {}
        self._first_batch = sys.maxsize

    def start(self) -> None:
        """Training begins now, maybe behind a checkpoint: the first batch from here on may take any time."""
        assert self.trainer is not None
        self._first_batch = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready + 1

    def look(self) -> Standing:
        """Where the main thread is now; called about once a second."""
        now_s = time.monotonic()
        stack = _stack_of_main_thread()
        activity, bounded, place = self._position(stack)
        if (activity, place) != self._at:
            earlier, _ = self._at
            self._slowest_s[earlier] = max(self._slowest_s.get(earlier, 0.0), now_s - self._since_s)
            self._at, self._since_s = (activity, place), now_s
        code, waits = _code(stack)
        return Standing(
            activity=activity,
            epoch=self.trainer.current_epoch if self.trainer is not None else 0,
            step=self.trainer.global_step if self.trainer is not None else 0,
            place=place,
            idle_s=round(now_s - self._since_s, 3),
            limit_s=max(self._bound_s, SLOWER * self._slowest_s.get(activity, 0.0)) if bounded else None,
            code=code[:300],
            waits=waits,
        )

    def _position(self, stack: list[FrameType]) -> tuple[str, bool, tuple[int, ...]]:
        """What is done, whether that has a bound, and the place of `Standing`."""
        trainer = self.trainer
        stage = trainer.state.stage if trainer is not None else None
        if trainer is None or stage is None:
            return "set-up", False, ()
        fit = trainer.fit_loop
        training, validation = fit.epoch_loop, fit.epoch_loop.val_loop
        loops: list[Any] = [training, validation, trainer.validate_loop, trainer.test_loop, trainer.predict_loop]
        place = (fit.epoch_progress.current.ready, *(_events(loop.batch_progress.total) for loop in loops))
        stages: dict[str, tuple[str, Any]] = {
            "train": ("training", training),
            "validate": ("validation", validation if trainer.state.fn == "fit" else trainer.validate_loop),
            "test": ("test", trainer.test_loop),
            "predict": ("prediction", trainer.predict_loop),
        }
        kind, loop = stages.get(stage.value, ("validation", validation))
        counts = loop.batch_progress
        is_first = counts.current.ready <= 1 if loop is not training else counts.total.ready <= self._first_batch
        if counts.current.started > counts.current.processed:
            return f"a {kind} batch", not is_first, place
        if any(frame.f_code.co_filename.endswith(_FETCHING) for frame in stack):
            return f"reading a {kind} batch", not is_first, place
        return f"{kind}, between batches", False, place


def _events(counts: Any) -> int:
    return int(counts.ready + counts.started + counts.processed + counts.completed)


def _stack_of_main_thread() -> list[FrameType]:
    """Its frames, the innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _code(stack: list[FrameType]) -> tuple[str, bool]:
    """The innermost code that is no library's, else the innermost of all; and whether it waits for processes."""
    waits = False
    for frame in stack:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if not any(part in file for part in _LIBRARIES):
            return _text(frame), waits
        waits |= name in _WAITING or any(part in file for part in _WAITING_IN)
    return _text(stack[0]) if stack else "", waits


def _text(frame: FrameType) -> str:
    return f"{frame.f_code.co_name}, {frame.f_code.co_filename}:{frame.f_lineno}"
