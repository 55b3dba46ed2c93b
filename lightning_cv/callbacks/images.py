"""How many images does a batch hold?"""

from __future__ import annotations

from typing import Any

from lightning_cv.contracts import IMAGE


def num_images(batch: Any) -> int:
    """Images in a batch: a dict with the key `image`, or a sequence that begins with the images."""
    return len(batch[IMAGE]) if isinstance(batch, dict) else len(batch[0])
