"""Networks that give every pixel a class."""

from lightning_cv.networks.blocks.dilated import DilatedFeatures
from lightning_cv.networks.blocks.feature_maps import FeatureMaps
from lightning_cv.networks.blocks.pyramid import Pyramid
from lightning_cv.networks.segment.constant_resolution import ConstantResolution
from lightning_cv.networks.segment.fcn import Fcn
from lightning_cv.networks.segment.panoptic_fpn import PanopticFpn
from lightning_cv.networks.segment.pspnet import PspNet
from lightning_cv.networks.segment.segnet import SegNet
from lightning_cv.networks.segment.sliding_window import SlidingWindow
from lightning_cv.networks.segment.test_time import SlidingWindows, TestTimeAugmentation
from lightning_cv.networks.segment.unet import UNet

__all__ = [
    # networks
    "ConstantResolution",
    "Fcn",
    "PanopticFpn",
    "PspNet",
    "SegNet",
    "SlidingWindow",
    "UNet",
    # what they are made of
    "DilatedFeatures",
    "FeatureMaps",
    "Pyramid",
    # how images are scored
    "SlidingWindows",
    "TestTimeAugmentation",
]
