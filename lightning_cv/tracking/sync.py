"""How does a run that waits on disk get to W&B, and what of it arrived?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.tracking.segments import mark_as_sent
from lightning_cv.tracking.server import answers, may_be_logged_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lightning_cv.tracking.segments import Segment
    from lightning_cv.tracking.waiting import WaitingRun

ANSWER_TIMEOUT_S = 10.0
# wandb's own bounds let a server that hangs hold an upload for hours. A user's own setting wins.
BOUNDS = {
    "WANDB_X_GRAPHQL_TIMEOUT_SECONDS": "30",
    "WANDB_X_GRAPHQL_RETRY_MAX": "4",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "10",
    "WANDB_X_FILE_STREAM_TIMEOUT_SECONDS": "60",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "4",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "10",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "4",
    "WANDB_X_FILE_TRANSFER_RETRY_WAIT_MAX_SECONDS": "10",
}
_TORN = "incomplete record"  # in wandb's words on a segment whose run was killed; all before it was sent

Status = Literal["sent", "already sent", "nothing to send", "unreadable", "still being written", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Args:
        status: in one word or two.
        segments: how many segments were uploaded.
        rows: how many points of the curves were sent beside them, from the run's own record.
        reason: why it failed; else empty.
    """

    status: Status
    segments: int = 0
    rows: int = 0
    reason: str = ""

    @property
    def is_loss(self) -> bool:
        """Whether something of the run is not at W&B that ought to be."""
        return self.status in ("failed", "unreadable")


def check_server() -> None:
    """Look whether anything can be sent at all.

    Raises:
        UserError: nobody is logged in, or the server does not answer.
    """
    from lightning_cv.tracking.settings import server_url

    if not may_be_logged_in():
        raise UserError("nobody is logged in to W&B: `wandb login` first, or set WANDB_API_KEY")
    url = server_url()
    if not answers(f"{url}/graphql", within_s=ANSWER_TIMEOUT_S):
        raise UserError(f"W&B at {url} does not answer; try again later, everything stays on disk")


def send(run: WaitingRun) -> Outcome:
    """Upload what W&B lacks of a run: its segments by wandb's own command, then single rows that they lack.

    What is marked as sent afterwards was taken by the server; all else can be sent by another call, and nothing
    comes twice.
    """
    with run.held() as is_free:
        if not is_free:
            return Outcome("still being written")
        if run.asks_server and run.rows:
            return _catch_up(run, num_uploaded=0)
        ready = run.ready
        if ready:
            reason = _upload(ready)
            if reason:
                return Outcome("failed", segments=len(ready) - len(run.ready), reason=reason)
        if run.num_unwritten and (ready or any(segment.sent for segment in run.segments)):
            return _catch_up(run, num_uploaded=len(ready))
        return _without_rows(run, num_uploaded=len(ready))


def _without_rows(run: WaitingRun, num_uploaded: int) -> Outcome:
    if run.damaged:
        return Outcome("unreadable", segments=num_uploaded)
    if num_uploaded:
        return Outcome("sent", segments=num_uploaded)
    return Outcome("already sent" if any(segment.sent for segment in run.segments) else "nothing to send")


def _catch_up(run: WaitingRun, *, num_uploaded: int) -> Outcome:
    from lightning_cv.tracking.catch_up import catch_up

    try:
        rows = catch_up(run)
    except Exception as error:
        return Outcome("failed", segments=num_uploaded, reason=(str(error).splitlines() or [type(error).__name__])[0])
    mark_as_sent(run.ready)  # the server has all of their points
    for segment in run.segments:
        segment.torn_marker.unlink(missing_ok=True)
    return Outcome("sent" if rows or num_uploaded else "already sent", segments=num_uploaded, rows=rows)


def _upload(segments: Sequence[Segment]) -> str:
    """Run `wandb sync` on the segments of one run; returns why it failed, empty if it did not.

    wandb ends with status 0 whatever happened, and marks as sent what the server refused: only what it prints
    tells.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wandb", "sync", *(str(segment.path) for segment in segments)]
        environment = {**BOUNDS, **os.environ, "WANDB_DIR": folder, "WANDB_CACHE_DIR": folder}
        environment |= {"WANDB_MODE": "online", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "false"}
        for name in ("WANDB_QUIET", "WANDB_RUN_ID", "WANDB_PROJECT", "WANDB_ENTITY"):
            environment.pop(name, None)
        done = subprocess.run(  # noqa: S603
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    return _judge(done.stdout, segments)


def _judge(printed: str, segments: Sequence[Segment]) -> str:
    """Set each segment's marker to what happened by wandb's words; returns why the upload failed.

    The segments of one run are sent one after the other, each ended by a line "Finished syncing" or, where the
    run was killed, by one that names the incomplete record.
    """
    waiting = {segment.path.name: segment for segment in segments}
    reason, begun = "", False
    for line in printed.splitlines():
        ends = "Finished syncing" in line or _TORN in line
        begun = begun or "View run" in line
        if "ERROR" in line and not ends:
            reason = reason or line.partition("ERROR")[2].strip()
        name = next((name for name in waiting if name in line), None)
        if not ends or name is None:
            continue
        if reason:
            break
        waiting.pop(name).marker.touch()
        begun = False
    if not waiting:
        return ""
    for segment in waiting.values():
        segment.marker.unlink(missing_ok=True)
    if begun:
        next(iter(waiting.values())).torn_marker.touch()
    return reason or _last_words(printed)


def _last_words(printed: str) -> str:
    lines = [line.removeprefix("wandb: ").strip() for line in printed.splitlines() if line.strip()]
    return lines[-1] if lines else "wandb sync said nothing"


def describe(run: WaitingRun, segment: Segment) -> str:
    """One line on a segment, for people."""
    problem = run.problem(segment)
    rows = len(run.content(segment).rows)
    text = f"{display_path(segment.path)}: {rows:,} rows, {size_text(segment.size)}"
    return text if problem is None else f"{display_path(segment.path)}: {problem}"


def size_text(size: int) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"
