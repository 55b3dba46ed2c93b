"""Classifiers that torchvision and timm lack: (B, C, H, W) images to (B, num_classes) scores."""

from lightning_cv.networks.classify.alexnet import AlexNet2012, ZFNet
from lightning_cv.networks.classify.encoder_classifier import EncoderClassifier
from lightning_cv.networks.classify.lenet import LeNet5
from lightning_cv.networks.classify.mlp import Mlp
from lightning_cv.networks.classify.shufflenet_v1 import ShuffleNetV1
from lightning_cv.networks.classify.small_resnet import SmallResNet

__all__ = ["AlexNet2012", "EncoderClassifier", "LeNet5", "Mlp", "ShuffleNetV1", "SmallResNet", "ZFNet"]
