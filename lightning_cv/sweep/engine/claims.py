"""Which trial does a worker take next, so that each is run once, whoever dies?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_cv.sweep.definition.file import trial_recipe
from lightning_cv.sweep.definition.pruners import make_pruner
from lightning_cv.sweep.definition.samplers import make_sampler, suggest
from lightning_cv.sweep.engine.follow import Follower
from lightning_cv.sweep.engine.study import OWNER, REASON, RUN, TIME_S, StudyPlace
from lightning_cv.sweep.storage.owners import Owners
from lightning_cv.sweep.storage.patience import patient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState

    from lightning_cv.recipe.compose import Composed
    from lightning_cv.recipe.space import Value
    from lightning_cv.sweep.engine.results import State

ATTEMPT = "attempt"


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs, and nobody else.

    Args:
        number: of the trial.
        trial: to report to, and to ask whether it is to be pruned.
        values: what it uses, by path.
        recipe: what it trains.
        folder: of its run.
    """

    number: int
    trial: optuna.Trial
    values: Mapping[str, Value]
    recipe: Composed
    folder: Path


class Claims:
    """Takes trials, gives them back, and ends them; each under the lock of the storage.

    Args:
        place: the study.
        owners: this process among the others.
    """

    def __init__(self, place: StudyPlace, owners: Owners) -> None:
        self._place = place
        self._owners = owners
        self._held: set[int] = set()  # what threads of this process run

    @patient
    def take(self) -> Claim | None:
        """The first trial that nobody runs any more, or else the first that waits; None: there is none now."""
        number = -1
        try:
            while True:
                study = self._place.load(pruner=make_pruner(self._place.sweep))
                with self._lock():
                    frozen = self._next()
                    if frozen is None:
                        return None
                    number = frozen.number
                    if waits := _waits(frozen):
                        taken = study.ask()  # the waiting trial with the lowest number
                        assert taken.number == number
                    self._set(number, OWNER, self._owners.me)
                    self._held.add(number)
                if waits or self.may_try_again(number, "the process that ran it died"):
                    return self._begin(study, frozen)
        except BaseException:
            self._held.discard(number)  # this process is its owner already, and yet nobody runs it
            raise

    @patient
    def may_try_again(self, number: int, what_happened: str) -> bool:
        """Count a start that came to no end; after too many without progress the trial has failed.

        Not where another process has taken the trial over meanwhile: then it is for that one to say.
        """
        step = self._step_of(number)
        with self._lock():
            if not self._is_mine(number):
                return False
            count, reached = self._frozen(number).user_attrs.get(ATTEMPT, (0, -1))
            count = 1 if step > reached else count + 1
            self._set(number, ATTEMPT, (count, max(step, reached)))
        if count <= self._place.sweep.retries:
            return True
        self.end(number, "failed", reason=f"{what_happened}, {count} times at or before step {max(step, reached)}")
        return False

    @patient
    def report(self, claim: Claim, number: int, value: float) -> bool:
        """Hand the pruner the value of a validation, counted from 1; whether the trial is to end with it."""
        if number not in self.reported(claim.number):
            claim.trial.report(value, number)
        return self._place.sweep.pruner is not None and claim.trial.should_prune()

    @patient
    def reported(self, number: int) -> dict[int, float]:
        """What was handed over of a trial, by the number of the validation, in order."""
        return dict(sorted(self._frozen(number).intermediate_values.items()))

    @patient
    def give_back(self, number: int) -> None:
        """Let the trial wait, to go on later from its snapshot; by this process or another."""
        with self._lock():
            if self._is_mine(number):
                self._set(number, ATTEMPT, (0, -1))
                self._set(number, OWNER, "")
                self._storage.set_trial_state_values(self._id(number), _state("waiting"))
        self._held.discard(number)

    @patient
    def end(
        self,
        number: int,
        state: State,
        *,
        scores: Sequence[float] | None = None,
        reason: str = "",
        time_s: float | None = None,
    ) -> bool:
        """Write down how a trial ended; whether it was still this process's to end."""
        with self._lock():
            mine = self._is_mine(number)
            if mine:
                if reason:
                    self._set(number, REASON, reason)
                if time_s is not None:
                    self._set(number, TIME_S, round(time_s, 3))
                self._storage.set_trial_state_values(self._id(number), _state(state), scores)
        self._held.discard(number)
        return mine

    @patient
    def is_mine(self, number: int) -> bool:
        """Whether this process still runs the trial: one that was silent for long may have lost it."""
        return self._is_mine(number)

    @patient
    def num_left(self) -> int:
        """How many trials have no end yet, whoever runs them."""
        wanted = self._place.sweep.num_trials
        return sum(not trial.state.is_finished() for trial in self._place.frozen() if trial.number < wanted)

    @patient
    def any_trained(self) -> bool:
        """Whether any trial of the study has ever got as far as training."""
        return any(trial.intermediate_values or trial.user_attrs.get(TIME_S) for trial in self._place.frozen())

    @property
    def _storage(self) -> BaseStorage:
        return self._place.storage.optuna

    def _lock(self) -> AbstractContextManager[None]:
        return self._place.storage.lock(self._place.sweep.name)

    def _next(self) -> FrozenTrial | None:
        wanted = self._place.sweep.num_trials
        open_ones = [t for t in self._place.frozen() if t.number < wanted and not t.state.is_finished()]
        orphans = [t for t in open_ones if not _waits(t) and self._is_orphan(t.number, t.user_attrs.get(OWNER, ""))]
        waiting = [t for t in open_ones if _waits(t)]
        return next(iter((*orphans, *waiting)), None)

    def _is_orphan(self, number: int, owner: str) -> bool:
        """Whether nobody runs a trial that runs: its process died, or a storage that failed just then let go of it."""
        return number not in self._held if owner == self._owners.me else self._owners.is_dead(owner)

    def _begin(self, study: optuna.Study, frozen: FrozenTrial) -> Claim:
        import optuna

        number, place = frozen.number, self._place
        study.get_trials(deepcopy=False)  # Optuna's cache of a database only knows trials that it was asked to list
        study.sampler = make_sampler(place.sweep, number)
        trial = optuna.Trial(study, self._id(number))
        values = suggest(trial, place.sweep)
        name = place.run_name(number)
        if RUN not in frozen.user_attrs:
            self._set(number, RUN, name)
        return Claim(number, trial, values, trial_recipe(place.sweep, values), place.folder / name)

    def _step_of(self, number: int) -> int:
        """How far the trial's run has got, as far as this machine can see."""
        follower = Follower(self._place.folder / self._place.run_name(number))
        follower.read()
        return follower.step

    def _is_mine(self, number: int) -> bool:
        frozen = self._frozen(number)
        return frozen.state.name == "RUNNING" and frozen.user_attrs.get(OWNER) == self._owners.me

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(self._place.sweep.name)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _set(self, number: int, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._id(number), name, value)


def _waits(trial: FrozenTrial) -> bool:
    return trial.state.name == "WAITING"


def _state(state: State) -> TrialState:
    from optuna.trial import TrialState

    return {"waiting": TrialState.WAITING, "complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(
        state, TrialState.FAIL
    )
