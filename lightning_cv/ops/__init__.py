"""Pure functions of tensors that the other parts share."""

from lightning_cv.ops.counter_random import integers, sample_keys, splitmix64, stream_keys, uniform
from lightning_cv.ops.diffusion import CosineSchedule, LinearSchedule

__all__ = ["CosineSchedule", "LinearSchedule", "integers", "sample_keys", "splitmix64", "stream_keys", "uniform"]
