"""With which weights does a network start, whatever its author chose?"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from lightning_cv.errors import UserError

Scheme = Literal["zeros", "normal", "xavier", "glorot", "kaiming", "orthogonal"]


@dataclass(frozen=True)
class Touched:
    """What an initialization changed, and what it left as it was.

    Args:
        drawn: how many layers of each kind have new weights.
        zeroed: how many residual branches start at zero.
        left: how many modules of each kind have parameters that stay.
    """

    drawn: Counter[str] = field(default_factory=Counter)
    zeroed: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = [_listed(self.drawn) or "no layer"]
        if self.zeroed:
            parts.append(f"{self.zeroed} residual branches start at zero")
        if self.left:
            parts.append(f"as they were: {_listed(self.left)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Initialize:
    """Draws the weights of all linear and convolutional layers anew; their biases become 0 (rows 45 to 50).

    D_in is what one output sums over: input features, for a convolution K² C_in / groups.

    * `xavier`: deviation 1 / √D_in, as the course writes it (LeCun et al. 1998); keeps the variance where the
      activation is linear near 0;
    * `glorot`: √(2 / (D_in + D_out)), which torch calls Xavier (Glorot and Bengio 2010);
    * `kaiming`: √(2 / D_in), for ReLU (He et al. 2015);
    * `normal`: `std`; `orthogonal`: of the layer as a matrix (Saxe et al. 2014); `zeros`: no symmetry is broken, and
      nothing learns.

    Args:
        scheme: one of the above; None: weights stay, for `zero_residual` alone.
        std: deviation for `normal`, above 0.
        zero_residual: the last layer of each residual branch starts at 0, its norm's scale where there is one: the
            block is the identity at first, and the variance does not grow with depth (row 50).

    Raises:
        UserError: an unknown scheme, a deviation that is not above 0, or no residual branch to be zeroed.
    """

    scheme: Scheme | None = "kaiming"
    std: float = 0.01
    zero_residual: bool = False

    def __post_init__(self) -> None:
        if self.scheme is not None and self.scheme not in get_args(Scheme):
            raise UserError(f"init: scheme is {self.scheme}; allowed: {', '.join(get_args(Scheme))}, null")
        if not self.std > 0:
            raise UserError(f"init: std is {self.std}; allowed: above 0")

    def __call__(self, network: nn.Module) -> Touched:
        """Change a network in place, drawing from torch's default generator; says what was changed."""
        drawn: Counter[str] = Counter()
        left: Counter[str] = Counter()
        for module in network.modules():
            if self.scheme is not None and isinstance(module, nn.Linear | _ConvNd):
                self._draw(module)
                drawn[type(module).__name__] += 1
            elif any(True for _ in module.parameters(recurse=False)):
                left[type(module).__name__] += 1
        zeroed = sum(_zero_branch(module) for module in network.modules()) if self.zero_residual else 0
        if self.zero_residual and not zeroed:
            name = type(network).__name__
            raise UserError(f"init: zero_residual is true, but {name} has no residual branch that is known")
        return Touched(drawn, zeroed, left)

    @torch.no_grad()
    def _draw(self, layer: nn.Linear | _ConvNd) -> None:
        weight, inputs = layer.weight, layer.weight[0].numel()
        outputs = layer.weight.shape[0] * layer.weight[0, 0].numel()
        deviation = {
            "normal": self.std,
            "xavier": math.sqrt(1 / inputs),
            "glorot": math.sqrt(2 / (inputs + outputs)),
            "kaiming": math.sqrt(2 / inputs),
        }
        if self.scheme == "zeros":
            nn.init.zeros_(weight)
        elif self.scheme == "orthogonal":
            nn.init.orthogonal_(weight)
        else:
            nn.init.normal_(weight, std=deviation[str(self.scheme)])
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _zero_branch(module: nn.Module) -> bool:
    """Let the residual branch of a block start at zero; says whether the module is a block that is known.

    Known are blocks with timm's method `zero_init_last`, and those of torchvision and of ours, whose branch ends in
    `bn3`, `bn2` or `norm2`.
    """
    own = getattr(module, "zero_init_last", None)
    if callable(own):
        own()
        return True
    if not hasattr(module, "conv2") or not (hasattr(module, "downsample") or hasattr(module, "shortcut")):
        return False
    for name in ("bn3", "norm3", "bn2", "norm2"):
        norm = getattr(module, name, None)
        if isinstance(norm, _BatchNorm | nn.GroupNorm) and norm.weight is not None:
            nn.init.zeros_(norm.weight)
            return True
    return False


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())
