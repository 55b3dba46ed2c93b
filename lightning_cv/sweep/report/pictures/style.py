"""What do the pictures of a study have in common: colours, marks, the frame?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_cv.sweep.definition.spec import Objective

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart by people with any form of colour blindness.
BLUE = "#0072B2"  # complete
ORANGE = "#E69F00"  # pruned
RED = "#D55E00"  # failed
GREEN = "#009E73"  # the best
GREY = "#8A8A8A"
INK = "#333333"

SMALL = 8.5  # points, of what stands beside the axes' names


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches that no window shows and no global state keeps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07, wspace=0.03))
    FigureCanvasAgg(figure)
    return figure


def frame(axes: Axes) -> None:
    """A quiet grid behind the data and no box around it."""
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """One legend in a line below the axes."""
    labels = [str(handle.get_label()) for handle in handles]
    figure.legend(
        handles=list(handles),
        labels=labels,
        loc="outside lower center",
        ncols=min(len(labels), max(1, int(figure.get_figwidth() * 12 // (max(map(len, labels)) + 6)))),
        fontsize=SMALL,
        frameon=False,
    )


def score_colors(objective: Objective) -> Colormap:
    """Bright is good, dark is bad."""
    from matplotlib import colormaps

    return colormaps["viridis" if objective.mode == "max" else "viridis_r"]


def number_colors() -> Colormap:
    """For the numbers of trials: without the brightest end, which is lost on white."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("trials", colormaps["viridis"]([place / 50 for place in range(46)]))
