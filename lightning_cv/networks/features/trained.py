"""What are features of images where nobody has trained a network on such images before?"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Batches, DataInfo
from lightning_cv.errors import UserError
from lightning_cv.networks.classify.small_resnet import SmallResNet
from lightning_cv.networks.features.base import Features
from lightning_cv.ops.counter_random import sample_keys

_LARGEST_PX = 32
_MOST_IMAGES = 50_000
_BATCH = 64


class TrainedFeatures(Features):
    """The last hidden layer of a small residual classifier of the data's own classes, trained here, once.

    It learns from the training images before the generator does, in some seconds on digits, on the CPU and with a
    generator of its own: the same on every device, and no draw of the training is another for it. On the digits of
    scikit-learn it reads 99% of the test images right. Images above 32 px are averaged down to that, of more than
    50,000 so many are drawn; what differs in smaller details is no difference to it.

    Args:
        steps: of AdamW, of 64 images each; 300 are enough for digits, colour photographs need some thousand.
        widths: channels of each stage of the `SmallResNet`; the last one is the number of features.
        seed: of the weights it starts with and the order of images.

    Raises:
        UserError: a value outside its range; in `fit_images`, images without a class.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)

    def __init__(self, *, steps: int = 300, widths: Sequence[int] = (16, 32, 64), seed: int = 0) -> None:
        super().__init__()
        if steps < 1:
            raise UserError(f"TrainedFeatures: steps is {steps}; allowed: 1 or more")
        if not widths or min(widths) < 1:
            raise UserError(f"TrainedFeatures: widths is {list(widths)}; allowed: one or more widths of 1 or more")
        self.steps, self.widths, self.seed = steps, tuple(widths), seed
        self.num_features = self.widths[-1]
        self.network: SmallResNet | None = None  # how many channels and classes, the data tell

    @property
    def name(self) -> str:
        """Which one, for tables."""
        widths = "-".join(map(str, self.widths))
        return f"TrainedFeatures ({widths}, {self.steps} steps, seed {self.seed})"

    def check_data(self, info: DataInfo) -> None:
        """See `Features`."""
        if info.objects or info.pixels is not None or info.multilabel or info.num_classes < 2:
            raise UserError(
                "quality: TrainedFeatures learns the classes of images, and those of the data have no one class; "
                "allowed: SavedFeatures or InceptionFeatures as features"
            )

    def find(self, batches: Batches) -> None:
        """Train on the images and labels of one pass."""
        images, labels = _gathered(batches)
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            network = self._build(images.shape[1], int(labels.max()) + 1)
            _fit(network, images, labels, steps=self.steps)
        self.network = network.to(device)

    def features(self, images: Tensor) -> Tensor:
        """Means over the image of the last stage's channels."""
        assert self.network is not None
        found: Tensor = self.network.stages(self.network.stem(_shrunk(images) * 2 - 1))
        return found.mean(dim=(2, 3))

    def scores(self, images: Tensor) -> Tensor:
        """(B, K) float32, logits of images (B, C, H, W) in [0, 1]."""
        features = self(images)
        assert self.network is not None
        scores: Tensor = self.network.head(features)
        return scores

    def _build(self, channels: int, num_classes: int) -> SmallResNet:
        return SmallResNet(num_classes, in_channels=channels, widths=self.widths, blocks_per_stage=1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Weights that were saved tell the channels and classes."""
        stem, head = (state_dict.get(f"{prefix}network.{key}.weight") for key in ("stem.0", "head"))
        if isinstance(stem, Tensor) and isinstance(head, Tensor):
            with torch.random.fork_rng(devices=[]):
                self.network = self._build(stem.shape[1], len(head)).to(stem.device)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _shrunk(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    factor = max(height, width) / _LARGEST_PX
    if factor <= 1:
        return images
    return F.adaptive_avg_pool2d(images, (max(1, round(height / factor)), max(1, round(width / factor))))


def _gathered(batches: Batches) -> tuple[Tensor, Tensor]:
    """Images (N, C, h, w) uint8 and labels (N,) int64, in the order of their indices; N is bounded."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    held = 0
    for batch in batches():
        if LABEL not in batch or batch[LABEL].ndim != 1:
            raise UserError("quality: TrainedFeatures needs images with a class each, and the data give none")
        shrunk = (_shrunk(batch[IMAGE].float()) * 255).round().to(torch.uint8)
        found.append((shrunk.cpu(), batch[LABEL].cpu(), batch[INDEX].cpu()))
        held += len(shrunk)
        if held > 2 * _MOST_IMAGES:
            found = [_fewer(found)]
            held = _MOST_IMAGES
    images, labels, _ = _fewer(found)
    return images, labels


def _fewer(found: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """At most so many images, labels and indices: whichever batches they came in."""
    images, labels, index = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = sample_keys(0, 0, index).argsort()[:_MOST_IMAGES]
    kept = kept[index[kept].argsort()]
    return images[kept], labels[kept], index[kept]


def _fit(network: nn.Module, images: Tensor, labels: Tensor, *, steps: int) -> None:
    """Train by steps of a batch drawn from torch's generator; label smoothing keeps features of a class apart."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.05)
    schedule = OneCycleLR(optimizer, 0.01, total_steps=max(2, steps))
    for _ in range(steps):
        drawn = torch.randint(len(images), (_BATCH,))
        scores = network(images[drawn].float() / 255 * 2 - 1)
        loss = F.cross_entropy(scores, labels[drawn], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
