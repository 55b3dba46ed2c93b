"""What do the data of a recipe hold, and what is wrong with them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_cv.contracts import Objects, Stage
from lightning_cv.data import Coco, ImageFolder, Split, VisionData, Voc, Yolo
from lightning_cv.data.splits import UnreadableImageError
from lightning_cv.errors import UserError
from lightning_cv.pictures import Caption, Tile, grid_picture, readable_names
from lightning_cv.pictures.grid import GOOD, PLAIN
from lightning_cv.pictures.objects import SIDE_PX, THERE, Shape, draw_objects
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.request import RunRequest
from lightning_cv.run.build import build, check_recipe, print_if_asked
from lightning_cv.run.cli import RecipeCLI

_PARTS = (Stage.TRAIN, Stage.VAL, Stage.TEST)
_READ = 2000  # images of a part that are read to count objects, where no list tells of them
_PRINTED = 50  # problems
_DRAWN = 16


def inspect_data(request: RunRequest) -> int:
    """Print what the data of a recipe hold, and draw some images; returns the exit status.

    Raises:
        UserError: the recipe is wrong, or its data cannot be read at all.
    """
    composed: Composed = request.composed.set("trainer.logger", False).set("trainer.accelerator", "cpu")
    if "strict" in (composed.get("data.init_args") or {}):
        composed = composed.set("data.init_args.strict", False)  # everything that is wrong is listed below
    values = check_recipe(composed, request.allow_code)
    values["callbacks"] = {}

    def prepare(cli: RecipeCLI) -> None:
        print_if_asked(request, cli)

    data = build(composed, values, prepare).datamodule
    if not isinstance(data, VisionData):
        raise UserError(f"inspect --dataset tells of data of lightning_cv, not of {type(data).__name__}")
    data.prepare_data()
    return report(data, request.name)


def inspect_folder(folder: str) -> int:
    """The same for a folder, or YOLO's YAML file, without a recipe; returns the exit status.

    Raises:
        UserError: it has none of the layouts that are read.
    """
    data = recognize(Path(folder))
    print(f"{'format':<9} {type(data).__name__}")
    return report(data, Path(folder).resolve().stem)


def recognize(path: Path) -> VisionData:
    """The data set of lightning_cv that reads a folder of this layout.

    Raises:
        UserError: none does.
    """
    if path.suffix in (".yaml", ".yml") or (path / "data.yaml").is_file():
        return Yolo(str(path))
    if (path / "ImageSets" / "Main").is_dir():
        return Voc(str(path))
    parts = sorted(file.stem.removeprefix("instances_") for file in (path / "annotations").glob("instances_*.json"))
    if parts:
        train = next((part for part in parts if part.startswith("train")), parts[0])
        val = next((part for part in parts if part.startswith("val")), train)
        return Coco(str(path), train=train, val=val)
    if path.is_dir() and any(child.is_dir() for child in path.iterdir()):
        return ImageFolder(str(path))
    raise UserError(
        f"inspect: {path} is no data set that is read; allowed: COCO (annotations/instances_<part>.json), Pascal VOC "
        "(ImageSets/Main), YOLO (data.yaml), a folder of class folders"
    )


def report(data: VisionData, name: str) -> int:
    """Print what data hold, and draw some images; returns the exit status."""
    told: set[str] = set()
    for part in _PARTS:
        split = data.split(part)
        print("\n".join(_report(part, split)))
        problems = getattr(getattr(split, "annotations", None), "problems", ())
        new = [str(problem) for problem in problems if str(problem) not in told]
        told |= set(new)
        print("\n".join([*(f"problem   {line}" for line in new[:_PRINTED]), *_more(new)]), end="\n" if new else "")
    file = Path(f"{name}_data.png")
    _picture(data.split(Stage.TRAIN), f"{name}, train").save(file)
    print(f"picture   {file}")
    return 0


def _more(problems: list[str]) -> list[str]:
    return [f"problem   ... and {len(problems) - _PRINTED} more"] if len(problems) > _PRINTED else []


def _report(part: Stage, split: Split) -> list[str]:
    """Lines about one part: images, classes, sizes of objects."""
    classes: Counter[int] = Counter()
    sizes: list[Tensor] = []
    empty = crowds = unreadable = read = 0
    objects_there = False
    for target in _targets(split):
        read += 1
        if target is None:
            unreadable += 1
        elif isinstance(target, Objects):
            objects_there = True
            plain = target.select(~target.crowd)
            classes.update(plain.labels.tolist())
            sizes.append((plain.boxes[:, 2:] - plain.boxes[:, :2]).prod(1).sqrt())
            empty += not len(plain)
            crowds += int(target.crowd.sum())
        elif target.ndim == 0:
            classes[int(target)] += 1
        else:
            classes.update(target.nonzero()[:, 0].tolist())
    of = f", of which {read:,} were read" if read < len(split) else ""
    lines = [f"{part:<9} {len(split):,} images{of}" + (f", {unreadable} of them unreadable" if unreadable else "")]
    if objects_there:
        side = torch.cat(sizes)
        quarters = side.quantile(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).tolist() if len(side) else []
        shown = ", ".join(f"{value:.0f}" for value in quarters)
        lines.append(f"{'':<9} {sum(classes.values()):,} objects, {crowds} crowds, {empty} images without objects")
        lines.append(f"{'':<9} sides in pixels (least, quarters, largest): {shown or 'none'}")
    counts = ", ".join(f"{name} {classes[label]:,}" for label, name in enumerate(split.class_names))
    return [*lines, f"{'':<9} {counts}"]


def _targets(split: Split) -> Iterator[Any]:
    """What is on each image; None: it cannot be read."""
    for index in range(min(len(split), _READ)):
        try:
            yield split[index][1]
        except UnreadableImageError:
            yield None


def _picture(split: Split, title: str) -> Any:
    names = readable_names(split.class_names)
    tiles: list[Tile] = []
    for index in range(len(split)):
        if len(tiles) == _DRAWN:
            break
        try:
            image, target = split[index]
        except UnreadableImageError:
            continue
        shapes = _shapes(target, names) if isinstance(target, Objects) else []
        drawn = torch.from_numpy(np.array(draw_objects(image, shapes))).permute(2, 0, 1)
        caption = [Caption("objects", str(len(shapes)), GOOD if shapes else PLAIN)]
        if isinstance(target, Tensor) and target.ndim == 0:
            caption = [Caption("label", names[int(target)], GOOD)]
        tiles.append(Tile(drawn, caption, split.name(index)))
    return grid_picture(tiles, title, side_px=SIDE_PX)


def _shapes(objects: Objects, names: list[str]) -> list[Shape]:
    shapes = []
    for row, (box, label) in enumerate(zip(objects.boxes.tolist(), objects.labels.tolist(), strict=True)):
        mask = None if objects.masks is None else objects.masks[row].bool().numpy()
        points = () if objects.keypoints is None else [(x, y) for x, y, v in objects.keypoints[row].tolist() if v > 0]
        crowd = " (crowd)" if objects.crowd[row] else ""
        shapes.append(Shape(tuple(box), names[label] + crowd, THERE, mask, points))
    return shapes
