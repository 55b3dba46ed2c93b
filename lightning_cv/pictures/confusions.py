"""How does one see which classes are taken for which, of two classes or of a thousand?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lightning_cv.pictures.text import readable, readable_names, shorten_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LABELLED = 30  # classes whose names and counts are written into the matrix
NUM_LISTED = 25  # confusions that are listed beside a matrix of more classes
MAX_CELLS = 200  # of a side of the matrix
NAME_LETTERS = 28


def confusions_picture(counts: Tensor, class_names: Sequence[str], title: str = "") -> Image.Image:
    """Draw the counts as shares of each row, dark for many.

    Up to 30 classes have their names and counts in the matrix. Of more, names would be unreadable: the most
    frequent confusions stand in a list beside it.

    Args:
        counts: (C, C) whole numbers; rows are labels, columns predictions.
        class_names: C names.
        title: written above.
    """
    # matplotlib takes a third of a second to load: only where a picture is drawn.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = shorten_all(readable_names(class_names), NAME_LETTERS)
    counts = counts.cpu().double()
    few = len(names) <= MAX_LABELLED
    side = 4.5 + 0.35 * len(names)
    figure = Figure(figsize=(side, side) if few else (15, 8), layout="constrained", dpi=100)
    canvas = FigureCanvasAgg(figure)
    if few:
        axes = figure.add_subplot()
        _matrix(figure, axes, _shares(counts), gamma=1.0)
        _label(axes, counts, names)
    else:
        axes, listed = figure.subplots(1, 2)
        # No number says how dark a cell is: the small shares are darkened.
        _matrix(figure, axes, _shares(counts), gamma=0.5)
        _list(listed, counts, names)
    if title:
        figure.suptitle(readable(title), fontsize=11, parse_math=False)
    canvas.draw()
    return Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")


def _shares(counts: Tensor) -> Tensor:
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


def _matrix(figure: Figure, axes: Axes, shares: Tensor, *, gamma: float) -> None:
    """The shares as an image; of very many classes the largest share of each block, since a cell has no pixel."""
    from matplotlib.colors import PowerNorm

    count = len(shares)
    block = math.ceil(count / MAX_CELLS)
    cells = F.max_pool2d(shares[None], block, ceil_mode=True)[0]
    end = len(cells) * block - 0.5
    norm = PowerNorm(gamma, vmin=0, vmax=1)
    image = axes.imshow(cells.numpy(), cmap="Blues", norm=norm, extent=(-0.5, end, end, -0.5), interpolation="nearest")
    axes.set(xlabel="predicted", ylabel="label", xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
    what = "share of the label" if block == 1 else f"share of the label, largest of {block} × {block} classes"
    figure.colorbar(image, ax=axes, label=what, shrink=0.8)


def _label(axes: Axes, counts: Tensor, names: Sequence[str]) -> None:
    shares = _shares(counts)
    # A dollar sign in a name would begin a formula.
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    for row, column in counts.nonzero().tolist():
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{int(counts[row, column])}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=8)


def _list(axes: Axes, counts: Tensor, names: Sequence[str]) -> None:
    """The most frequent confusions as bars, from the top; equal ones in the order of their labels."""
    wrong = counts.clone().fill_diagonal_(0)
    values, cells = wrong.flatten().sort(descending=True, stable=True)
    cells = cells[:NUM_LISTED][values[:NUM_LISTED] > 0]
    pairs = [divmod(int(cell), len(names)) for cell in cells]
    heights = [float(wrong[pair]) for pair in pairs]
    axes.barh(range(len(pairs)), heights, color="#c6dbef")
    axes.set_yticks(range(len(pairs)), [f"{names[a]} → {names[b]}" for a, b in pairs], parse_math=False)
    axes.set_ylim(NUM_LISTED - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_title("label → predicted, most frequent confusions in images" if pairs else "no confusions", fontsize=10)
    for place, ((label, _), height) in enumerate(zip(pairs, heights, strict=True)):
        share = height / float(counts[label].sum())
        axes.text(0, place, f" {int(height)} ({share:.0%} of the label)", va="center", fontsize=8)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
