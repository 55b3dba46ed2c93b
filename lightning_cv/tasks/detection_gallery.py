"""What does a person look at to judge a detector?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from lightning_cv.contracts import IMAGE, SIZE, SOURCE_SIZE
from lightning_cv.ops.objects import scaled, scaled_objects
from lightning_cv.pictures import Caption, Tile, grid_picture, readable_names, show_images
from lightning_cv.pictures.grid import BAD, GOOD
from lightning_cv.pictures.mosaic import Mosaic
from lightning_cv.pictures.objects import FOUND, SIDE_PX, THERE, Shape, draw_objects, plain

if TYPE_CHECKING:
    from lightning_cv.contracts import Batch, Detections, Objects, Showing

SURE = 0.5  # score from which a detection counts, and is drawn
MATCHED = 0.5  # intersection over union from which it is right


@dataclass(frozen=True)
class _Judged:
    """An image and what was found on it.

    Args:
        index: of the sample.
        mistakes: objects that were missed, and detections that were wrong.
        image: (3, H, W) uint8.
        there: objects, in pixels of `image`.
        found: detections, in pixels of `image`.
    """

    index: int
    mistakes: int
    image: Tensor
    there: Objects
    found: Detections


class Findings:
    """The images on which most is missed or wrong, with what is there (green) and what was found (red).

    Two pictures: `detections` with boxes, masks and keypoints drawn, and `overlays`, the same images plain, with the
    boxes and masks as data that a tracker draws and lets a person switch on and off.
    """

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._kept: list[_Judged] = []
        self._counts = [0, 0]  # images, mistakes

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the images with most mistakes so far; equal ones in the order of the samples."""
        info = self._showing.info
        factors = (batch[SIZE] / batch[SOURCE_SIZE]).tolist()
        rows = zip(outputs["predictions"], outputs["targets"], batch[IMAGE], batch[SIZE].tolist(), factors, strict=True)
        for found, (index, there), image, (height, width), (y, x) in rows:
            sure = found.select(found.scores >= SURE)
            mistakes = count_mistakes(sure, there)
            self._counts = [self._counts[0] + 1, self._counts[1] + mistakes]
            if len(self._kept) >= self._showing.num_images and mistakes <= self._kept[-1].mistakes:
                continue
            shown = show_images(image[None, :, :height, :width], info.mean, info.std, side_px=SIDE_PX)[0].cpu()
            ratio = shown.shape[-1] / width
            moved = scaled(sure, x=x * ratio, y=y * ratio)
            self._kept.append(_Judged(index, mistakes, shown, scaled_objects(there, x=x * ratio, y=y * ratio), moved))
            self._kept = sorted(self._kept, key=lambda j: (-j.mistakes, j.index))[: self._showing.num_images]

    def take(self) -> dict[str, Any]:
        """How many images and mistakes there were, and the images that are kept."""
        return {"counts": self._counts, "kept": [_on_host(judged) for judged in self._kept]}

    def draw(self, taken: Sequence[dict[str, Any]]) -> dict[str, Image.Image]:
        """The pictures `detections` and `overlays`."""
        unique = {judged.index: judged for part in taken for judged in part["kept"]}
        judged = sorted(unique.values(), key=lambda j: (-j.mistakes, j.index))[: self._showing.num_images]
        images, mistakes = (sum(part["counts"][n] for part in taken) for n in (0, 1))
        if not judged:
            return {}
        names = readable_names(self._showing.info.class_names)
        tiles = [self._tile(each, names) for each in judged]
        title = f"{self._showing.title}: {mistakes} objects missed or wrong on {images} images; green there, red found"
        return {"detections": grid_picture(tiles, title, side_px=SIDE_PX), "overlays": _mosaic(judged, names)}

    def _tile(self, judged: _Judged, names: Sequence[str]) -> Tile:
        shapes = [*_there(judged.there, names), *_found(judged.found, names)]
        picture = np.asarray(draw_objects(judged.image, shapes))
        counts = f"{judged.mistakes} missed or wrong" if judged.mistakes else "all right"
        key = f"{len(judged.there)} there, {len(judged.found)} found"
        caption = Caption(key, counts, BAD if judged.mistakes else GOOD)
        name = self._showing.sample_name(judged.index)
        return Tile(torch.from_numpy(picture.copy()).permute(2, 0, 1), [caption], name)


