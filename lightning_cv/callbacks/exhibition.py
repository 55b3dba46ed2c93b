"""How do all devices make the pictures of one evaluation together, whatever goes wrong on one of them?"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL.PngImagePlugin import PngInfo

from lightning_cv.ops.processes import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightning_cv.contracts import Gallery


@dataclass(frozen=True)
class _Failed:
    """Sent in place of what a gallery took, so that no device waits for it in vain."""

    reason: str


class Exhibition:
    """The galleries of one validation or test; one that raises is left out, and the others go on.

    Args:
        stage: begins the pictures' names.
        step: the optimizer steps that the weights have had.
        galleries: what collects and draws.
    """

    def __init__(self, stage: str, *, step: int, galleries: Sequence[Gallery]) -> None:
        self.stage = stage
        self.step = step
        self._galleries = galleries
        self._failed: dict[int, _Failed] = {}

    def add(self, batch: Any, outputs: Any) -> None:
        """Let every gallery collect from one batch."""
        for number, gallery in enumerate(self._galleries):
            if number not in self._failed:
                try:
                    gallery.add(batch, outputs)
                except Exception as error:
                    self._failed[number] = _Failed(reason(error))

    def gather(self) -> list[list[Any]]:
        """What all devices collected, a list a device; every process calls it."""
        return gather([self._take(number, gallery) for number, gallery in enumerate(self._galleries)])

    def draw(self, devices: Sequence[Sequence[Any]], report: Callable[[str], None]) -> dict[str, bytes]:
        """The pictures as PNG files, by `stage/name`.

        Args:
            devices: what `gather` returned.
            report: told, of each gallery that failed, the reason.
        """
        pngs: dict[str, bytes] = {}
        for gallery, parts in zip(self._galleries, zip(*devices, strict=True), strict=True):
            failed = next((part for part in parts if isinstance(part, _Failed)), None)
            if failed is not None:
                report(failed.reason)
                continue
            try:
                pngs |= {f"{self.stage}/{name}": _png(picture) for name, picture in gallery.draw(parts).items()}
            except Exception as error:
                report(reason(error))
        return pngs

    def _take(self, number: int, gallery: Gallery) -> Any:
        if number in self._failed:
            return self._failed[number]
        try:
            return gallery.take()
        except Exception as error:
            return _Failed(reason(error))


def reason(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _png(picture: Any) -> bytes:
    file = io.BytesIO()
    # What a picture tells of itself, for trackers, goes along as text.
    told = PngInfo()
    for key, text in picture.info.items():
        if isinstance(text, str):
            told.add_text(key, text, zip=True)
    picture.save(file, format="PNG", pnginfo=told)
    return file.getvalue()
