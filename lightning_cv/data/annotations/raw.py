"""What is read of annotations, before and after it is checked?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_cv.contracts import KeypointSet

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class RawObject:
    """One object as a file has it.

    Args:
        where: file and line, for messages; read with `str`, so that it may be found out then.
        label: class index; None: the file names a class that there is not.
        box: corners (x1, y1, x2, y2) in pixels, or in shares of the image where `AnnotatedImage.in_shares`.
        crowd: see `contracts.CROWD`.
        area: of the object in square pixels; None: that of the box.
        segmentation: polygons, or run-length encoded, as COCO has them; None: none.
        keypoints: 3 K numbers, as COCO has them; None: none.
        named: what the file calls its class.
    """

    where: object
    label: int | None
    box: Box
    crowd: bool = False
    area: float | None = None
    segmentation: Any = None
    keypoints: list[float] | None = None
    named: object = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file and what is on it.

    Args:
        path: the file.
        size: (height, width) as the annotations say; None: they do not.
        objects: on it.
        in_shares: boxes are shares of width and height.
        image_id: what the annotations call it; None: nothing.
    """

    path: str
    size: tuple[int, int] | None
    objects: tuple[RawObject, ...]
    in_shares: bool = False
    image_id: int | None = None


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with annotations.

    Args:
        where: file and line.
        what: is wrong, in a few words.
        done: about it: "cut off", "left out".
    """

    where: str
    what: str
    done: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.done}"


@dataclass(frozen=True)
class Annotations:
    """What a data set's files say, checked.

    Args:
        images: each with the objects that can be used.
        class_names: in the order of the labels.
        keypoints: what keypoints objects have.
        problems: what was found wrong, and cut off or left out.
        category_ids: what the files call each class, as a number.
    """

    images: tuple[AnnotatedImage, ...]
    class_names: tuple[str, ...]
    keypoints: KeypointSet | None = None
    problems: tuple[Problem, ...] = ()
    category_ids: tuple[int, ...] = field(default=())


def shown(path: Path, line: int | None = None) -> str:
    """A file, and the line in it."""
    return str(path) if line is None else f"{path}:{line}"
