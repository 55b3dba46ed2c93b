"""What does a W&B server say about a run? Asked for within a bound, and never with a question to the user."""

from __future__ import annotations

import math
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from lightning_cv.compare.rows import Row, curves_of_rows
from lightning_cv.compare.run import Run, WandbPath, settings_monitor
from lightning_cv.errors import UserError

ANSWER_WITHIN_S = 20.0  # for each answer of the server, of which a long run needs several
_PATH = re.compile(r"(?P<entity>[\w.-]+)/(?P<project>[\w.-]+)/(?P<run>[\w.-]+)")
_URL = re.compile(r"https?://[^/]+/(?P<entity>[^/?#]+)/(?P<project>[^/?#]+)/runs/(?P<run>[^/?#]+).*")
_STATUS = {"finished": "completed", "running": "unfinished", "preempting": "preempted", "pending": "nothing recorded"}

Answer = TypeVar("Answer")


def wandb_path(text: str) -> WandbPath | None:
    """The run that `entity/project/run`, or the address of its page, names; None if the text is neither."""
    match = _PATH.fullmatch(text) or _URL.fullmatch(text)
    return WandbPath(match["entity"], match["project"], match["run"]) if match else None


def read_server(path: WandbPath) -> Run:
    """One run.

    Raises:
        UserError: nobody is logged in, the server does not answer, or it has no such run.
    """
    source = f"{path.entity}/{path.project}/{path.run_id}"
    try:
        run, *items = answers(lambda: _fetch(source))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{source}: neither a folder here nor a run that W&B gives ({reason})") from error
    rows = [row for row in map(Row.of, items) if row is not None]
    recipe = {key: value for key, value in run.config.items() if key != "_wandb"}
    monitor, mode = settings_monitor(recipe)
    last = rows[-1] if rows else None
    seed = recipe.get("seed_everything", recipe.get("seed"))
    return Run(
        source=source,
        name=run.name or path.run_id,
        run_id=path.run_id,
        recipe=recipe,
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        status=_STATUS.get(run.state, "failed"),
        curves=curves_of_rows(rows),
        steps=None if last is None else last.step,
        epochs=None if last is None or math.isnan(last.epoch) else int(last.epoch) + 1,
        time_s=None if last is None or math.isnan(last.time_s) else last.time_s,
        started=str(getattr(run, "created_at", "") or ""),
        monitor=monitor,
        mode=mode,
        wandb=path,
    )


def log_in() -> Any:
    """The wandb module, with a key.

    Raises:
        UserError: there is none.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    try:
        known = wandb.login(prompt=False, verify=False)
    except Exception as error:
        raise UserError(f"W&B refuses the key ({' '.join(str(error).split())[:120]})") from error
    if not known:
        raise UserError("nobody is logged in to W&B: run `wandb login`, or set WANDB_API_KEY")
    return wandb


def answers(ask: Callable[[], Iterable[Answer]]) -> Iterator[Answer]:
    """What `ask` gives, one by one.

    It is asked in a thread that is left behind at the bound: W&B's own retries outlast any time-out.

    Raises:
        UserError: the server let one of them wait longer than the bound.
    """
    given: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def work() -> None:
        try:
            for item in ask():
                given.put(("item", item))
            given.put(("end", None))
        except BaseException as error:
            given.put(("error", error))

    threading.Thread(target=work, daemon=True).start()
    while True:
        try:
            kind, value = given.get(timeout=ANSWER_WITHIN_S)
        except queue.Empty:
            raise UserError(f"W&B does not answer within {ANSWER_WITHIN_S:g} s") from None
        if kind == "end":
            return
        if kind == "error":
            raise value
        yield value


def _fetch(source: str) -> Iterator[Any]:
    """The run, then its rows."""
    api = log_in().Api(timeout=int(ANSWER_WITHIN_S))
    run = api.run(source)
    run.config  # noqa: B018  # loads what is loaded late
    yield run
    yield from run.scan_history()
