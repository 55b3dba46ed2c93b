"""What do text files of YOLO's format say?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lightning_cv.data.annotations.checks import Checker, used
from lightning_cv.data.annotations.raw import AnnotatedImage, Annotations, RawObject, shown
from lightning_cv.data.class_folders import find_images
from lightning_cv.errors import DataError

NAN = float("nan")
_NUMBERS = 5  # a line: class, middle x and y, width and height as shares of the image


def read_yolo(file: Path, part: str) -> Annotations:
    """Read the part of a data set that a YAML file describes.

    The file has `names` (a list, or a mapping from number to name), perhaps `path`, and `train`, `val`, `test`: folders
    of images, or a text file that lists images. The labels of `.../images/a.jpg` are in `.../labels/a.txt`; without
    that file there is nothing on the image.

    Raises:
        DataError: the file or the part is missing or wrong.
    """
    described = _described(file)
    names = _names(file, described.get("names"))
    given = described.get(part)
    if not isinstance(given, str):
        raise DataError(f"{file}: {part} is {given!r:.60}, allowed: a folder of images, or a file that lists them")
    base = file.parent / str(described.get("path") or "")
    source = base / given
    if source.suffix == ".txt":
        lines = source.read_text(encoding="utf-8").splitlines() if source.is_file() else []
        paths = [str(source.parent / line.strip()) for line in lines if line.strip()]
        if not paths:
            raise DataError(f"{source}: no list of images; allowed: one path a line")
    else:
        paths = find_images(source)
    checker = Checker(names, None, masks=False)
    images = [AnnotatedImage(path, None, _objects(Path(path), checker), in_shares=True) for path in paths]
    return Annotations(used(map(checker.image, images)), names, problems=tuple(checker.problems))


def labels_of(image: Path) -> Path:
    """The file with the labels of an image: `labels` in place of the last `images` of its path."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _described(file: Path) -> dict[str, Any]:
    try:
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"data.init_args.root: {file}: {error.strerror}; allowed: YOLO's YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: {' '.join(str(error).split()):.200}; allowed: YOLO's YAML file") from error
    if not isinstance(described, dict):
        raise DataError(f"{file}: no mapping; allowed: YOLO's YAML file")
    return described


def _names(file: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: names is {names!r:.60}, allowed: a list, or a mapping from 0, 1, ... to names")
    return tuple(map(str, names))


def _objects(image: Path, checker: Checker) -> tuple[RawObject, ...]:
    file = labels_of(image)
    if not file.is_file():
        return ()
    objects: dict[tuple[Any, ...], RawObject] = {}
    text = file.read_bytes().decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        values = [_number(word) for word in line.split()]
        if not values:
            continue
        where = shown(file, number)
        if len(values) != _NUMBERS:
            checker.note(where, f"{len(values)} numbers, not {_NUMBERS}", "left out")
            continue
        label, x, y, width, height = values
        if tuple(values) in objects:
            checker.note(where, "the same line for the second time", "left out")
            continue
        objects[tuple(values)] = RawObject(
            where=where,
            label=int(label) if label == label and label == round(label) and abs(label) < 2**31 else None,
            box=(x - width / 2, y - height / 2, x + width / 2, y + height / 2),
            named=line.split()[0],
        )
    return tuple(objects.values())


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return NAN
