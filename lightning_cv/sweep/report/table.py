"""How are trials printed as rows that can be read at any width of a terminal?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

_GAP = 2
_WIDEST = 28  # of one value; longer ones are folded
_TITLE = "bold"

_Lines = Sequence[str]  # of one cell


@dataclass(frozen=True)
class Row:
    """One trial.

    Args:
        cells: one text a column; the first names the trial, the second says its state.
        style: of the row, as rich names it.
        below: what stands in lines of its own below the row; empty: nothing.
    """

    cells: tuple[str, ...]
    style: str = ""
    below: str = ""


def print_rows(console: Console, titles: Sequence[str], rows: Sequence[Row]) -> None:
    """Print the rows; titles are stacked, and at last columns moved below with the trials named again, to fit."""
    first = max(cell_len(text) for text in (titles[0], *(row.cells[0] for row in rows)))
    widest = max(1, min(_WIDEST, console.width - first - _GAP))
    cells = [[chop_cells(text, widest) or [""] for text in row.cells] for row in rows]
    heads = [[title] for title in titles]
    widths = _widths(heads, cells)
    if sum(widths) + _GAP * (len(widths) - 1) > console.width:
        heads = [_stacked(title, widest) for title in titles]
        widths = _widths(heads, cells)
    for number, block in enumerate(_blocks(widths, console.width)):
        if number:
            console.print()
        left = 1 if number else 2
        of_block = [widths[index] for index in block]
        _print_lines(console, [heads[index] for index in block], of_block, left=left, style=_TITLE)
        for row, of_row in zip(rows, cells, strict=True):
            _print_lines(console, [of_row[index] for index in block], of_block, left=left, style=row.style)
            if row.below and not number:
                _print_below(console, row, indent=first + _GAP)


def _stacked(title: str, widest: int) -> list[str]:
    """The parts of a title, one a line: `optimizer.` and `weight_decay`."""
    parts = [part.strip() for part in re.split(r"(?<=[./])", title)]
    return [piece for part in parts for piece in chop_cells(part, widest)]


def _widths(heads: Sequence[_Lines], cells: Sequence[Sequence[_Lines]]) -> list[int]:
    return [
        max(cell_len(line) for lines in (head, *(row[index] for row in cells)) for line in lines)
        for index, head in enumerate(heads)
    ]


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Columns that fit beside the first one, taken in order; each block begins with the first one."""
    blocks = [[0]]
    left = width - widths[0]
    for index, needed in enumerate(widths[1:], start=1):
        if needed + _GAP > left and len(blocks[-1]) > 1:
            blocks.append([0])
            left = width - widths[0]
        blocks[-1].append(index)
        left -= needed + _GAP
    return blocks


def _print_lines(console: Console, cells: Sequence[_Lines], widths: Sequence[int], *, left: int, style: str) -> None:
    """One row whose first `left` columns are flush left; titles stand at the bottom."""
    height = max(map(len, cells))
    for line in range(height):
        texts = []
        for place, (lines, width) in enumerate(zip(cells, widths, strict=True)):
            index = line - (height - len(lines)) if style == _TITLE else line
            text = lines[index] if 0 <= index < len(lines) else ""
            space = " " * (width - cell_len(text))
            texts.append(text + space if place < left else space + text)
        console.print(Text((" " * _GAP).join(texts).rstrip(), style=style), no_wrap=True, overflow="ignore", crop=False)


def _print_below(console: Console, row: Row, *, indent: int) -> None:
    for line in Text(row.below, style=row.style).wrap(console, max(10, console.width - indent)):
        console.print(Text(" " * indent).append_text(line), no_wrap=True, overflow="ignore", crop=False)
