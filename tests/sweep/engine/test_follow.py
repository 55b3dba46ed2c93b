"""Is what a sweep sees of a run as it grows what the run's file says once it is whole?"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest

from lightning_cv.record.progress import ProgressFile, read_progress
from lightning_cv.sweep.engine.follow import Follower

KINDS = ("curve", "validation", "epoch", "resume", "end", "validate", "test", "validation", "validation", "resume")
NUMBERS = (0.5, -1.0, 3, 1e-300, "NaN", "Infinity", "-Infinity", math.nan)


def random_event(draw: random.Random, num_lines: int) -> dict[str, object]:
    """An event as a run may write it, or an earlier version of it may have."""
    kind = draw.choice(KINDS)
    event: dict[str, object] = {
        "event": kind,
        "epoch": draw.randrange(10),
        "step": draw.randrange(1000),
        "samples_seen": draw.randrange(10_000),
        "time_s": round(draw.uniform(0, 100), 3),
        "metrics": {name: draw.choice(NUMBERS) for name in draw.sample(("val/loss", "val/accuracy", "lr"), 2)},
    }
    if kind == "resume" and draw.random() < 0.9:
        event["kept"] = draw.randrange(num_lines + 2)
    if kind == "end":
        event["status"] = draw.choice(("completed", "preempted", "interrupted", "failed"))
        if event["status"] == "failed":
            event["error"] = "ValueError: x"
    return event


def random_file(draw: random.Random) -> bytes:
    """Some events; between them lines that were cut off, empty ones and ones that are no event."""
    lines: list[str] = []
    for _ in range(draw.randrange(40)):
        line = json.dumps(random_event(draw, len(lines)))
        lines.append(
            draw.choice((line, line, line, line, line[: draw.randrange(len(line))], "", "[1]", '{"event": 1}'))
        )
    return "".join(f"{line}\n" for line in lines).encode() + draw.choice((b"", b'{"event": "validat'))


def expected(path: Path) -> dict[str, object]:
    """Oracle: the reader of whole files."""
    events = read_progress(path)
    dated = [event for event in events if event["event"] not in ("validate", "test")]
    last = dated[-1] if dated else {"step": 0, "samples_seen": 0, "time_s": 0.0, "event": ""}
    ended = last["event"] == "end"
    return {
        "validations": [
            (event["epoch"], event["step"], {name: repr(float(value)) for name, value in event["metrics"].items()})
            for event in events
            if event["event"] in ("validation", "epoch")
        ],
        "latest": (last["step"], last["samples_seen"], last["time_s"]),
        "status": last.get("status", "") if ended else "",
        "error": last.get("error", "") if ended else "",
    }


def found(follower: Follower) -> dict[str, object]:
    return {
        "validations": [
            (validation.epoch, validation.step, {name: repr(value) for name, value in validation.metrics.items()})
            for validation in follower.validations
        ],
        "latest": (follower.step, follower.samples_seen, follower.time_s),
        "status": follower.status,
        "error": follower.error,
    }


@pytest.mark.parametrize("seed", range(60))
def test_a_file_that_is_read_in_pieces_says_what_it_says_as_a_whole(seed):
    """Oracle: `read_progress` of as many whole lines as are there; the pieces end anywhere, also within a line."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    text = random_file(draw)
    run, whole = Path("run"), Path("whole.jsonl")
    run.mkdir()
    follower = Follower(run)
    size = 0
    while size < len(text):
        size = min(len(text), size + draw.choice((1, 20, 200, 2000)))
        (run / "progress.jsonl").write_bytes(text[:size])
        whole.write_bytes(text[: text[:size].rfind(b"\n") + 1])
        follower.read()
        assert found(follower) == expected(whole)
    assert not follower.read(), "there is nothing new"


def test_what_a_run_writes_is_followed_through_a_kill_and_a_resume():
    """A line that a killed process left unfinished, and two validations that the snapshot did not know."""
    run = Path("run")
    follower = Follower(run)
    assert not follower.read(), "there is no folder yet"
    first = ProgressFile()
    first.open(run)
    for epoch in range(3):
        first.append("validation", epoch=epoch, step=10 * epoch + 10, metrics={"val/loss": epoch})
    assert follower.read()
    assert [validation.metrics["val/loss"] for validation in follower.validations] == [0, 1, 2]
    with (run / "progress.jsonl").open("a") as file:
        file.write('{"event": "validation", "epoch": 3')
    assert not follower.read()
    second = ProgressFile()
    second.open(run)
    second.append("resume", epoch=1, step=10, metrics={}, outcome={"kept": 1})
    second.append("validation", epoch=1, step=20, metrics={"val/loss": math.nan})
    assert follower.read()
    assert [(validation.epoch, validation.step) for validation in follower.validations] == [(0, 10), (1, 20)]
    assert [validation.epoch for validation in follower.finite("val/loss")] == [0]
    assert follower.finite("val/accuracy") == []
    second.append("end", epoch=1, step=20, metrics={}, outcome={"status": "failed", "error": "ValueError: x"})
    assert follower.read()
    assert (follower.step, follower.status, follower.error) == (20, "failed", "ValueError: x")
