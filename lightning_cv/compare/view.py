"""How does a comparison become a saved view in W&B, now or once there is a network?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_cv.compare.comparison import Comparison
from lightning_cv.compare.run import XAxis
from lightning_cv.compare.server import answers, log_in
from lightning_cv.compare.settings import SEED
from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path

KIND = "lightning-cv view 1"
FILE = Path("compare-view.json")
_NAMES = {
    "step": "trainer/global_step",
    "epoch": "epoch",
    "samples": "trainer/global_step",
    "time": "RelativeTime(Process)",
}
_COLUMNS = 20  # differing settings that a view shows


def save(comparison: Comparison, project: str | None, axis: XAxis) -> str:
    """Save the view in W&B, or where that cannot be had in a file; returns what to tell the user.

    Args:
        comparison: what the view shows.
        project: `PROJECT` or `ENTITY/PROJECT`; None: where the runs are.
        axis: what the curves are drawn over; W&B does not know the samples, and shows steps for them.

    Raises:
        UserError: no run is recorded in W&B, they are in several projects, or the file cannot be written.
    """
    spec = describe(comparison, project, axis)
    try:
        return _send(spec)
    except UserError as error:
        try:
            FILE.write_text(json.dumps(spec, indent=2, default=str) + "\n", encoding="utf-8")
        except OSError as refused:
            raise UserError(f"{display_path(FILE)}: cannot be written ({refused.strerror})") from refused
        return (
            f"not sent to W&B: {error}\nwrote the view to {FILE}; to send it: wandb login; wandb sync each offline run"
            f" (wandb sync RUN/wandb/offline-run-*); lightning-cv compare --push {FILE}"
        )


def push(path: Path) -> str:
    """Save in W&B the view that a file describes; returns what to tell the user.

    Raises:
        UserError: the file is no such description, or W&B does not take it; names the reason.
    """
    try:
        spec = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not JSON"
        raise UserError(f"--push {display_path(path)}: cannot be read ({reason})") from error
    if not isinstance(spec, dict) or spec.get("kind") != KIND:
        raise UserError(f"--push {display_path(path)}: not a view that lightning-cv compare --wandb wrote")
    try:
        return _send(spec)
    except UserError as error:
        raise UserError(f"--push {display_path(path)}: {error}") from error


def describe(comparison: Comparison, project: str | None, axis: XAxis) -> dict[str, Any]:
    """The view as plain data: which runs, which curves, which settings.

    Raises:
        UserError: no run is recorded in W&B, or they are in several projects.
    """
    places = [run.wandb for run in comparison.runs if run.wandb is not None]
    found = {(place.entity, place.project) for place in places}
    if not places:
        raise UserError("--wandb: no run of these is recorded in W&B (trainer.logger)")
    if project is None and len(found) > 1:
        names = ", ".join(sorted("/".join(filter(None, place)) for place in found))
        raise UserError(f"--wandb: the runs are in several projects ({names}), but a view shows one: --project")
    entity, name = next(iter(found))
    if project is not None:
        if not re.fullmatch(r"([\w.-]+/)?[\w.-]+", project):
            raise UserError(f"--project {project}: give PROJECT or ENTITY/PROJECT")
        given, _, name = project.rpartition("/")
        entity = given or entity
    keys = [key for key in comparison.differing.keys if key not in comparison.differing.of_classes]
    return {
        "kind": KIND,
        "entity": entity,
        "project": name,
        "name": f"comparison of {len(places)} runs" if len(places) > 1 else places[0].run_id,
        "runs": [place.run_id for place in places],
        "metrics": [{"name": metric.name, "mode": metric.mode} for metric in comparison.drawn],
        "scores": [metric.name for metric in comparison.metrics],
        "settings": keys[:_COLUMNS],
        "group_by": [key for key in keys[:_COLUMNS] if key != SEED],
        "x": _NAMES[axis],
    }


def _send(spec: dict[str, Any]) -> str:
    """Save the view.

    Raises:
        UserError: wandb-workspaces is not installed, nobody is logged in, or W&B refuses or does not answer.
    """
    try:
        import wandb_workspaces.workspaces  # noqa: F401
    except ImportError as error:
        raise UserError("the package wandb-workspaces is missing; pip install 'lightning_cv[reports]'") from error
    try:
        (url,) = answers(lambda: _save(spec))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"W&B does not take it ({' '.join(str(error).split())[:160]})") from error
    return f"saved the view in W&B: {url}"


def _save(spec: dict[str, Any]) -> Iterator[str]:
    wandb = log_in()
    if not spec["entity"]:
        spec = {**spec, "entity": wandb.Api().default_entity}
    workspace = to_workspace(spec)
    workspace.save()
    yield workspace.url


def to_workspace(spec: dict[str, Any]) -> Any:
    """The view in the terms of wandb-workspaces: a line plot a metric, runs grouped as here, best ones first."""
    import wandb_workspaces.workspaces as views
    from wandb_workspaces import expr
    from wandb_workspaces.reports.v2.interface import LinePlot

    plots: list[Any] = [LinePlot(title=metric["name"], x=spec["x"], y=[metric["name"]]) for metric in spec["metrics"]]
    top, *_ = spec["metrics"]
    order = expr.Ordering(expr.Summary(top["name"]), ascending=top["mode"] == "min")
    columns = [f"config:{_column(key)}" for key in spec["settings"]] + [f"summary:{name}" for name in spec["scores"]]
    return views.Workspace(
        entity=spec["entity"],
        project=spec["project"],
        name=spec["name"],
        sections=[views.Section(name="Curves", panels=plots, is_open=True)],
        runset_settings=views.RunsetSettings(
            filters=expr.And(expr.Metric("ID").isin(list(spec["runs"]))),
            groupby=[expr.Config(key) for key in spec["group_by"]],
            order=[order],
            pinned_columns=["run:displayName", *columns],
        ),
    )


def _column(key: str) -> str:
    """A setting as W&B stores it: every top-level one is wrapped in a `value`."""
    top, _, rest = key.partition(".")
    return f"{top}.value.{rest}" if rest else f"{top}.value"
