"""The controller of a network search learns what is good, also what is good together, from the rewards alone."""

import statistics

import numpy as np
import optuna
import pytest
import torch

from lightning_cv.recipe.space import Choice, Condition, Range
from lightning_cv.sweep.definition.controller import Controller, Decision
from lightning_cv.sweep.definition.samplers import make_sampler, suggest
from tests.sweep.written import begin, make_study, make_sweep

LAYERS, KINDS = 6, 4
SPACE = tuple(
    Choice(path=f"layer{number}", options=tuple((f"kind{kind}", kind) for kind in range(KINDS)))
    for number in range(LAYERS)
)
TABLES = np.random.default_rng(7)
ALONE, TOGETHER = TABLES.normal(size=(LAYERS, KINDS)), TABLES.normal(size=(LAYERS - 1, KINDS, KINDS))


def quality(values) -> float:
    """Of a network on the toy space: each layer's own worth, and how it fits behind the one before."""
    kinds = [int(values[f"layer{number}"][-1]) for number in range(LAYERS)]
    own = sum(ALONE[number, kind] for number, kind in enumerate(kinds))
    return float(own + sum(TOGETHER[number, kinds[number], kinds[number + 1]] for number in range(LAYERS - 1)))


def searched(sampler: str, seed: int, number: int, mode: str = "max") -> list[float]:
    """The true qualities of the networks that a search proposes; it is told them with noise."""
    sweep = make_sweep(*SPACE, sampler=sampler, modes=(mode,), seed=seed)
    study, noise = make_study(sweep), np.random.default_rng(seed)
    found = []
    for _ in range(number):
        trial, values = begin(study, sweep)
        found.append(quality(values))
        told = found[-1] + 0.5 * noise.normal()
        study.tell(trial, told if mode == "max" else -told)
    return found


def test_the_controller_proposes_better_networks_than_random_search():
    """row 92: after 200 updates the mean reward of its proposals is above random search's mean + 2 standard errors."""
    chance = searched("random", 0, 240)
    bound = statistics.fmean(chance) + 2 * statistics.stdev(chance) / len(chance) ** 0.5
    for seed in range(2):
        proposed = searched("policy_gradient", seed, 240)[200:]
        error = statistics.stdev(proposed) / len(proposed) ** 0.5
        assert statistics.fmean(proposed) - 2 * error > bound
        assert statistics.fmean(proposed) > max(bound, statistics.fmean(sorted(chance)[-24:]) - 2)


def test_a_lower_objective_is_learned_like_a_higher_one():
    """row 92: minimizing the negative reward proposes the same networks."""
    assert searched("policy_gradient", 1, 60) == searched("policy_gradient", 1, 60, mode="min")


def test_the_step_is_the_gradient_of_the_logarithm_of_the_probability():
    """row 92: REINFORCE (Zoph and Le 2017, eq. 3) against torch.autograd, through the decision before."""
    controller = Controller(learning_rate=1.0, entropy_weight=0.0)
    controller._standardized = lambda reward: 2.0
    before, after = Decision("a", 1, 3), Decision("b", 0, 2)
    random = np.random.default_rng(3)
    for key, number in ((("a", "", -1), 3), (("b", "", -1), 2), (("b", "a", 1), 2)):
        controller._logits[key] = random.normal(size=number)
    logits = {key: torch.tensor(value.copy(), requires_grad=True) for key, value in controller._logits.items()}
    first = logits["a", "", -1].log_softmax(0)[1]
    second = (logits["b", "", -1] + logits["b", "a", 1]).log_softmax(0)[0]
    (2.0 * (first + second)).backward()
    controller.learn([before, after], reward=0.0)
    for key, value in logits.items():
        moved = torch.from_numpy(controller._logits[key]) - value.detach()
        torch.testing.assert_close(moved, value.grad)


def test_the_entropy_is_pushed_up():
    """With a reward that never changes the policy becomes undecided again."""
    controller = Controller(learning_rate=0.5, entropy_weight=0.5)
    controller._logits["a", "", -1] = np.array([3.0, 0.0, 0.0])
    for _ in range(60):
        controller.learn([Decision("a", 0, 3)], reward=1.0)
    assert controller.probabilities("a", 3, None).max() < 0.5


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_metric_does_not_matter(scale):
    """Rewards are standardized by their moving mean and spread."""
    controller = Controller()
    random = np.random.default_rng(0)
    for _ in range(100):
        index = int(random.choice(3, p=controller.probabilities("a", 3, None)))
        controller.learn([Decision("a", index, 3)], reward=scale * (index + 100 + 0.1 * random.normal()))
    assert controller.probabilities("a", 3, None).argmax() == 2


def test_a_study_that_goes_on_draws_what_it_would_have_drawn():
    """The next draw follows from seed, number and the complete trials: not from the process, nor from failed trials."""
    sweep = make_sweep(*SPACE, sampler="policy_gradient", modes=("max",))
    storage = optuna.storages.InMemoryStorage()
    study = make_study(sweep, storage)
    for _ in range(10):
        trial, values = begin(study, sweep)
        study.tell(trial, quality(values))
    proposed = []
    for _ in range(2):
        other = make_study(sweep, storage)
        other.sampler = make_sampler(sweep, 99)
        trial = other.ask()
        proposed.append(suggest(trial, sweep))
        other.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert proposed[0] == proposed[1]


def test_conditions_and_whole_numbers_are_decided_too():
    """What a trial does not search is no decision of it; values of a range are learned like those of a choice."""
    block = Choice(path="block", options=(("plain", 0), ("residual", 1)))
    depth = Range(path="depth", low=1, high=5, integer=True, when=(Condition(path="block", keys=("residual",)),))
    sweep = make_sweep(block, depth, sampler="policy_gradient", modes=("max",))
    study = make_study(sweep)
    for _ in range(120):
        trial, values = begin(study, sweep)
        assert ("depth" in values) == (values["block"] == "residual")
        study.tell(trial, values.get("depth", 0))
    last = [trial.params for trial in study.trials[-20:]]
    assert statistics.fmean(params.get("depth", 0) for params in last) > 4
