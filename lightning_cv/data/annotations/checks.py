"""Which annotations can be used as they are, which after a safe change, and which not at all?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pycocotools import mask as rle

from lightning_cv.contracts import KeypointSet
from lightning_cv.data.annotations.raw import AnnotatedImage, Box, Problem, RawObject
from lightning_cv.errors import DataError

LEAST_PX = 1e-3  # a box must be wider and higher than this, in pixels
_LEAST_SHARE = 1e-6  # and than this in shares of the image
_ROUNDED = 1e-3  # what a box may reach beyond the image without being a mistake, in pixels
_NAMED = 3


class Checker:
    """Checks annotations object by object, and notes what is wrong.

    Args:
        class_names: labels must be of these.
        keypoints: what objects have; None: keypoints are not read.
        masks: whether every object needs a mask.
    """

    def __init__(self, class_names: Sequence[str], keypoints: KeypointSet | None, *, masks: bool) -> None:
        self.class_names = tuple(class_names)
        self.keypoints = keypoints
        self.masks = masks
        self.problems: list[Problem] = []

    def image(self, image: AnnotatedImage) -> AnnotatedImage | None:
        """The image with the objects that can be used; None: there is no such file."""
        if not Path(image.path).is_file():
            first = image.objects[0].where if image.objects else image.path
            self.note(first, f"there is no image {image.path}", "left out")
            return None
        kept = [checked for raw in image.objects if (checked := self._object(raw, image)) is not None]
        return replace(image, objects=tuple(kept))

    def note(self, where: object, what: str, done: str) -> None:
        """Remember a problem."""
        self.problems.append(Problem(str(where), what, done))

    def _object(self, raw: RawObject, image: AnnotatedImage) -> RawObject | None:
        why = self._unusable(raw)
        if why is None:
            box = self._cut_off(raw, image)
            if box is not None:
                return self._with_mask(replace(raw, box=box), image)
            why = f"box {_box_text(raw.box)} lies outside of the image"
        self.note(raw.where, why, "left out")
        return None

    def _unusable(self, raw: RawObject) -> str | None:
        if raw.label is None or not 0 <= raw.label < len(self.class_names):
            return f"class {raw.named!r:.40} is unknown"
        if not all(map(math.isfinite, raw.box)):
            return f"box {_box_text(raw.box)} is not finite"
        if raw.box[2] <= raw.box[0] or raw.box[3] <= raw.box[1]:
            return f"box {_box_text(raw.box)} is empty or negative"
        if raw.area is not None and not math.isfinite(raw.area):
            return f"area {raw.area} is not finite"
        if self.keypoints is not None:
            count = 3 * len(self.keypoints.names)
            if raw.keypoints is None or len(raw.keypoints) != count:
                given = 0 if raw.keypoints is None else len(raw.keypoints)
                return None if raw.crowd else f"{given} keypoint numbers, not {count}"
            if not all(math.isfinite(as_number(value)) for value in raw.keypoints):
                return "a keypoint is not finite"
        return None

    def _cut_off(self, raw: RawObject, image: AnnotatedImage) -> Box | None:
        """The box without what reaches beyond the image; None: nothing is left."""
        if image.size is None and not image.in_shares:
            return raw.box
        height, width = (1.0, 1.0) if image.in_shares or image.size is None else image.size
        x1, y1, x2, y2 = raw.box
        cut = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        least = _LEAST_SHARE if image.in_shares else LEAST_PX
        if cut[2] - cut[0] <= least or cut[3] - cut[1] <= least:
            return None
        allowed = _LEAST_SHARE * 10 if image.in_shares else _ROUNDED
        if max(abs(a - b) for a, b in zip(cut, raw.box, strict=True)) > allowed:
            size = "" if image.in_shares else f" of {width:g} x {height:g}"
            self.note(raw.where, f"box {_box_text(raw.box)} reaches beyond the image{size}", "cut off")
        return cut

    def _with_mask(self, raw: RawObject, image: AnnotatedImage) -> RawObject | None:
        if not self.masks or image.size is None:
            return raw
        try:
            check_mask(raw.segmentation, image.size)
        except ValueError as error:
            self.note(raw.where, str(error), "left out")
            return None
        return raw


def encoded_mask(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Polygons or run-length encoding that `check_mask` found right, as one compressed encoding.

    Args:
        segmentation: as COCO's files have it.
        size: (height, width) of the image.
    """
    if isinstance(segmentation, list):
        return dict(rle.merge(rle.frPyObjects(segmentation, *size)))
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return dict(rle.frPyObjects({"size": list(size), "counts": counts}, *size))
    return {"size": list(size), "counts": counts.encode() if isinstance(counts, str) else counts}


def check_mask(segmentation: Any, size: tuple[int, int]) -> None:
    """Look at polygons or a run-length encoding without drawing it.

    Args:
        segmentation: as COCO's files have it.
        size: (height, width) of the image.

    Raises:
        ValueError: there is none, or it is no mask of this size; says why.
    """
    height, width = size
    if isinstance(segmentation, list):
        if not segmentation or not all(map(_is_polygon, segmentation)):
            raise ValueError("a polygon has fewer than 3 points, or what is no number" if segmentation else "no mask")
        far = max(size)
        if any(min(polygon) < -far or max(polygon) > 2 * far for polygon in segmentation):
            raise ValueError("a polygon lies far outside of the image")
        return
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("no mask")
    given = segmentation.get("size")
    if given != [height, width]:
        raise ValueError(f"a mask of size {given} for an image of [{height}, {width}]")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        whole = all(isinstance(count, int) and count >= 0 for count in counts)
        if not whole or sum(counts) != height * width:
            raise ValueError("the runs of a mask do not cover its image")
    elif not isinstance(counts, str | bytes):
        raise ValueError("no mask")
    elif _runs(counts.encode() if isinstance(counts, str) else counts) != height * width:
        raise ValueError("the runs of a mask do not cover its image")


def _runs(text: bytes) -> int:
    """How many pixels a compressed encoding covers: the library itself would read beyond the end of a damaged one."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            if place >= len(text) or shift > 60:
                return -1
            code = text[place] - 48
            if not 0 <= code < 64:
                return -1
            value |= (code & 31) << shift
            more = bool(code & 32)
            place, shift = place + 1, shift + 5
            if not more and code & 16:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            return -1
    return sum(runs)


def report_problems(problems: Sequence[Problem], *, strict: bool, title: str) -> str | None:
    """One line about what was wrong; None: nothing was.

    Raises:
        DataError: with `strict`; names the first problem.
    """
    if not problems:
        return None
    if strict:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0].where}: {problems[0].what}{more}; data.init_args.strict: false goes on without")
    named = "; ".join(map(str, problems[:_NAMED]))
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    return f"{title}: {count}: {named}{more}; all of them: lightning-cv inspect RECIPE --dataset"


def used(images: Iterable[AnnotatedImage | None]) -> tuple[AnnotatedImage, ...]:
    """Without those that are left out."""
    return tuple(image for image in images if image is not None)


def as_number(value: Any) -> float:
    """A number of a file; NaN where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _is_polygon(points: Any) -> bool:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        return False
    try:
        return math.isfinite(sum(points))  # a loop over numbers would take seconds for a large file
    except (TypeError, OverflowError):
        return False


def _box_text(box: Box) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in box)}]"
