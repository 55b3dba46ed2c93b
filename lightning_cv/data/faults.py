"""What becomes of images that cannot be read?"""

import warnings
from dataclasses import dataclass
from typing import Literal

from lightning_cv.errors import DataError, UserError

_NAMED = 3  # how many of the images that were left out a report names


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the data: a line for the user, and whether the sample can be left out."""

    message: str
    skippable: bool


class FaultReport:
    """Ends the run at a fault, or counts those that can be left out and reports them once an epoch.

    Args:
        on_corrupt: "error" or "skip".
    """

    def __init__(self, on_corrupt: Literal["error", "skip"]) -> None:
        self.on_corrupt = on_corrupt
        self._skipped: list[str] = []

    def add(self, faults: list[Fault], *, num_read: int) -> None:
        """Take the faults of one batch of which `num_read` samples are left.

        Raises:
            UserError: a transform fails, or images do not go together.
            DataError: an image that must not or cannot be left out.
        """
        for fault in faults:
            if not fault.skippable:
                raise UserError(fault.message)
            if self.on_corrupt == "error":
                raise DataError(f"{fault.message}; data.init_args.on_corrupt: skip leaves such images out")
            self._skipped.append(fault.message)
        if not num_read:
            raise DataError(f"{self._skipped[-1]}; no image of its batch can be read")

    def close(self) -> None:
        """Report what was left out since the last report."""
        skipped, self._skipped = self._skipped, []
        if skipped:
            named = "; ".join(skipped[:_NAMED])
            more = f"; and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
            # Every process reports: each reads images of its own.
            warnings.warn(f"{len(skipped)} images left out of this epoch: {named}{more}", stacklevel=2)
