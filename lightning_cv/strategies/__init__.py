"""How several devices share one training, beyond what Lightning has by name."""

from lightning_cv.strategies.fully_shard import FullyShard

__all__ = ["FullyShard"]
