"""How does a finished run become objects again, in a notebook or a tool?"""

from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule

from lightning_cv.errors import UserError
from lightning_cv.networks.saved_part import weights_are_replaced
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.run.build import build, check_recipe
from lightning_cv.run.checkpoints import find_checkpoint, reading, run_of
from lightning_cv.tasks import VisionTask


def load_task(run: str | Path, *, allow_code: tuple[str, ...] = ()) -> VisionTask:
    """The task of a run with its best weights (or those of a checkpoint file inside a run), in eval mode.

    Args:
        run: a run folder, or a checkpoint file inside one.
        allow_code: further packages that the recipe may import from.

    Raises:
        UserError: no run or checkpoint there, or its recipe cannot be built.
    """
    return load_run(run, allow_code=allow_code)[0]


def load_run(run: str | Path, *, allow_code: tuple[str, ...] = ()) -> tuple[VisionTask, LightningDataModule | None]:
    """The same, and the data of its recipe, not set up.

    Its images are normalized as in the training, once `setup` was called.
    """
    checkpoint = find_checkpoint(Path(run))
    folder = run_of(checkpoint)
    if folder is None:
        raise UserError(f"{checkpoint}: lies in no run folder (no recipe.yaml above it)")
    composed = compose([read_recipe(folder / "recipe.yaml")], [("trainer.logger", "false")])
    with weights_are_replaced():
        cli = build(composed, check_recipe(composed, allow_code), prepare=lambda _: None)
    task = cli.model
    with reading(checkpoint):
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        task.on_load_checkpoint(state)
        task.load_state_dict(state["state_dict"])
    return task.eval(), cli.datamodule
