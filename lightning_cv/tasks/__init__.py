"""LightningModules, one per kind of learning problem."""

from lightning_cv.tasks.base import VisionTask
from lightning_cv.tasks.classify import Classify
from lightning_cv.tasks.detect import Detect

__all__ = ["Classify", "Detect", "VisionTask"]
