"""Networks that find objects: boxes, masks, keypoints."""

from lightning_cv.networks.blocks.feature_maps import FeatureMaps
from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.detect.detr import Detr
from lightning_cv.networks.detect.diffusion_det import DiffusionDet
from lightning_cv.networks.detect.one_stage import Fcos, RetinaNet, Ssd
from lightning_cv.networks.detect.proposals import Proposals, SelectiveSearch
from lightning_cv.networks.detect.region_based import FastRcnn, Rcnn
from lightning_cv.networks.detect.region_head import Overlap, RegionHead, Regions
from lightning_cv.networks.detect.single_object import SingleObject
from lightning_cv.networks.detect.sliding_window import SlidingWindow
from lightning_cv.networks.detect.two_stage import FasterRcnn, KeypointRcnn, MaskRcnn
from lightning_cv.networks.detect.yolo_v1 import YoloV1

__all__ = [
    # detectors
    "Detr",
    "DiffusionDet",
    "FastRcnn",
    "FasterRcnn",
    "Fcos",
    "KeypointRcnn",
    "MaskRcnn",
    "Rcnn",
    "RetinaNet",
    "SingleObject",
    "SlidingWindow",
    "Ssd",
    "YoloV1",
    # what they are made of
    "FeatureMaps",
    "Overlap",
    "Proposals",
    "Pyramid",
    "RegionHead",
    "Regions",
    "SelectiveSearch",
]
