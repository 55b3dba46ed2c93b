"""Which data set reads a folder, by what is in it?"""

from pathlib import Path

from lightning_cv.data import (
    Ade20k,
    Cityscapes,
    Coco,
    CocoPanoptic,
    ImageFolder,
    MaskFolder,
    Pets,
    VisionData,
    Voc,
    VocSegmentation,
    Yolo,
)
from lightning_cv.errors import UserError


def recognize(path: Path) -> VisionData:
    """The data set of lightning_cv that reads a folder of this layout.

    Raises:
        UserError: none does.
    """
    if path.suffix in (".yaml", ".yml") or (path / "data.yaml").is_file():
        return Yolo(str(path))
    if (path / "ImageSets" / "Main").is_dir():
        return Voc(str(path))
    segmented = _segmented(path)
    if segmented is not None:
        return segmented
    parts = sorted(file.stem.removeprefix("instances_") for file in (path / "annotations").glob("instances_*.json"))
    if parts:
        train = next((part for part in parts if part.startswith("train")), parts[0])
        val = next((part for part in parts if part.startswith("val")), train)
        return Coco(str(path), train=train, val=val)
    if path.is_dir() and any(child.is_dir() for child in path.iterdir()):
        return ImageFolder(str(path))
    raise UserError(
        f"inspect: {path} is no data set that is read; allowed: COCO (annotations/instances_<part>.json), Pascal VOC "
        "(ImageSets/Main, ImageSets/Segmentation), YOLO (data.yaml), COCO's panoptic files, Cityscapes (leftImg8bit), "
        "ADE20K (objectInfo150.txt), images and masks (labels.yaml), a folder of class folders"
    )


def _segmented(path: Path) -> VisionData | None:
    """The data set whose pixels have classes that reads a folder of this layout."""
    if (path / "ImageSets" / "Segmentation").is_dir():
        return VocSegmentation(str(path))
    if (path / "leftImg8bit").is_dir():
        return Cityscapes(str(path))
    if (path / "objectInfo150.txt").is_file():
        return Ade20k(str(path))
    if (path / "labels.yaml").is_file():
        return MaskFolder(str(path))
    if (path / "annotations" / "trimaps").is_dir():
        return Pets(str(path.parent), download=False)
    instances = any((path / "annotations").glob("instances_*.json"))
    parts = sorted(file.stem.removeprefix("panoptic_") for file in (path / "annotations").glob("panoptic_*.json"))
    if not parts or instances:
        return None
    train = next((part for part in parts if part.startswith("train")), parts[0])
    val = next((part for part in parts if part.startswith("val")), train)
    return CocoPanoptic(str(path), train=train, val=val)
