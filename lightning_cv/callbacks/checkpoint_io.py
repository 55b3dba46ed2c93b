"""How does a checkpoint get to the disk, whole, while training goes on?"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io import CheckpointIO, TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

from lightning_cv.callbacks.background import Background
from lightning_cv.callbacks.checkpoint_file import copy_content, write_checkpoint
from lightning_cv.callbacks.host_copy import HostCopy
from lightning_cv.errors import UserError
from lightning_cv.record.manifest import manifest_path, problem_of, read_manifest


class SnapshotIO(CheckpointIO):
    """Copies a state within the step, and writes it in the background; no crash leaves a torn file that counts.

    A file is written under a temporary name, brought to the disk, read back and compared, renamed; then its
    manifest (see `record.manifest`) declares it whole. One thread does all of this in the order in which it
    was asked for, so an old file goes only after the new one is verified. Where a file cannot be written (the
    disk is full), a warning says so once, all older files stay, and training goes on. The thread lives only
    while there is work; the interpreter waits for it when it ends, and a forked process has none.

    Attributes:
        failures: what could not be written, a line each.
        in_background: whether a save returns before its file is there. Of a trainer only `Snapshot`'s do: who
            calls `Trainer.save_checkpoint` finds the file.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.in_background = True
        self._copy = HostCopy()
        self._background = Background()
        self._failed: set[Path] = set()  # files of the latest state that could not be written
        self._postponed: dict[Path, set[Path]] = {}  # what is to be removed -> the failed files that it waits for
        self._kinds: set[int | None] = set()  # of failures that were told
        self._untold: deque[str] = deque()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Copy the state and return; waits only for a file that is still being written.

        Args:
            checkpoint: tensors on any device and plain values; they may change as soon as this returns.
            path: the file, which becomes the newest of its folder.
            storage_options: none are known; Lightning's signature.

        Raises:
            Exception: an error in an earlier state, see `wait`.
        """
        self.wait()  # there is one set of buffers
        state = self._copy(checkpoint)
        run = checkpoint.get("run", {})
        facts = {
            "epoch": int(checkpoint.get("epoch", 0)),
            "step": int(checkpoint.get("global_step", 0)),
            "run_id": run.get("id"),
            "recipe_sha256": run.get("recipe_sha256"),
        }
        target = Path(path).absolute()

        def save() -> None:
            self._failed.clear()
            self._save(lambda file: torch.save(state, file), target, facts)

        self._background.add(save)
        if not self.in_background:
            self.wait()

    def copy_checkpoint(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Keep a file that was just saved under a second name too: its own bytes, newer than the first."""
        paths = Path(source).absolute(), Path(target).absolute()
        self._background.add(lambda: self._keep_too(*paths))

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a file when what was saved before this call is whole.

        Where a file of the latest state could not be written, the old ones stay; each goes when the file that
        should have replaced it is there, or would itself be removed.
        """
        target = Path(path).absolute()
        self._background.add(lambda: self._remove(target))

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a file: tensors and plain values only, whatever is asked for.

        Args:
            path: the file.
            map_location: where tensors go; None: to the CPU.
            weights_only: taken for True, also where it is not.

        Raises:
            UserError: it is not as its manifest says.
            FileNotFoundError: there is none.
        """
        self.wait()
        file = Path(path)
        if file.is_file() and manifest_path(file).is_file():  # files of other programs have none
            problem = problem_of(file)
            if problem is not None:
                raise UserError(f"{path}: {problem}; it is not loaded")
        state: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return state

    def wait(self) -> None:
        """Return when everything that was asked for is on the disk, or has failed.

        Raises:
            Exception: an error in the state or in this code; a disk that fails only warns.
        """
        try:
            self._background.wait()
        finally:
            while self._untold:
                rank_zero_warn(self._untold.popleft())

    def teardown(self) -> None:
        """Wait for what is being written, and give the buffers back."""
        self._copy.free()
        self.wait()

    def _keep_too(self, source: Path, target: Path) -> None:
        if source in self._failed:
            self._failed.add(target)
            return
        described = read_manifest(source)
        facts = {name: getattr(described, name) for name in ("epoch", "step", "run_id", "recipe_sha256")}
        self._save(lambda file: copy_content(source, file), target, facts)

    def _save(self, write: Callable[[Any], None], path: Path, facts: dict[str, Any]) -> None:
        try:
            write_checkpoint(path, write, facts)
        except BaseException as error:
            self._failed.add(path)
            if not isinstance(error, OSError):
                raise
            self._fail(f"{path} could not be written", error)
        else:
            self._postponed.pop(path, None)
            self._settle(path)

    def _remove(self, path: Path) -> None:
        if self._failed:
            # "last-3" is replaced by "last-4", not by "best-4".
            of_its_kind = {failed for failed in self._failed if _kind(failed) == _kind(path)}
            self._postponed[path] = of_its_kind or set(self._failed)
        else:
            self._delete(path)

    def _delete(self, path: Path) -> None:
        try:
            # The manifest first: without it the file does not count.
            manifest_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as error:
            self._fail(f"{path} could not be removed", error)
        self._settle(path)

    def _settle(self, settled: Path) -> None:
        """This file is written, or not wanted any more: remove what waited for it alone."""
        for path, awaited in list(self._postponed.items()):
            awaited.discard(settled)
            if not awaited and path in self._postponed:
                del self._postponed[path]
                self._delete(path)

    def _fail(self, what: str, error: OSError) -> None:
        """Note it, and each kind once to be told by the training's thread."""
        line = f"{what} ({error.strerror or error}); the snapshots before it stay, and training goes on."
        self.failures.append(line)
        if error.errno not in self._kinds:
            self._kinds.add(error.errno)
            self._untold.append(line)


def _kind(path: Path) -> str:
    return path.name.partition("-")[0]


def use_snapshot_io(trainer: Trainer) -> None:
    """Let a trainer write its files so, unless it was given a way of its own."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        files = SnapshotIO()
        files.in_background = False
        trainer.strategy.checkpoint_io = files


def save_under(trainer: Trainer, paths: Sequence[Path]) -> None:
    """Write one state under each name; every process calls it."""
    files = trainer.strategy.checkpoint_io
    if not isinstance(files, SnapshotIO):
        for path in paths:
            trainer.save_checkpoint(path)
        return
    files.in_background = True
    try:
        trainer.save_checkpoint(paths[0])
    finally:
        files.in_background = False
    for path in paths[1:] if trainer.is_global_zero else ():
        files.copy_checkpoint(paths[0], path)


def wait_until_written(trainer: Trainer) -> None:
    """Return when all files of a trainer are on the disk, or have failed."""
    files = trainer.strategy.checkpoint_io
    if isinstance(files, SnapshotIO):
        files.wait()
