"""What do the files of COCO's panoptic format say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Color, Pixels, PixelSet
from lightning_cv.data.annotations.json_file import Where, read_lists
from lightning_cv.data.annotations.raw import Problem
from lightning_cv.data.decode import read_image
from lightning_cv.data.masks.labels import WrongMaskError, read_values
from lightning_cv.data.palette import palette
from lightning_cv.errors import DataError

Truth = Literal["semantic", "panoptic"]


@dataclass(frozen=True)
class PanopticImage:
    """An image with its segments.

    Args:
        path: of the image.
        mask: of the PNG in whose colours the numbers of the segments are.
        segments: by number, the class index, and whether it is a crowd.
        where: file and line of its annotation, for messages.
        image_id: what the annotations call it.
    """

    path: str
    mask: str
    segments: dict[int, tuple[int, bool]]
    where: str
    image_id: Any


@dataclass(frozen=True)
class PanopticAnnotations:
    """What a file says, checked.

    Args:
        images: those with an annotation.
        class_names: in the order of the class indices.
        pixels: colours, category ids and things.
        problems: what was found wrong, and left out.
    """

    images: tuple[PanopticImage, ...]
    class_names: tuple[str, ...]
    pixels: PixelSet
    problems: tuple[Problem, ...] = field(default=())


def read_panoptic(file: Path, images: Path, masks: Path) -> PanopticAnnotations:
    """Read a file of COCO's panoptic format (Kirillov et al. 2019).

    Args:
        file: JSON with `images`, `categories` (with `isthing`) and `annotations` (with `segments_info`).
        images: folder of the images.
        masks: folder of the PNG files.

    Raises:
        DataError: it is missing, or no such file.
    """
    lists = read_lists(file)
    categories = sorted(lists["categories"], key=lambda category: int(category["id"]))
    if not categories or any("isthing" not in category for category in categories):
        raise DataError(f"{file}: categories without isthing; allowed: COCO's panoptic format")
    index = {category["id"]: number for number, category in enumerate(categories)}
    where, problems = Where(file), []
    paths = {_key(e.get("id")): e.get("file_name") for e in lists["images"] if isinstance(e, dict)}
    found: list[PanopticImage] = []
    for number, entry in enumerate(lists["annotations"]):
        path = paths.get(_key(entry.get("image_id"))) if isinstance(entry, dict) else None
        problem = _problem(entry, path, index)
        if problem is not None:
            problems.append(Problem(where("annotations", number), problem, "left out"))
            continue
        segments = {s["id"]: (index[s["category_id"]], bool(s.get("iscrowd", 0))) for s in entry["segments_info"]}
        place = f"{file} (annotations[{number}])"
        assert isinstance(path, str)
        image = PanopticImage(str(images / path), str(masks / entry["file_name"]), segments, place, entry["image_id"])
        found.append(image)
    return PanopticAnnotations(tuple(found), *_described(categories), tuple(problems))


def _described(categories: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], PixelSet]:
    """Names, colours, ids and things of the categories."""
    names = tuple(str(category.get("name", category["id"])) for category in categories)
    own = [_color(category.get("color")) for category in categories]
    stated = tuple(color for color in own if color is not None)
    colors = stated if len(stated) == len(own) else palette(len(own))
    things = tuple(bool(category["isthing"]) for category in categories)
    return names, PixelSet(colors, tuple(int(category["id"]) for category in categories), things)


class PanopticSplit:
    """A split of image files with segments, read when asked for.

    Args:
        annotations: checked.
        truth: `semantic`: classes of pixels; `panoptic`: also the segment of each.
    """

    def __init__(self, annotations: PanopticAnnotations, truth: Truth) -> None:
        self.annotations = annotations
        self.images = annotations.images
        self._truth = truth
        known = annotations.pixels
        self.pixels = known if truth == "panoptic" else PixelSet(known.colors, known.values)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the class indices."""
        return self.annotations.class_names

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Pixels]:
        entry = self.images[index]
        image = read_image(Path(entry.path), 3)
        values = read_values(Path(entry.mask), colors=True)
        size = (image.shape[-2], image.shape[-1])
        if values.shape != size:
            given = "{} x {}".format(*values.shape)
            raise WrongMaskError(entry.mask, f"the mask is {given}, its image {size[0]} x {size[1]} (height x width)")
        return image, self._pixels(entry, values)

    def name(self, index: int) -> str:
        """The path of the image."""
        return self.images[index].path

    def _pixels(self, entry: PanopticImage, values: np.ndarray[Any, Any]) -> Pixels:
        numbers, places = np.unique(values, return_inverse=True)
        classes = np.full(len(numbers), IGNORED, dtype=np.int16)
        segments = np.full(len(numbers), VOID, dtype=np.int32)
        for place, number in enumerate(numbers.tolist()):
            if number == 0:
                continue
            if number not in entry.segments:
                raise WrongMaskError(entry.mask, f"segment {number} is not in segments_info of {entry.where}")
            label, crowd = entry.segments[number]
            classes[place], segments[place] = label, CROWD_SEGMENT if crowd else place
        shape = values.shape
        of_pixels = torch.from_numpy(segments[places].reshape(shape)) if self._truth == "panoptic" else None
        return Pixels(torch.from_numpy(classes[places].reshape(shape)), of_pixels)


def _problem(entry: Any, path: Any, index: dict[int, int]) -> str | None:
    """What is wrong with an annotation."""
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        return "an annotation without file_name"
    if not isinstance(path, str):
        return f"image id {entry.get('image_id')!r:.40} is unknown"
    segments = entry.get("segments_info")
    if not isinstance(segments, list) or not all(
        isinstance(s, dict) and isinstance(s.get("id"), int) for s in segments
    ):
        return "segments_info is no list of segments with an id"
    unknown = [s.get("category_id") for s in segments if _key(s.get("category_id")) not in index]
    if unknown:
        return f"category id {unknown[0]!r:.40} is unknown"
    numbers = [s["id"] for s in segments]
    return None if len(set(numbers)) == len(numbers) else "segments_info has a segment for the second time"


def _key(value: Any) -> Any:
    """What can be looked up."""
    return value if isinstance(value, int | str) else repr(value)


def _color(value: Any) -> Color | None:
    whole = isinstance(value, list) and len(value) == 3 and all(isinstance(v, int) and 0 <= v < 256 for v in value)
    return (value[0], value[1], value[2]) if whole else None
