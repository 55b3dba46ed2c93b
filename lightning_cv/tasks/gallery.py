"""What does a person look at to judge a classifier?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_cv.contracts import IMAGE, INDEX
from lightning_cv.explain import template_images
from lightning_cv.metrics.classification import ConfusionMatrix
from lightning_cv.pictures import (
    BAD,
    GOOD,
    Caption,
    Tile,
    confusions_picture,
    grid_picture,
    readable_names,
    show_images,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from lightning_cv.contracts import Batch, Showing
    from lightning_cv.explain import Templates

RIGHT = -math.inf  # the log odds of what is no mistake: behind every mistake


class Judged(NamedTuple):
    """What was said of each image.

    Args:
        log_odds: (B,) float32, of the confidence in the wrong answer; `RIGHT` where the answer is right. The
            confidence itself would be 1 for many: its order is lost to rounding, theirs is not.
        label: (B,) int64.
        answer: (B,) int64.
    """

    log_odds: Tensor
    label: Tensor
    answer: Tensor


class Kept(NamedTuple):
    """Images with what was said of them, the most confident mistake first.

    Args:
        log_odds: (N,) float32, see `Judged`.
        facts: (N, 3) int64: index of the sample (-1: unknown), label, answer.
        images: (N, 1 or 3, h, w) uint8.
    """

    log_odds: Tensor
    facts: Tensor
    images: Tensor


class Mistakes:
    """A grid of the most confident mistakes of a classifier, over all devices; each sample once.

    Of soft labels the largest counts, as in the accuracy.
    """

    verdict: ClassVar[str] = "wrong"

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._num_images = 0
        self._num_wrong: Tensor | None = None
        self._kept: Kept | None = None

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the most confident mistakes so far; equally confident ones in the order of the samples."""
        judged = self.judge(outputs["predictions"].float(), outputs["targets"])
        images = batch[IMAGE]
        indices = batch.get(INDEX, torch.full_like(judged.label, -1))
        facts = torch.stack([indices, judged.label, judged.answer], dim=1)
        order = _most_confident(judged.log_odds, facts)[: self._showing.num_images]
        info = self._showing.info
        found = Kept(judged.log_odds[order], facts[order], show_images(images[order], info.mean, info.std))
        self._kept = found if self._kept is None else _joined([self._kept, found], self._showing.num_images)
        wrong = (~judged.log_odds.isneginf()).sum()
        self._num_wrong = wrong if self._num_wrong is None else self._num_wrong + wrong
        self._num_images += len(images)

    def take(self) -> dict[str, Any]:
        """How many images and mistakes there were, and the mistakes that are kept, on the CPU."""
        kept = None
        if self._kept is not None:
            values = [value.cpu() for value in self._kept]
            mistakes = ~values[0].isneginf()
            kept = tuple(value[mistakes] for value in values)
        wrong = 0 if self._num_wrong is None else int(self._num_wrong)
        return {"num_images": self._num_images, "num_wrong": wrong, "kept": kept}

    def draw(self, taken: Sequence[dict[str, Any]]) -> dict[str, Image]:
        """The picture `mistakes`; where there are none it says so."""
        num_images, num_wrong = (sum(part[key] for part in taken) for key in ("num_images", "num_wrong"))
        tiles = self._tiles([Kept(*part["kept"]) for part in taken if part["kept"] is not None])
        of = (
            f"{num_wrong} of {num_images} images {self.verdict}" if num_wrong else f"no mistakes in {num_images} images"
        )
        most = f", the {len(tiles)} most confident" if len(tiles) < num_wrong else ""
        return {"mistakes": grid_picture(tiles, f"{self._showing.title}: {of}{most}")}

    def judge(self, scores: Tensor, labels: Tensor) -> Judged:
        """Compare scores (B, C) with labels, (B,) or soft (B, C), without waiting for the device."""
        label = labels.argmax(1) if labels.ndim == 2 else labels
        best, answer = scores.max(1)
        others = scores.scatter(1, answer[:, None], -math.inf).logsumexp(1)
        return Judged((best - others).masked_fill(answer == label, RIGHT), label, answer)

    def captions(self, label: int, answer: int, confidence: str) -> list[Caption]:
        """What is written below an image."""
        names = self._names
        return [Caption("label", names[label], GOOD), Caption("predicted", names[answer], BAD, confidence)]

    @cached_property
    def _names(self) -> list[str]:
        return readable_names(self._showing.info.class_names)

    def _tiles(self, parts: Sequence[Kept]) -> list[Tile]:
        if not parts:
            return []
        rows = _joined(parts, None)
        # Samplers of other libraries give a sample to two devices, where there is none for one of them.
        places: dict[int, int] = {}
        for place, index in enumerate(rows.facts[:, 0].tolist()):
            places.setdefault(index if index >= 0 else -1 - place, place)
        first = list(places.values())[: self._showing.num_images]
        return [self._tile(*(value[place] for value in rows)) for place in first]

    def _tile(self, log_odds: Tensor, facts: Tensor, image: Tensor) -> Tile:
        index, label, answer = facts.tolist()
        name = self._showing.sample_name(index) if index >= 0 else ""
        return Tile(image, self.captions(label, answer, f"({percent(log_odds.double().sigmoid().item())})"), name)


