"""What does the data need to know of the training that it serves?"""

import torch
from lightning.pytorch import Trainer


def training_position(trainer: Trainer | None) -> dict[str, int]:
    """Which epoch is being trained, from 0, and how many of its batches are done; empty outside of training.

    The training loop's own count: a loader may have made batches that were not trained on yet.
    """
    if trainer is None or trainer.state.fn != "fit":
        return {}
    loop = trainer.fit_loop
    return {"epoch": loop.epoch_progress.current.ready - 1, "batches": loop.epoch_loop.batch_progress.current.ready}


def input_dtype(trainer: Trainer | None) -> torch.dtype:
    """What 16-bit and 64-bit training make of a float32 input."""
    example = torch.zeros(1, dtype=torch.float32)
    return example.dtype if trainer is None else trainer.precision_plugin.convert_input(example).dtype
