"""Data sets (LightningDataModules) and the transforms of training batches."""

from lightning_cv.data.annotated import Coco, Voc, Yolo
from lightning_cv.data.base import VisionData
from lightning_cv.data.batch_transforms import KeyedTransform, RandomCrop, RandomHorizontalFlip
from lightning_cv.data.cifar import Cifar10, Cifar100
from lightning_cv.data.coco_panoptic import CocoPanoptic
from lightning_cv.data.cutout import Cutout
from lightning_cv.data.digits import Digits
from lightning_cv.data.digits_two_ways import DigitsTwoWays
from lightning_cv.data.image_folder import ImageFolder
from lightning_cv.data.lens_distortion import RandomLensDistortion
from lightning_cv.data.mask_folder import MaskFolder
from lightning_cv.data.mnist import Mnist
from lightning_cv.data.normalization import MeanStd
from lightning_cv.data.objects import RandomObjectFlip
from lightning_cv.data.pets import Pets
from lightning_cv.data.scenes import Scenes
from lightning_cv.data.segmented import Ade20k, Cityscapes, VocSegmentation
from lightning_cv.data.shapes import Shapes
from lightning_cv.data.splits import ResidentSplit, Split

__all__ = [
    # data sets
    "Ade20k",
    "Cifar10",
    "Cifar100",
    "Cityscapes",
    "Coco",
    "CocoPanoptic",
    "Digits",
    "DigitsTwoWays",
    "ImageFolder",
    "MaskFolder",
    "Mnist",
    "Pets",
    "Scenes",
    "Shapes",
    "Voc",
    "VocSegmentation",
    "Yolo",
    # what they are made of
    "MeanStd",
    "ResidentSplit",
    "Split",
    "VisionData",
    # transforms of single images
    "RandomLensDistortion",
    "RandomObjectFlip",
    # transforms of training batches
    "Cutout",
    "KeyedTransform",
    "RandomCrop",
    "RandomHorizontalFlip",
]
