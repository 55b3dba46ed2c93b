"""MNIST: 70,000 handwritten digits of 28 x 28 pixels, read and downloaded by torchvision."""

from torchvision import datasets

from lightning_cv.data.downloads import DownloadedData
from lightning_cv.data.splits import ResidentSplit


class Mnist(DownloadedData):
    """MNIST (LeCun et al., 1998): 10 classes, 60,000 training and 10,000 test images, held in memory.

    The files are in `MNIST/raw` under the root.
    """

    def read(self, *, train: bool, download: bool) -> ResidentSplit:
        """Images (N, 1, 28, 28) uint8 and labels 0 ... 9."""
        source = self.open_dataset(
            lambda fetch: datasets.MNIST(self.root, train=train, download=fetch), download=download
        )
        names = tuple(str(digit) for digit in range(10))
        return ResidentSplit(source.data.unsqueeze(1), source.targets, names, "MNIST")
