"""Where in an image may an object be, before anything is learned?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BINS = 25  # of a channel's histogram
_ANGLES = 8  # of the gradients' histogram
_TEXTURE_BINS = 10


def selective_search(
    image: NDArray[np.uint8], *, scales: tuple[float, ...] = (50.0, 150.0), max_boxes: int = 200, least_px: int = 6
) -> Floats:
    """Boxes that may hold an object (Uijlings et al. 2013, sections 3 and 4; row 182).

    The image is cut into regions of like colour (Felzenszwalb and Huttenlocher 2004, scikit-image's), in its own
    colours and in hue, saturation and value. Again and again the two neighbours that are most alike in colour,
    texture, size and how they fill their common box are merged; the box of every region on the way is proposed. Boxes
    of later merges come first, each once.

    Args:
        image: (H, W, 3).
        scales: of the first cut; the larger, the larger its regions.
        max_boxes: proposed at most.
        least_px: narrower or lower boxes go.

    Returns:
        (n, 4) corners (x1, y1, x2, y2) in pixels.
    """
    # Imported late: half a second that no other detector needs.
    from skimage.color import rgb2hsv
    from skimage.segmentation import felzenszwalb

    colors = image / 255.0
    proposed: list[tuple[float, tuple[int, int, int, int]]] = []
    for space in (colors, rgb2hsv(colors)):
        texture = _texture(space)
        for scale in scales:
            labels = felzenszwalb(space, scale=scale, sigma=0.8, min_size=max(4, least_px))
            boxes = _merged(space, texture, labels)
            # Of each hierarchy the last merges come first; the first of all hierarchies share the front.
            proposed += [(rank / max(len(boxes), 1), box) for rank, box in enumerate(reversed(boxes))]
    chosen: dict[tuple[int, int, int, int], None] = {}
    for _, box in sorted(proposed, key=lambda pair: pair[0]):
        if box[2] - box[0] >= least_px and box[3] - box[1] >= least_px:
            chosen.setdefault(box)
    return np.array(list(chosen)[:max_boxes], dtype=np.float64).reshape(-1, 4)


class _Region:
    """What is known of a region: its box, size in pixels, and histograms that sum to 1."""

    __slots__ = ("box", "color", "size", "texture")

    def __init__(self, box: tuple[int, int, int, int], size: int, color: Floats, texture: Floats) -> None:
        self.box, self.size, self.color, self.texture = box, size, color, texture

    def alike(self, other: _Region, total: int) -> float:
        """The sum of the four similarities of section 4.2, each in [0, 1]."""
        x1, y1, x2, y2 = _around(self.box, other.box)
        both = self.size + other.size
        fill = 1 - ((x2 - x1) * (y2 - y1) - both) / total
        return float(
            np.minimum(self.color, other.color).sum()
            + np.minimum(self.texture, other.texture).sum()
            + (1 - both / total)
            + fill
        )

    def with_(self, other: _Region) -> _Region:
        """Both as one."""
        both = self.size + other.size
        own, rest = self.size / both, other.size / both
        return _Region(
            _around(self.box, other.box),
            both,
            own * self.color + rest * other.color,
            own * self.texture + rest * other.texture,
        )


def _merged(space: Floats, texture: Floats, labels: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    """The boxes of all regions, in the order in which they come about."""
    regions = dict(enumerate(_regions(space, texture, labels)))
    total = labels.size
    neighbours: dict[int, set[int]] = {number: set() for number in regions}
    for a, b in _adjacent(labels):
        neighbours[a].add(b)
        neighbours[b].add(a)
    alike = {(a, b): regions[a].alike(regions[b], total) for a in neighbours for b in neighbours[a] if a < b}
    boxes = [region.box for region in regions.values()]
    while alike:
        a, b = max(alike, key=alike.__getitem__)
        number = len(boxes)
        regions[number] = regions[a].with_(regions[b])
        boxes.append(regions[number].box)
        around = (neighbours.pop(a) | neighbours.pop(b)) - {a, b}
        for old in (a, b):
            for other in around:
                alike.pop((min(old, other), max(old, other)), None)
                neighbours[other].discard(old)
        alike.pop((a, b), None)
        neighbours[number] = around
        for other in around:
            neighbours[other].add(number)
            alike[other, number] = regions[number].alike(regions[other], total)
    return boxes


def _regions(space: Floats, texture: Floats, labels: NDArray[np.int64]) -> list[_Region]:
    count = int(labels.max()) + 1
    sizes = np.bincount(labels.ravel(), minlength=count)
    colors = _histograms(np.clip(space, 0, 1 - 1e-9), labels, count, _BINS)
    textures = _histograms(texture, labels, count, _TEXTURE_BINS)
    y, x = np.indices(labels.shape)
    ends: list[NDArray[Any]] = []
    for values, start, function in (
        (x, 1 << 30, np.minimum),
        (y, 1 << 30, np.minimum),
        (x, -1, np.maximum),
        (y, -1, np.maximum),
    ):
        end = np.full(count, start, dtype=np.int64)
        function.at(end, labels.ravel(), values.ravel())
        ends.append(end)
    return [
        _Region((int(a), int(b), int(c) + 1, int(d) + 1), int(size), color, text)
        for a, b, c, d, size, color, text in zip(*ends, sizes, colors, textures, strict=True)
    ]


def _histograms(values: Floats, labels: NDArray[np.int64], count: int, bins: int) -> Floats:
    """(count, channels x bins), each row summing to 1, of values (H, W, channels) in [0, 1)."""
    channels = values.shape[-1]
    places = (values * bins).astype(np.int64) + np.arange(channels) * bins
    flat = labels[..., None] * (channels * bins) + places
    histograms = np.bincount(flat.ravel(), minlength=count * channels * bins).reshape(count, -1).astype(np.float64)
    return np.asarray(histograms / histograms.sum(1, keepdims=True))


def _texture(space: Floats) -> Floats:
    """(H, W, channels x angles) in [0, 1): the strength of the gradient in each of eight directions."""
    down, right = (np.asarray(part) for part in np.gradient(space, axis=(0, 1)))
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    along = down[..., None] * np.sin(angles) + right[..., None] * np.cos(angles)
    return np.asarray(np.clip(along * 2, 0, 1 - 1e-9).reshape(*space.shape[:2], -1))


def _adjacent(labels: NDArray[np.int64]) -> set[tuple[int, int]]:
    """Pairs of regions that touch, the smaller number first."""
    pairs = np.concatenate(
        [
            np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], 1),
            np.stack([labels[:-1].ravel(), labels[1:].ravel()], 1),
        ]
    )
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return {(int(a), int(b)) for a, b in np.unique(pairs, axis=0)}


def _around(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
