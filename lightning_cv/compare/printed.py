"""How is a comparison printed so that it can be read at any width of a terminal?"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.report import HEADER, GroupTable, group_tables, remarks
from lightning_cv.compare.table import Column, Table

_GAP = 2
_WIDEST = 28  # of one value where runs are columns; longer ones are folded


def print_comparison(console: Console, comparison: Comparison, table: Table, *, all_keys: bool = False) -> None:
    """Print the table of runs, that of the groups and the remarks.

    Runs are columns where that fits the console's width, else rows; then what does not fit beside each other
    follows below, with the runs named again.
    """
    columns = table.shown(all_keys=all_keys)
    if _width_as_columns(table, columns) <= console.width:
        console.print(_runs_as_columns(table, columns))
    else:
        for number, block in enumerate(_blocks(table, columns, console.width)):
            if number:
                console.print()
            console.print(_runs_as_rows(table, block))
    for groups in group_tables(comparison):
        console.print()
        print_groups(console, groups)
    console.print()
    for line in remarks(comparison, all_keys=all_keys):
        style = "bold" if line.startswith("no difference:") else ("yellow" if "but they differ" in line else "dim")
        console.print(Text(line, style=style))


def print_groups(console: Console, groups: GroupTable) -> None:
    """Print the table of the groups for one metric."""
    grid = _grid()
    for title in (groups.metric, *HEADER[1:]):
        grid.add_column(title, overflow="fold", justify="right" if title == "seeds" else "left")
    for *cells, verdict in groups.rows:
        grid.add_row(*cells, Text(verdict, style={"better": "green", "worse": "red"}.get(verdict, "")))
    console.print(grid)


def _grid() -> Grid:
    return Grid(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_edge=False)


def _runs_as_columns(table: Table, columns: Sequence[Column]) -> Grid:
    grid = _grid()
    grid.add_column("")
    for label in table.labels:
        grid.add_column(label, overflow="fold", max_width=_WIDEST, justify="right")
    for column in columns:
        grid.add_row(Text(column.label, style="dim"), *_cells(column))
    return grid


def _runs_as_rows(table: Table, columns: Sequence[Column]) -> Grid:
    grid = _grid()
    grid.add_column("run", overflow="fold", style="bold")
    for column in columns:
        grid.add_column(column.label, overflow="fold", justify="right")
    for label, cells in zip(table.labels, zip(*map(_cells, columns), strict=True), strict=True):
        grid.add_row(label, *cells)
    return grid


def _cells(column: Column) -> list[Text]:
    return [Text(text, style="green" if index == column.best else "") for index, text in enumerate(column.texts)]


def _width_as_columns(table: Table, columns: Sequence[Column]) -> int:
    names = max(cell_len(column.label) for column in columns)
    runs = zip(table.labels, zip(*(column.texts for column in columns), strict=True), strict=True)
    return names + sum(min(_WIDEST, max(map(cell_len, (label, *texts)))) + _GAP for label, texts in runs)


def _blocks(table: Table, columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Columns that fit beside the runs' names, taken in order."""
    first = max(map(cell_len, ("run", *table.labels)))
    blocks: list[list[Column]] = []
    left = 0
    for column in columns:
        needed = max(map(cell_len, (column.label, *column.texts))) + _GAP
        if not blocks or needed > left:
            blocks.append([])
            left = width - first
        blocks[-1].append(column)
        left -= needed
    return blocks
