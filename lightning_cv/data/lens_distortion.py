"""What would a picture look like through another lens?"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from lightning_cv.errors import UserError


class RandomLensDistortion(v2.Transform):
    """Barrel and pincushion distortion: a pixel at radius r shows what was at r (1 + k r²) (row 39; Brown 1966).

    Radii are shares of half the diagonal, so that a corner has r = 1; the centre stays. k is uniform in
    [-strength, strength]; above 0 the picture is squeezed (barrel), below 0 stretched (pincushion). What comes from
    outside is black. Masks are distorted with their image, by the nearest pixel.

    Args:
        strength: largest magnitude of k, 0 to below 1/3: there the edge would fold over.
        p: probability that an image is changed, in [0, 1].

    Raises:
        UserError: a value outside its range; boxes or keypoints, which it does not move.
    """

    def __init__(self, strength: float = 0.2, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= strength < 1 / 3:
            raise UserError(f"RandomLensDistortion strength: {strength} given, allowed: 0 to below 1/3")
        if not 0 <= p <= 1:
            raise UserError(f"RandomLensDistortion p: {p} given, allowed: 0 to 1")
        self.strength = strength
        self.p = p

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """k of all that belongs together; 0 where nothing is changed."""
        changed = torch.rand(()) < self.p
        return {"k": float(torch.empty(()).uniform_(-self.strength, self.strength)) if changed else 0.0}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Distort one image or mask."""
        if isinstance(inpt, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
            raise UserError("RandomLensDistortion: boxes and keypoints are not moved; allowed: images and masks")
        if not params["k"] or not isinstance(inpt, Tensor):
            return inpt
        mode = "nearest" if isinstance(inpt, tv_tensors.Mask) else "bilinear"
        return tv_tensors.wrap(distort(inpt.as_subclass(Tensor), params["k"], mode=mode), like=inpt)


def distort(images: Tensor, k: float, *, mode: str = "bilinear") -> Tensor:
    """Distort images (..., C, H, W) of any dtype: what is seen at radius r was at r (1 + k r²).

    Args:
        images: (..., C, H, W).
        k: 0 changes nothing.
        mode: how between pixels, "bilinear" or "nearest".
    """
    height, width = images.shape[-2:]
    y = torch.arange(height, dtype=torch.float32, device=images.device) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float32, device=images.device) - (width - 1) / 2
    half_diagonal_squared = max(((height - 1) / 2) ** 2 + ((width - 1) / 2) ** 2, 1e-12)
    factor = 1 + k * (y[:, None] ** 2 + x**2) / half_diagonal_squared
    across, down = max((width - 1) / 2, 1e-6), max((height - 1) / 2, 1e-6)
    places = torch.stack([x * factor / across, y[:, None] * factor / down], dim=-1)
    flat = images.reshape(-1, 1, height, width)
    values = flat if flat.is_floating_point() else flat.float()
    grid = places.to(values.dtype).expand(len(flat), -1, -1, -1)
    moved = F.grid_sample(values, grid, mode=mode, padding_mode="zeros", align_corners=True)
    if not images.is_floating_point():
        moved = moved.round()
    return moved.to(images.dtype).view(images.shape)
