"""Networks that find objects: boxes, masks, keypoints."""

from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.detect.one_stage import Fcos, RetinaNet, Ssd
from lightning_cv.networks.detect.region_head import Overlap, RegionHead, Regions
from lightning_cv.networks.detect.two_stage import FasterRcnn, KeypointRcnn, MaskRcnn

__all__ = [
    # detectors
    "FasterRcnn",
    "Fcos",
    "KeypointRcnn",
    "MaskRcnn",
    "RetinaNet",
    "Ssd",
    # what they are made of
    "Overlap",
    "Pyramid",
    "RegionHead",
    "Regions",
]
