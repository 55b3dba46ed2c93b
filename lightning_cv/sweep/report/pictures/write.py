"""Which pictures are there of a study, and in which files?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.record.atomic import write_atomically
from lightning_cv.sweep.engine.results import StudyResults
from lightning_cv.sweep.report.pictures.bars import draw_importance
from lightning_cv.sweep.report.pictures.curves import draw_curves
from lightning_cv.sweep.report.pictures.front import draw_front
from lightning_cv.sweep.report.pictures.heatmap import draw_heatmap
from lightning_cv.sweep.report.pictures.history import draw_history
from lightning_cv.sweep.report.pictures.slices import draw_slices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150

# By file; each is None where there is nothing to show.
PICTURES: dict[str, Callable[[StudyResults], Figure | None]] = {
    "history.png": draw_history,
    "importance.png": draw_importance,
    "slices.png": draw_slices,
    "heatmap.png": draw_heatmap,
    "curves.png": draw_curves,
    "front.png": draw_front,
}


def draw(results: StudyResults, folder: Path) -> list[Path]:
    """Write the pictures of a study into a folder, which is made; those that would show nothing are left out.

    Returns:
        The files that were written.

    Raises:
        UserError: one cannot be written.
    """
    written = []
    for name, draw_figure in PICTURES.items():
        figure = draw_figure(results)
        if figure is None:
            continue
        _write(figure, folder / name)
        written.append(folder / name)
    return written


def _write(figure: Figure, path: Path) -> None:
    try:
        write_atomically(path, lambda file: figure.savefig(file, dpi=DPI, format="png"))
    except OSError as error:
        raise UserError(f"{display_path(path)}: cannot be written ({error.strerror})") from error
