"""Does a machine that gives out end a run with one line that says what to make smaller?"""

import errno
import os
import signal

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lightning_cv.errors import RESOURCES
from lightning_cv.run.resources import as_resource_error


class Dies(Dataset):
    """Data whose reading process is killed, as by a machine without memory."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGKILL)


def raised_by_a_dead_worker() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(Dies(), num_workers=1))
    return caught.value


def raised_by_too_large_a_tensor() -> BaseException:
    """torch's own error for host memory."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    return caught.value


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (raised_by_a_dead_worker, "a process that reads data died"),
        (raised_by_too_large_a_tensor, "the machine's memory ran out"),
        (lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"), "allocate 2.00 GiB"),
        (MemoryError, "the machine's memory ran out"),
        (lambda: OSError(errno.ENOSPC, "No space left on device", "runs/a/x"), "the disk is full (runs/a/x)"),
    ],
)
def test_each_kind_is_one_line_with_its_own_status(make, said):
    error = as_resource_error(make())
    assert error is not None
    assert said in str(error)
    assert "\n" not in str(error)
    assert error.exit_code == RESOURCES


@pytest.mark.parametrize(
    "error", [ValueError("a"), RuntimeError("mat1 and mat2"), OSError(errno.ENOENT, "No such file")]
)
def test_other_errors_are_not_of_this_kind(error):
    assert as_resource_error(error) is None