class MultilabelMistakes(Mistakes):
    """The same for any number of labels an image: of each image the class that it is most confidently wrong on."""

    verdict = "wrong on some class"

    def judge(self, scores: Tensor, labels: Tensor) -> Judged:
        """Compare logits (B, C) with labels (B, C) at 0.5; `answer` is the class, `label` whether the image has it."""
        has = labels > 0.5
        log_odds, classes = scores.abs().masked_fill((scores > 0) == has, RIGHT).max(1)
        return Judged(log_odds, has.gather(1, classes[:, None])[:, 0].long(), classes)

    def captions(self, label: int, answer: int, confidence: str) -> list[Caption]:
        """Whether the image has the class, and the answer."""
        name = self._names[answer]
        right, wrong = (name, f"not {name}") if label else (f"not {name}", name)
        return [Caption("label", right, GOOD), Caption("predicted", wrong, BAD, confidence)]


class Confusions:
    """The confusion matrix, over all devices."""

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._metric: ConfusionMatrix | None = None

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Count a batch."""
        scores, labels = outputs["predictions"], outputs["targets"]
        if self._metric is None:
            self._metric = ConfusionMatrix(self._showing.info.num_classes).to(scores.device)
        self._metric.update(scores, labels)

    def take(self) -> Tensor | None:
        """Counts (C, C) int64 of this device; None: it had no batch."""
        return None if self._metric is None else self._metric.counts.cpu().view(2 * [self._metric.num_classes])

    def draw(self, taken: Sequence[Tensor | None]) -> dict[str, Image]:
        """The picture `confusion_matrix`; none without images."""
        counts = [part for part in taken if part is not None]
        if not counts:
            return {}
        total = torch.stack(counts).sum(0)
        right = f"{int(total.trace())} of {int(total.sum())} images right"
        names = self._showing.info.class_names
        return {"confusion_matrix": confusions_picture(total, names, f"{self._showing.title}: {right}")}


class ClassTemplates:
    """What a classifier that is linear in the pixels compares images with, one picture a class (row 3)."""

    def __init__(self, showing: Showing, templates: Templates) -> None:
        self._showing = showing
        self._templates = templates

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Nothing: the weights say it all."""

    def take(self) -> Tensor:
        """The templates (classes, C, H, W), on the CPU."""
        return self._templates.weights.cpu()

    def draw(self, taken: Sequence[Tensor]) -> dict[str, Image]:
        """The picture `templates`; of two classes with one score that of the second."""
        weights = taken[0]
        names = readable_names(self._showing.info.class_names)[-len(weights) :]
        images = template_images(weights)
        tiles = [Tile(image, [Caption("class", name, GOOD)]) for image, name in zip(images, names, strict=True)]
        colors = "" if weights.shape[1] == 3 else "; red speaks for the class, blue against it"
        return {"templates": grid_picture(tiles, f"{self._showing.title}: templates{colors}")}


def _most_confident(log_odds: Tensor, facts: Tensor) -> Tensor:
    """The places in order; scores that are no numbers come first, equal ones by the sample's index."""
    by_index = facts[:, 0].argsort(stable=True)
    return by_index[log_odds[by_index].argsort(descending=True, stable=True)]


def _joined(parts: Sequence[Kept], count: int | None) -> Kept:
    """The first ones of all parts, in order."""
    rows = Kept(*(torch.cat(values) for values in zip(*parts, strict=True)))
    order = _most_confident(rows.log_odds, rows.facts)[:count]
    return Kept(*(value[order] for value in rows))


def percent(confidence: float) -> str:
    """A confidence in [0, 1] as people read it; one that is not quite sure does not read as sure."""
    if 0.995 <= confidence < 1:
        return f"{math.floor(confidence * 1000) / 10:.1f}%"
    return f"{confidence:.0%}"
