"""What does a recipe say of its batch, and on which devices is it trained?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl

from lightning_cv.data import VisionData
from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.run.build import Printed, build, check_recipe
from lightning_cv.run.cli import RecipeCLI


@dataclass(frozen=True)
class Devices:
    """On what the recipe is trained.

    Args:
        number: of all devices.
        here: of those of this machine.
        is_cpu: whether they are its cores.
    """

    number: int
    here: int
    is_cpu: bool


def resolved_config(composed: Composed, allow_code: tuple[str, ...]) -> Any:
    """The complete recipe.

    Raises:
        UserError: a mistake in it, or data whose batch size is a device's.
    """
    values = check_recipe(composed, allow_code)
    found: list[Any] = []

    def prepare(cli: RecipeCLI) -> None:
        found.append(cli.config)
        raise _Parsed

    with suppress(_Parsed):
        build(composed, values, prepare)
    (config,) = found
    kind = allowed_roots(allow_code).resolve(config.data.class_path)
    if not (isinstance(kind, type) and issubclass(kind, VisionData)):
        raise UserError(f"{composed.locate('data')}: --batch auto needs data of lightning_cv, not {kind.__name__}")
    return config


def devices_of(trainer: Any, outside: tuple[int, int] | None) -> Devices:
    """What Lightning makes of the recipe's devices.

    Raises:
        UserError: on several machines, without a launcher that starts a process for each device.
    """
    made = pl.Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if made.num_nodes > 1 and outside is None:
        raise UserError(
            "--batch auto on several machines needs srun or torchrun, which start a process for each device"
        )
    if any(word in str(trainer.strategy) for word in ("spawn", "fork", "notebook")):
        raise UserError(f"--batch auto works with trainer.strategy ddp, not with {trainer.strategy!s:.60}")
    number = outside[1] if outside is not None else made.world_size
    return Devices(number, here=made.num_devices, is_cpu=made.strategy.root_device.type == "cpu")


class _Parsed(Printed):
    """Ends the building of a recipe that was only to be completed."""
