"""LightningModules, one per kind of learning problem."""

from lightning_cv.tasks.adversarial import Adversarial
from lightning_cv.tasks.adversaries import Adversaries
from lightning_cv.tasks.base import VisionTask
from lightning_cv.tasks.classify import Classify
from lightning_cv.tasks.cycle_translate import CycleTranslate
from lightning_cv.tasks.detect import Detect
from lightning_cv.tasks.generate import Generate
from lightning_cv.tasks.panoptic_segment import PanopticSegment
from lightning_cv.tasks.sample_quality import SampleQuality
from lightning_cv.tasks.segment import Segment
from lightning_cv.tasks.sources import EdgesOf, MasksOf, Source
from lightning_cv.tasks.translate import Translate

__all__ = [
    "Adversarial",
    "Adversaries",
    "Classify",
    "CycleTranslate",
    "Detect",
    "EdgesOf",
    "Generate",
    "MasksOf",
    "PanopticSegment",
    "SampleQuality",
    "Segment",
    "Source",
    "Translate",
    "VisionTask",
]
