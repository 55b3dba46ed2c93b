"""Of several detections of one object one stays."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from lightning_cv.contracts import Detections
from lightning_cv.errors import UserError
from lightning_cv.ops.suppress import Nms, SoftNms


def crowded(seed: int, count: int = 40) -> Detections:
    """Many overlapping boxes of two classes."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 40
    boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator) * 20], 1)
    labels = torch.randint(2, (count,), generator=generator)
    return Detections(boxes, torch.rand(count, generator=generator), labels, extras={"number": torch.arange(count)})


@pytest.mark.parametrize("seed", range(5))
def test_survivors_overlap_little_and_stay_when_asked_again(seed):
    """row 202: intersection over union within a class is at most the threshold; applied again, nothing changes."""
    kept = Nms(0.4)(crowded(seed))
    overlap = box_iou(kept.boxes, kept.boxes).fill_diagonal_(0)
    assert (overlap[kept.labels[:, None] == kept.labels] <= 0.4).all()
    assert torch.equal(Nms(0.4)(kept).extras["number"], kept.extras["number"])
    assert (kept.scores.diff() <= 0).all()


def test_it_is_greedy_by_score_as_brute_force_says():
    """row 202: each detection, from the surest on, stays unless one that stayed overlaps it too much."""
    detections = crowded(7)
    kept: list[int] = []
    for row in detections.scores.argsort(descending=True).tolist():
        others = [k for k in kept if detections.labels[k] == detections.labels[row]]
        overlaps = box_iou(detections.boxes[row][None], detections.boxes[others])
        if not (overlaps > 0.5).any():
            kept.append(row)
    assert Nms(0.5)(detections).extras["number"].tolist() == kept


def test_of_two_true_objects_that_overlap_one_is_lost_and_softly_none():
    """row 202: the known weakness; soft suppression keeps the second one with a lower score."""
    boxes = torch.tensor([[0.0, 0, 20, 20], [4, 0, 24, 20]])
    pair = Detections(boxes, torch.tensor([0.9, 0.8]), torch.zeros(2, dtype=torch.int64))
    overlap = 16 / 24
    assert len(Nms(0.5)(pair)) == 1
    soft = SoftNms("gaussian", sigma=0.5)(pair)
    assert soft.scores.tolist() == pytest.approx([0.9, 0.8 * np.exp(-(overlap**2) / 0.5)], rel=1e-5)
    linear = SoftNms("linear", threshold=0.3)(pair)
    assert linear.scores.tolist() == pytest.approx([0.9, 0.8 * (1 - overlap)], rel=1e-5)
    other_class = Detections(boxes, pair.scores, torch.tensor([0, 1]))
    assert SoftNms()(other_class).scores.tolist() == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_soft_suppression_is_the_loop_of_the_paper(seed, method):
    """row 202: Bodla et al. 2017, figure 3, written out: take the surest, lower the rest, again."""
    detections = crowded(seed)
    scores, left, order = detections.scores.clone(), list(range(len(detections))), []
    while left:
        best = max(left, key=lambda row: scores[row].item())
        left.remove(best)
        order.append(best)
        for row in left:
            if detections.labels[row] == detections.labels[best]:
                u = box_iou(detections.boxes[row][None], detections.boxes[best][None]).item()
                scores[row] *= np.exp(-(u**2) / 0.5) if method == "gaussian" else (1 - u if u > 0.3 else 1.0)
    soft = SoftNms(method, sigma=0.5, threshold=0.3, least_score=0.01)(detections)
    expected = [row for row in sorted(order, key=lambda row: -scores[row]) if scores[row] >= 0.01]
    assert soft.extras["number"].tolist() == expected
    torch.testing.assert_close(soft.scores, scores[expected])


def test_impossible_settings_are_refused():
    for make in (lambda: Nms(1.5), lambda: SoftNms(sigma=0.0), lambda: SoftNms("cubic"), lambda: SoftNms(threshold=-1)):
        with pytest.raises(UserError, match="allowed"):
            make()
