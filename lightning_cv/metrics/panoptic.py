"""How well are the segments of whole images found: panoptic quality?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, Panoptic, Pixels
from lightning_cv.ops.panoptic import panoptic_of

_MATCHED = 0.5  # intersection over union above which two segments are one: there can be one partner only
_STEPS = 2**40  # overlaps are added up as whole numbers of this part: in any order the same


class PanopticScores(Metric):
    """Panoptic quality PQ = SQ x RQ of each class, and their means over classes (Kirillov et al. 2019; row 223).

    A found segment and a true one of its class match if their intersection over union is above 0.5, without the pixels
    that nobody knows. SQ is the mean of it over matches, RQ = TP / (TP + FP/2 + FN/2), counted over the whole set, so
    that values do not depend on batches and devices. A segment that lies by more than half on pixels that nobody knows
    and crowds of its class is no mistake; nobody has to find a crowd. (The rules of COCO's panoptic evaluation.)

    `pq`, `sq`, `rq`; `pq_things` and `pq_stuff` over these classes; `pq/<class>`. A class that neither is there nor was
    found is left out.

    Args:
        class_names: one name a class.
        things: of each class, whether it is one of things.
    """

    full_state_update = False
    counts: Tensor
    overlaps: Tensor

    def __init__(self, class_names: Sequence[str], things: Sequence[bool]) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.things = tuple(things)
        number = len(self.class_names)
        # A row a class: matches, found segments without one, true ones without one.
        self.add_state("counts", torch.zeros(number, 3, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("overlaps", torch.zeros(number, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Panoptic], targets: Sequence[Pixels]) -> None:
        """Add images: what was found on each, and what is there, with segments."""
        for found, there in zip(predictions, targets, strict=True):
            self._add(found, there)

    def compute(self) -> dict[str, Tensor]:
        """Return float32 scalars in [0, 1], by name; `pq` is 0 where there is nothing."""
        matches, extra, missed = self.counts.double().T
        counted = (matches + extra + missed) > 0
        sq = self.overlaps.double() / _STEPS / matches.clamp(min=1)
        rq = matches / (matches + (extra + missed) / 2).clamp(min=0.5)
        pq = sq * rq
        things = torch.tensor(self.things, device=pq.device)
        values = {"pq": pq[counted].mean().nan_to_num(0), "sq": sq[counted].mean(), "rq": rq[counted].mean()}
        values |= {"pq_things": pq[counted & things].mean(), "pq_stuff": pq[counted & ~things].mean()}
        each = zip(self.class_names, pq, counted.tolist(), strict=True)
        values |= {f"pq/{name}": value for name, value, is_counted in each if is_counted}
        return {name: value.float() for name, value in values.items() if not value.isnan()}

    def _add(self, found: Panoptic, there: Pixels) -> None:
        truth = panoptic_of(there, self.things)
        unknown = there.classes == IGNORED
        shared = _table(found.segments, truth.segments, len(found.labels), len(truth.labels))
        inside, own, true = shared[:-1, :-1], shared[:-1].sum(1), shared[:, :-1].sum(0)
        on_unknown = torch.bincount(found.segments[unknown & (found.segments >= 0)], minlength=len(found.labels))
        union = own[:, None] + true - inside - on_unknown[:, None]
        overlap = inside.double() / union.clamp(min=1)
        match = (overlap > _MATCHED) & (found.labels[:, None] == truth.labels)
        rows, columns = match.nonzero(as_tuple=True)
        labels = found.labels[rows]
        self.overlaps.index_add_(0, labels, (overlap[rows, columns] * _STEPS).round().long())
        self._count(0, labels)
        self._count(1, found.labels[(own > 0) & ~match.any(1) & ~self._forgiven(found, there, own, on_unknown)])
        self._count(2, truth.labels[~match.any(0)])

    def _forgiven(self, found: Panoptic, there: Pixels, own: Tensor, on_unknown: Tensor) -> Tensor:
        """(S,) bool: segments that lie by more than half on what nobody knows and crowds of their class."""
        assert there.segments is not None
        crowd = (there.segments == CROWD_SEGMENT) & (found.segments >= 0)
        numbers = found.segments[crowd]
        of_class = found.labels[numbers] == there.classes[crowd]
        on_crowd = torch.bincount(numbers[of_class], minlength=len(found.labels))
        return 2 * (on_unknown + on_crowd) > own

    def _count(self, column: int, labels: Tensor) -> None:
        self.counts[:, column].index_add_(0, labels, torch.ones_like(labels))


def _table(found: Tensor, there: Tensor, num_found: int, num_there: int) -> Tensor:
    """(num_found + 1, num_there + 1) int64: how many pixels lie in both segments; last: in none."""
    rows = torch.where(found < 0, num_found, found)
    columns = torch.where(there < 0, num_there, there)
    cells = rows * (num_there + 1) + columns
    return torch.bincount(cells.flatten(), minlength=(num_found + 1) * (num_there + 1)).view(num_found + 1, -1)
