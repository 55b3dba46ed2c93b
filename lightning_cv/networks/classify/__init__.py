"""Classifiers that torchvision and timm lack: (B, C, H, W) images to (B, num_classes) scores."""

from lightning_cv.networks.classify.lenet import LeNet5
from lightning_cv.networks.classify.mlp import Mlp
from lightning_cv.networks.classify.small_resnet import SmallResNet

__all__ = ["LeNet5", "Mlp", "SmallResNet"]
