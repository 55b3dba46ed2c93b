"""What do the numbers or colours in a data set's masks mean?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lightning_cv.contracts import IGNORED, Color, PixelSet
from lightning_cv.data.palette import palette
from lightning_cv.data.splits import UnreadableImageError
from lightning_cv.errors import DataError

_LEVELS = 65536  # values of a 16-bit mask
_UNKNOWN = IGNORED - 1
Value = int | Color


class WrongMaskError(UnreadableImageError):
    """A mask that does not say what the pixels of its image are: its path and why, in one line."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Labels:
    """The classes of a data set's masks.

    Args:
        names: one a class.
        values: what stands for each in a mask: numbers of one channel, or else colours.
        ignored: what stands for a pixel that nobody knows.
        colors: in which each is shown; None: its value where that is a colour, else different ones.
    """

    names: tuple[str, ...]
    values: tuple[Value, ...]
    ignored: tuple[Value, ...] = ()
    colors: tuple[Color, ...] | None = None

    @property
    def are_colors(self) -> bool:
        """Whether masks are pictures in colours."""
        return isinstance(self.values[0], tuple)

    def pixel_set(self, colors: Sequence[Color] | None = None) -> PixelSet:
        """What a data set publishes of them.

        Args:
            colors: of each value below 256 in the data set's palette; None: it has none.
        """
        number = len(self.names)
        if self.are_colors:
            return PixelSet(tuple(v for v in self.values if isinstance(v, tuple)), tuple(range(number)))
        values = tuple(v for v in self.values if isinstance(v, int))
        shown = self.colors or palette(number)
        if colors is not None and self.colors is None and max(values) < len(colors):
            shown = tuple(colors[value] for value in values)
        return PixelSet(shown, values)

    def read(self, path: Path, size: tuple[int, int]) -> Tensor:
        """The classes (H, W) int16 of a mask; `IGNORED` where nobody knows.

        Raises:
            WrongMaskError: it is missing or damaged, of another size than its image, or has values that mean nothing.
        """
        values = read_values(path, colors=self.are_colors)
        if values.shape != size:
            given = "{} x {}".format(*values.shape)
            raise WrongMaskError(str(path), f"the mask is {given}, its image {size[0]} x {size[1]} (height x width)")
        classes = self._classes(values)
        if (classes == _UNKNOWN).any():
            row, column = np.argwhere(classes == _UNKNOWN)[0].tolist()
            raise WrongMaskError(
                str(path),
                f"value {_shown(int(values[row, column]), self.are_colors)} at row {row}, column {column} is no label; "
                f"allowed: {self.described()}",
            )
        return torch.from_numpy(classes)

    def described(self) -> str:
        """The values that there are, and what they mean."""
        shown = [list(value) if isinstance(value, tuple) else value for value in self.values]
        pairs = [f"{value} {name}" for value, name in zip(shown, self.names, strict=True)]
        more = f", ... ({len(pairs)} classes)" if len(pairs) > 6 else ""
        ignored = f"; ignored: {', '.join(map(str, self.ignored))}" if self.ignored else ""
        return ", ".join(pairs[:6]) + more + ignored

    def _classes(self, values: NDArray[Any]) -> NDArray[np.int16]:
        numbers = [(value, number) for number, value in enumerate(self.values)]
        numbers += [(value, IGNORED) for value in self.ignored]
        if self.are_colors:
            keys = np.array([_packed(value) for value, _ in numbers])
            order = keys.argsort()
            places = np.searchsorted(keys[order], values).clip(max=len(keys) - 1)
            known = keys[order][places] == values
            meant = np.array([number for _, number in numbers])[order]
            return np.where(known, meant[places], _UNKNOWN).astype(np.int16)
        table = np.full(_LEVELS, _UNKNOWN, dtype=np.int16)
        for value, number in numbers:
            table[value] = number
        return table[values]


def read_values(path: Path, *, colors: bool) -> NDArray[Any]:
    """(H, W) numbers of a mask; of one in colours R + 256 G + 65536 B.

    Raises:
        WrongMaskError: it is missing, damaged or of another kind.
    """
    try:
        with Image.open(path) as opened:
            if colors:
                rgb = np.asarray(opened.convert("RGB")).astype(np.int64)
                return rgb @ np.array([1, 256, 65536])
            if opened.mode in ("P", "L", "1", "I;16", "I"):
                return np.asarray(opened).astype(np.int64).clip(0, _LEVELS - 1)
            mode = opened.mode
    except Exception as error:  # Pillow raises OSError, ValueError, SyntaxError and its own for damaged files.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise WrongMaskError(str(path), f"the mask cannot be read ({reason})") from error
    raise WrongMaskError(str(path), f"a mask in colours ({mode}); allowed: numbers, or labels given as [r, g, b]")


def palette_of(path: Path) -> tuple[Color, ...] | None:
    """The colours in a mask's own palette; None: it has none, or cannot be read."""
    try:
        with Image.open(path) as opened:
            flat = opened.getpalette("RGB") if opened.mode == "P" else None
    except Exception:  # what is wrong with it is told where it is read
        return None
    return None if flat is None else tuple((flat[n], flat[n + 1], flat[n + 2]) for n in range(0, len(flat), 3))


def labels_from(given: Mapping[str, Any] | Path, ignored: Sequence[int]) -> Labels:
    """Labels as a recipe or a file states them: name: number, or name: [r, g, b].

    Args:
        given: the mapping, or a YAML file with it.
        ignored: numbers that mean nothing is known.

    Raises:
        DataError: the file is missing, or the mapping is none.
    """
    where = "data.init_args.labels"
    stated: Any = given
    if isinstance(given, Path):
        where = str(given)
        try:
            stated = yaml.safe_load(given.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
            raise DataError(
                f"{given}: {reason}; allowed: a YAML file such as {{background: 0, cat: 1}} or {{road: [128, 64, 128]}}"
                ", or data.init_args.labels"
            ) from error
    allowed = "a mapping such as {background: 0, cat: 1} or {road: [128, 64, 128]}, every value once"
    if not isinstance(stated, Mapping) or not stated:
        raise DataError(f"{where}: {stated!s:.60} given, allowed: {allowed}")
    values = tuple(_value(value) for value in stated.values())
    kinds = {type(value) for value in values}
    if None in values or len(kinds) > 1 or len(set(values)) < len(values):
        raise DataError(f"{where}: {dict(stated)!s:.100} given, allowed: {allowed}")
    known = tuple(value for value in values if value is not None)
    nothing = () if isinstance(known[0], tuple) else tuple(value for value in ignored if value not in known)
    return Labels(tuple(map(str, stated)), known, nothing)


def _value(given: Any) -> Value | None:
    if isinstance(given, int) and not isinstance(given, bool):
        return given if 0 <= given < _LEVELS else None
    whole = isinstance(given, list | tuple) and len(given) == 3 and all(isinstance(v, int) for v in given)
    return (given[0], given[1], given[2]) if whole and all(0 <= v < 256 for v in given) else None


def _packed(value: Value) -> int:
    assert isinstance(value, tuple)
    return value[0] + 256 * value[1] + 65536 * value[2]


def _shown(value: int, in_colors: bool) -> str:
    return str([value % 256, value // 256 % 256, value // 65536]) if in_colors else str(value)
