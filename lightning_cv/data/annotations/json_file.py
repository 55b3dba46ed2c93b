"""How is a file of COCO's format read, and where in it does an entry stand?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson

from lightning_cv.data.annotations.raw import shown
from lightning_cv.errors import DataError


def read_lists(file: Path) -> dict[str, list[Any]]:
    """The lists `images`, `categories` and `annotations` of a file.

    Raises:
        DataError: it is missing or no such file, or a category has no id.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DataError(f"data.init_args: {file}: {error.strerror}; allowed: a file of annotations") from error
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            parsed = json.loads(text)  # it takes NaN, which orjson does not
        except ValueError as error:
            raise DataError(f"{file}: {error}; allowed: JSON of COCO's format") from error
    lists = ("images", "categories", "annotations")
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(key), list) for key in lists):
        raise DataError(f"{file}: no lists {', '.join(lists)}; allowed: COCO's format of instances or keypoints")
    if not all(isinstance(c, dict) and isinstance(c.get("id"), int) for c in parsed["categories"]):
        raise DataError(f"{file}: a category without id; allowed: COCO's format of instances or keypoints")
    return parsed


class Where:
    """File and line of an entry of a list; the file is read again, once, only where something is wrong."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: dict[str, list[int]] | None = None

    def __call__(self, key: str, number: int) -> str:
        """Of the entry of this number, from 0, in the list of this name."""
        if self._lines is None:
            self._lines = entry_lines(self._file.read_text(encoding="utf-8"))
        lines = self._lines.get(key, [])
        place = shown(self._file, lines[number] if number < len(lines) else None)
        return f"{place} ({key}[{number}])"


def entry_lines(text: str) -> dict[str, list[int]]:
    """The line on which each entry of each list of an object begins, from 1."""
    decoder = json.JSONDecoder()
    lines: dict[str, list[int]] = {}
    place = _skip(text, _skip(text, 0) + 1)
    counted, line = 0, 1
    while place < len(text) and text[place] == '"':
        key, place = decoder.raw_decode(text, place)
        place = _skip(text, _skip(text, place) + 1)
        if text[place] != "[":
            _, place = decoder.raw_decode(text, place)
        else:
            lines[key] = []
            place = _skip(text, place + 1)
            while text[place] != "]":
                line, counted = line + text.count("\n", counted, place), place
                lines[key].append(line)
                _, place = decoder.raw_decode(text, place)
                place = _skip(text, place)
                place = _skip(text, place + 1) if text[place] == "," else place
            place += 1
        place = _skip(text, place)
        place = _skip(text, place + 1) if place < len(text) and text[place] == "," else place
    return lines


def _skip(text: str, place: int) -> int:
    """Behind white space."""
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place
