"""How does a network, or a part of it, start with the weights of a run that ended?"""

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.record.manifest import newest_valid

_REPLACED: ContextVar[bool] = ContextVar("_REPLACED", default=False)


@contextmanager
def weights_are_replaced() -> Iterator[None]:
    """Around what builds a network that then gets all weights from its own checkpoint: others may be gone by now."""
    token = _REPLACED.set(True)
    try:
        yield
    finally:
        _REPLACED.reset(token)


def load_saved(module: nn.Module, weights: str | Path, *, part: str = "", asked_by: str = "network") -> None:
    """Give a module the weights that a part of the network of a run had, in the run's newest best snapshot.

    Averaged weights are taken where the run scored by them.

    Args:
        module: changed in place; all its weights must be there, and no others.
        weights: a checkpoint, or the folder of a run: then its best one.
        part: name of the module in the saved network, such as `encoder`; "": all of it.
        asked_by: who, for the error.

    Raises:
        UserError: the file is missing or no checkpoint, or holds another network.
    """
    path = Path(weights).expanduser()
    if _REPLACED.get() and not path.exists():
        return
    start = f"{part}." if part else ""
    saved = _network_weights(_checkpoint(path, asked_by))
    state = {name.removeprefix(start): value for name, value in saved.items() if name.startswith(start)}
    if not state:
        raise UserError(f"{asked_by}: weights is {path}, whose network has no {part or 'weights'}")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).partition("\n")[2].strip() or str(error)
        first = " ".join(first.split())
        raise UserError(f"{asked_by}: weights is {path}, of another network ({first:.100})") from error


def saved_statistics(weights: str | Path, *, asked_by: str = "network") -> tuple[list[float], list[float]]:
    """The mean and the standard deviation of each channel by which a run normalized its images.

    Args:
        weights: see `load_saved`.
        asked_by: who, for the error.

    Raises:
        UserError: the file is missing or no checkpoint, or does not say.
    """
    path = Path(weights).expanduser()
    for part in _checkpoint(path, asked_by).values():
        if isinstance(part, dict) and {"mean", "std"} <= part.keys():
            return part["mean"], part["std"]
    raise UserError(f"{asked_by}: weights is {path}, which does not say how the images of its run were normalized")


def _network_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    averaged = checkpoint.get("averaged_network") if checkpoint.get("scored") != "raw" else None
    state: dict[str, Tensor] = checkpoint.get("state_dict", {})
    if averaged is not None:
        return dict(averaged)
    start = "network."
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def _checkpoint(path: Path, asked_by: str) -> dict[str, Any]:
    if path.is_dir():
        folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
        snapshot, _ = newest_valid(folder, "best-*.ckpt")
        if snapshot is None:
            raise UserError(
                f"{asked_by}: weights is {path}: there is no best-*.ckpt that is whole; allowed: the folder of a run, "
                "or a checkpoint"
            )
        path = snapshot
    if not path.exists():
        raise UserError(f"{asked_by}: weights is {path}, which does not exist")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{asked_by}: weights is {path}, which is no checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise UserError(f"{asked_by}: weights is {path}: damaged, or no checkpoint ({error!s:.80})") from error
    if not isinstance(checkpoint, dict):
        raise UserError(f"{asked_by}: weights is {path}, which is no checkpoint of a run")
    return checkpoint
