"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 x 32 pixels, read and downloaded by torchvision."""

import torch
from torchvision import datasets

from lightning_cv.data.downloads import DownloadedData
from lightning_cv.data.splits import ResidentSplit


class Cifar10(DownloadedData):
    """CIFAR-10 (Krizhevsky, 2009): 10 classes, 50,000 training and 10,000 test images, held in memory."""

    def read(self, *, train: bool, download: bool) -> ResidentSplit:
        """Images (N, 3, 32, 32) uint8 and labels 0 ... 9."""
        return _resident(
            self.open_dataset(lambda fetch: datasets.CIFAR10(self.root, train=train, download=fetch), download=download)
        )


class Cifar100(DownloadedData):
    """CIFAR-100 (Krizhevsky, 2009): 100 classes, 50,000 training and 10,000 test images, held in memory."""

    def read(self, *, train: bool, download: bool) -> ResidentSplit:
        """Images (N, 3, 32, 32) uint8 and labels 0 ... 99 (the fine ones)."""
        return _resident(
            self.open_dataset(
                lambda fetch: datasets.CIFAR100(self.root, train=train, download=fetch), download=download
            )
        )


def _resident(source: datasets.CIFAR10) -> ResidentSplit:
    images = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
    labels = torch.tensor(source.targets, dtype=torch.int64)
    return ResidentSplit(images, labels, tuple(source.classes), type(source).__name__)
