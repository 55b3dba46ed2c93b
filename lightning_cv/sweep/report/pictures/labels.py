"""Where does a label stand beside its point so that neither another label nor a point is covered?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lightning_cv.sweep.report.pictures.style import INK, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels

_GAP = 6.0  # points between the middle of a mark and its label
_POINT = 3.0  # points, half the side of a mark
_LETTER = 0.62  # width of a digit, of the font's size
_PLACES = ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))  # sides of the point, tried in turn


def label_points(
    figure: Figure, axes: Axes, labels: Mapping[str, Sequence[float]], *, others: Iterable[Sequence[float]] = ()
) -> None:
    """Write each label beside its point; one that finds no free place is left out."""
    figure.draw_without_rendering()  # so that the axes have their place
    pixel = figure.dpi / 72
    points = [axes.transData.transform(point) for point in (*labels.values(), *others)]
    taken: list[_Box] = [
        (x - _POINT * pixel, y - _POINT * pixel, x + _POINT * pixel, y + _POINT * pixel) for x, y in points
    ]
    frame = axes.bbox.extents
    for text, point in labels.items():
        x, y = axes.transData.transform(point)
        width, height = len(text) * _LETTER * SMALL * pixel, SMALL * pixel
        for right, up in _PLACES:
            left = x + right * _GAP * pixel - (width if right < 0 else 0 if right else width / 2)
            low = y + up * _GAP * pixel - (height if up < 0 else 0 if up else height / 2)
            box = (left, low, left + width, low + height)
            inside = frame[0] <= box[0] and box[2] <= frame[2] and frame[1] <= box[1] and box[3] <= frame[3]
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                x_text, y_text = axes.transData.inverted().transform((left + width / 2, low + height / 2))
                axes.text(x_text, y_text, text, ha="center", va="center", fontsize=SMALL, color=INK, zorder=6)
                break


def _overlap(box: _Box, other: _Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
