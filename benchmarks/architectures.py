"""What do the architectures of the course cost? `python -m benchmarks.architectures` prints README's table."""

from collections.abc import Callable

import timm
import torch
import torchvision
from torch import nn

from lightning_cv.networks.account import account
from lightning_cv.networks.classify import AlexNet2012, LeNet5, ShuffleNetV1, ZFNet

_OF = torchvision.models.get_model
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "LeNet-5 (1998, 32 pixels)": LeNet5,
    "AlexNet (2012)": AlexNet2012,
    "AlexNet (2014)": lambda: _OF("alexnet"),
    "ZFNet (2014)": ZFNet,
    "VGG-16 (2015)": lambda: _OF("vgg16"),
    "GoogLeNet (2015)": lambda: _OF("googlenet", aux_logits=False, init_weights=False),
    "ResNet-18 (2016)": lambda: _OF("resnet18"),
    "ResNet-34 (2016)": lambda: _OF("resnet34"),
    "ResNet-50 (2016)": lambda: _OF("resnet50"),
    "ResNet-50, pre-activation (2016)": lambda: timm.create_model("resnetv2_50"),
    "ResNeXt-50 32x4d (2017)": lambda: _OF("resnext50_32x4d"),
    "DenseNet-121 (2017)": lambda: _OF("densenet121"),
    "MobileNet v1 (2017)": lambda: timm.create_model("mobilenetv1_100"),
    "SE-ResNet-50 (2018)": lambda: timm.create_model("seresnet50"),
    "MobileNet v2 (2018)": lambda: _OF("mobilenet_v2"),
    "ShuffleNet v1, 3 groups (2018)": ShuffleNetV1,
    "ShuffleNet v2 (2018)": lambda: _OF("shufflenet_v2_x1_0"),
    "ViT-B/16 (2021)": lambda: _OF("vit_b_16"),
    "Swin-T (2021)": lambda: _OF("swin_t"),
    "MLP-Mixer-B/16 (2021)": lambda: timm.create_model("mixer_b16_224"),
    "Swin-V2-T (2022)": lambda: _OF("swin_v2_t"),
    "MViT-V2-T (2022)": lambda: timm.create_model("mvitv2_tiny"),
}


def main() -> None:
    """Print a row for each network, counted for one image of 224 x 224 pixels."""
    print("| network | parameters | multiply-adds | activations |\n| --- | ---: | ---: | ---: |")
    for name, make in NETWORKS.items():
        image = torch.zeros(1, 1, 32, 32) if make is LeNet5 else torch.zeros(1, 3, 224, 224)
        counted = account(make().eval(), image)
        macs = f"{counted.macs / 1e9:.2f} G" if counted.macs > 5e6 else f"{counted.macs / 1e6:.2f} M"
        print(f"| {name} | {counted.parameters:,} | {macs} | {counted.activation_bytes / 1e6:.1f} MB |")


if __name__ == "__main__":
    main()
