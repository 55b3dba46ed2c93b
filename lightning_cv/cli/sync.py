"""How does a user send runs to W&B that were recorded without a network?"""

from __future__ import annotations

from collections.abc import Sequence

from lightning_cv.errors import DONE, RECIPE, UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.suggest import hint
from lightning_cv.tracking.sync import Outcome, check_server, describe, send, size_text
from lightning_cv.tracking.waiting import WaitingRun, find_waiting

HELP = """\
usage: lightning-cv sync RUN... [--dry-run]

Send runs to Weights & Biases that were recorded offline, or that were killed before everything was sent.
RUN is the folder of a run, a folder with runs below it, a pattern of such, or wandb/offline-run-*.

  --dry-run   say what would be sent, and where to; needs no account and no network

Each run gets one line: sent, already sent, nothing to send, still being written, unreadable or failed. Nothing is
sent twice, and nothing is removed from the disk. Exit status 2: something that can be sent was not.

examples:
  lightning-cv sync runs --dry-run
  lightning-cv sync runs/digits_resnet/*"""


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        print(HELP)
        return DONE
    names = [argument for argument in arguments if not argument.startswith("-")]
    for option in arguments:
        if option.startswith("-") and option != "--dry-run":
            raise UserError(f"{option} is not an option of sync{hint(option, ['--dry-run', '--help'])}")
    if not names:
        raise UserError("sync needs RUN: the folder of a run, or one with runs below it")
    runs = find_waiting(names)
    if "--dry-run" in arguments:
        for waiting in runs:
            print(*_plan(waiting), sep="\n")
        return DONE
    if any(waiting.ready or waiting.asks_server or waiting.num_unwritten for waiting in runs):
        check_server()
    outcomes = []
    for waiting in runs:
        outcomes.append(send(waiting))
        print(_report(waiting, outcomes[-1]), flush=True)
    return RECIPE if any(outcome.is_loss for outcome in outcomes) else DONE


def _plan(waiting: WaitingRun) -> list[str]:
    """What would be sent of a run: one line, and one for each segment."""
    ready = waiting.ready
    with waiting.held() as is_free:
        state = "" if is_free else " (still being written: not now)"
    if waiting.asks_server and waiting.rows:
        text = f"those of {len(waiting.rows):,} rows that W&B lacks; the server is asked"
    elif ready:
        size = size_text(sum(segment.size for segment in ready))
        rows = sum(len(waiting.content(segment).rows) for segment in ready) + waiting.num_unwritten
        text = f"{_count(len(ready), 'segment')}, {_count(rows, 'row')}, {size}"
    else:
        text = "nothing to send"
    lines = [f"{_name(waiting)} to {waiting.target}: {text}{state}"]
    lines += [f"  {describe(waiting, segment)}" for segment in waiting.segments]
    if waiting.num_unwritten and not waiting.asks_server:
        lines.append(f"  progress.jsonl: {_count(waiting.num_unwritten, 'row')} that W&B's files lack")
    return lines


def _report(waiting: WaitingRun, outcome: Outcome) -> str:
    parts = [_count(outcome.segments, "segment")] if outcome.segments else []
    if outcome.rows:
        parts.append(f"{_count(outcome.rows, 'row')} from progress.jsonl")
    detail = f" ({', '.join(parts)} to {waiting.target})" if parts else ""
    lost = [display_path(segment.path) for segment in waiting.damaged]
    why = outcome.reason or (f"{', '.join(lost)} cannot be read" if lost else "")
    return f"{_name(waiting)}: {outcome.status}{detail}{f': {why}' if why else ''}"


def _name(waiting: WaitingRun) -> str:
    return display_path(waiting.folder)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
