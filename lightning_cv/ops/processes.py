"""Which of the processes that train together is this, and what do the others hold?"""

from typing import TypeVar

from torch import distributed

T = TypeVar("T")


def rank_and_devices() -> tuple[int, int]:
    """This process's rank and how many processes train together; (0, 1) outside distributed training."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather(value: T) -> list[T]:
    """The values of all processes in the order of their ranks; every process must call it at the same point.

    Args:
        value: anything that can be pickled.
    """
    _, num_processes = rank_and_devices()
    if num_processes == 1:
        return [value]
    values: list[T] = [value] * num_processes
    distributed.all_gather_object(values, value)
    return values
