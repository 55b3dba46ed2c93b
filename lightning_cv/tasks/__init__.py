"""LightningModules, one per kind of learning problem."""

from lightning_cv.tasks.base import VisionTask
from lightning_cv.tasks.classify import Classify

__all__ = ["Classify", "VisionTask"]
