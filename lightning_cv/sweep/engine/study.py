"""Which study does a sweep belong to: a new one, or one that goes on, and may it with this sweep?"""

from __future__ import annotations

import hashlib
import json
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_cv.compare.settings import leaves
from lightning_cv.errors import UserError
from lightning_cv.sweep.definition.file import plain_sweep
from lightning_cv.sweep.definition.spec import Sweep
from lightning_cv.sweep.engine.results import State, StudyResults, TrialResult
from lightning_cv.sweep.storage.base import Storage

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# Names of attributes in the storage.
SWEEP = "sweep"
UID = "uid"
OWNER = "owner"
RUN = "run"
REASON = "reason"
TIME_S = "training_s"

# What a study may go on with changed: how much, how patiently and where, not what.
_MAY_CHANGE = ("trials", "retries", "storage", "recipe", "pruner")


@dataclass(frozen=True)
class StudyPlace:
    """A study that is open.

    Args:
        sweep: what is searched.
        storage: where its trials are.
        folder: of the study; the runs of its trials lie below it.
        uid: tells this study from every other, also of the same name.
    """

    sweep: Sweep
    storage: Storage
    folder: Path
    uid: str

    def load(self, sampler: Any = None, pruner: Any = None) -> optuna.Study:
        """Optuna's view of it, one for each thread that changes it."""
        import optuna

        return optuna.load_study(
            study_name=self.sweep.name, storage=self.storage.optuna, sampler=sampler, pruner=pruner
        )

    def run_name(self, number: int) -> str:
        """Name of the folder of a trial's run, which is the run's id in W&B too: always the same for this trial."""
        digest = hashlib.blake2b(f"{self.uid} {number}".encode(), digest_size=4).hexdigest()
        return f"trial-{number:03d}-{digest[:6]}"

    def frozen(self) -> list[FrozenTrial]:
        """The trials as Optuna keeps them, in the order of their numbers."""
        number = self.storage.optuna.get_study_id_from_name(self.sweep.name)
        return self.storage.optuna.get_all_trials(number, deepcopy=False)

    def results(self) -> StudyResults:
        """What was found so far; trials beyond the sweep's number that were never begun are left out."""
        trials = [self._result(trial) for trial in self.frozen()]
        wanted = self.sweep.num_trials
        return StudyResults(
            self.sweep, tuple(trial for trial in trials if trial.number < wanted or trial.state != "waiting")
        )

    def _result(self, trial: FrozenTrial) -> TrialResult:
        states: dict[str, State] = {
            "WAITING": "waiting",
            "RUNNING": "running",
            "COMPLETE": "complete",
            "PRUNED": "pruned",
            "FAIL": "failed",
        }
        run = trial.user_attrs.get(RUN)
        return TrialResult(
            number=trial.number,
            state=states[trial.state.name],
            values={path: trial.params[path] for path in self.sweep.space.paths if path in trial.params},
            scores=tuple(trial.values) if trial.values is not None else None,
            reported=dict(sorted(trial.intermediate_values.items())),
            reason=trial.user_attrs.get(REASON, ""),
            time_s=trial.user_attrs.get(TIME_S),
            folder=self.folder / run if run else None,
        )


def open_study(sweep: Sweep, storage: Storage, folder: Path) -> StudyPlace:
    """Make the study of a sweep, or go on with it; several processes may do so at once.

    Raises:
        UserError: there is a study of this name with another sweep.
    """
    import optuna

    wanted = {**plain_sweep(sweep, recipe=sweep.recipe), "composed": sweep.composed.values}
    wanted = json.loads(json.dumps(wanted))
    up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
    directions = [up if objective.mode == "max" else down for objective in sweep.objectives]
    with storage.lock(sweep.name):
        try:
            study = optuna.load_study(study_name=sweep.name, storage=storage.optuna)
        except KeyError:
            study = optuna.create_study(study_name=sweep.name, storage=storage.optuna, directions=directions)
        known = study.user_attrs
        if SWEEP in known:
            _check_same(known[SWEEP], wanted, sweep, where=storage.text)
        elif study.get_trials(deepcopy=False):
            raise UserError(f"{storage.text}: holds a study {sweep.name} of another program; give another --name")
        if UID not in known:
            study.set_user_attr(UID, secrets.token_hex(8))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                study.set_metric_names([objective.metric for objective in sweep.objectives])
        if known.get(SWEEP) != wanted:
            study.set_user_attr(SWEEP, wanted)
        place = StudyPlace(sweep, storage, folder, study.user_attrs[UID])
        _fill(study, sweep.num_trials)
    return place


def _fill(study: optuna.Study, wanted: int) -> None:
    """Trials that wait, so that there are as many as wanted: their number is fixed before any of them begins."""
    for _ in range(wanted - len(study.get_trials(deepcopy=False))):
        study.enqueue_trial({})


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], sweep: Sweep, *, where: str) -> None:
    # Trials that are listed may become more, or fewer; those in both are the same ones.
    listed = min(len(said.get("listed", ())) for said in (before, now))
    old, new = (
        dict(leaves({**{key: value for key, value in said.items() if key not in _MAY_CHANGE}, **_first(said, listed)}))
        for said in (before, now)
    )
    differing = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    if differing:
        path = differing[0]
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        name = path.removeprefix("composed.")
        raise UserError(
            f"study {sweep.name} ({where}) was begun with another sweep: {name} was {old.get(path)!s:.60}, is "
            f"{new.get(path)!s:.60}{more}; a study goes on with its own, another sweep needs another --name"
        )


def _first(said: Mapping[str, Any], number: int) -> dict[str, Any]:
    """So many of the trials that a sweep lists."""
    return {"listed": said["listed"][:number]} if "listed" in said else {}
