"""What is counted of the images of one part of a data set: labels, objects, or pixels?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_cv.contracts import IGNORED, Objects, Pixels
from lightning_cv.data import Split
from lightning_cv.data.splits import Target, UnreadableImageError

MAX_READ = 2000  # images of a part, where no list tells of what is on them
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Tally:
    """Counts of one part, as lines for a person.

    Args:
        split: its images.
    """

    def __init__(self, split: Split) -> None:
        self.problems: list[str] = []  # what could not be read
        self._names = split.class_names
        self._total = len(split)
        self._classes: Counter[int] = Counter()
        self._read = 0
        self._sides: list[Tensor] = []
        self._empty = self._crowds = self._ignored = self._segments = 0
        self._kind: type[Objects] | type[Pixels] | None = None
        for index in range(min(len(split), MAX_READ)):
            self._read += 1
            try:
                self._add(split[index][1])
            except UnreadableImageError as error:
                self.problems.append(str(error))

    def lines(self, part: str) -> list[str]:
        """What was counted."""
        of = f", of which {self._read:,} were read" if self._read < self._total else ""
        unreadable = f", {len(self.problems)} of them unreadable" if self.problems else ""
        lines = [f"{part:<9} {self._total:,} images{of}{unreadable}"]
        if self._kind is Objects:
            lines += self._of_objects()
        if self._kind is Pixels:
            return [*lines, *self._of_pixels()]
        counts = [f"{name} {self._classes[label]:,}" for label, name in enumerate(self._names)]
        return [*lines, _indented(counts)]

    def _add(self, target: Target) -> None:
        if isinstance(target, Objects):
            self._kind = Objects
            plain = target.select(~target.crowd)
            self._classes.update(plain.labels.tolist())
            self._sides.append((plain.boxes[:, 2:] - plain.boxes[:, :2]).prod(1).sqrt())
            self._empty += not len(plain)
            self._crowds += int(target.crowd.sum())
        elif isinstance(target, Pixels):
            self._kind = Pixels
            values, counts = target.classes.unique(return_counts=True)
            self._classes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            if target.segments is not None:
                self._segments += int((target.segments.unique() >= 0).sum())
                self._crowds += int((target.segments < -1).any())
        elif target is not None and target.ndim == 0:
            self._classes[int(target)] += 1
        elif target is not None:
            self._classes.update(target.nonzero()[:, 0].tolist())

    def _of_objects(self) -> Sequence[str]:
        side = torch.cat(self._sides)
        quarters = side.quantile(torch.tensor(_QUARTERS)).tolist() if len(side) else []
        shown = ", ".join(f"{value:.0f}" for value in quarters)
        count = sum(self._classes.values())
        return [
            _indented([f"{count:,} objects", f"{self._crowds} crowds", f"{self._empty} images without objects"]),
            _indented([f"sides in pixels (least, quarters, largest): {shown or 'none'}"]),
        ]

    def _of_pixels(self) -> Sequence[str]:
        total = sum(self._classes.values())
        ignored = self._classes.pop(IGNORED, 0)
        told = [f"{total:,} pixels", f"{ignored / max(total, 1):.1%} of them ignored"]
        if self._segments:
            told += [f"{self._segments:,} segments", f"{self._crowds} images with crowds"]
        known = max(total - ignored, 1)
        shares = [f"{name} {self._classes[label] / known:.1%}" for label, name in enumerate(self._names)]
        return [_indented(told), _indented(shares)]


def _indented(words: Sequence[str]) -> str:
    return f"{'':<9} {', '.join(words)}"
