"""What do tasks, networks, data sets and callbacks know of one another? Only what stands here.

A task, a network, a data set and callbacks are strangers that meet in a recipe. This file holds the keys of
a batch, the description that a data set publishes, what a task's step returns, and the protocols that
callbacks and tools rely on. It loads no torch: types are for the type checker only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from lightning_cv.contracts.detection import KeypointSet
from lightning_cv.contracts.segmentation import PixelSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor, nn
    from typing_extensions import TypeIs

# A batch is a dict of tensors with these keys.
IMAGE = "image"  # (B, C, H, W) float32, normalized, when it reaches the task
LABEL = "label"  # (B,) int64 class index; (B, C) float32 in [0, 1] for soft or multilabel targets
INDEX = "index"  # (B,) int64 position of each sample in its split: names samples, seeds augmentation
SHARE = "share"  # () float32, only where devices share a training batch unevenly: this one's part, 1 for an even one

# Where images hold objects or classes of pixels they may differ in size, and then have padding.
SIZE = "size"  # (B, 2) int64 (height, width) in pixels of the image itself; right of and below it there is padding
SOURCE_SIZE = "source_size"  # (B, 2) int64 (height, width) of the image as it was read, before any transform
# The objects of all B images follow each other, M together.
BOX_IMAGE = "box_image"  # (M,) int64 in [0, B): which image of the batch an object is on, ascending
BOX = "box"  # (M, 4) float32 corners (x1, y1, x2, y2) in pixels of the transformed image
BOX_LABEL = "box_label"  # (M,) int64 class index
CROWD = "crowd"  # (M,) bool: a region with many objects, neither trained on nor to be found
AREA = "area"  # (M,) float32 square pixels of the object in the image as it was read
MASK = "mask"  # (M, H, W) uint8 in {0, 1}, where the data have masks
KEYPOINT = "keypoint"  # (M, K, 3) float32 (x, y, 0 unknown or 1 hidden or 2 visible), where the data have keypoints

CLASSES = "classes"  # (B, H, W) int16 class index of each pixel, or IGNORED; so is padding
SEGMENT = "segment"  # (B, H, W) int32 number of the segment of each pixel, where the data have segments; see `Pixels`

# Key of the text in a picture's PNG file in which a gallery tells a tracker of boxes and masks, as JSON.
OVERLAYS = "lightning_cv.overlays"

Batch = dict[str, "Tensor"]
Batches = Callable[[], Iterable[Batch]]  # one pass over a set of images each time it is called

Scored = Literal["averaged", "raw", "both"]


class Stage(StrEnum):
    """The part of a data set that a loader reads and a metric name starts with."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    PREDICT = "predict"


@dataclass(frozen=True)
class DataInfo:
    """What a data set publishes about itself, known after its `setup`.

    Args:
        class_names: one name a class, in the order of the label indices.
        channels: C of the image tensors.
        size_px: (H, W) of the image tensors as a task receives them.
        mean: per-channel mean of the training split, images in [0, 1].
        std: per-channel standard deviation of the training split, images in [0, 1].
        multilabel: labels are (B, C) with any number of classes at once.
        objects: images hold objects, and batches the keys of objects instead of labels.
        masks: objects have masks.
        keypoints: what keypoints objects have; None: none.
        pixels: pixels have classes, and batches these instead of labels; None: they have none.
    """

    class_names: tuple[str, ...]
    channels: int
    size_px: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    multilabel: bool = False
    objects: bool = False
    masks: bool = False
    keypoints: KeypointSet | None = None
    pixels: PixelSet | None = None

    @property
    def has_sizes(self) -> bool:
        """Whether images may differ in size, and batches tell the size of each."""
        return self.objects or self.pixels is not None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one `step` of a task returns.

    Args:
        loss: scalar that is differentiated; a mean over the batch.
        terms: named scalars, means over the batch, logged as `stage/name` beside `stage/loss`.
        predictions: what the metrics of the stage take first (class scores (B, C), ...); None: no metrics.
        targets: what they take second (labels (B,), ...).
    """

    loss: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    predictions: Any = None
    targets: Any = None


@runtime_checkable
class PublishesInfo(Protocol):
    """A data module that tells what it holds and what each sample is called."""

    @property
    def info(self) -> DataInfo:
        """Description of the data; known after `setup`."""
        ...

    def sample_name(self, stage: Stage, index: int) -> str:
        """The name of a sample for messages: its path where it is a file, else `<data set> <split> #<index>`."""
        ...


@runtime_checkable
class SharesBatches(Protocol):
    """A data module whose batches are shared by the devices, so that their number changes no training."""

    @property
    def global_batch_size(self) -> int:
        """Samples of one training batch, over all devices together."""
        ...


@runtime_checkable
class ShowsImages(Protocol):
    """A data module that lets a network see its training images before training."""

    def training_images(self) -> Iterable[Batch]:
        """One pass over all training images on the CPU, normalized and in order, un-augmented; equal on all devices."""
        ...


@runtime_checkable
class FitsImages(Protocol):
    """A network, or a part of one, that finds something in the training images before training: a codebook, a scale."""

    def fit_images(self, batches: Batches) -> None:
        """Find it; `batches` may be asked for several passes. The parts inside are this one's to fit."""
        ...