def count_mistakes(found: Detections, there: Objects) -> int:
    """Objects (no crowds) without a detection of their class on them, and detections without an object.

    The surest detection chooses first, and gets the object that it overlaps most, by `MATCHED` at least.
    """
    overlap = box_iou(found.boxes, there.boxes) * (found.labels[:, None] == there.labels)
    overlaps = overlap.tolist()
    crowd = there.crowd.tolist()
    free = set(range(len(there)))
    wrong = 0
    for row in overlaps:
        right = [g for g in free if row[g] >= MATCHED]
        if right:
            best = max(right, key=row.__getitem__)
            free -= set() if crowd[best] else {best}
        else:
            wrong += 1
    return wrong + sum(not crowd[g] for g in free)


def _on_host(judged: _Judged) -> _Judged:
    def host(part: Any) -> Any:
        moved = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in vars(part).items()}
        if moved.get("masks") is not None:
            # To be sent to another process, and drawn: no more than yes and no, at the size of the picture.
            size = judged.image.shape[-2:]
            masks = moved["masks"].float()
            resized = torch.nn.functional.interpolate(masks[:, None], size)[:, 0] if len(masks) else masks
            moved["masks"] = resized > SURE
        return type(part)(**{**moved, **({"extras": {}} if "extras" in moved else {})})

    return _Judged(judged.index, judged.mistakes, judged.image, host(judged.there), host(judged.found))


def _there(objects: Objects, names: Sequence[str]) -> list[Shape]:
    texts = [names[label] + (" (crowd)" if crowd else "") for label, crowd in zip(*_lists(objects), strict=True)]
    return _shapes(objects.boxes, texts, THERE, None, objects.keypoints)


def _found(detections: Detections, names: Sequence[str]) -> list[Shape]:
    pairs = zip(detections.labels.tolist(), detections.scores.tolist(), strict=True)
    texts = [f"{names[label]} {score:.2f}" for label, score in pairs]
    points = detections.keypoints
    return _shapes(detections.boxes, texts, FOUND, detections.masks, points)


def _lists(objects: Objects) -> tuple[list[int], list[bool]]:
    return objects.labels.tolist(), objects.crowd.tolist()


def _shapes(
    boxes: Tensor, texts: Sequence[str], color: tuple[int, int, int], masks: Tensor | None, points: Tensor | None
) -> list[Shape]:
    shapes = []
    for row, (box, text) in enumerate(zip(boxes.tolist(), texts, strict=True)):
        mask = None if masks is None else masks[row].numpy()
        known = () if points is None else [(x, y) for x, y, v in points[row].tolist() if color == FOUND or v > 0]
        shapes.append(Shape(tuple(box), text, color, mask, known))
    return shapes


def _mosaic(judged: Sequence[_Judged], names: Sequence[str]) -> Image.Image:
    """The images side by side, and in the text of the file what lies where."""
    pictures = [plain(each.image) for each in judged]
    mosaic = Mosaic(pictures, SIDE_PX)
    boxes: dict[str, list[dict[str, Any]]] = {"predictions": [], "ground_truth": []}
    classes = mosaic.empty_mask()
    for each, picture, (left, top) in zip(judged, pictures, mosaic.corners(len(judged)), strict=True):
        factor = picture.width / each.image.shape[-1]
        for key, part in (("predictions", each.found), ("ground_truth", each.there)):
            boxes[key] += [
                _box(box, label, score, names, (left, top, factor))
                for box, label, score in zip(part.boxes.tolist(), part.labels.tolist(), _scores(part), strict=True)
            ]
        if each.found.masks is not None:
            _lay(classes, each.found, picture.size, (left, top))
    return mosaic.finished(names, boxes=boxes, masks={"predictions": classes})


def _scores(part: Any) -> list[float | None]:
    return part.scores.tolist() if hasattr(part, "scores") else [None] * len(part)


def _box(
    box: Sequence[float], label: int, score: float | None, names: Sequence[str], place: tuple[int, int, float]
) -> dict[str, Any]:
    left, top, factor = place
    x1, y1, x2, y2 = (value * factor for value in box)
    data: dict[str, Any] = {
        "position": {"minX": x1 + left, "maxX": x2 + left, "minY": y1 + top, "maxY": y2 + top},
        "domain": "pixel",
        "class_id": label,
        "box_caption": names[label] if score is None else f"{names[label]} {score:.2f}",
    }
    return data if score is None else {**data, "scores": {"score": score}}


def _lay(classes: np.ndarray[Any, Any], found: Detections, size: tuple[int, int], place: tuple[int, int]) -> None:
    """Write class numbers, from 1, where masks are; the surest on top."""
    assert found.masks is not None
    left, top = place
    for mask, label in reversed(list(zip(found.masks.numpy(), found.labels.tolist(), strict=True))):
        shown = Image.fromarray((mask * 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        window = classes[top : top + size[1], left : left + size[0]]
        window[np.asarray(shown) > 0] = min(label + 1, 255)
