"""How many small in-memory images a CPU second does the training loader give, against a plain `DataLoader`?

Prints a markdown table. All loaders run in one process, in turn, round after round, on the same synthetic
32 x 32 x 3 uint8 images, in one thread; the medians over the rounds of `time.process_time` are reported. Where
augmentation is on, all apply the same distribution: a crop out of the image padded by 4 pixels, a horizontal
flip with probability 1/2, and the normalization, and end with float32 batches (B, 3, 32, 32).

Run: python -m benchmarks.bench_loader
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.report import print_table
from lightning_cv.contracts import IMAGE
from lightning_cv.data import RandomCrop, RandomHorizontalFlip
from lightning_cv.data.augmentation import BatchAugmentation
from lightning_cv.data.normalization import MeanStd, Normalizer
from lightning_cv.data.resident import ResidentLoader
from lightning_cv.data.sampler import ShuffledBatches
from lightning_cv.data.splits import ResidentSplit

STATISTICS = MeanStd([0.49, 0.48, 0.45], [0.25, 0.24, 0.26])
PLATFORM = "ResidentLoader + batch transforms"
PLATFORM_RAW = "ResidentLoader, uint8 batches only"
PIL = "DataLoader(num_workers=0), PIL and torchvision v1 transforms"
TENSORS = "DataLoader(num_workers=0), list of (tensor, label), no transform"


@dataclass(frozen=True)
class Row:
    """One loader: images a CPU second, and how many times as many the platform's loader gives."""

    loader: str
    images_per_cpu_s: float
    ratio: float


class PilImages(Dataset[Any]):
    """PIL images with a transform each, as torchvision's CIFAR10 gives them."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(STATISTICS.mean, STATISTICS.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


def measure(num_images: int = 4096, batch_size: int = 64, rounds: int = 7) -> list[Row]:
    """Run every loader for one epoch of `num_images`, in turn, `rounds` times after one to warm up."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (num_images,), generator=generator)
    epochs = _epochs(images, labels, batch_size)
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds + 1):
        for name, epoch in epochs.items():
            start = time.process_time()
            seen = sum(len(batch) for batch in epoch())
            times[name].append(time.process_time() - start)
            assert seen == num_images
    speed = {name: num_images / statistics.median(taken[1:]) for name, taken in times.items()}
    against = {PLATFORM: PLATFORM, PIL: PLATFORM, PLATFORM_RAW: PLATFORM_RAW, TENSORS: PLATFORM_RAW}
    return [Row(name, speed[name], speed[against[name]] / speed[name]) for name in against]


def main() -> None:
    """Print the table, how it was taken, the machine and the date."""
    rows = [(row.loader, f"{row.images_per_cpu_s:,.0f}", f"{row.ratio:.1f} ×") for row in measure()]
    how = (
        "4,096 synthetic 32×32×3 uint8 images, batches of 64, loaders in turn in one process, medians of 7 epochs"
        " each of process time. Lines 1 and 2: crop (padding 4), flip, normalization; lines 3 and 4: none."
    )
    print_table("Small images in memory", ("loader", "images per CPU second", "the platform's gives"), rows, how=how)


def _epochs(images: Tensor, labels: Tensor, batch_size: int) -> dict[str, Callable[[], Iterator[Tensor]]]:
    """One function a loader that yields the images of an epoch, batch by batch."""
    split = ResidentSplit(images, labels, tuple("0123456789"), "synthetic")
    loader = ResidentLoader(split, ShuffledBatches(len(images), batch_size, seed=0))
    augment = BatchAugmentation(
        [RandomCrop(4), RandomHorizontalFlip()], Normalizer(STATISTICS), seed=0, num_samples=len(images)
    )
    pil = DataLoader(PilImages(images, labels), batch_size, shuffle=True)
    pairs: Any = list(zip(images, labels.tolist(), strict=True))
    tensors = DataLoader(pairs, batch_size, shuffle=True)
    epoch = iter(range(10**9))

    def augmented() -> Iterator[Tensor]:
        number = next(epoch)
        loader.batch_sampler.set_epoch(number)
        for batch in loader:
            yield augment(batch, number, first_index=0)[IMAGE]

    return {
        PLATFORM: augmented,
        PIL: lambda: (batch[0] for batch in pil),
        PLATFORM_RAW: lambda: (batch[IMAGE] for batch in loader),
        TENSORS: lambda: (batch[0] for batch in tensors),
    }


if __name__ == "__main__":
    main()
