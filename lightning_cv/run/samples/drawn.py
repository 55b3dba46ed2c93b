"""How do new images come out of a network, in batches that change nothing?"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from lightning_cv.contracts import Draws, FollowsControl, ReadsCaptions, SamplesInSteps
from lightning_cv.errors import UserError
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.request import SampleRequest
from lightning_cv.run.samples.files import write_images
from lightning_cv.run.samples.given import given_image, name_of
from lightning_cv.run.samples.loaded import Loaded


def draw(loaded: Loaded, request: SampleRequest) -> list[str]:
    """Write new images; returns what was written.

    Raises:
        UserError: a class or a caption that the network does not know.
    """
    label = None if request.label is None else loaded.label_of(request.label)
    start = time.monotonic()
    images = _samples(loaded, request, label)
    took = time.monotonic() - start
    files = write_images(loaded.home / folder_name(loaded, request), images)
    return [
        f"samples   {len(images)} of {loaded.source} in {took:.1f} s{_manner(loaded)}",
        f"grid      {display_path(files)}/grid.png",
        f"single    {display_path(files)}/0000.png ... {len(images) - 1:04d}.png",
    ]


def folder_name(loaded: Loaded, request: SampleRequest) -> str:
    """What tells these images from others of the run."""
    parts = [f"seed-{request.seed}"]
    if request.label is not None:
        parts.append(f"class-{loaded.label_of(request.label)}")
    if request.control is not None:
        parts.append(f"control-{name_of(request.control)}")
    if request.caption is not None:
        parts.append("caption-" + "-".join(re.findall(r"\w+", request.caption)))
    if request.sampler is not None:
        parts.append(request.sampler)
    if request.steps is not None:
        parts.append(f"steps-{request.steps}")
    if request.guidance is not None:
        parts.append(f"guidance-{request.guidance:g}")
    return "-".join(parts)


def labels_of(loaded: Loaded, index: Tensor, label: int | None) -> Tensor | None:
    """(B,) int64: one class for all, or the classes in turn; None where the network takes none."""
    if loaded.network.num_classes is None:
        return None
    return index % loaded.network.num_classes if label is None else torch.full_like(index, label)


def one_class(loaded: Loaded, request: SampleRequest) -> Tensor | None:
    """(1,) int64 the class that all images have, the first if none was asked for; None where the network takes none."""
    label = 0 if request.label is None else loaded.label_of(request.label)
    return labels_of(loaded, torch.zeros(1, dtype=torch.int64, device=loaded.device), label)


def _manner(loaded: Loaded) -> str:
    network = loaded.network
    if not isinstance(network, SamplesInSteps):
        return ""
    sampling = network.sampling
    guidance = f", guidance {sampling.guidance:g}" if network.num_classes is not None else ""
    return f" ({sampling.sampler}, {sampling.steps} steps{guidance})"


def _drawer(loaded: Loaded, request: SampleRequest) -> Callable[[Draws, Tensor | None], Tensor]:
    """What gives images (B, C, H, W) in [0, 1] of draws and labels, as they were asked for."""
    network = loaded.network
    if request.caption is not None:
        if not isinstance(network, ReadsCaptions):
            raise UserError(f"--caption: {loaded.name} reads no text; allowed: a VqVae with CaptionedCodes")
        return partial(_of_caption, network, request.caption)
    if request.control is not None:
        if not isinstance(network, FollowsControl):
            raise UserError(f"--control: {loaded.name} follows no image; allowed: the run of a ControlledDiffusion")
        return partial(_controlled, network, network.control_of(given_image(loaded, request.control)[0]))
    return network.sample


def _of_caption(network: ReadsCaptions, caption: str, draws: Draws, _labels: Tensor | None) -> Tensor:
    return network.sample_caption(draws, caption)


def _controlled(network: FollowsControl, control: Tensor, draws: Draws, labels: Tensor | None) -> Tensor:
    return network.sample_controlled(draws, control.expand(len(draws), -1, -1, -1), labels)


@torch.no_grad()
def _samples(loaded: Loaded, request: SampleRequest, label: int | None) -> Tensor:
    """(num, C, H, W) float32 in [0, 1], on the CPU."""
    draw_images = _drawer(loaded, request)
    parts = []
    with _bar(request.num) as advance:
        for start in range(0, request.num, request.batch_size):
            index = torch.arange(start, min(start + request.batch_size, request.num), device=loaded.device)
            draws = OwnDraws.of_indices(index, seed=request.seed)
            images = draw_images(draws, labels_of(loaded, index, label))
            parts.append(images.float().cpu())
            advance(len(index))
    return torch.cat(parts)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal; gives what moves it on."""
    columns = [TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sampling", total=total)
        yield lambda count: bar.advance(task, count)
