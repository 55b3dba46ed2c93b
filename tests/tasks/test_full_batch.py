"""Is L-BFGS reached by a recipe's words, and does it get what it needs?"""

import warnings
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from lightning_cv.tasks import Classify
from tests.resuming import Dots


def fit(tmp_path, batch_size: int, make) -> float:
    torch.manual_seed(2)
    task = Classify(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), make)
    trainer = Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=str(tmp_path), log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(task, datamodule=Dots(batch_size=batch_size))
    return float(trainer.callback_metrics["train/loss"])


def test_on_the_full_batch_it_is_far_ahead_of_as_many_steps_of_gradient_descent(tmp_path):
    """row 30: five steps of at most 20 evaluations; the same number of evaluations of SGD is left behind."""
    lbfgs = fit(tmp_path, 37, partial(torch.optim.LBFGS, lr=1.0, max_iter=20))
    assert lbfgs < 0.1 * fit(tmp_path, 37, partial(torch.optim.SGD, lr=0.1))


@pytest.mark.parametrize(("batch_size", "is_told"), [(8, True), (37, False)])
def test_smaller_batches_are_a_warning(tmp_path, batch_size, is_told):
    """row 30: the data has 37 images."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(tmp_path, batch_size, partial(torch.optim.LBFGS, lr=0.1, max_iter=2))
    told = [str(warning.message) for warning in warned if "LBFGS needs the whole training set" in str(warning.message)]
    assert len(told) == is_told
    assert not is_told or "an epoch has 5 batches" in told[0]
