"""How does a sweep run until all its trials have an end, with several at once and none lost?"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lightning_cv.errors import Preempted, UserError
from lightning_cv.launch.programs import Programs
from lightning_cv.recipe.imports import allowed_roots
from lightning_cv.recipe.paths import walk
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.board import Board
from lightning_cv.sweep.engine.claims import Claims
from lightning_cv.sweep.engine.command import num_devices
from lightning_cv.sweep.engine.devices import share_out, visible_devices
from lightning_cv.sweep.engine.study import StudyPlace
from lightning_cv.sweep.engine.trial import NothingTrained, TrialRun
from lightning_cv.sweep.storage.owners import Owners
from lightning_cv.sweep.storage.patience import passes

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_IDLE_S = 1.0  # between two looks for a trial whose process died, once no trial waits
_DRAW_EVERY_S = 0.5
_ALWAYS_USED = ("lightning_cv.run.program", "wandb")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How trials are run.

    Args:
        number: how many at once.
        allow_code: packages of the user's that recipes may name.
    """

    number: int
    allow_code: tuple[str, ...] = ()


def execute(place: StudyPlace, workers: Workers, board: Board) -> None:
    """Run the trials of a study that have no end yet; returns when all have one, whoever ran them.

    A first SIGINT, SIGTERM or SIGUSR1 lets running trials save and wait for the next time; a second one ends
    them at once.

    Raises:
        UserError: the very first trials cannot train: a mistake in the recipe or the data.
        Preempted: a signal stopped it.
    """
    if workers.number > 1 and not place.storage.shared:
        raise UserError(
            f"--workers {workers.number}: SQLite takes one worker only; leave out storage (a journal) or use PostgreSQL"
        )
    log = place.folder / "workers.log"
    programs = Programs(modules_of(place.sweep, workers.allow_code), environ=thread_limits(workers.number), log=log)
    run = _Execution(place, workers, programs, board)
    with _signals(run.on_signal):
        try:
            run.until_the_end()
        finally:
            programs.close()


class _Execution:
    """The threads that each run one trial after the other."""

    def __init__(self, place: StudyPlace, workers: Workers, programs: Programs, board: Board) -> None:
        self._place = place
        self._workers = workers
        self._programs = programs
        self._board = board
        self._owners = Owners(place.storage, place.sweep.name)
        self._claims = Claims(place, self._owners)
        self._stop = threading.Event()
        self._received: list[str] = []
        self._errors: list[BaseException] = []

    def on_signal(self, number: int, frame: Any) -> None:
        """Once: let trials save what they have. Again: end at once, and leave them to be found."""
        self._received.append(signal.Signals(number).name)
        self._stop.set()
        if len(self._received) > 1 and number == signal.SIGINT:
            self._programs.close(None)
            os._exit(130)

    def until_the_end(self) -> None:
        """Run the threads until no trial is left."""
        each = num_devices(self._place.sweep.composed.values)
        shares = share_out(visible_devices(), self._workers.number, each=each)
        threads = [threading.Thread(target=self._work, args=(share,), daemon=True) for share in shares]
        for thread in threads:
            thread.start()
        with self._board.showing():
            for thread in threads:
                while thread.is_alive():
                    thread.join(_DRAW_EVERY_S)
                    self._look()
            self._look()
        if self._errors:
            raise self._errors[0]
        if self._received:
            raise Preempted(f"{self._received[0]} received; running trials were saved")

    def _look(self) -> None:
        """Give a sign of life, and show how things stand; where the storage is away for a while, the next time."""
        try:
            self._owners.beat()
            self._board.draw(self._place.results())
        except Exception as error:
            if not passes(error):
                raise

    def _work(self, environ: Mapping[str, str]) -> None:
        try:
            while not self._stop.is_set():
                claim = self._claims.take()
                if claim is None:
                    if self._claims.num_left() == 0:
                        return
                    self._stop.wait(_IDLE_S)
                    continue
                tell = self._board.follow(claim.number, claim.values)
                TrialRun(
                    sweep=self._place.sweep,
                    claim=claim,
                    claims=self._claims,
                    programs=self._programs,
                    environ=environ,
                    allow_code=self._workers.allow_code,
                    stop=self._stop,
                    tell=tell,
                ).run()
        except NothingTrained as problem:
            self._errors.append(problem.error)
            self._stop.set()
        except BaseException as error:
            self._errors.append(error)
            self._stop.set()


def thread_limits(workers: int) -> dict[str, str]:
    """Several trainings that each take all cores only wait for one another: each gets its share at most."""
    share = max(1, (os.cpu_count() or 1) // workers)
    given = os.environ.get("OMP_NUM_THREADS", "")
    return {"OMP_NUM_THREADS": str(min(int(given), share) if given.isdecimal() and int(given) > 0 else share)}


def modules_of(sweep: Sweep, allow_code: tuple[str, ...]) -> list[str]:
    """What the warm process imports: what every training uses, and where the recipe's classes are."""
    policy = allowed_roots(allow_code)
    named = [value for path, value in walk(sweep.composed.values) if path.endswith("class_path")]
    for parameter in sweep.space.parameters:
        for _, option in getattr(parameter, "options", ()):
            named += [value for path, value in walk(option, "option") if path.endswith("class_path")]
    found = [path.rpartition(".")[0] for path in named if policy.refusal(path) is None]
    return list(dict.fromkeys([*_ALWAYS_USED, *found]))


@contextmanager
def _signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Take the signals while trials run."""
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
