"""What do the data of a recipe hold, and what is wrong with them?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_cv.contracts import Objects, Pixels, PixelSet, Stage
from lightning_cv.data import Split, VisionData
from lightning_cv.data.splits import Target, UnreadableImageError, pixels_of
from lightning_cv.errors import UserError
from lightning_cv.pictures import Caption, Tile, grid_picture, readable_names
from lightning_cv.pictures.grid import GOOD, PLAIN
from lightning_cv.pictures.objects import SIDE_PX, THERE, Shape, draw_objects
from lightning_cv.pictures.pixels import below, lay_over, legend
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.request import RunRequest
from lightning_cv.run.build import build, check_recipe, print_if_asked
from lightning_cv.run.cli import RecipeCLI
from lightning_cv.run.data_tally import Tally
from lightning_cv.run.recognize_data import recognize

_PARTS = (Stage.TRAIN, Stage.VAL, Stage.TEST)
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


def report(data: VisionData, name: str) -> int:
    """Print what data hold, and draw some images; returns the exit status."""
    told: set[str] = set()
    for part in _PARTS:
        split = data.split(part)
        tally = Tally(split)
        print("\n".join(tally.lines(part)))
        problems = [*getattr(getattr(split, "annotations", None), "problems", ()), *tally.problems]
        new = [str(problem) for problem in problems if str(problem) not in told]
        told |= set(new)
        print("\n".join([*(f"problem   {line}" for line in new[:_PRINTED]), *_more(new)]), end="\n" if new else "")
    file = Path(f"{name}_data.png")
    _picture(data.split(Stage.TRAIN), f"{name}, train").save(file)
    print(f"picture   {file}")
    return 0


def _more(problems: list[str]) -> list[str]:
    return [f"problem   ... and {len(problems) - _PRINTED} more"] if len(problems) > _PRINTED else []


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
        picture, caption = _drawn(image, target, names, pixels_of(split))
        drawn = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        tiles.append(Tile(drawn, [] if caption is None else [caption], split.name(index)))
    grid = grid_picture(tiles, title, side_px=SIDE_PX)
    pixels = pixels_of(split)
    return grid if pixels is None else below(grid, legend(names, pixels.colors, grid.width))


def _drawn(
    image: Tensor, target: Target, names: list[str], pixels: PixelSet | None
) -> tuple[Image.Image, Caption | None]:
    """An image with what is on it, and what to say about it."""
    if isinstance(target, Pixels):
        assert pixels is not None
        classes = target.classes.numpy()
        edges = None if target.segments is None else target.segments.numpy()
        return lay_over(image, classes, pixels.colors, side_px=SIDE_PX, edges=edges), None
    shapes = _shapes(target, names) if isinstance(target, Objects) else []
    picture = draw_objects(image, shapes)
    if isinstance(target, Tensor) and target.ndim == 0:
        return picture, Caption("label", names[int(target)], GOOD)
    return picture, Caption("objects", str(len(shapes)), GOOD if shapes else PLAIN)


def _shapes(objects: Objects, names: list[str]) -> list[Shape]:
    shapes = []
    for row, (box, label) in enumerate(zip(objects.boxes.tolist(), objects.labels.tolist(), strict=True)):
        mask = None if objects.masks is None else objects.masks[row].bool().numpy()
        points = () if objects.keypoints is None else [(x, y) for x, y, v in objects.keypoints[row].tolist() if v > 0]
        crowd = " (crowd)" if objects.crowd[row] else ""
        shapes.append(Shape(tuple(box), names[label] + crowd, THERE, mask, points))
    return shapes
