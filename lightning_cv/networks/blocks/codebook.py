"""Which of a few vectors stands for a vector, and how do these follow what they stand for?"""

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from lightning_cv.contracts import Draws
from lightning_cv.errors import UserError
from lightning_cv.ops.processes import rank_and_devices

_SMOOTHING = 1e-5  # of the counts, so that none is 0


@dataclass(frozen=True)
class Quantized:
    """Features that were rounded to the vectors of a book.

    Args:
        codes: (B, h, w) int64, which vector each is.
        vectors: (B, D, h, w) float32, these vectors; their gradient goes to the features as it is (row 244).
        commitment: (B,) float32, squared distance of the features to them, summed; its gradient moves the features.
    """

    codes: Tensor
    vectors: Tensor
    commitment: Tensor


class Codebook(nn.Module):
    """A vector quantizer whose book follows moving averages (van den Oord et al. 2017, section 3 and appendix A.1).

    Each vector is the average of the features that it has lately stood for: counts N and sums m decay by `decay` a
    training step, the vector is m / N with Laplace smoothing of N (equations 6 to 8). One that has stood for nothing in
    `restart_after` steps becomes a feature of the batch, drawn at random (Dhariwal et al. 2020, section 3.2); at the
    first step so do all that are idle. Under distributed training all processes hold the book of their images together.

    Args:
        num_codes: K, vectors in the book.
        width: D of a vector.
        decay: of the averages in a step, in [0, 1).
        restart_after: steps, 1 or more.
    """

    vectors: Tensor  # (K, D)
    counts: Tensor  # (K,)
    sums: Tensor  # (K, D)
    idle: Tensor  # (K,) int64, training steps since each stood for something

    def __init__(self, num_codes: int, width: int, *, decay: float = 0.99, restart_after: int = 100) -> None:
        super().__init__()
        for name, value in (("num_codes", num_codes), ("width", width), ("restart_after", restart_after)):
            if value < 1:
                raise UserError(f"Codebook: {name} is {value}; allowed: 1 or more")
        if not 0 <= decay < 1:
            raise UserError(f"Codebook: decay is {decay}; allowed: 0 to below 1")
        self.decay = decay
        self.restart_after = restart_after
        self.register_buffer("vectors", torch.randn(num_codes, width))
        self.register_buffer("counts", torch.ones(num_codes))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("idle", torch.full((num_codes,), restart_after))

    def forward(self, features: Tensor) -> Quantized:
        """Round features (B, D, h, w) to the nearest vectors; the book stays as it is."""
        features = features.float()
        codes = self.nearest(features)
        vectors = self.look_up(codes)
        commitment = (features - vectors).square().flatten(1).sum(1)
        # What is added is 0, so that the vectors are those of the book to the last bit.
        return Quantized(codes, vectors + (features - features.detach()), commitment)

    @torch.no_grad()
    def nearest(self, features: Tensor) -> Tensor:
        """Codes (B, h, w) int64 in [0, K) of features (B, D, h, w); the first of equally near ones."""
        with torch.autocast(features.device.type, enabled=False):
            rows = features.detach().float().movedim(1, -1)
            # |f - e|^2 / 2, without what is the same for all e.
            distance = self.vectors.square().sum(1) / 2 - rows @ self.vectors.t()
        return distance.argmin(-1)

    def look_up(self, codes: Tensor) -> Tensor:
        """Vectors (B, D, h, w) float32 of codes (B, h, w)."""
        return self.vectors[codes].movedim(-1, 1)

    @torch.no_grad()
    def follow(self, features: Tensor, codes: Tensor, draws: Draws) -> None:
        """Move the book: a training step.

        Args:
            features: (B, D, h, w).
            codes: (B, h, w) int64, what they were rounded to.
            draws: for B images: which features idle vectors become.
        """
        rows = features.detach().float().movedim(1, -1).flatten(0, -2)
        counts, sums, offered = self._seen_by_all(rows, codes.flatten(), draws.uniform(*codes.shape[1:]).flatten())
        self.counts.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        self.idle.add_(1).masked_fill_(counts > 0, 0)
        dead = self.idle >= self.restart_after
        self.counts.masked_fill_(dead, 1)
        self.sums.copy_(torch.where(dead[:, None], offered, self.sums))
        self.idle.masked_fill_(dead, 0)
        total = self.counts.sum()
        smoothed = (self.counts + _SMOOTHING) / (total + len(self.counts) * _SMOOTHING) * total
        self.vectors.copy_(torch.where(dead[:, None], offered, self.sums / smoothed[:, None]))

    def _seen_by_all(self, rows: Tensor, codes: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts (K,), sums (K, D) and a feature for each vector to become (K, D), the same on all processes."""
        num_codes, width = self.vectors.shape
        rank, num_processes = rank_and_devices()
        number = torch.arange(num_codes, device=rows.device)
        offered = rows[uniform.argsort()[number % len(rows)]]
        told = rows.new_zeros(num_codes, 1 + 2 * width)
        told[:, 0].index_add_(0, codes, rows.new_ones(len(rows)))
        told[:, 1 : 1 + width].index_add_(0, codes, rows)
        # Each process offers its share, so that their sum is one feature each.
        told[:, 1 + width :] = torch.where((number % num_processes == rank)[:, None], offered, 0)
        if num_processes > 1:
            distributed.all_reduce(told)
        return told[:, 0], told[:, 1 : 1 + width], told[:, 1 + width :]
