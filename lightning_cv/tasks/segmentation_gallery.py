"""What does a person look at to judge a segmentation?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.contracts import IGNORED, IMAGE, INDEX, SIZE
from lightning_cv.pictures import Caption, Tile, grid_picture, readable_names, show_images
from lightning_cv.pictures.grid import BAD, GOOD
from lightning_cv.pictures.mosaic import Mosaic, numbered
from lightning_cv.pictures.objects import SIDE_PX, plain
from lightning_cv.pictures.pixels import below, beside, lay_over, legend

if TYPE_CHECKING:
    from lightning_cv.contracts import Batch, Showing

_GOOD = 0.9  # share of right pixels from which the caption is green


@dataclass(frozen=True)
class _Judged:
    """An image and the classes of its pixels.

    Args:
        index: of the sample.
        right: share of the known pixels whose class was found.
        image: (1 or 3, h, w) uint8.
        there: classes and segments, (2, h, w) int64; segments are classes where there are none.
        found: the same.
    """

    index: int
    right: float
    image: Tensor
    there: Tensor
    found: Tensor


class WrongPixels:
    """The images of which the largest share is wrong: what is there, and what was found.

    Two pictures: `segmentation` with the classes laid over the images, and `overlays`, the same images plain, with the
    classes as masks that a tracker draws and lets a person switch on and off.
    """

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._kept: list[_Judged] = []
        self._counts = [0, 0, 0]  # images, pixels, right pixels

    def add(self, batch: Batch, outputs: Mapping[str, Any]) -> None:
        """Keep the images with most wrong so far; equal ones in the order of the samples."""
        info = self._showing.info
        rows = zip(
            batch[INDEX].tolist(),
            batch[IMAGE],
            batch[SIZE].tolist(),
            outputs["predictions"],
            outputs["targets"],
            strict=True,
        )
        for index, image, (height, width), *said in rows:
            found, there = map(_maps, said)
            known = there[0] != IGNORED
            pixels, right = int(known.sum()), int(((found[0] == there[0]) & known).sum())
            self._counts = [a + b for a, b in zip(self._counts, (1, pixels, right), strict=True)]
            share = right / pixels if pixels else 1.0
            if len(self._kept) >= self._showing.num_images and share >= self._kept[-1].right:
                continue
            shown = show_images(image[None, :, :height, :width], info.mean, info.std, side_px=SIDE_PX)[0]
            size = (shown.shape[-2], shown.shape[-1])
            maps = (_small(there, size).cpu(), _small(found, size).cpu())
            self._kept.append(_Judged(index, share, shown.cpu(), *maps))
            self._kept = _worst(self._kept, self._showing.num_images)

    def take(self) -> dict[str, Any]:
        """How many pixels there were and were right, and the images that are kept."""
        return {"counts": self._counts, "kept": self._kept}

    def draw(self, taken: Sequence[dict[str, Any]]) -> dict[str, Image.Image]:
        """The pictures `segmentation` and `overlays`."""
        unique = {judged.index: judged for part in taken for judged in part["kept"]}
        judged = _worst(unique.values(), self._showing.num_images)
        images, pixels, right = (sum(part["counts"][n] for part in taken) for n in range(3))
        if not judged:
            return {}
        info = self._showing.info
        assert info.pixels is not None, "the data have classes of pixels"
        names, colors = readable_names(info.class_names), info.pixels.colors
        tiles = [self._tile(each) for each in judged]
        share = f"{right / pixels:.2%} of the pixels right" if pixels else "no known pixel"
        title = f"{self._showing.title}: {share} on {images} images; left there, right found"
        picture = grid_picture(tiles, title, side_px=2 * SIDE_PX + 4)
        return {
            "segmentation": below(picture, legend(names, colors, picture.width)),
            "overlays": _mosaic(judged, names),
        }

    def _tile(self, judged: _Judged) -> Tile:
        assert self._showing.info.pixels is not None
        colors = self._showing.info.pixels.colors
        maps = [each.numpy() for each in (judged.there, judged.found)]
        pair = [lay_over(judged.image, m[0], colors, side_px=SIDE_PX, edges=m[1]) for m in maps]
        drawn = torch.from_numpy(np.array(beside(pair))).permute(2, 0, 1)
        caption = Caption("right", f"{judged.right:.1%}", GOOD if judged.right >= _GOOD else BAD)
        return Tile(drawn, [caption], self._showing.sample_name(judged.index))


def _worst(judged: Any, number: int) -> list[_Judged]:
    return sorted(judged, key=lambda each: (each.right, each.index))[:number]


def _maps(said: Any) -> Tensor:
    """(2, H, W) int64: classes and segments, of either kind of segmentation."""
    if isinstance(said, Tensor):
        return torch.stack([said, said])
    return torch.stack([said.classes.long(), said.segments.long()])


def _small(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (2, H, W) at the size of a picture: those of the pixels that lie there."""
    return F.interpolate(maps[None].double(), size, mode="nearest-exact")[0].long()


def _mosaic(judged: Sequence[_Judged], names: Sequence[str]) -> Image.Image:
    """The images side by side, and in the text of the file the classes of their pixels."""
    pictures = [plain(each.image) for each in judged]
    mosaic = Mosaic(pictures, SIDE_PX)
    masks = {"predictions": mosaic.empty_mask(), "ground_truth": mosaic.empty_mask()}
    for each, picture, (left, top) in zip(judged, pictures, mosaic.corners(len(judged)), strict=True):
        for mask, classes in zip(masks.values(), (each.found, each.there), strict=True):
            fitted = Image.fromarray(numbered(classes[0].numpy())).resize(picture.size, Image.Resampling.NEAREST)
            mask[top : top + picture.height, left : left + picture.width] = np.asarray(fitted)
    return mosaic.finished(names, boxes={}, masks=masks)
