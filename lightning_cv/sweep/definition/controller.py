"""How does a controller learn to propose networks? Policy gradient on a tabular policy (row 92)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MOST_VALUES = 64  # of one decision: each has a weight of its own to learn
_CLIP = 3.0  # of a standardized reward, so that one lucky trial does not decide everything


class Decision(NamedTuple):
    """One choice that was made.

    Args:
        path: what was decided.
        taken: which value, from 0.
        number: of values that there were.
    """

    path: str
    taken: int
    number: int


class Controller:
    """A policy that decides one thing after the other, and is trained by REINFORCE on the reward at the end.

    The logits of a decision are the sum of its own and of those that belong to the decision before it: what fits behind
    a choice can be learned, as by the recurrent controller of Zoph and Le 2017 (eq. 2 and 3, with a moving average of
    the rewards as baseline). A table stands in for their LSTM, since the some hundred trials of a sweep train none.

    Args:
        learning_rate: of the gradient ascent, above 0.
        baseline_decay: of the moving averages of reward and spread, in [0, 1).
        entropy_weight: how much undecided policies are rewarded, 0 or more; keeps the search going.

    Raises:
        ValueError: a value outside its range.
    """

    def __init__(self, learning_rate: float = 0.15, baseline_decay: float = 0.9, entropy_weight: float = 0.01) -> None:
        if not learning_rate > 0:
            raise ValueError(f"learning_rate is {learning_rate}; allowed: above 0")
        if not 0 <= baseline_decay < 1:
            raise ValueError(f"baseline_decay is {baseline_decay}; allowed: 0 to below 1")
        if not entropy_weight >= 0:
            raise ValueError(f"entropy_weight is {entropy_weight}; allowed: 0 or more")
        self._learning_rate = learning_rate
        self._decay = baseline_decay
        self._entropy_weight = entropy_weight
        self._logits: dict[tuple[str, str, int], NDArray[np.float64]] = {}
        self._rewards = 0
        self._mean = 0.0
        self._square = 0.0

    def probabilities(self, path: str, number: int, before: Decision | None) -> NDArray[np.float64]:
        """How likely each of `number` values is, given the decision before; (number,)."""
        logits = sum(self._rows(path, number, before), np.zeros(number))
        weights = np.exp(logits - logits.max())
        found: NDArray[np.float64] = weights / weights.sum()
        return found

    def learn(self, decisions: Sequence[Decision], reward: float) -> None:
        """Make the decisions of one trial likelier if its reward was above what is usual, else less likely."""
        advantage = self._standardized(reward)
        before = None
        steps = []
        for decision in decisions:
            shares = self.probabilities(decision.path, decision.number, before)
            gradient = -shares
            gradient[decision.taken] += 1  # of the logarithm of the probability
            log_shares = np.log(shares)
            entropy_gradient = -shares * (log_shares - shares @ log_shares)
            step = advantage * gradient + self._entropy_weight * entropy_gradient
            steps += [(row, step) for row in self._rows(decision.path, decision.number, before)]
            before = decision
        for row, step in steps:
            np.add(row, self._learning_rate * step, out=row)

    def _rows(self, path: str, number: int, before: Decision | None) -> list[NDArray[np.float64]]:
        """The decision's own logits, and those that the decision before adds."""
        keys = [(path, "", -1)] + ([] if before is None else [(path, before.path, before.taken)])
        return [self._logits.setdefault(key, np.zeros(number)) for key in keys]

    def _standardized(self, reward: float) -> float:
        """The reward less the moving average before it, by the moving spread: whatever the scale of the metric is."""
        self._rewards += 1
        unbiased = 1 - self._decay ** (self._rewards - 1)
        baseline = self._mean / unbiased if self._rewards > 1 else reward
        self._mean = self._decay * self._mean + (1 - self._decay) * reward
        self._square = self._decay * self._square + (1 - self._decay) * (reward - baseline) ** 2
        spread = np.sqrt(self._square / (1 - self._decay**self._rewards))
        return float(np.clip((reward - baseline) / spread, -_CLIP, _CLIP)) if spread > 0 else 0.0


def controller_sampler() -> Any:
    """Optuna's sampler class of the controller; a function, since Optuna is loaded late."""
    from optuna.samplers import BaseSampler
    from optuna.trial import TrialState

    class PolicyGradientSampler(BaseSampler):
        """Proposes by a `Controller` that has learned from the complete trials of the study, in their order.

        Pruned and failed trials teach nothing. The draw of a trial follows from its seed and from those results.
        """

        order: tuple[str, ...] = ()  # of the paths, as the sweep searches them

        def __init__(
            self,
            learning_rate: float = 0.15,
            baseline_decay: float = 0.9,
            entropy_weight: float = 0.01,
            seed: int | None = None,
        ) -> None:
            self._options = (learning_rate, baseline_decay, entropy_weight)
            Controller(*self._options)
            self._generator = np.random.default_rng(seed)
            self._controller: Controller | None = None
            self._before: Decision | None = None

        def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return {}

        def sample_relative(
            self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
        ) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
        ) -> Any:
            if self._controller is None:
                self._controller = self._trained(study)
            number = _number(param_distribution)
            shares = self._controller.probabilities(param_name, number, self._before)
            index = int(self._generator.choice(number, p=shares))
            self._before = Decision(param_name, index, number)
            return _value(param_distribution, index)

        def _trained(self, study: optuna.Study) -> Controller:
            controller = Controller(*self._options)
            sign = -1 if study.direction.name == "MINIMIZE" else 1
            ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            for trial in sorted(ended, key=lambda trial: trial.number):
                if trial.value is not None and np.isfinite(trial.value):
                    controller.learn(_decisions(trial.params, trial.distributions, self.order), sign * trial.value)
            return controller

    return PolicyGradientSampler


def _decisions(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution], order: Sequence[str]
) -> list[Decision]:
    paths = [path for path in order if path in params] or list(params)
    return [Decision(path, _index(distributions[path], params[path]), _number(distributions[path])) for path in paths]


def _number(distribution: Any) -> int:
    choices = getattr(distribution, "choices", None)
    return len(choices) if choices is not None else (distribution.high - distribution.low) // distribution.step + 1


def _value(distribution: Any, index: int) -> Any:
    choices = getattr(distribution, "choices", None)
    return choices[index] if choices is not None else distribution.low + index * distribution.step


def _index(distribution: Any, value: Any) -> int:
    return next(index for index in range(_number(distribution)) if _same(_value(distribution, index), value))


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other
