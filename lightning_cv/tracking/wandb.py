"""How is a run recorded with Weights & Biases, with or without a network, without ever stopping it?"""

from __future__ import annotations

import atexit
import os
import shlex
import time
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.record.redact import redact
from lightning_cv.tracking.mode import Mode, choose_mode
from lightning_cv.tracking.overlays import as_wandb_image
from lightning_cv.tracking.pictures import MAX_BYTES, KeptPictures
from lightning_cv.tracking.present import Present, present_in, present_on_server
from lightning_cv.tracking.segments import await_new_name, find_segments, mark_as_sent, read_segment
from lightning_cv.tracking.settings import (
    FINISH_TIMEOUT_S,
    OFFLINE_WITHIN_S,
    ONLINE_WITHIN_S,
    prepare_process,
    quiet_settings,
)
from lightning_cv.tracking.summary import RunSummary, define_curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class WandbTracker(WandbLogger):
    """Lightning's `WandbLogger` that never asks, never waits long, and never stops training.

    Online where the user is logged in (`wandb login`, or WANDB_API_KEY) and the server answers; else offline,
    to be sent later with `sync_command`. A start waits for a server 10 s at most. What cannot be recorded is
    reported once, and training goes on. Everything is written below `save_dir`, and within a second, so that a
    killed run loses a second and one point of its curves, which `resume` makes up for. WANDB_MODE, where it is
    set, wins over `mode`. Secrets, the command line, the environment and the code stay on this machine. What
    several parts log for one step becomes one row, sent when the next step begins, or at the end.

    Args:
        project: the W&B project.
        name: name of the run as people read it; None: W&B invents one.
        group: runs that belong together (the seeds of one recipe, the trials of a sweep).
        job_type: what kind of run it is in its group.
        tags: words to find the run by.
        notes: a longer text on the run.
        mode: "online" says so where it cannot be had, "auto" just goes offline where nobody is logged in;
            "offline"; "disabled" records nothing.
        save_dir: folder of the W&B files; None: the run's folder in a recipe, the current one from Python.
        id: id of the run, kept on resume; None: the run folder's in a recipe, invented from Python.
        entity: the W&B user or team; None: the user's default.

    Raises:
        UserError: a mode that there is not.
    """

    def __init__(
        self,
        project: str = "lightning_cv",
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        mode: Mode = "auto",
        save_dir: str | None = None,
        id: str | None = None,
        entity: str | None = None,
    ) -> None:
        if mode not in ("auto", "online", "offline", "disabled"):
            raise UserError(f"WandbTracker: mode is {mode!r}; allowed are auto, online, offline and disabled")
        init = redact({"group": group, "job_type": job_type, "tags": tags, "notes": notes}) | {"entity": entity}
        super().__init__(project=project, name=name, save_dir=save_dir or "", id=id, **init)
        self._wandb_init.pop("anonymous")  # given, even as None, it makes W&B warn
        self._save_dir = save_dir
        self._mode = mode
        self._directory: Path | None = None
        self._said: set[str] = set()
        self._row: dict[str, Any] = {}
        self._row_step: int | None = None
        self._defined: set[str] = set()
        self._present = Present()
        self._summary = RunSummary()
        self._resumed = False
        self._pictures = KeptPictures()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run; the first use begins it, on the first device only."""
        if self._experiment is None:
            self._begin()
        return self._experiment

    @property
    def directory(self) -> Path | None:
        """The folder of the W&B files of this run; None before it began, or where nothing is recorded."""
        return self._directory

    @property
    def sync_command(self) -> str | None:
        """The command that sends an offline run to W&B; None where there is nothing to send."""
        if self._directory is None or self._wandb_init.get("mode") != "offline":
            return None
        return f"lightning-cv sync {shlex.quote(display_path(Path(self._save_dir or '.')))}"

    def watch_metric(self, name: str, mode: Literal["min", "max"]) -> None:
        """Let the summary of the run say the best value of this metric, not its last."""
        self._summary.watch(name, mode)

    @rank_zero_only
    def resume(self, step: int, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Go on with the run of this id: what W&B lacks of it is sent now, what it has does not come twice.

        Args:
            step: optimizer steps done.
            rows: all points of the curves up to there, in order: optimizer step, metrics.
        """
        try:
            self._resume([row for row in rows if row[0] <= step])
        except Exception as error:
            self._say("what came before the resume", error)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record values of a point of the curves; what W&B refuses is reported once and dropped."""
        if step is None or step != self._row_step:
            self._send_row()
        self._row.update(metrics)
        self._row_step = step

    @rank_zero_only
    def log_pictures(self, pictures: Mapping[str, Path], *, step: int) -> None:
        """Record pictures, by name, with the point of this step; what is too much is reported once and dropped.

        The files may be changed or removed afterwards.
        """
        try:
            if self.experiment is None or self._directory is None:
                return
            if step != self._row_step:
                self._send_row()
            copies, dropped = self._pictures.keep(pictures, self._directory, step=step)
            self.log_metrics({name: as_wandb_image(path) for name, path in copies.items()}, step)
        except Exception as error:
            self._say("the pictures", error)
        else:
            if dropped:
                self._say("all pictures", ValueError(f"beyond {MAX_BYTES // 2**20} MiB: {', '.join(dropped)}"))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Record the settings of the run without its secrets; what W&B refuses is reported once and dropped."""
        try:
            super().log_hyperparams(redact(vars(params) if isinstance(params, Namespace) else params))
        except Exception as error:
            self._say("the settings", error)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End the run, so that another may begin in this process; waits for an upload 2 minutes at most."""
        self._send_row()
        atexit.unregister(self._send_row)
        if self._experiment is None:
            return
        try:
            self._write_summary(self._summary.whole() if self._resumed else {})
            self._experiment.finish(exit_code=exit_code)
        except Exception as error:
            self._say("the end of the run", error)
            with suppress(Exception):
                wandb.teardown()  # else it fails once more when the program ends, with a traceback
        self._experiment = None

    def _send_row(self) -> None:
        row, self._row = self._row, {}
        if not row:
            return
        try:
            self._send(self._row_step, row)
        except Exception as error:
            self._say("the curves", error)
        finally:
            self._pictures.forget()

    def _send(self, step: int | None, row: Mapping[str, Any]) -> None:
        """Hand a row to W&B, or what it lacks of it."""
        better = self._summary.add(row)
        missing = dict(row) if step is None else self._present.missing(step, row)
        for name in missing.keys() - self._defined:
            self._defined.add(name)
            define_curve(self.experiment, name, missing[name], is_watched=name == self._summary.watched)
        if missing:
            super().log_metrics(missing, step)
        # W&B knows the range of the present part of the run only.
        self._write_summary(self._summary.whole() if self._resumed and self._summary.watched in row else better)

    def _write_summary(self, values: Mapping[str, Any]) -> None:
        if values and self._directory is not None:
            self.experiment.summary.update(dict(values))

    def _resume(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        earlier = find_segments(Path(self._save_dir or "."), self._id) if self._id else []
        if self._experiment is None:
            wandb.teardown()  # what this process wrote of the run before is on disk then
        run = self.experiment
        if self._directory is None:
            return
        if online := self.sync_command is None:
            self._present = present_on_server(dict(run.summary), run.starting_step if run.resumed else 0, rows)
        else:
            self._present = present_in(row for segment in earlier for row in read_segment(segment).rows)
        self._resumed = True
        for step, metrics in rows:
            self._send(step, metrics)
        self._write_summary(self._summary.whole())
        if online:
            mark_as_sent(earlier)

    def _begin(self) -> None:
        """Begin the run in the mode that is to be had."""
        self._save_dir = os.fspath(Path(self._save_dir or ".").resolve())
        prepare_process(self._save_dir)
        Path(self._save_dir).mkdir(parents=True, exist_ok=True)
        started_s = time.monotonic()
        mode = choose_mode(self._mode)
        left_s = max(1.0, ONLINE_WITHIN_S - (time.monotonic() - started_s))
        self._wandb_init.update(dir=self._save_dir, id=self._id)
        for attempt in dict.fromkeys((mode, "offline", "disabled")):
            within_s = left_s if attempt == "online" else OFFLINE_WITHIN_S
            settings = quiet_settings(init_timeout_s=within_s, finish_timeout_s=FINISH_TIMEOUT_S)
            self._wandb_init.update(mode=attempt, settings=settings)
            await_new_name(Path(self._save_dir), self._id or "")
            try:
                run = super().experiment
            except Exception as error:
                self._say(f"the run {attempt}", error)
                wandb.teardown()  # its service would still hold the run's id
            else:
                self._directory = Path(run.dir).parent if attempt != "disabled" else None
                self._id = run.id
                atexit.register(self._send_row)  # before W&B's own, which was registered in `init`
                return

    def _say(self, what: str, error: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            first_line = (str(error).splitlines() or [""])[0]
            rank_zero_warn(f"W&B could not record {what} ({type(error).__name__}: {first_line}).")
