"""Which way do the edges of an image run, cell by cell?"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError


class Hog(nn.Module):
    """Histograms of oriented gradients, by scikit-image (row 14; Dalal and Triggs 2005).

    Each cell counts the directions of its gradients, weighed by their size; cells are normalized in overlapping
    blocks (L2-Hys). A window of 64 x 128 pixels has 3,780 of these features. A constant added to the image changes
    nothing. They are computed on the CPU, wherever the images are, and have no gradient.

    Args:
        image: (C, H, W) of the images; of several channels the one with the largest gradient counts in each pixel.
        cell_px: side of a cell in pixels, 1 or more.
        block: side of a block in cells, 1 or more.
        directions: bins between 0 and 180 degrees, 1 or more.

    Raises:
        UserError: a value below 1, or an image smaller than a block.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        cell_px: int = 4,
        block: int = 2,
        directions: int = 9,
    ) -> None:
        super().__init__()
        for name, value in (("cell_px", cell_px), ("block", block), ("directions", directions)):
            if value < 1:
                raise UserError(f"Hog: {name} is {value}; allowed: 1 or more")
        _, height, width = self.image = tuple(image)
        across = [side // cell_px - block + 1 for side in (height, width)]
        if min(across) < 1:
            least = cell_px * block
            raise UserError(
                f"Hog: image is {list(image)}; allowed: height and width of a block, {least} pixels, or more"
            )
        self.cell_px = cell_px
        self.block = block
        self.directions = directions
        self.num_features = across[0] * across[1] * block * block * directions

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to (B, num_features), each in [0, 1]."""
        from skimage.feature import hog  # late: most networks need no scikit-image

        if images.shape[1:] != self.image:
            raise UserError(f"Hog: images are {tuple(images.shape[1:])}; allowed: image: {list(self.image)} as set")
        found = [
            hog(
                image,
                orientations=self.directions,
                pixels_per_cell=(self.cell_px, self.cell_px),
                cells_per_block=(self.block, self.block),
                block_norm="L2-Hys",
                channel_axis=0,
            )
            for image in images.detach().float().cpu().numpy()
        ]
        return torch.stack([torch.from_numpy(vector) for vector in found]).to(images)
