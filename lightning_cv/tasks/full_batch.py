"""Does an optimizer that needs the whole training set in each step get it?"""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.optim import Bfgs, Newton


def warn_of_minibatches(trainer: Trainer) -> None:
    """Say so where a method that estimates curvature gets a different batch in each step (rows 28, 29, 30)."""
    batches = trainer.num_training_batches
    second_order = [type(o).__name__ for o in trainer.optimizers if isinstance(o, torch.optim.LBFGS | Bfgs | Newton)]
    if batches > 1 and second_order:
        rank_zero_warn(
            f"{second_order[0]} needs the whole training set in each step, and an epoch has {batches:.0f} batches: "
            "their noise is taken for curvature; let data.init_args.batch_size be the number of training images"
        )
