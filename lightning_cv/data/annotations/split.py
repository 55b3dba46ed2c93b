"""How do checked annotations become images with objects?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor

from lightning_cv.contracts import KeypointSet, Objects
from lightning_cv.data.annotations.checks import encoded_mask
from lightning_cv.data.annotations.raw import AnnotatedImage, Annotations, RawObject
from lightning_cv.data.decode import read_image
from lightning_cv.data.splits import UnreadableImageError


class AnnotatedSplit:
    """A split of image files with objects, read when asked for.

    Args:
        annotations: checked.
        channels: 3 for RGB, 1 for grey.
        masks: give masks.
        only_with_objects: leave out images without objects that are to be found.
    """

    def __init__(
        self, annotations: Annotations, channels: int, *, masks: bool = False, only_with_objects: bool = False
    ) -> None:
        self.annotations = annotations
        self.keypoints: KeypointSet | None = annotations.keypoints
        self.category_ids = annotations.category_ids
        self.images = [
            image
            for image in annotations.images
            if not only_with_objects or any(not raw.crowd for raw in image.objects)
        ]
        self._channels = channels
        self._masks = masks

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the labels."""
        return self.annotations.class_names

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Objects]:
        annotated = self.images[index]
        image = read_image(Path(annotated.path), self._channels)
        size = (image.shape[-2], image.shape[-1])
        if annotated.size is not None and annotated.size != size:
            given = "{} x {}".format(*annotated.size)
            raise UnreadableImageError(annotated.path, f"it is {size[0]} x {size[1]}, its annotations are for {given}")
        return image, self._objects(annotated, size)

    def name(self, index: int) -> str:
        """The path of the file."""
        return self.images[index].path

    def _objects(self, annotated: AnnotatedImage, size: tuple[int, int]) -> Objects:
        raws = [raw for raw in annotated.objects if raw.keypoints is not None or self.keypoints is None or raw.crowd]
        boxes = torch.tensor([raw.box for raw in raws], dtype=torch.float32).view(-1, 4)
        if annotated.in_shares:
            boxes *= torch.tensor([size[1], size[0], size[1], size[0]])
        sides = boxes[:, 2:] - boxes[:, :2]
        stated = [raw.area for raw in raws]
        areas = [float(side.prod()) if area is None else area for area, side in zip(stated, sides, strict=True)]
        return Objects(
            boxes,
            torch.tensor([raw.label for raw in raws], dtype=torch.int64),
            torch.tensor([raw.crowd for raw in raws], dtype=torch.bool),
            torch.tensor(areas, dtype=torch.float32),
            self._mask_tensor(raws, size) if self._masks else None,
            self._keypoint_tensor(raws) if self.keypoints is not None else None,
        )

    def _mask_tensor(self, raws: list[RawObject], size: tuple[int, int]) -> Tensor:
        if not raws:
            return torch.zeros(0, *size, dtype=torch.uint8)
        encoded = [encoded_mask(raw.segmentation, size) for raw in raws]
        return torch.from_numpy(np.ascontiguousarray(rle.decode(encoded).transpose(2, 0, 1)))

    def _keypoint_tensor(self, raws: list[RawObject]) -> Tensor:
        """(N, K, 3); pixels are counted by their middles, half a pixel from their corners."""
        assert self.keypoints is not None
        none = [0.0] * 3 * len(self.keypoints.names)
        points = torch.tensor([raw.keypoints if raw.keypoints is not None else none for raw in raws])
        points = points.float().view(-1, len(self.keypoints.names), 3)
        points[..., :2] += 0.5
        return points
