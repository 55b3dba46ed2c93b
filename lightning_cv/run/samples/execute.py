"""What does the verb `sample` do, by what it was asked for?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_cv.recipe.request import SampleRequest
from lightning_cv.run.quiet import quiet_libraries
from lightning_cv.run.samples.changed import direct, edit, interpolate
from lightning_cv.run.samples.drawn import draw
from lightning_cv.run.samples.loaded import load
from lightning_cv.run.samples.moving import show_trajectory, walk


def execute(request: SampleRequest) -> list[str]:
    """Write the images; returns what was written, for a person.

    Raises:
        UserError: the run is none, or its network cannot do what was asked for.
    """
    quiet_libraries()
    with _only_warnings():
        loaded = load(request)
        if request.edit is not None:
            return edit(loaded, request.edit)
        if request.interpolate is not None:
            return interpolate(loaded, request.interpolate)
        if request.directions is not None:
            return direct(loaded, request)
        if request.walk is not None:
            return walk(loaded, request)
        lines = draw(loaded, request)
        return lines + (show_trajectory(loaded, request) if request.trajectory else [])


@contextmanager
def _only_warnings() -> Iterator[None]:
    """Lightning's notes on devices would stand before every answer; afterwards it speaks as before."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
