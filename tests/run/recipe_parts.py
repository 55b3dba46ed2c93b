"""Small parts for recipes in tests of the run layer, with options of many types; and the parser that reads them."""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_cv.recipe.compose import Composed, compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.run.check import check
from lightning_cv.run.parse_errors import explain

ALLOWED = allowed_roots(["tests"])

RECIPE = """\
# A recipe for tests, with options of every type
seed_everything: 0
model:
  class_path: tests.run.recipe_parts.Task
  init_args:
    network:
      class_path: torchvision.models.squeezenet1_1
      init_args: {num_classes: 10, dropout: 0.1}
    optimizer:
      class_path: torch.optim.AdamW
      init_args:
        lr: 1.0e-3
        betas: [0.9, 0.99]
    loss:
      class_path: torch.nn.CrossEntropyLoss
      init_args: {label_smoothing: 0.1}
    direction: max
    sizes: [1, 2]
    by_epoch: {0: 1.5}
    activation: torch.nn.functional.relu
    multilabel: false
    color: RED
    margin: 1
data:
  class_path: tests.run.recipe_parts.Data
  init_args:
    batch_size: 64
    root: data
callbacks:
  early:
    class_path: lightning.pytorch.callbacks.EarlyStopping
    init_args: {monitor: val/loss, patience: 3}
  rate:
    class_path: lightning.pytorch.callbacks.LearningRateMonitor
trainer:
  max_epochs: 3
  precision: 32-true
  devices: 1
  accelerator: cpu
  logger: false
  limit_train_batches: 0.5
"""


class Color(Enum):
    """An option with names."""

    RED = 1
    BLUE = 2


class Task(pl.LightningModule):
    """Takes options of many types."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Callable[[Iterable[Any]], Optimizer],
        *,
        loss: nn.Module | None = None,
        direction: Literal["min", "max"] = "max",
        sizes: list[int] | None = None,
        by_epoch: dict[int, float] | None = None,
        activation: Callable[[Tensor], Tensor] = nn.functional.relu,
        multilabel: bool = False,
        color: Color = Color.RED,
        pair: tuple[int, float] = (1, 1.0),
        margin: int | float = 1,
        anything: Any = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.anything = anything
        if margin > 12:
            raise ValueError(f"margin must lie in [0, 12], got {margin}")


class Data(pl.LightningDataModule):
    """Takes plain options."""

    def __init__(self, batch_size: int = 64, root: str | Path = "data", num_workers: int = 0) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"needs at least one sample a batch, got {batch_size}")


def open_network(name: str, **options: Any) -> nn.Module:
    """Hands its options on to something chosen at run time, as `timm.create_model` does."""
    return getattr(nn, name)(**options)


def make_parser() -> LightningArgumentParser:
    """What LightningCLI makes for a task, data, named callbacks and a Trainer."""
    parser = LightningArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.add_lightning_class_args(pl.LightningModule, "model", subclass_mode=True)
    parser.add_lightning_class_args(pl.LightningDataModule, "data", subclass_mode=True)
    parser.add_argument("--callbacks", type=dict[str, pl.Callback | None], default={})
    return parser


def compose_text(text: str = RECIPE, overrides: Mapping[str, str] | None = None) -> Composed:
    """The recipe `recipe.yaml` with this text, and overrides."""
    path = Path("recipe.yaml")
    path.write_text(text, encoding="utf-8")
    return compose([read_recipe(path)], list((overrides or {}).items()))


def build(composed: Composed, parser: LightningArgumentParser) -> Any:
    """The objects of a recipe; raises RuntimeError with the line of `explain` if the parser refuses it."""
    values = check(composed.values, composed.origins, ALLOWED)
    try:
        config = parser.instantiate_classes(parser.parse_object(values))
        pl.Trainer(**vars(config.trainer))
    except Exception as error:
        raise RuntimeError(explain(error, composed.origins, values)) from error
    return config
