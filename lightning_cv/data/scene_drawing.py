"""How is a scene drawn: handwritten digits of many sizes and colours, overlapping, on a cluttered ground?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lightning_cv.contracts import KeypointSet

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

# The ends of a digit's strokes in the four directions; in a mirror left and right change places.
EXTREMES = KeypointSet(("top", "right", "bottom", "left"), swaps=(0, 3, 2, 1), sigmas=(0.05, 0.05, 0.05, 0.05))
VISIBLE, HIDDEN = 2, 1
_SURE = 128  # coverage, of 255, from which a pixel belongs to a digit
_LEAST_LEFT = 0.6  # of a digit's pixels that later ones leave uncovered
_TRIES = 20


@dataclass(frozen=True)
class Style:
    """What scenes look like.

    Args:
        size_px: side of the square canvas.
        object_px: smallest and largest height of a digit.
        max_objects: digits on a canvas at most.
        empty: share of the canvases without any, in [0, 1].
        clutter: strokes and blots on a canvas at most.
    """

    size_px: int
    object_px: tuple[int, int]
    max_objects: int
    empty: float
    clutter: int


@dataclass(frozen=True)
class Scene:
    """A scene and what is on it.

    Args:
        image: (H, W, 3).
        glyphs: (N,) which glyph each object is.
        masks: (N, H, W) bool, what is seen of each.
        keypoints: (N, 4, 3): `EXTREMES`, at the middles of pixels.
        clutter: (H, W) bool, where a stroke or blot lies, seen or not.
    """

    image: Pixels
    glyphs: list[int]
    masks: NDArray[np.bool_]
    keypoints: Floats
    clutter: NDArray[np.bool_]


def draw_scene(glyphs: NDArray[np.uint8], style: Style, generator: np.random.Generator) -> Scene:
    """Draw a scene.

    Args:
        glyphs: (G, 8, 8), 0 to 255.
        style: what it looks like.
        generator: every draw comes from it.
    """
    image, clutter = _ground(style, generator)
    whole: list[NDArray[np.bool_]] = []
    seen: list[NDArray[np.bool_]] = []
    drawn: list[int] = []
    count = 0 if generator.random() < style.empty else int(generator.integers(1, style.max_objects + 1))
    for _ in range(count):
        for _ in range(_TRIES):
            glyph = int(generator.integers(len(glyphs)))
            coverage = _placed(glyphs[glyph], style, generator)
            mask = coverage >= _SURE
            left = [old & ~mask for old in seen]
            if mask.any() and all(a.sum() >= _LEAST_LEFT * b.sum() for a, b in zip(left, whole, strict=True)):
                _paint(image, coverage, generator)
                seen, whole, drawn = [*left, mask], [*whole, mask], [*drawn, glyph]
                break
    shape = (len(drawn), style.size_px, style.size_px)
    keypoints = [_extremes(all_of_it, visible) for all_of_it, visible in zip(whole, seen, strict=True)]
    return Scene(
        image.astype(np.uint8),
        drawn,
        np.array(seen, dtype=np.bool_).reshape(shape),
        np.array(keypoints).reshape(-1, 4, 3),
        clutter,
    )


def boxes_of(masks: NDArray[np.bool_]) -> Floats:
    """(N, 4) corners of the smallest boxes around the pixels of masks (N, H, W), none of them empty."""
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _ground(style: Style, generator: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """A dull gradient with strokes and blots that are no digits, and where these lie."""
    size = style.size_px
    ends = generator.uniform(0, 110, (2, 3))
    ramp = np.linspace(0, 1, size)[:, None] if generator.random() < 0.5 else np.linspace(0, 1, size)[None]
    ground = np.broadcast_to(ramp, (size, size))[..., None] * (ends[1] - ends[0]) + ends[0]
    picture = Image.fromarray(ground.astype(np.uint8))
    marks = Image.new("1", picture.size)
    pens = ImageDraw.Draw(picture), ImageDraw.Draw(marks)
    for _ in range(int(generator.integers(style.clutter + 1))):
        color = tuple(int(value) for value in generator.uniform(0, 180, 3))
        corners = sorted(generator.uniform(0, size, 2)), sorted(generator.uniform(0, size, 2))
        (x1, x2), (y1, y2) = corners
        kind = int(generator.integers(3))
        width = int(generator.integers(1, 4)) if kind == 0 else 0
        fills: tuple[tuple[int, ...] | int, ...] = (color, 1)
        for pen, fill in zip(pens, fills, strict=True):
            match kind:
                case 0:
                    pen.line((x1, y1, x2, y2), fill=fill, width=width)
                case 1:
                    pen.rectangle((x1, y1, min(x2, x1 + size / 5), min(y2, y1 + size / 5)), fill=fill)
                case _:
                    pen.ellipse((x1, y1, min(x2, x1 + size / 6), min(y2, y1 + size / 6)), fill=fill)
    noisy = np.asarray(picture, dtype=np.float64) + generator.normal(0, 6, (size, size, 1))
    return noisy, np.asarray(marks, dtype=np.bool_)


def _placed(glyph: Pixels, style: Style, generator: np.random.Generator) -> Floats:
    """(H, W), 0 to 255: how far a digit of random size and place covers each pixel."""
    low, high = style.object_px
    height = round(float(np.exp(generator.uniform(np.log(low), np.log(high)))))
    height = min(height, style.size_px)
    width = min(max(1, round(height * float(generator.uniform(0.8, 1.1)))), style.size_px)
    x = int(generator.integers(style.size_px - width + 1))
    y = int(generator.integers(style.size_px - height + 1))
    canvas = np.zeros((style.size_px, style.size_px))
    stretched = Image.fromarray(glyph).resize((width, height), Image.Resampling.BICUBIC)
    canvas[y : y + height, x : x + width] = np.asarray(stretched, dtype=np.float64)
    return canvas


def _paint(image: Floats, coverage: Floats, generator: np.random.Generator) -> None:
    """Lay a light colour over the pixels that a digit covers."""
    color = generator.uniform(90, 255, 3)
    color[int(generator.integers(3))] = generator.uniform(220, 255)
    share = (coverage / 255)[..., None]
    image *= 1 - share
    image += share * color
    np.clip(image, 0, 255, out=image)


def _extremes(whole: NDArray[np.bool_], seen: NDArray[np.bool_]) -> Floats:
    """(4, 3): the middle of the outermost pixels in each direction, and whether they are seen."""
    y, x = np.nonzero(whole)
    points = np.zeros((4, 3))
    for point, (values, end) in zip(points, ((y, y.min()), (x, x.max()), (y, y.max()), (x, x.min())), strict=True):
        at = np.flatnonzero(values == end)
        middle = at[np.argsort(x[at] + y[at], kind="stable")[len(at) // 2]]
        visible = seen[y[middle], x[middle]]
        point[:] = x[middle] + 0.5, y[middle] + 0.5, VISIBLE if visible else HIDDEN
    return points
