"""Was it the machine that gave out? Then say in one line what, and what to make smaller."""

from __future__ import annotations

import errno
import re

import torch

from lightning_cv.errors import ResourceError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def as_resource_error(error: BaseException) -> ResourceError | None:
    """The one-line error for memory, disk or loader processes that gave out; None: something else was wrong."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError):
        wanted = re.search(r"Tried to allocate [\d.]+ \w+", text)
        return ResourceError(
            f"the accelerator's memory ran out ({wanted.group() if wanted else text:.100}); make "
            "data.init_args.batch_size smaller, with trainer.accumulate_grad_batches larger, or set "
            "trainer.precision to bf16-mixed"
        )
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "Cannot allocate memory" in text:
        return ResourceError("the machine's memory ran out; make data.init_args.batch_size or num_workers smaller")
    if isinstance(error, RuntimeError) and re.search(
        r"DataLoader worker .*(killed by signal|exited unexpectedly)", text
    ):
        return ResourceError(
            f"a process that reads data died ({text:.160}); if the machine's memory ran out, make "
            "data.init_args.num_workers or batch_size smaller"
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return ResourceError(f"the disk is full ({error.filename or text}); free some space, then go on with --resume")
    return None
