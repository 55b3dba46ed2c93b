"""What do annotation files of Pascal VOC's format say?"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from lightning_cv.data.annotations.checks import Checker, used
from lightning_cv.data.annotations.raw import AnnotatedImage, Annotations, RawObject, shown
from lightning_cv.errors import DataError

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
NAN = float("nan")


def read_voc(root: Path, part: str, class_names: tuple[str, ...]) -> Annotations:
    """Read the images that `ImageSets/Main/<part>.txt` lists, and `Annotations/<name>.xml` of each.

    Corners are counted from 1 there, and the last pixel belongs to the box: x1 - 1, y1 - 1, x2, y2 are its corners.
    Difficult objects are treated as crowds are: nobody has to find them.

    Raises:
        DataError: the list is missing.
    """
    listed = root / "ImageSets" / "Main" / f"{part}.txt"
    try:
        names = [line.split()[0] for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"data.init_args: {listed}: {error.strerror}; allowed: a list of images") from error
    checker = Checker(class_names, None, masks=False)
    images = []
    for name in dict.fromkeys(names):
        file = root / "Annotations" / f"{name}.xml"
        try:
            read = _read_file(file)
        except (OSError, expat.ExpatError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            checker.note(shown(file), f"cannot be read ({reason})", "left out")
            continue
        path = str(root / "JPEGImages" / (read.file_name or f"{name}.jpg"))
        if not Path(path).is_file():
            path = str(root / "JPEGImages" / f"{name}.jpg")
        objects = tuple(_object(found, file, class_names) for found in read.objects)
        images.append(AnnotatedImage(path, read.size, objects))
    return Annotations(used(map(checker.image, images)), class_names, problems=tuple(checker.problems))


@dataclass
class _Found:
    """One `object` of a file, as text."""

    line: int
    values: dict[str, str] = field(default_factory=dict)


@dataclass
class _File:
    """One file, as text."""

    values: dict[str, str] = field(default_factory=dict)
    objects: list[_Found] = field(default_factory=list)

    @property
    def file_name(self) -> str:
        return Path(self.values.get("filename", "")).name

    @property
    def size(self) -> tuple[int, int] | None:
        try:
            height, width = int(self.values["size/height"]), int(self.values["size/width"])
        except (KeyError, ValueError):
            return None
        return (height, width) if height > 0 and width > 0 else None


def _read_file(file: Path) -> _File:
    """Read a file with the lines of its objects; one with a document type is refused: it could name entities.

    Raises:
        ValueError: it has a document type.
    """
    parser = expat.ParserCreate()
    read, path, text = _File(), [], [""]

    def start(name: str, _: dict[str, str]) -> None:
        path.append(name)
        text[0] = ""
        if path[1:] == ["object"]:
            read.objects.append(_Found(parser.CurrentLineNumber))

    def end(_: str) -> None:
        value = text[0].strip()
        if len(path) > 1 and path[1] == "object":
            if value and path[2:3] != ["part"]:
                read.objects[-1].values.setdefault("/".join(path[2:]), value)
        elif value:
            read.values.setdefault("/".join(path[1:]), value)
        path.pop()
        text[0] = ""

    def refuse(*_: object) -> None:
        raise ValueError("a document type is not allowed")

    def data(piece: str) -> None:
        text[0] += piece

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = data, refuse
    parser.Parse(file.read_bytes(), True)
    return read


def _object(found: _Found, file: Path, class_names: tuple[str, ...]) -> RawObject:
    name = found.values.get("name", "")
    x1, y1, x2, y2 = (_number(found.values.get(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
    return RawObject(
        where=shown(file, found.line),
        label=class_names.index(name) if name in class_names else None,
        box=(x1 - 1, y1 - 1, x2, y2),
        crowd=found.values.get("difficult") == "1",
        named=name,
    )


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return NAN
