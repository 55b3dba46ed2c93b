"""What do all data sets share, so that the author of one only has to load it?"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchvision.transforms import v2

from lightning_cv.contracts import BOX_IMAGE, IMAGE, INDEX, SIZE, SOURCE_SIZE, Batch, DataInfo, Stage
from lightning_cv.data.augmentation import BatchAugmentation, check_batch_transforms
from lightning_cv.data.class_folders import read_pictures
from lightning_cv.data.in_training import input_dtype, training_position
from lightning_cv.data.mixing import is_mixing, tell_num_classes
from lightning_cv.data.normalization import MeanStd, Normalizer, choose_statistics
from lightning_cv.data.partition import Fold, hold_out, hold_out_fold
from lightning_cv.data.probe import describe, measure_split
from lightning_cv.data.resident import ResidentLoader
from lightning_cv.data.sampler import (
    EpochSampler,
    OrderedBatches,
    ShuffledBatches,
    WholeBatches,
    check_batch_size,
    check_has_batches,
)
from lightning_cv.data.splits import PARTS, ResidentSplit, Split
from lightning_cv.data.workers import WorkerLoader, Workers
from lightning_cv.errors import UserError

Loader = ResidentLoader | WorkerLoader
_ON_HOST = (SIZE, SOURCE_SIZE, BOX_IMAGE)


class VisionData(LightningDataModule, ABC):
    """Loaders, normalization and augmentation around the splits that a subclass loads.

    An author writes `load(stage)`, and `prepare_data()` where something must be downloaded first.

    Args:
        batch_size: samples a step over all devices together; a multiple of the number of devices.
        num_workers: processes that read images for each device; 0: the training process. Images in memory need none.
        normalize: true: by the mean and standard deviation of the training images, un-augmented (of files, at most
            10,000, drawn by split_seed). A mean and std: by these. false: images are only scaled to [0, 1].
        train_transform: applied to each training image, a torchvision v2 transform of uint8 images; several
            as v2.Compose or torch.nn.Sequential.
        eval_transform: the same for validation, test and prediction.
        batch_transforms: applied in this order to whole training batches on the device, with a draw for each
            sample: RandomHorizontalFlip, RandomCrop and Cutout of lightning_cv.data, v2.MixUp, v2.CutMix.
        drop_last: leave out the last training batch if it is smaller than the others.
        split_seed: decides which samples are held out, apart from the run's seed.
        shuffle_seed: decides the order and the augmentation; null: the run's seed.
        fold: which part of k the validation takes in a cross-validation, in place of `val_fraction`; see
            `lightning-cv fit --folds`.
        keep_on_device: hold the images of a data set that fits there in the memory of the accelerator.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        num_workers: int = 0,
        normalize: bool | MeanStd = True,
        train_transform: nn.Module | None = None,
        eval_transform: nn.Module | None = None,
        batch_transforms: list[nn.Module] | None = None,
        drop_last: bool = False,
        split_seed: int = 0,
        shuffle_seed: int | None = None,
        fold: Fold | None = None,
        keep_on_device: bool = False,
    ) -> None:
        super().__init__()
        check_batch_transforms(batch_transforms or [])
        # A device may get no batch of a split that has fewer samples than there are devices.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.normalize = normalize
        self.train_transform = train_transform
        self.eval_transform = eval_transform
        self.batch_transforms = batch_transforms or []
        self.drop_last = drop_last
        self.split_seed = split_seed
        self.shuffle_seed = shuffle_seed
        self.fold = fold
        self.keep_on_device = keep_on_device
        self.on_corrupt: Literal["error", "skip"] = "error"
        self._splits: dict[Stage, Split] = {}
        self._info: DataInfo | None = None
        self._run_seed = 0
        self._train_sampler: EpochSampler | None = None
        self._position: tuple[int, int] | None = None  # epoch, and batches of it that were used
        self._normalizer: Normalizer | None = None
        self._augmentation: BatchAugmentation | None = None
        self._first_index = 0
        self._image_dtype = torch.float32
        self._pictures: Path | None = None

    @abstractmethod
    def load(self, stage: Stage) -> Split:
        """Read one split: resident tensors (`ResidentSplit`), or a map-style data set (`Split`).

        Called once a stage, on every process. Training, validation and test splits are disjoint.

        Raises:
            UserError: a file or folder that is missing or wrong.
        """

    def split(self, stage: Stage) -> Split:
        """The samples of a stage, loaded when first asked for."""
        if stage not in self._splits:
            given = self._pictures if stage is Stage.PREDICT else None
            self._splits[stage] = self.load(stage) if given is None else read_pictures(given, self.info)
        return self._splits[stage]

    def is_loaded(self, stage: Stage) -> bool:
        """Whether the samples of a stage have been asked for."""
        return stage in self._splits

    def hold_out_validation(self, labels: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
        """Positions of the samples that train and of those that validate, stratified; a fold goes before a fraction."""
        if self.fold is not None:
            return hold_out_fold(labels, self.fold, seed=self.split_seed)
        return hold_out(labels, fraction, seed=self.split_seed)

    def predict_from(self, pictures: Path) -> None:
        """Predict these instead of the data set's own: an image file, or a folder with images in it and below.

        They are read with the channels of the data; without `eval_transform` they are resized to its images, unless
        these may differ in size: then each keeps its own.
        """
        self._pictures = pictures

    @property
    def info(self) -> DataInfo:
        """Description of the data; known after `setup`."""
        assert self._info is not None, "info is known after setup()"
        return self._info

    @property
    def global_batch_size(self) -> int:
        """Samples of one training batch, over all devices together."""
        return self.batch_size

    def sample_name(self, stage: Stage, index: int) -> str:
        """The name of a sample for messages: its path where it is a file."""
        return self.split(stage).name(index)

    def setup(self, stage: str) -> None:
        """Load what the stage ("fit", "validate", "test", "predict") needs and describe it."""
        trainer = self.trainer
        check_batch_size(self.batch_size, trainer.world_size if trainer else 1)
        parts = PARTS[stage]
        if stage == "predict" and self._pictures is not None:
            # Pictures say nothing of classes and size.
            parts = (Stage.TRAIN, Stage.PREDICT)
            self._describe(Stage.TRAIN)
        for part in parts:
            self.split(part)
        seed = torch.initial_seed() if self.shuffle_seed is None else self.shuffle_seed
        self._run_seed = trainer.strategy.broadcast(seed) if trainer else seed
        self._image_dtype = input_dtype(trainer)
        if self._info is None:
            self._describe(parts[0])

    def train_dataloader(self) -> Loader:
        """Shuffled batches; each device gets its share, and as many as every other."""
        split = self.split(Stage.TRAIN)
        sampler = ShuffledBatches(
            len(split),
            self.batch_size,
            seed=self._run_seed,
            drop_last=self.drop_last,
            # The Trainer's overfit_batches asks for the same batches every epoch.
            reshuffle=not (self.trainer and self.trainer.overfit_batches),  # type: ignore[attr-defined]
        )
        check_has_batches(sampler)
        if self._position is not None:
            sampler.resume(*self._position)
        self._train_sampler = sampler
        assert self._normalizer is not None, "setup() comes before the loaders"
        if self.batch_transforms:
            self._augmentation = BatchAugmentation(
                self.batch_transforms, self._normalizer, seed=self._run_seed, num_samples=len(split)
            )
        return self._loader(split, sampler, self.train_transform)

    def val_dataloader(self) -> Loader:
        """Every validation sample once, un-augmented, in order."""
        return self._evaluation_loader(Stage.VAL)

    def test_dataloader(self) -> Loader:
        """Every test sample once, un-augmented, in order."""
        return self._evaluation_loader(Stage.TEST)

    def predict_dataloader(self) -> Loader:
        """Every sample to predict once, un-augmented, in order."""
        one_size = self._pictures is not None and not self.info.has_sizes
        resize = v2.Resize(list(self.info.size_px), antialias=True) if one_size else None
        return self._evaluation_loader(Stage.PREDICT, otherwise=resize)

    def training_images(self) -> Iterator[Batch]:
        """One pass over the training images, as they would be scored: normalized, un-augmented, in order.

        The same on every device; for what a network finds in them before training (`FitsImages`).
        """
        split = self.split(Stage.TRAIN)
        assert self._normalizer is not None, "setup() comes before the images"
        for batch in self._loader(split, WholeBatches(len(split), self.batch_size), self.eval_transform):
            yield {**batch, IMAGE: self._normalizer(batch[IMAGE].cpu())}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move each tensor without waiting (Lightning's own walk through the batch costs more than that).

        What the host reads in each step stays with it: sizes, and which image an object is on.
        """
        # Read here, since on the device it would wait for all work under way.
        self._first_index = int(batch[INDEX][0])
        if device.type == "cpu":
            return batch
        moved = {key: value.to(device, non_blocking=True) for key, value in batch.items() if key not in _ON_HOST}
        return {**batch, **moved}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Make float, normalized images of the uint8 ones; in training, augment them."""
        if self._augmentation is not None and self.trainer is not None and self.trainer.training:
            assert self._train_sampler is not None
            batch = self._augmentation(batch, self._train_sampler.epoch, self._first_index)
        else:
            assert self._normalizer is not None, "setup() comes before the first batch"
            batch = {**batch, IMAGE: self._normalizer(batch[IMAGE])}
        if self._image_dtype != torch.float32:
            batch[IMAGE] = batch[IMAGE].to(self._image_dtype)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The statistics that a trained network expects of its images, and where in the data training is."""
        return {"mean": list(self.info.mean), "std": list(self.info.std), **training_position(self.trainer)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Normalize as in the training that wrote the checkpoint, unless the recipe states the statistics.

        Training goes on behind the last batch that was used.
        """
        self._position = (state_dict["epoch"], state_dict["batches"]) if "epoch" in state_dict else None
        if self.normalize is True:
            self._set_statistics(MeanStd(state_dict["mean"], state_dict["std"]))

    def _describe(self, stage: Stage) -> None:
        self._info = describe(self.split(stage), self.eval_transform)
        channels = self._info.channels
        self._set_statistics(choose_statistics(self.normalize, channels, measured=self._measured_statistics))
        if self._info.has_sizes and self.batch_transforms:
            name = type(self.batch_transforms[0]).__name__
            what, kind = ("no boxes", "objects") if self._info.objects else ("no masks", "classes of pixels")
            raise UserError(
                f"data.init_args.batch_transforms: {name} moves {what}; allowed with {kind}: none (transforms of an "
                f"image with its {kind} belong in train_transform)"
            )
        for transform in self.batch_transforms:
            if is_mixing(transform):
                tell_num_classes(transform, self._info.num_classes)

    def _measured_statistics(self) -> MeanStd:
        split, workers = self.split(Stage.TRAIN), Workers(self.num_workers, pads=self.info.has_sizes)
        return measure_split(
            split, self.eval_transform, workers=workers, seed=self.split_seed, on_corrupt=self.on_corrupt
        )

    def _set_statistics(self, statistics: MeanStd) -> None:
        self._info = replace(self.info, mean=tuple(statistics.mean), std=tuple(statistics.std))
        self._normalizer = Normalizer(statistics)
        self._augmentation = None

    def _evaluation_loader(self, stage: Stage, *, otherwise: nn.Module | None = None) -> Loader:
        split = self.split(stage)
        return self._loader(split, OrderedBatches(len(split), self.batch_size), self.eval_transform or otherwise)

    def _loader(self, split: Split, sampler: EpochSampler, transform: nn.Module | None) -> Loader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        pin_memory = device.type == "cuda"
        if isinstance(split, ResidentSplit) and transform is None:
            kept_on = device if self.keep_on_device else torch.device("cpu")
            return ResidentLoader(split, sampler, device=kept_on, pin_memory=pin_memory and kept_on.type == "cpu")
        if self.keep_on_device:
            rank_zero_warn("data.init_args.keep_on_device is ignored: images that are read by workers stay there")
        workers = Workers(self.num_workers, pin_memory, pads=self.info.has_sizes)
        return WorkerLoader(
            split, sampler, transform=transform, seed=self._run_seed, workers=workers, on_corrupt=self.on_corrupt
        )
