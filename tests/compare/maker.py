"""Makes the folders of runs as training leaves them, without training."""

import copy
import json
from pathlib import Path
from typing import Any

import yaml

RECIPE: dict[str, Any] = {
    "seed_everything": 0,
    "model": {
        "class_path": "lightning_cv.tasks.Classify",
        "init_args": {
            "network": {"class_path": "lightning_cv.networks.classify.SmallResNet", "init_args": {"widths": [32, 64]}},
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.05}},
        },
    },
    "data": {"class_path": "lightning_cv.data.Digits", "init_args": {"batch_size": 64}},
    "callbacks": {
        "snapshot": {
            "class_path": "lightning_cv.callbacks.Snapshot",
            "init_args": {"monitor": "val/accuracy", "mode": "max"},
        },
        "progress": {"class_path": "lightning_cv.callbacks.Progress", "init_args": {"redraws_per_s": 10.0}},
    },
    "trainer": {
        "max_epochs": 3,
        "logger": {
            "class_path": "lightning_cv.tracking.WandbTracker",
            "init_args": {"project": "digits", "name": None},
        },
    },
}
TRAINING = {
    "parameters": 78042,
    "trainable_parameters": 78042,
    "devices": 1,
    "accelerator": "cpu",
    "precision": "32-true",
}


def recipe(**changes: Any) -> dict[str, Any]:
    """The recipe above with values at dotted paths (`__` for the dot) changed."""
    values = copy.deepcopy(RECIPE)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = values
        for part in parents:
            place = place[part]
        place[last] = value
    return values


def event(kind: str, step: int, metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One line of progress.jsonl: ten steps an epoch, 64 images and 0.1 s a step."""
    head = {"event": kind, "epoch": max(0, (step - 1) // 10), "step": step}
    return {**head, "samples_seen": 64 * step, "time_s": round(0.1 * step, 3), "metrics": metrics, **more}


def history(scores: list[float], *, last: bool = True) -> list[dict[str, Any]]:
    """A training that validates every ten steps and gets these accuracies; the training loss is 1 / step."""
    events = []
    for number, score in enumerate(scores, start=1):
        step = 10 * number
        events.append(event("curve", step - 5, {"train/loss": 1 / (step - 5)}))
        events.append(event("curve", step, {"train/loss": 1 / step, "val/accuracy": score}))
        # What a validation reports repeats the training's latest value.
        events.append(event("validation", step, {"val/accuracy": score, "val/loss": 1 - score, "train/loss": 1 / step}))
    if last:
        events.append(event("end", 10 * len(scores), dict(events[-1]["metrics"]), status="completed"))
        events[-1]["epoch"] = len(scores)  # the trainer counts the epochs that it ended
    return events


def make_run(
    folder: str | Path,
    events: list[dict[str, Any]] | None = None,
    values: dict[str, Any] | None = None,
    training: dict[str, Any] | None = TRAINING,
) -> Path:
    """Write the folder of one run."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / "recipe.yaml").write_text(yaml.safe_dump(values or RECIPE, sort_keys=False))
    provenance = {
        "command": "lightning-cv fit",
        "started": "2026-01-01T00:00:00+00:00",
        "seed": 0,
        "training": training,
    }
    (path / "provenance.json").write_text(json.dumps(provenance))
    lines = [json.dumps(line) for line in (history([0.5, 0.7, 0.6]) if events is None else events)]
    (path / "progress.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return path
