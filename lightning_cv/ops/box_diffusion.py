"""How are boxes noised, and how does a guess of the clean ones lead to less noisy ones?"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import box_convert


class BoxDiffusion:
    """The diffusion of boxes (Chen et al. 2023, sections 3.1 and 3.4; the cosine schedule of Nichol and Dhariwal 2021).

    A box, as middle and size in shares of the image, becomes a signal in [-scale, scale]; at time t it is
    sqrt(a_t) signal + sqrt(1 - a_t) noise, with a_0 near 1 and a_{T-1} near 0: pure N(0, 1) noise.

    Args:
        num_times: T.
        scale: of the signal against the noise.
    """

    def __init__(self, num_times: int = 1000, scale: float = 2.0) -> None:
        self.num_times = num_times
        self.scale = scale
        t = torch.arange(num_times + 1, dtype=torch.float64) / num_times
        kept = torch.cos((t + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - kept[1:] / kept[:-1]).clamp(max=0.999)
        self.kept = (1 - betas).cumprod(0)  # a_t, (T,) float64

    def noised(self, boxes: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Corners of boxes after time t.

        Args:
            boxes: (n, 4) corners as shares of the image.
            times: () or (n,) int64 in [0, T).
            noise: (n, 4), N(0, 1).

        Returns:
            (n, 4) corners as shares of the image.
        """
        return self.boxes_of(self._mixed(self.signal_of(boxes), times, noise))

    def step(self, signal: Tensor, boxes: Tensor, time: int, next_time: int) -> Tensor:
        """One step of DDIM without noise of its own (Song et al. 2021, eq. 12): from `time` to `next_time`.

        Args:
            signal: (n, 4) noisy signals.
            boxes: (n, 4) corners that are believed to be the clean ones.
            time: now.
            next_time: below; -1: the end, where the clean ones are returned.

        Returns:
            (n, 4) signals.
        """
        clean = self.signal_of(boxes)
        if next_time < 0:
            return clean
        now, then = self.kept[time], self.kept[next_time]
        noise = (signal - float(now.sqrt()) * clean) / float((1 - now).sqrt())
        return float(then.sqrt()) * clean + float((1 - then).sqrt()) * noise

    def signal_of(self, boxes: Tensor) -> Tensor:
        """Signals of corners as shares of the image."""
        return (box_convert(boxes, "xyxy", "cxcywh") * 2 - 1) * self.scale

    def boxes_of(self, signal: Tensor) -> Tensor:
        """Corners as shares of the image, of signals that are cut off at the scale."""
        shares = (signal.clamp(-self.scale, self.scale) / self.scale + 1) / 2
        return box_convert(shares, "cxcywh", "xyxy")

    def _mixed(self, signal: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        kept = self.kept.to(signal.device)[times].to(signal.dtype)
        kept = kept[:, None] if kept.ndim else kept
        return kept.sqrt() * signal + (1 - kept).sqrt() * noise
