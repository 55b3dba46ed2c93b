"""Where in training was a checkpoint written, and how does Lightning go on from exactly there?

Lightning 2.6 saves the counters of its loops as they happen to stand in the hook that saves. Going on from
them repeats or leaves out hooks, validations or batches, differently for each hook (seen: a save after the
last batch of an epoch skips its validation, one at the end of an epoch runs its end twice). Here the counters
are put into one of three forms from which Lightning's own restart does the right thing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_EPOCH = "epoch_progress"
_BATCH = "epoch_loop.batch_progress"
_STATE = "epoch_loop.state_dict"
_VALIDATION = "epoch_loop.val_loop.batch_progress"


class Phase(StrEnum):
    """What of the present step and epoch is done."""

    TRAINED = "trained"  # an optimizer step; a validation may follow
    VALIDATING = "validating"  # within the validation: it starts anew after a resume
    VALIDATED = "validated"  # the validation too; the end of the epoch may follow
    ENDED = "ended"  # the epoch, but for the schedules that watch a metric
    FINISHED = "finished"  # the training


def set_resumable_loops(trainer: Trainer, loops: dict[str, Any], *, phase: Phase) -> None:
    """Put the saved counters of the fit loop where a resume does next what training would have done next.

    Args:
        trainer: the trainer that saves, at the end of an optimizer step or later in it.
        loops: `checkpoint["loops"]["fit_loop"]`, changed in place.
        phase: what is done.
    """
    epoch_loop = trainer.fit_loop.epoch_loop
    epochs, batches = loops[_EPOCH], loops[_BATCH]
    complete = batches["current"]["ready"] == trainer.num_training_batches
    ended = phase in (Phase.ENDED, Phase.FINISHED)
    if ended and complete:
        _set_all(epochs, done=epochs["current"]["processed"], total=epochs["total"]["processed"])
        _set_all(batches, done=0, total=batches["total"]["ready"])
        batches["is_last_batch"] = False
        return
    # Within an epoch, be it one that the end of training cut short.
    for counts in epochs.values():
        counts |= {"started": counts["ready"], "processed": counts["ready"] - 1, "completed": counts["ready"] - 1}
    _set_all(batches, done=batches["current"]["ready"], total=batches["total"]["ready"])
    validation_is_due = phase is Phase.VALIDATING or (phase is Phase.TRAINED and _validation_follows(trainer))
    # The restart of a validation begins behind its last complete batch: let it be none.
    _set_all(loops[_VALIDATION], done=0, total=0)
    if validation_is_due:
        loops[_VALIDATION]["total"] |= {"ready": 1, "started": 1}
    # Counted at the very end of a step, which a resume still runs through if a validation is, or was, its last part.
    counted = ended or validation_is_due or phase is Phase.VALIDATED
    loops[_STATE]["_batches_that_stepped"] = epoch_loop._batches_that_stepped + (not counted)


def is_within_epoch(trainer: Trainer) -> bool:
    """Whether the loops of a resumed trainer stand within an epoch."""
    counts = trainer.fit_loop.epoch_progress.current
    processed: int = counts.processed  # type: ignore[attr-defined]  # of the kind of counter that this one is
    return counts.ready != processed


def go_on_within_epoch(trainer: Trainer) -> None:
    """Let Lightning end the epoch like any other: restarting, it would not step the schedules that watch a metric."""
    trainer.fit_loop.restarting = False
    trainer.fit_loop.epoch_loop.restarting = True


def start_next_epoch(trainer: Trainer) -> None:
    """Let Lightning begin the next epoch like any other, hooks included: nothing of the last one is left to do."""
    trainer.fit_loop.restarting = False


def _validation_follows(trainer: Trainer) -> bool:
    fit_loop = trainer.fit_loop
    assert fit_loop._data_fetcher is not None
    return fit_loop.epoch_loop._should_check_val_fx(fit_loop._data_fetcher)


def _set_all(progress: dict[str, Any], *, done: int, total: int) -> None:
    """As if everything that began had also ended."""
    for name, count in (("current", done), ("total", total)):
        progress[name] |= dict.fromkeys(progress[name], count)
