"""What does an annotation file of COCO's format say?"""

from __future__ import annotations

import gc
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lightning_cv.contracts import KeypointSet
from lightning_cv.data.annotations.checks import Checker, as_number, used
from lightning_cv.data.annotations.json_file import Where, read_lists
from lightning_cv.data.annotations.raw import AnnotatedImage, Annotations, RawObject
from lightning_cv.errors import DataError
from lightning_cv.metrics.detection import COCO_SIGMAS

NAN = float("nan")


def read_coco(
    file: Path, folder: Path, *, classes: Literal["listed", "ids"], masks: bool, keypoints: bool
) -> Annotations:
    """Read a file of instances or keypoints.

    Args:
        file: JSON with `images`, `categories`, `annotations`.
        folder: where the images are.
        classes: `listed`: in the order of their ids, without gaps; `ids`: class k is that of id k + 1.
        masks: whether objects need a mask.
        keypoints: whether objects have keypoints; only categories with keypoints are classes then.

    Raises:
        DataError: it is missing or no such file.
    """
    with _without_collection():
        return _read(file, folder, classes, masks=masks, keypoints=keypoints)


def _read(file: Path, folder: Path, classes: Literal["listed", "ids"], *, masks: bool, keypoints: bool) -> Annotations:
    parsed = read_lists(file)
    names, index, points = _classes(file, parsed["categories"], classes, keypoints=keypoints)
    checker = Checker(names, points, masks=masks)
    where = Where(file)
    images = _images(parsed["images"], folder, (checker, where))
    objects = _objects(parsed, images.keys(), index, (checker, where))
    with_objects = [replace(image, objects=tuple(objects.get(key, ()))) for key, image in images.items()]
    kept = used(map(checker.image, with_objects))
    by_label = tuple(sorted(index, key=index.__getitem__))
    category_ids = tuple(range(1, len(names) + 1)) if classes == "ids" else by_label
    return Annotations(kept, names, points, tuple(checker.problems), category_ids)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Millions of new objects would be searched for garbage again and again: a third of the time of a large file."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _images(entries: list[Any], folder: Path, notes: tuple[Checker, Where]) -> dict[Any, AnnotatedImage]:
    """The images by their ids."""
    checker, where = notes
    images: dict[Any, AnnotatedImage] = {}
    for number, entry in enumerate(entries):
        image = _image(entry, folder)
        if image is None:
            checker.note(where("images", number), "an image without id, file_name, width and height", "left out")
        elif image.image_id in images:
            checker.note(where("images", number), f"image id {image.image_id!r:.40} for the second time", "left out")
        else:
            images[image.image_id] = image
    return images


def _objects(
    parsed: dict[str, list[Any]], images: Container[Any], index: Mapping[Any, int], notes: tuple[Checker, Where]
) -> dict[Any, list[RawObject]]:
    """The objects of each image, by its id; those of categories that are no classes are passed over."""
    checker, where = notes
    passed_over = {_key(category["id"]) for category in parsed["categories"]} - index.keys()
    objects: dict[Any, list[RawObject]] = {}
    seen: set[Any] = set()
    for number, entry in enumerate(parsed["annotations"]):
        line = _Lazy(where, number)
        if not isinstance(entry, dict):
            checker.note(line, "no annotation", "left out")
            continue
        image, category = _key(entry.get("image_id")), _key(entry.get("category_id"))
        if image not in images:
            checker.note(line, f"image id {entry.get('image_id')!r:.40} is unknown", "left out")
        elif "id" in entry and _key(entry["id"]) in seen:
            checker.note(line, f"annotation id {entry['id']!r:.40} for the second time", "left out")
        elif category not in passed_over:
            seen.add(_key(entry.get("id")))
            objects.setdefault(image, []).append(_object(entry, index.get(category), line))
    return objects


def _classes(
    file: Path, categories: list[dict[str, Any]], classes: str, *, keypoints: bool
) -> tuple[tuple[str, ...], dict[Any, int], KeypointSet | None]:
    """Names, the index of each category id, and the keypoints."""
    taken = [c for c in categories if not keypoints or c.get("keypoints")]
    taken = sorted(taken, key=lambda c: c["id"])
    if not taken:
        raise DataError(f"{file}: no categories{' with keypoints' if keypoints else ''}; allowed: at least one")
    points = _keypoint_set(taken[0]["keypoints"]) if keypoints else None
    if classes == "ids":
        if taken[0]["id"] < 1:
            raise DataError(f"{file}: category id {taken[0]['id']}; allowed with classes: ids: 1 or more")
        by_id = {c["id"]: str(c.get("name", c["id"])) for c in taken}
        names = tuple(by_id.get(n, f"(no {n})") for n in range(1, taken[-1]["id"] + 1))
        return names, {c["id"]: c["id"] - 1 for c in taken}, points
    names = tuple(str(c.get("name", c["id"])) for c in taken)
    return names, {c["id"]: number for number, c in enumerate(taken)}, points


def _keypoint_set(names: list[str]) -> KeypointSet:
    """Keypoints whose names begin with left and right change places in a mirror."""

    def other(name: str) -> str:
        if "left" in name:
            return name.replace("left", "right")
        return name.replace("right", "left") if "right" in name else name

    swaps = tuple(names.index(other(name)) if other(name) in names else place for place, name in enumerate(names))
    return KeypointSet(tuple(names), swaps, COCO_SIGMAS if len(names) == len(COCO_SIGMAS) else ())


def _image(entry: Any, folder: Path) -> AnnotatedImage | None:
    if not isinstance(entry, dict) or "id" not in entry or not isinstance(entry.get("file_name"), str):
        return None
    height, width = entry.get("height"), entry.get("width")
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        return None
    return AnnotatedImage(str(folder / entry["file_name"]), (height, width), (), image_id=_key(entry["id"]))


def _object(entry: Mapping[str, Any], label: int | None, where: _Lazy) -> RawObject:
    box = entry.get("bbox")
    corners = (NAN, NAN, NAN, NAN)
    if isinstance(box, list) and len(box) == 4:
        x, y, width, height = map(as_number, box)
        corners = (x, y, x + width, y + height)
    area = entry.get("area")
    points = entry.get("keypoints")
    return RawObject(
        where,
        label,
        corners,
        bool(entry.get("iscrowd", 0)),
        None if area is None else as_number(area),
        entry.get("segmentation"),
        points if isinstance(points, list) else None,
        entry.get("category_id"),
    )


def _key(value: Any) -> Any:
    """What can be looked up."""
    return (
        value if isinstance(value, int | str) and not isinstance(value, bool) else f"{type(value).__name__} {value!r}"
    )


class _Lazy:
    """Where an annotation is, told when it is asked for."""

    def __init__(self, where: Where, number: int) -> None:
        self._where, self._number = where, number

    def __str__(self) -> str:
        return self._where("annotations", self._number)
