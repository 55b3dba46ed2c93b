"""Where do the curves of a run go? Loggers that never stand in the way of training.

`WandbTracker` loads Lightning, so it is imported when it is asked for: what sends runs later needs none of it.
"""

import importlib
from typing import Any

__all__ = ["WandbTracker"]


def __getattr__(name: str) -> Any:
    if name == "WandbTracker":
        return importlib.import_module("lightning_cv.tracking.wandb").WandbTracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
