"""How is a text of any length and script put into the little room that a picture has?"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

ELLIPSIS = "…"
_BREAKS = " _-/,.;:"  # a line may end behind one of these


@lru_cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along; its letters cover Latin, Greek, Cyrillic and Arabic script."""
    return ImageFont.truetype(_file(), size_px)


def readable(text: str) -> str:
    """The text in one line; a letter that the font lacks is `?`."""
    return "".join(letter if _has(letter) else "?" for letter in " ".join(text.split()))


def readable_names(class_names: Sequence[str]) -> list[str]:
    """Names of classes in one line each; one that the font cannot write is `class <number>`."""
    lines = [" ".join(name.split()) for name in class_names]
    return [line if line and all(map(_has, line)) else f"class {number}" for number, line in enumerate(lines)]


def shorten(text: str, max_letters: int) -> str:
    """The text, or its beginning and its end around an ellipsis: names of classes often differ in either."""
    if len(text) <= max_letters:
        return text
    left = max_letters // 2
    return text[:left] + ELLIPSIS + text[len(text) - (max_letters - 1 - left) :]


def shorten_all(names: Sequence[str], max_letters: int) -> list[str]:
    """The names, shortened; those that would then read the same begin with their number."""
    short = [shorten(name, max_letters) for name in names]
    times = Counter(short)
    return [
        line if times[line] == 1 else shorten(f"{number}: {name}", max_letters)
        for number, (line, name) in enumerate(zip(short, names, strict=True))
    ]


def fit(text: str, width_px: float, *, size_px: int, num_lines: int = 1, end: str = "") -> list[str]:
    """The text and its end in up to this many lines of this width; of a longer text the middle is left out."""
    lines: list[str] = []
    end_px = _width(end, size_px)
    while len(lines) < num_lines - 1 and _width(text, size_px) > width_px - end_px:
        count = _longest(text, width_px, size_px)
        behind_break = max(text.rfind(letter, 0, count) + 1 for letter in _BREAKS)
        if count < len(text) and behind_break > count // 2:
            count = behind_break
        lines.append(text[:count].rstrip())
        text = text[count:].lstrip()
    lengths = range(1, len(text) + 1)
    fitting = bisect_right(lengths, width_px - end_px, key=lambda length: _width(shorten(text, length), size_px))
    return [*lines, (shorten(text, max(1, fitting)) + end).lstrip()]


def fit_end(text: str, width_px: float, *, size_px: int) -> str:
    """The text in one line of this width; of a longer one the end, since that is what tells paths apart."""
    if _width(text, size_px) <= width_px:
        return text
    end = _longest(text[::-1], width_px - _width(ELLIPSIS, size_px), size_px)
    return ELLIPSIS + text[len(text) - end :]


def _longest(text: str, width_px: float, size_px: int) -> int:
    """How many letters fit, at least 1."""
    count, used_px = 0, 0.0
    while count < len(text) and used_px <= width_px:
        used_px += _width(text[count], size_px)
        count += 1
    return max(1, count if used_px <= width_px else count - 1)


def _width(text: str, size_px: int) -> float:
    return font(size_px).getlength(text)


def _has(letter: str) -> bool:
    return letter.isprintable() and _letters().get_char_index(ord(letter)) != 0


@lru_cache
def _letters() -> FT2Font:
    from matplotlib.ft2font import FT2Font

    return FT2Font(_file())


def _file() -> str:
    # matplotlib takes a third of a second to load: only where a picture is drawn.
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
