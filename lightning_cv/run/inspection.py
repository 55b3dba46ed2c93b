"""What is told of a recipe's network before anything is trained?"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lightning_cv.contracts import is_trainable_task
from lightning_cv.data import VisionData
from lightning_cv.errors import UserError
from lightning_cv.networks.account import Account, Layer, account
from lightning_cv.networks.receptive_field import receptive_field
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.request import RunRequest
from lightning_cv.recipe.sizes import size_text
from lightning_cv.run.build import build, check_recipe, print_if_asked
from lightning_cv.run.cli import RecipeCLI
from lightning_cv.tasks.fit_to_data import fit_to_images

# It runs here, whatever the recipe trains on.
_HERE = {
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.strategy": "auto",
    "trainer.precision": "32-true",
    "trainer.sync_batchnorm": False,
    "trainer.logger": False,
}
_SEES = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_WIDE = 1_000_000  # weights in linear layers from which dropout is usual
_HEADS = ("layer", "kind", "output", "parameters", "multiply-adds", "memory")


def inspect(request: RunRequest) -> int:
    """Print the account of the network of a recipe; returns the exit status.

    Raises:
        UserError: the recipe is wrong, the size of its images is not known, or the network does not take them.
    """
    composed: Composed = request.composed
    for path, value in _HERE.items():
        composed = composed.set(path, value)
    values = check_recipe(composed, request.allow_code)
    values["callbacks"] = {}

    def prepare(cli: RecipeCLI) -> None:
        print_if_asked(request, cli)

    cli = build(composed, values, prepare)
    if not is_trainable_task(cli.model):
        raise UserError(f"inspect needs a task with a network, not {type(cli.model).__name__}")
    network: nn.Module = cli.model.network
    shape = request.image or _shape_of_data(cli)
    if request.image is None:
        fit_to_images(network, cli.datamodule)
    counted = _counted(network, torch.zeros(1, *shape), composed)
    print("\n".join([*_table(counted.layers), "", *_summary(counted, shape)]))
    print("\n".join(_fields(network, shape)))
    for remark in remarks(network, cli.datamodule):
        print(_line("remark", remark))
    return 0


def remarks(network: nn.Module, data: object) -> Iterator[str]:
    """Where a recipe departs from two rules of thumb: dropout for wide layers, augmentation by default (row 44)."""
    wide = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad)
    attends = any("attention" in type(module).__name__.lower() for module in network.modules())
    drops = any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())
    if wide > _WIDE and not drops and not attends:
        yield f"{wide / 1e6:.1f} million weights in linear layers and no dropout: it may learn its images by heart"
    if isinstance(data, VisionData) and not data.train_transform and not data.batch_transforms:
        yield "no augmentation: neither data.init_args.train_transform nor batch_transforms is stated"


def _shape_of_data(cli: RecipeCLI) -> tuple[int, int, int]:
    data = cli.datamodule
    if not isinstance(data, VisionData):
        raise UserError("inspect knows the size of images from data of lightning_cv only; give --image C,H,W")
    try:
        data.prepare_data()
        data.setup("fit")
    except UserError as error:
        raise UserError(f"{error}; without the data, give --image C,H,W") from error
    return data.info.channels, *data.info.size_px


def _counted(network: nn.Module, image: Tensor, composed: Composed) -> Account:
    try:
        return account(network, image)
    except (RuntimeError, ValueError, AssertionError) as error:
        shape = "x".join(map(str, image.shape[1:]))
        said = " ".join(str(error).split()) or type(error).__name__
        where = composed.locate("model.init_args.network")
        raise UserError(f"{where}: takes no images of {shape}: {said:.200}") from error


def _table(layers: tuple[Layer, ...]) -> list[str]:
    rows = [_HEADS, *(_cells(layer) for layer in layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    left = 3  # columns of text; numbers stand to the right
    return [
        "  ".join(
            f"{cell:<{width}}" if column < left else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(layer: Layer) -> tuple[str, ...]:
    output = " + ".join("x".join(map(str, shape)) or "1" for shape in layer.output)
    parameters = f"{layer.parameters:,}" if layer.parameters else ""
    macs = f"{layer.macs:,}" if layer.macs else ""
    return layer.name or "(network)", layer.kind, output, parameters, macs, size_text(layer.output_bytes)


def _summary(counted: Account, shape: tuple[int, int, int]) -> list[str]:
    frozen = counted.parameters - counted.trainable
    of_these = f", {frozen:,} of them frozen" if frozen else ""
    return [
        _line("image", "x".join(map(str, shape))),
        _line("parameters", f"{counted.parameters:,}{of_these}; {size_text(counted.parameter_bytes)}"),
        _line("multiply-adds", f"{counted.macs:,} ({counted.macs / 1e9:.3g} G; {2 * counted.macs / 1e9:.3g} GFLOP)"),
        _line("activations", f"{size_text(counted.activation_bytes)}, about what a backward pass keeps of an image"),
    ]


def _fields(network: nn.Module, shape: tuple[int, int, int]) -> Iterator[str]:
    """What a place of the last feature map of each size sees."""
    measured = copy.deepcopy(network)
    for parameter in measured.parameters():
        if not parameter.any():  # a branch that starts at zero hides what it will see
            nn.init.constant_(parameter, 0.1)
    for size, name in _last_maps(measured, torch.zeros(1, *shape)).items():
        field = receptive_field(_Until(measured, name), shape)
        seen = "nothing" if field is None else "x".join(map(str, field))
        whole = " (all of the image, or more)" if field == shape[1:] else ""
        yield _line("sees", f"{seen}{whole} pixels: a place of {name or 'the output'}, {'x'.join(map(str, size))}")


def _last_maps(network: nn.Module, image: Tensor) -> dict[tuple[int, int], str]:
    """The module that gives the last feature map of each size, as convolutions and pooling lay it out."""
    shapes: set[tuple[int, ...]] = set()
    last: dict[tuple[int, int], str] = {}

    def note(module: nn.Module, name: str, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4 or max(output.shape[2:]) == 1:
            return
        shape = tuple(output.shape[1:])
        if isinstance(module, _SEES):
            shapes.add(shape)
        if shape in shapes:
            last[output.shape[2], output.shape[3]] = name

    handles = [
        module.register_forward_hook(lambda module, _, output, name=name: note(module, name, output))
        for name, module in network.named_modules()
    ]
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        for handle in handles:
            handle.remove()
    return last


def _line(label: str, text: str) -> str:
    return f"{label:<14} {text}"


class _Until(nn.Module):
    """A network that gives what one of its layers gives."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network = network
        self._layer = layer

    def forward(self, images: Tensor) -> Tensor:
        found: list[Tensor] = []
        handle = self.network.get_submodule(self._layer).register_forward_hook(lambda *said: found.append(said[2]))
        try:
            self.network(images)
        finally:
            handle.remove()
        return found[0]
