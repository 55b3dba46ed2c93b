"""How long will a sweep take? Estimated from its first trial, trained for a short while and stopped."""

from __future__ import annotations

import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from lightning_cv.errors import DONE, PREEMPTED, UserError
from lightning_cv.launch.programs import Command, Programs
from lightning_cv.recipe.compose import Composed
from lightning_cv.recipe.space import Value
from lightning_cv.record.trial import TrialNote, read_live_note, write_trial_note
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.command import LOG, RECIPE_FILE, command_words, last_words, told_values
from lightning_cv.sweep.engine.execute import modules_of, thread_limits
from lightning_cv.sweep.engine.follow import Follower

_STEPS = 50  # enough of them once they took so long:
_SECONDS = 10.0
_PATIENCE_S = 120.0  # for steps that are slow
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Estimate:
    """What the probe measured.

    Args:
        start_s: from the start of a trial's program to its first training step.
        step_s: seconds an optimizer step, with its share of the validations seen.
        steps: optimizer steps that were measured.
        total_steps: of a whole trial; None: the recipe has no end.
        whole_s: of the trial, where the probe trained it to its end.
    """

    start_s: float
    step_s: float
    steps: int
    total_steps: int | None
    whole_s: float | None

    @property
    def trial_s(self) -> float | None:
        """Seconds of a whole trial; None: it has no end."""
        if self.whole_s is not None:
            return self.whole_s
        return None if self.total_steps is None else self.start_s + self.total_steps * self.step_s


def probe(sweep: Sweep, recipe: Composed, values: dict[str, Value], *, allow_code: tuple[str, ...]) -> Estimate:
    """Train the recipe of a trial for some steps in a temporary folder, without tracking.

    Raises:
        UserError: it cannot train; with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="lightning-cv-probe-") as name:
        folder = Path(name)
        plain = recipe.set("trainer.logger", value=False).values
        (folder / RECIPE_FILE).write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
        told = told_values(recipe, values)
        write_trial_note(folder, TrialNote(study=sweep.name, number=0, job_type="probe", values=told))
        programs = Programs(modules_of(sweep, allow_code), environ=thread_limits(1), log=folder / "server.log")
        try:
            return _train(programs, sweep, recipe, folder, allow_code=allow_code)
        finally:
            programs.close(10.0)


def _train(
    programs: Programs, sweep: Sweep, recipe: Composed, folder: Path, *, allow_code: tuple[str, ...]
) -> Estimate:
    log = folder / LOG

    def command(words: list[str], entry: str | None) -> Command:
        return Command(words=words, entry=entry, log=log, environ={}, folder=Path.cwd())

    warm = programs.start(command(["lightning-cv", "--version"], "lightning_cv.cli.main:main"))
    warm.wait(_PATIENCE_S)
    follower, started_s, first_s, told_s = Follower(folder), time.monotonic(), 0.0, 0.0
    program = programs.start(command(*command_words(recipe, folder, sweep.name, allow_code=allow_code)))
    while not program.wait(_LOOK_EVERY_S):
        follower.read()
        now_s = time.monotonic()
        if not first_s and read_live_note(folder) is not None:
            first_s = now_s
        long_enough = follower.step >= _STEPS and first_s and now_s - first_s > _SECONDS
        if not told_s and (long_enough or now_s - started_s > _PATIENCE_S):
            told_s = now_s
            program.send(signal.SIGTERM)  # once: a second one may meet a program that has let go of its handler
        if told_s and now_s - told_s > _PATIENCE_S:
            program.send(signal.SIGKILL, group=True)
    whole_s = time.monotonic() - started_s
    follower.read()
    if program.status not in (DONE, PREEMPTED) and not told_s:
        raise UserError(f"trial 0 cannot train: {last_words(log, program.status or 0)}")
    live = read_live_note(folder)
    if live is None or follower.step == 0:
        raise UserError(f"trial 0 took no step within {_PATIENCE_S:.0f} s; no estimate")
    return Estimate(
        start_s=(first_s or started_s) - started_s,
        step_s=follower.time_s / follower.step,
        steps=follower.step,
        total_steps=live.total_steps,
        whole_s=whole_s if program.status == DONE else None,
    )
