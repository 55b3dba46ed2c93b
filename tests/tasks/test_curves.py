"""Does a window of the curves go on where a checkpoint cut it?"""

import math
from types import SimpleNamespace

import pytest
import torch

from lightning_cv.contracts import IMAGE, INDEX
from lightning_cv.errors import NonFiniteLossError
from lightning_cv.tasks.curves import TrainingCurves


def trainer():
    """What a flush reads of a trainer, and where it writes."""
    return SimpleNamespace(
        global_step=3,
        current_epoch=1,
        loggers=[],
        callback_metrics={},
        progress_bar_metrics={},
        fit_loop=SimpleNamespace(batch_idx=2),
    )


def batch(*indices: int) -> dict[str, torch.Tensor]:
    return {IMAGE: torch.zeros(len(indices), 1, 2, 2), INDEX: torch.tensor(indices)}


def cut_after_two(last_loss: float) -> TrainingCurves:
    """Two batches before a checkpoint, one behind it."""
    before, after = TrainingCurves(), TrainingCurves()
    before.add(batch(4, 5), {"loss": torch.tensor(1.0)})
    before.add(batch(6, 7), {"loss": torch.tensor(2.0)})
    after.load_state_dict(before.state_dict())
    after.add(batch(8), {"loss": torch.tensor(last_loss)})
    return after


def test_the_mean_of_the_window_is_over_both_parts():
    """Oracle: (2 x 1 + 2 x 2 + 1 x 7) / 5 by hand; the epoch's mean is over the same samples."""
    where = trainer()
    curves = cut_after_two(7.0)
    curves.flush(where)
    assert where.callback_metrics["train/loss"] == pytest.approx(13 / 5)
    curves.end_epoch(where)
    assert where.callback_metrics["train/loss_epoch"] == pytest.approx(13 / 5)


def test_the_samples_of_a_bad_batch_behind_the_cut_are_named():
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, batch 2: .* samples: 8;"):
        cut_after_two(math.nan).flush(trainer())