@dataclass(frozen=True)
class Showing:
    """What the pictures of one validation or test are made from, and how many images they may show.

    Args:
        info: what the data publish; its mean and std undo the normalization of a batch's images.
        title: which set, and where in training: "val, epoch 3, step 45".
        sample_name: what a sample is called, by its index.
        num_images: how many images one picture shows at most, 1 or more.
    """

    info: DataInfo
    title: str
    sample_name: Callable[[int], str]
    num_images: int


class Gallery(Protocol):
    """Pictures of one evaluated set: every device collects from its own batches, one draws for all.

    A new one is made for each validation and test. What it raises costs the pictures, never the training.
    """

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep what is worth showing of one batch, on its device and without waiting for it.

        Args:
            batch: with normalized images.
            outputs: `predictions` and `targets`, as the task's step returned them for the watched weights.
        """
        ...

    def take(self) -> Any:
        """What this device has to show: small, on the CPU, to be pickled. Called at the end, in every process."""
        ...

    def draw(self, taken: Sequence[Any]) -> Mapping[str, Image]:
        """The pictures, by name, of what all devices took, in the order of their ranks; called in one process."""
        ...


@runtime_checkable
class ShowsPictures(Protocol):
    """A task that can show a person how well it does."""

    def galleries(self, showing: Showing) -> Sequence[Gallery]:
        """What collects and draws the pictures of one validation or test."""
        ...


@runtime_checkable
class LogsPictures(Protocol):
    """A tracker that takes pictures."""

    def log_pictures(self, pictures: Mapping[str, Path], *, step: int) -> None:
        """Record PNG files by name, as of this optimizer step; they may change afterwards."""
        ...


class TrainableTask(Protocol):
    """What callbacks rely on: the network, the averaged copy (kept by `Ema`), and the metric to watch.

    `averaged` is scored instead of, or beside, `network` in validation, test and prediction, as `scored` says;
    the task saves and restores it with its checkpoint. The weights of `network` are never swapped.
    """

    network: nn.Module
    averaged: nn.Module | None
    scored: Scored
    monitor: str
    mode: Literal["min", "max"]


@runtime_checkable
class TrainsByTurns(Protocol):
    """A task with several optimizers, in manual optimization; a step of the Trainer is one step of the last.

    Args:
        player_names: whose they are, in their order.
        loss_is_zero_where_won: whether the discriminator's loss is 0 where it is sure and right of every image.
    """

    player_names: ClassVar[tuple[str, ...]]
    loss_is_zero_where_won: bool


def is_trainable_task(module: object) -> TypeIs[TrainableTask]:
    """Whether an object has what callbacks rely on.

    From Python 3.12 on, `isinstance` with a protocol looks past `__getattr__`, where a module keeps its
    sub-modules, and would find no task to have a `network`.
    """
    return all(hasattr(module, name) for name in ("network", "averaged", "scored", "monitor", "mode"))
