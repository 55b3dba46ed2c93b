"""How do new images come out of a run, and changed ones?"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Density, GenerativeNetwork, HasLatents, ReadsCaptions, Stage
from lightning_cv.data import VisionData
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.latents import STEPS, interpolation, traversal
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.pictures.sheet import enlarged, sheet_picture
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.request import SampleRequest
from lightning_cv.recipe.suggest import hint
from lightning_cv.run.checkpoints import find_checkpoint, run_of
from lightning_cv.run.load import load_run
from lightning_cv.run.quiet import quiet_libraries


@dataclass(frozen=True)
class _Loaded:
    """A network and what it was trained on.

    Args:
        network: with a density, in eval mode, on its device.
        data: of the run's recipe, not set up.
        home: where to write.
        source: the checkpoint, for a person.
    """

    network: GenerativeNetwork
    data: VisionData
    home: Path
    source: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(cast(nn.Module, self.network).parameters()).device


def execute(request: SampleRequest) -> list[str]:
    """Write the images; returns what was written, for a person.

    Raises:
        UserError: the run is none, or its network cannot do what was asked for.
    """
    quiet_libraries()
    with _only_warnings():
        return _execute(request)


def _execute(request: SampleRequest) -> list[str]:
    loaded = _load(request)
    if request.edit is not None:
        return _edit(loaded, request.edit)
    if request.interpolate is not None:
        return _interpolate(loaded, request.interpolate)
    label = None if request.label is None else _label(loaded, request.label)
    start = time.monotonic()
    images = _samples(loaded, request, label)
    took = time.monotonic() - start
    files = _write(loaded.home / _folder_name(request, label), images)
    return [
        f"samples   {len(images)} of {loaded.source} in {took:.1f} s",
        f"grid      {display_path(files)}/grid.png",
        f"single    {display_path(files)}/0000.png ... {len(images) - 1:04d}.png",
    ]


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


def _load(request: SampleRequest) -> _Loaded:
    checkpoint = find_checkpoint(request.run)
    task, data = load_run(checkpoint, allow_code=request.allow_code)
    is_generative = isinstance(getattr(task.network, "density", None), Density)
    if not is_generative or not isinstance(data, VisionData):
        raise UserError(
            f"{display_path(request.run)}: its task is {type(task).__name__}; sample needs the run of a task whose "
            "network draws images, such as Generate or Adversarial"
        )
    network = task.scored_network.eval()
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    home = request.out or (run_of(checkpoint) or checkpoint.parent) / "samples"
    return _Loaded(cast(GenerativeNetwork, network), data, home, display_path(checkpoint))


def _label(loaded: _Loaded, given: str) -> int:
    """The class that a user means, by its number or its name."""
    number = loaded.network.num_classes
    if number is None:
        raise UserError(f"--class {given}: the network of this run is not conditional (its num_classes is null)")
    if given.isascii() and given.isdecimal():
        if int(given) < number:
            return int(given)
        raise UserError(f"--class {given}: allowed are 0 to {number - 1}, or the name of a class")
    loaded.data.prepare_data()
    loaded.data.setup("test")
    names = loaded.data.info.class_names
    if given not in names:
        raise UserError(f"--class {given}: no class of the data{hint(given, names)}")
    return names.index(given)


def _folder_name(request: SampleRequest, label: int | None) -> str:
    if request.caption is not None:
        words = "-".join(re.findall(r"\w+", request.caption))
        return f"seed-{request.seed}-caption-{words}"
    return f"seed-{request.seed}" if label is None else f"seed-{request.seed}-class-{label}"


@torch.no_grad()
def _samples(loaded: _Loaded, request: SampleRequest, label: int | None) -> Tensor:
    """(num, C, H, W) float32 in [0, 1], on the CPU."""
    parts = []
    with _bar(request.num) as advance:
        for start in range(0, request.num, request.batch_size):
            index = torch.arange(start, min(start + request.batch_size, request.num), device=loaded.device)
            labels = None
            if loaded.network.num_classes is not None:
                labels = index % loaded.network.num_classes if label is None else torch.full_like(index, label)
            draws = OwnDraws.of_indices(index, seed=request.seed)
            if request.caption is None:
                images = loaded.network.sample(draws, labels)
            elif isinstance(loaded.network, ReadsCaptions):
                images = loaded.network.sample_caption(draws, request.caption)
            else:
                raise UserError(
                    f"--caption: {type(loaded.network).__name__} reads no text; allowed: a VqVae with CaptionedCodes"
                )
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


def _edit(loaded: _Loaded, which: str) -> list[str]:
    network = _with_latents(loaded, "--edit")
    image, label = _image(loaded, which)
    images = traversal(network, network.encode(image, label), label).cpu()
    title = "a latent number a row, from -3 to 3"
    folder = _write(loaded.home / f"edit-{_name_of(which)}", images, title=title, columns=len(STEPS))
    rows = len(images) // len(STEPS)
    return [f"edited    {rows} of {network.num_latents} latent numbers, each from -3 to 3", *_where(folder)]


def _interpolate(loaded: _Loaded, which: tuple[str, str]) -> list[str]:
    network = _with_latents(loaded, "--interpolate")
    (first, label), (last, _) = (_image(loaded, each) for each in which)
    ends = network.encode(torch.cat([first, last]), None if label is None else label.expand(2))
    images = interpolation(network, ends, label)
    name = "-".join(map(_name_of, which))
    folder = _write(loaded.home / f"interpolate-{name}", images.cpu(), columns=len(images))
    return [f"went      from {which[0]} to {which[1]} in {len(images)} steps", *_where(folder)]


def _with_latents(loaded: _Loaded, option: str) -> HasLatents:
    if isinstance(loaded.network, HasLatents):
        return loaded.network
    name = type(loaded.network).__name__
    raise UserError(f"{option}: {name} has no latent vectors; allowed: the run of an autoencoder, such as ConvVae")


def _image(loaded: _Loaded, which: str) -> tuple[Tensor, Tensor | None]:
    """(1, C, H, W) in [0, 1] of a picture file or of the test image with this number, and its class (1,)."""
    data = loaded.data
    data.prepare_data()
    is_number = which.isascii() and which.isdecimal()
    if is_number:
        data.setup("test")
        number = len(data.split(Stage.TEST))
        if int(which) >= number:
            raise UserError(f"image {which}: the test split has images 0 to {number - 1}")
        loader, wanted = data.test_dataloader(), int(which)
    else:
        if not Path(which).is_file():
            raise UserError(f"image {which}: no such file, nor the number of a test image")
        data.predict_from(Path(which))
        data.setup("predict")
        loader, wanted = data.predict_dataloader(), 0
    for batch in loader:
        if wanted in batch[INDEX].tolist():
            place = batch[INDEX].tolist().index(wanted)
            break
    info, values = data.info, data.on_after_batch_transfer(batch, 0)[IMAGE][place].float()
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (info.mean, info.std))
    image = (values * std + mean).clamp(0, 1)[None].to(loaded.device)
    if loaded.network.num_classes is None:
        return image, None
    if not is_number:
        raise UserError(
            f"image {which}: the network is conditional, and a file has no class; give the number of a test image"
        )
    return image, batch[LABEL][place : place + 1].to(loaded.device)


def _name_of(which: str) -> str:
    return which if which.isdecimal() else Path(which).stem


def _write(folder: Path, images: Tensor, *, title: str = "", columns: int | None = None) -> Path:
    """`grid.png`, and each image in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet_picture(images, title, columns=columns).save(folder / "grid.png")
    for number, image in enumerate(enlarged(images)):
        shown = image[0] if len(image) == 1 else image.permute(1, 2, 0).contiguous()
        Image.fromarray(shown.numpy()).save(folder / f"{number:04d}.png")
    return folder


def _where(folder: Path) -> list[str]:
    return [f"grid      {display_path(folder)}/grid.png"]
