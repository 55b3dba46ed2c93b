"""Which codes of a book are used, and how often?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from lightning_cv.pictures.text import readable

_WIDTH_INCHES, _HEIGHT_INCHES = 8.0, 2.4  # of a grid


def code_use_picture(counts: Sequence[Tensor], title: str = "") -> Image.Image:
    """The share of each code as a bar, the most frequent first; the coarsest grid above.

    Beside each are the perplexity, exp of the entropy of the shares, and how many codes occur: a book of which few are
    used has collapsed.

    Args:
        counts: of each grid, (K,) whole numbers: how often each code occurs.
        title: written above.
    """
    # matplotlib takes a third of a second to load: only where a picture is drawn.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = _HEIGHT_INCHES * len(counts) + 0.5
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained", dpi=100)
    canvas = FigureCanvasAgg(figure)
    for place, (axes, grid) in enumerate(zip(figure.subplots(len(counts), squeeze=False)[:, 0], counts, strict=True)):
        shares = _shares(grid)
        axes.bar(range(len(shares)), shares.tolist(), width=1.0, color="#6baed6")
        axes.axhline(1 / len(shares), color="grey", linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.5, len(shares) - 0.5), xlabel="codes, the most frequent first", ylabel="share")
        axes.set_title(_said(shares, place if len(counts) > 1 else None), fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(readable(title), fontsize=11, parse_math=False)
    canvas.draw()
    return Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")


def _shares(counts: Tensor) -> Tensor:
    ordered = counts.cpu().double().sort(descending=True).values
    return ordered / ordered.sum().clamp(min=1)


def _said(shares: Tensor, place: int | None) -> str:
    perplexity = math.exp(float(torch.special.entr(shares).sum()))
    grid = "" if place is None else f"grid {place}{' (the coarsest)' if place == 0 else ''}: "
    used = int((shares > 0).sum())
    return f"{grid}{used} of {len(shares)} codes used, perplexity {perplexity:.1f}; dotted: all alike"
