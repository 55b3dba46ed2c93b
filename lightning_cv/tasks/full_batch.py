"""Does an optimizer that needs the whole training set in each step get it?"""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_warn


def warn_of_minibatches(trainer: Trainer) -> None:
    """Say so where L-BFGS, whose curvature is estimated over several steps, gets a different batch in each (row 30)."""
    batches = trainer.num_training_batches
    if batches > 1 and any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in trainer.optimizers):
        rank_zero_warn(
            f"LBFGS needs the whole training set in each step, and an epoch has {batches:.0f} batches: their noise is "
            "taken for curvature; let data.init_args.batch_size be the number of training images"
        )
