"""Where do the curves of a run go? Loggers that never stand in the way of training."""

from lightning_cv.tracking.wandb import WandbTracker

__all__ = ["WandbTracker"]
