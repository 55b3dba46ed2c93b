"""What do data sets share whose files are divided into parts already?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lightning_cv.contracts import Stage
from lightning_cv.data.base import VisionData
from lightning_cv.errors import UserError

OnCorrupt = Literal["error", "skip"]


class DividedData(VisionData):
    """A folder with a part for each of training, validation and test.

    Args:
        root: where the files are.
        train: the part that trains.
        val: the part that validates.
        test: the part that tests and is predicted; null: that of validation.
        on_corrupt: "error" ends the run at an image or a mask that cannot be used; "skip" leaves it out.
        shared: what every data set takes, see `VisionData`.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str,
        val: str,
        test: str | None = None,
        on_corrupt: OnCorrupt = "error",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.root = Path(root).expanduser()
        self.parts = {Stage.TRAIN: train, Stage.VAL: val, Stage.TEST: test or val, Stage.PREDICT: test or val}
        self.on_corrupt = on_corrupt

    def refuse_fold(self) -> None:
        """There is nothing to hold out of parts that are divided already.

        Raises:
            UserError: a fold of a cross-validation was asked for.
        """
        if self.fold is not None:
            raise UserError("data.init_args.fold: the data set has a validation part of its own; allowed: null")
