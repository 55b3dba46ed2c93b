"""How is a run recorded with Weights & Biases, with or without a network, without ever stopping it?"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from lightning_cv.errors import UserError
from lightning_cv.tracking.server import answers, may_be_logged_in

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

Mode = Literal["auto", "online", "offline", "disabled"]

FINISH_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 2.5
ONLINE_WITHIN_S = 8.0  # for everything that waits for the server; going offline after it takes 1 to 2 s


class WandbTracker(WandbLogger):
    """Lightning's `WandbLogger` that never asks, never waits long, and never stops training.

    Online where the user is logged in (`wandb login`, or WANDB_API_KEY) and the server answers; else offline,
    to be sent later with `sync_command`. A start waits for a server 10 s at most. What cannot be recorded is
    reported once, and training goes on. Everything is written below `save_dir`, and within a second, so that a
    killed run loses a second and one point of its curves. WANDB_MODE, where it is set, wins over `mode`.

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
        init = {"group": group, "job_type": job_type, "tags": tags, "notes": notes, "entity": entity}
        super().__init__(project=project, name=name, save_dir=save_dir or "", id=id, **init)  # type: ignore[arg-type]
        self._wandb_init.pop("anonymous")  # given, even as None, it makes W&B warn
        self._save_dir = save_dir
        self._mode = mode
        self._directory: Path | None = None
        self._said: set[str] = set()
        self._row: dict[str, float] = {}
        self._row_step: int | None = None

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
        return f"wandb sync {shlex.quote(os.fspath(self._directory))}"

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record a point of the curves; what W&B refuses is reported once and dropped.

        What several parts log for one step becomes one row, so that any two of them can be plotted against
        each other; the row is sent when the next one begins, or with `save`.
        """
        if step is None or step != self._row_step or not self._row.keys().isdisjoint(metrics):
            self._send_row()
        self._row.update(metrics)
        self._row_step = step

    @rank_zero_only
    def save(self) -> None:
        """Send what waits."""
        self._send_row()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Send what waits; the run itself stays open for the test that may follow."""
        self._send_row()
        super().finalize(status)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Record the settings of the run; what W&B refuses is reported once and dropped."""
        try:
            super().log_hyperparams(params)
        except Exception as error:
            self._say("the settings", error)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End the run, so that another may begin in this process; waits for an upload 2 minutes at most."""
        self._send_row()
        if self._experiment is None:
            return
        try:
            self._experiment.finish(exit_code=exit_code)
        except Exception as error:
            self._say("the end of the run", error)
        self._experiment = None

    def _send_row(self) -> None:
        row, self._row = self._row, {}
        if not row:
            return
        try:
            super().log_metrics(row, self._row_step)
        except Exception as error:
            self._say("the curves", error)

    def _begin(self) -> None:
        """Begin the run in the mode that is to be had."""
        if wandb.run is not None and wandb.run.id != self._id:
            # The run of another tracker: without this, both would be one. Its service may be gone already.
            with contextlib.suppress(Exception):
                wandb.run.finish()
            wandb.run = None
        self._save_dir = os.fspath(Path(self._save_dir or ".").resolve())
        os.environ.setdefault("WANDB_CACHE_DIR", os.fspath(Path(self._save_dir) / "wandb" / "cache"))
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it looks up a host name even offline
        Path(self._save_dir).mkdir(parents=True, exist_ok=True)
        started_s = time.monotonic()
        mode = self._choose_mode()
        settings = _settings(init_timeout_s=max(1.0, ONLINE_WITHIN_S - (time.monotonic() - started_s)))
        self._wandb_init.update(dir=self._save_dir, id=self._id, settings=settings)
        for attempt in dict.fromkeys((mode, "offline", "disabled")):
            self._wandb_init["mode"] = attempt
            try:
                run = super().experiment
            except Exception as error:
                self._say(f"the run {attempt}", error)
                wandb.teardown()  # its service would still hold the run's id
            else:
                self._directory = Path(run.dir).parent if attempt != "disabled" else None
                self._id = run.id
                return

    def _choose_mode(self) -> str:
        """The mode to try first: online only where there is a key and the server answers in time."""
        mode = {"dryrun": "offline", "run": "online"}.get(asked := os.environ.get("WANDB_MODE", ""), asked)
        mode = mode or self._mode
        if mode in ("offline", "disabled"):
            return mode
        logged_in = may_be_logged_in()
        if logged_in:
            url = wandb.setup(_settings()).settings.base_url
            if not answers(f"{url}/graphql", within_s=ANSWER_TIMEOUT_S):
                rank_zero_warn(f"W&B at {url} does not answer; the run is recorded offline.")
                return "offline"
            logged_in = wandb.login(prompt=False, verify=False)
        if not logged_in and mode == "online":
            rank_zero_warn("W&B: nobody is logged in (`wandb login`); the run is recorded offline.")
        return "online" if logged_in else "offline"

    def _say(self, what: str, error: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            first_line = (str(error).splitlines() or [""])[0]
            rank_zero_warn(f"W&B could not record {what} ({type(error).__name__}: {first_line}).")


def _settings(init_timeout_s: float = ONLINE_WITHIN_S) -> wandb.Settings:
    """Silent, on disk within a second, and without endless waits."""
    return wandb.Settings(
        silent=True,
        console="off",
        init_timeout=init_timeout_s,
        finish_timeout=FINISH_TIMEOUT_S,
        x_transaction_log_flush_interval=1.0,
    )
