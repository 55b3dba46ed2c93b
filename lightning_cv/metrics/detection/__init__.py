"""COCO's scores of boxes, masks and keypoints, in arrays."""

from lightning_cv.metrics.detection.coco import CocoEvaluation, Kind
from lightning_cv.metrics.detection.of_set import DetectionScores
from lightning_cv.metrics.detection.records import Found, Truth
from lightning_cv.metrics.detection.similarity import (
    COCO_SIGMAS,
    BoxIoU,
    KeypointSimilarity,
    MaskIoU,
    encode,
    mask_areas,
)

__all__ = [
    "COCO_SIGMAS",
    "BoxIoU",
    "CocoEvaluation",
    "DetectionScores",
    "Found",
    "KeypointSimilarity",
    "Kind",
    "MaskIoU",
    "Truth",
    "encode",
    "mask_areas",
]
