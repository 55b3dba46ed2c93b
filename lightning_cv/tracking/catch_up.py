"""How does W&B get the points of a run's curves that it lacks, from the run's own record?"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import wandb

from lightning_cv.tracking.present import present_on_server
from lightning_cv.tracking.segments import STEP
from lightning_cv.tracking.settings import quiet_settings
from lightning_cv.tracking.summary import RunSummary, define_curve

if TYPE_CHECKING:
    from lightning_cv.tracking.waiting import WaitingRun

INIT_TIMEOUT_S = 60.0
FINISH_TIMEOUT_S = 600.0


def catch_up(run: WaitingRun) -> int:
    """Send what the server lacks of `progress.jsonl`, and look again that it came; returns the number of rows.

    Raises:
        RuntimeError: the server did not take them.
        wandb.errors.Error: it does not answer, or refuses.
    """
    sent = _send_missing(run)
    if sent and _send_missing(run):
        raise RuntimeError("the server did not keep all of what it was sent")
    return sent


def _send_missing(run: WaitingRun) -> int:
    """Go on with the run on the server for as long as this takes."""
    last = run.content(run.segments[-1])
    with tempfile.TemporaryDirectory() as folder:
        goes_on = wandb.init(dir=folder, **_identity(run))
        uploaded = [row.get(STEP) for segment in run.segments for row in run.content(segment).rows]
        next_row = goes_on.starting_step if goes_on.resumed else 0
        present = present_on_server(dict(goes_on.summary), next_row, run.rows, uploaded=uploaded)
        # The watched metric has one number there, its best; whether more is better is not known here.
        watched = {name for name, value in dict(goes_on.summary).items() if isinstance(value, (int, float))}
        summary, sent = RunSummary(), 0
        defined: set[str] = set()
        for step, metrics in run.rows:
            summary.add(metrics)
            missing = present.missing(step, metrics)
            for name in missing.keys() - defined:
                defined.add(name)
                define_curve(goes_on, name, missing[name], is_watched=name in watched)
            if missing:
                goes_on.log({**missing, STEP: step})
                sent += 1
        if sent:
            goes_on.summary.update({name: value for name, value in summary.whole().items() if name not in watched})
        goes_on.finish(exit_code=1 if last.exit_code is None else last.exit_code)
        wandb.teardown()  # its service holds files in the folder
    return sent


def _identity(run: WaitingRun) -> dict[str, Any]:
    head = run.head
    config = {name: value for segment in run.segments for name, value in run.content(segment).config.items()}
    return {
        "mode": "online",
        "resume": "allow",
        "id": run.run_id,
        "project": head.get("project"),
        "entity": head.get("entity") or None,
        "name": head.get("display_name") or None,
        "group": head.get("run_group") or None,
        "job_type": head.get("job_type") or None,
        "tags": head.get("tags") or None,
        "notes": head.get("notes") or None,
        "config": config,
        "settings": quiet_settings(init_timeout_s=INIT_TIMEOUT_S, finish_timeout_s=FINISH_TIMEOUT_S),
    }
