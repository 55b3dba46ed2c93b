"""How does one trial run as a program: started, followed, pruned, stopped, started again, and judged at its end?"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightning_cv.errors import DATA, DONE, PREEMPTED, RECIPE, DataError, UserError
from lightning_cv.launch.alive import is_alive, process_mark
from lightning_cv.launch.programs import LOST, Command, Program, Programs
from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.record.trial import LIVE, TrialNote, contradictions, read_live_note, write_trial_note
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.claims import Claim, Claims
from lightning_cv.sweep.engine.command import LOG, RECIPE_FILE, command_words, last_words, told_values
from lightning_cv.sweep.engine.follow import Follower
from lightning_cv.sweep.engine.leftover import END_WITHIN_S, end_leftover
from lightning_cv.sweep.engine.score import score_run

_LOOK_EVERY_S = 0.1
_STILL_MINE_EVERY_S = 30.0


class NothingTrained(Exception):  # noqa: N818 - a sweep that ends before it began
    """A trial could not train for a mistake in recipe or data, and none has trained yet: neither will the others.

    Args:
        error: what the trial said.
    """

    def __init__(self, error: UserError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class TrialRun:
    """One trial, from its claim to its end.

    Args:
        sweep: that it belongs to.
        claim: what it trains, and where.
        claims: to end it, or give it back.
        programs: starts it.
        environ: variables that the program gets, such as those that give it a device of its own.
        allow_code: packages that its recipe may name.
        stop: set when it is to save and go, to be gone on with later.
        tell: called with a few words on what happens to it.
    """

    sweep: Sweep
    claim: Claim
    claims: Claims
    programs: Programs
    environ: Mapping[str, str]
    allow_code: tuple[str, ...]
    stop: threading.Event
    tell: Callable[[str], None]
    _why: str = field(default="", init=False)  # why it was told to end; empty: it was not
    _reason: str = field(default="", init=False)
    _told: int = field(default=0, init=False)  # the latest validation that was reported

    def run(self) -> None:
        """Run it until it has an end in the storage, or was given back or lost to another process.

        Raises:
            NothingTrained: it could not train, and no trial of the study has before; it waits again.
        """
        end_leftover(self.claim.folder, self.stop)
        self._write_files("running")
        while True:
            follower, status = self._attempt()
            if self._why == "lost" or not self.claims.is_mine(self.claim.number):
                return  # its files are those of whoever has it now
            if self._why == "stopped" and status != DONE:
                self.claims.give_back(self.claim.number)
                self.tell("interrupted")
                return
            if not self._why and (status in (LOST, PREEMPTED) or status < 0):
                if self.claims.may_try_again(self.claim.number, _killed(status)):
                    self.tell(f"{_killed(status)}; it goes on from its snapshot")
                    end_leftover(self.claim.folder, self.stop)
                    continue
                self._write_files("failed", _killed(status))
                self.tell("failed")
                return
            self._judge(follower, status)
            return

    # One start of the program.

    def _attempt(self) -> tuple[Follower, int]:
        """Start the program and follow it to its end."""
        claim = self.claim
        (claim.folder / LIVE).unlink(missing_ok=True)
        follower = Follower(claim.folder)
        program = self.programs.start(self._command())
        asked_s, checked_live, mine_s, mark = 0.0, False, time.monotonic(), ""
        while not program.wait(_LOOK_EVERY_S):
            if not mark and program.pid is not None:
                mark = process_mark(program.pid)
            self._report(follower)
            if not checked_live:
                checked_live = self._check_live()
            now_s = time.monotonic()
            if now_s - mine_s > _STILL_MINE_EVERY_S:
                mine_s = now_s
                self._why = self._why if self.claims.is_mine(claim.number) else "lost"
            if self.stop.is_set() and not self._why:
                self._why = "stopped"
            if self._why == "stopped" and program.pid is None:
                return follower, LOST  # the warm process still imports: nothing to save
            if self._why and not asked_s:
                asked_s = now_s
                program.send(signal.SIGTERM)
            if asked_s and now_s - asked_s > END_WITHIN_S:
                program.send(signal.SIGKILL, group=True)
        assert program.status is not None
        if program.status == LOST and program.pid is not None:
            _await_end(program, mark or process_mark(program.pid))
        self._report(follower)
        if not checked_live:
            self._check_live()
        return follower, program.status

    def _command(self) -> Command:
        claim = self.claim
        words, entry = command_words(claim.recipe, claim.folder, self.sweep.name, allow_code=self.allow_code)
        return Command(words=words, entry=entry, log=claim.folder / LOG, environ=self.environ, folder=Path.cwd())

    def _write_files(self, state: str, reason: str = "") -> None:
        """What the run reads: its recipe, and that it is a trial; what others read: how it ended."""
        claim = self.claim
        claim.folder.mkdir(parents=True, exist_ok=True)
        if state == "running":
            text = yaml.safe_dump(claim.recipe.values, sort_keys=False, allow_unicode=True)
            write_text_atomically(claim.folder / RECIPE_FILE, text)
        note = TrialNote(
            study=self.sweep.name,
            number=claim.number,
            job_type="trial",
            values=told_values(claim.recipe, claim.values),
            state=state,
            reason=reason,
        )
        write_trial_note(claim.folder, note)

    # What is seen of it while it runs.

    def _report(self, follower: Follower) -> None:
        """Hand new validations to the pruner; what it decides is carried out by the loop."""
        if not follower.read() or len(self.sweep.objectives) > 1:
            return
        metric = self.sweep.objectives[0].metric
        for number, validation in enumerate(follower.validations, start=1):
            value = validation.metrics.get(metric, math.nan)
            if number <= self._told or not math.isfinite(value) or self._why:
                continue
            self._told = number
            self.tell(f"{metric} {value:.4g}")
            if self.claims.report(self.claim, number, value):
                assert self.sweep.pruner is not None
                self._why, self._reason = "pruned", f"{self.sweep.pruner.name} pruner, after validation {number}"

    def _check_live(self) -> bool:
        """Compare what is live in the training with what it was told to use; whether the training has said so yet."""
        live = read_live_note(self.claim.folder)
        if live is None:
            return False
        wrong = contradictions(told_values(self.claim.recipe, self.claim.values), live)
        if wrong:
            self._why, self._reason = "wrong", f"sampled values never reached training: {'; '.join(wrong)}"
        return True

    # What it comes to.

    def _judge(self, follower: Follower, status: int) -> None:
        """End it, by what its program left behind."""
        if self._why == "wrong":
            self._end("failed", follower, reason=self._reason)
        elif status == DONE:
            scores = score_run(self.sweep, follower, self.claim.folder)
            if isinstance(scores, str):
                self._end("failed", follower, reason=scores)
            else:
                self._end("complete", follower, scores=scores)
        elif self._why == "pruned":
            self._end(
                "pruned",
                follower,
                scores=list(self.claims.reported(self.claim.number).values())[-1:],
                reason=self._reason,
            )
        else:
            reason = last_words(self.claim.folder / LOG, status)
            if status in (RECIPE, DATA) and not self.claims.any_trained():
                self.claims.give_back(self.claim.number)
                kind = DataError if status == DATA else UserError
                raise NothingTrained(kind(f"trial {self.claim.number} cannot train: {reason}"))
            self._end("failed", follower, reason=reason)

    def _end(self, state: Any, follower: Follower, *, scores: Sequence[float] = (), reason: str = "") -> None:
        self._write_files(state, reason)
        self.claims.end(self.claim.number, state, scores=scores or None, reason=reason, time_s=follower.time_s)
        self.tell(state)


def _killed(status: int) -> str:
    """What happened to a program that came to no end of its own."""
    if status == PREEMPTED:
        return "preempted"
    if status == LOST:
        return "the process that started it died"
    name = signal.Signals(-status).name
    return f"killed by {name}" + (" (the machine's memory ran out?)" if name == "SIGKILL" else "")


def _await_end(program: Program, mark: str) -> None:
    """Its server died, and told it to end: wait until it has, so that it is not run twice."""
    give_up_s = time.monotonic() + END_WITHIN_S
    while is_alive(mark):
        if time.monotonic() > give_up_s:
            assert program.pid is not None
            try:
                os.killpg(program.pid, signal.SIGKILL)
            except OSError:
                return
        time.sleep(_LOOK_EVERY_S)
