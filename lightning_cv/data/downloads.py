"""What do the data sets share that torchvision reads and downloads?"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.data.partition import check_fraction
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import DataError

_Dataset = TypeVar("_Dataset")


class DownloadedData(VisionData):
    """Training and test images of a published data set; a part of the former validates, stratified by class.

    Args:
        root: folder that holds, or will hold, the files as torchvision downloads them.
        download: download them if they are not there.
        val_fraction: part of the training images that validates, in [0, 1).
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self, root: str = "datasets", *, download: bool = True, val_fraction: float = 0.1, **shared: Any
    ) -> None:
        super().__init__(**shared)
        check_fraction("val_fraction", val_fraction)
        self.root = root
        self.download = download
        self.val_fraction = val_fraction

    @abstractmethod
    def read(self, *, train: bool, download: bool) -> ResidentSplit:
        """All training or all test images, downloaded before if asked to and needed."""

    def prepare_data(self) -> None:
        """Download what is missing, on one process of each machine."""
        self.read(train=True, download=self.download)

    def load(self, stage: Stage) -> ResidentSplit:
        """One part of the images; prediction takes the test part."""
        title = f"{type(self).__name__} {stage}"
        whole = self.read(train=stage in (Stage.TRAIN, Stage.VAL), download=False)
        kept, held_out = self.hold_out_validation(whole.labels, self.val_fraction)
        parts = {Stage.TRAIN: kept, Stage.VAL: held_out}
        return whole.subset(parts.get(stage, torch.arange(len(whole))), title)

    def open_dataset(self, make: Callable[[bool], _Dataset], *, download: bool) -> _Dataset:
        """Open a data set of torchvision that `make(download)` builds.

        Raises:
            DataError: it is neither there nor downloadable.
        """
        return open_torchvision(make, title=type(self).__name__, root=self.root, download=download)


def open_torchvision(make: Callable[[bool], _Dataset], *, title: str, root: str, download: bool) -> _Dataset:
    """Open a data set of torchvision that `make(download)` builds.

    Raises:
        DataError: it is neither there nor downloadable.
    """
    try:
        return make(False)
    except (RuntimeError, OSError) as error:
        if not download:
            raise DataError(
                f"data.init_args.root: {title} is not in {root} ({_first_line(error)}); allowed: a "
                "folder that holds it, or data.init_args.download: true"
            ) from error
    try:
        return make(True)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"data.init_args.root: {title} is not in {root} and its download fails "
            f"({_first_line(error)}); allowed: a folder that holds it, or a connection to the internet"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
