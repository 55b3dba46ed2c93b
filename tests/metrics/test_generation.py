"""Scores of generative networks over a whole set."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lightning_cv.contracts import GeneratedOutput
from lightning_cv.metrics.generation import GenerationScores


def outputs(count: int = 40) -> GeneratedOutput:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, 3, generator=generator)
    # Exactly the variances 1, 0.0081 and 0.0121: two of them above the limit.
    latents = (latents - latents.mean(0)) / latents.std(0, correction=0) * torch.tensor([1.0, 0.09, 0.11])
    latents = latents + torch.tensor([0.0, 5.0, -7.0])
    return GeneratedOutput(
        nll=torch.rand(count, generator=generator) * 100,
        importance=torch.rand(count, generator=generator) * 90,
        squared_error=torch.rand(count, generator=generator),
        latents=latents,
        codes=(
            torch.randint(3, (count, 2, 2), generator=generator),
            torch.randint(8, (count, 4, 4), generator=generator),
        ),
    )


def part(whole: GeneratedOutput, rows: slice) -> GeneratedOutput:
    return GeneratedOutput(
        nll=whole.nll[rows],
        importance=whole.importance[rows],
        squared_error=whole.squared_error[rows],
        latents=whole.latents[rows],
        codes=tuple(grid[rows] for grid in whole.codes),
    )


def test_scores_are_those_of_numpy_over_the_set():
    """Means of float64; bits per dimension from nats; the perplexity of SciPy's entropy."""
    whole = outputs()
    metric = GenerationScores(64, 17, num_latents=3, num_codes=8)
    metric.update(whole)
    scores = {name: value.item() for name, value in metric.compute().items()}
    nats = whole.nll.double().mean().item()
    entropies = [stats.entropy(np.bincount(grid.flatten(), minlength=8)) for grid in whole.codes]
    expected = {
        "nats": nats,
        "bits_per_dim": nats / (64 * math.log(2)),
        "importance_nats": whole.importance.double().mean().item(),
        "importance_bits_per_dim": whole.importance.double().mean().item() / (64 * math.log(2)),
        "mse": whole.squared_error.double().mean().item(),
        "active_units": 2,
        "perplexity_0": math.exp(entropies[0]),
        "perplexity_1": math.exp(entropies[1]),
        "codes_used_0": 3 / 8,
        "codes_used_1": 1.0,
    }
    assert scores == pytest.approx(expected, rel=1e-6)


def test_scores_do_not_depend_on_how_the_set_is_divided():
    """To the last bit, in any order and on several devices whose states are summed."""
    whole = outputs()
    one = GenerationScores(64, 17, num_latents=3, num_codes=8)
    one.update(whole)
    parts = [GenerationScores(64, 17, num_latents=3, num_codes=8) for _ in range(2)]
    for number, rows in enumerate([slice(33, 40), slice(0, 5), slice(20, 33), slice(5, 20)]):
        parts[number % 2].update(part(whole, rows))
    for name in parts[0]._defaults:
        setattr(parts[0], name, getattr(parts[0], name) + getattr(parts[1], name))
    parts[0]._update_count = 1
    found = parts[0].compute()
    assert found.keys() == one.compute().keys()
    assert all(torch.equal(value, found[name]) for name, value in one.compute().items())


def test_what_a_network_does_not_say_has_no_score():
    metric = GenerationScores(64, None)
    metric.update(GeneratedOutput(squared_error=torch.tensor([0.5])))
    assert {k: v.item() for k, v in metric.compute().items()} == {"mse": 0.5}
    metric = GenerationScores(64, None)
    metric.update(GeneratedOutput(nll=torch.tensor([-3.0])))
    assert {k: v.item() for k, v in metric.compute().items()} == {"nats": -3.0}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_makes_the_score_none(value):
    metric = GenerationScores(64, 17)
    metric.update(GeneratedOutput(nll=torch.tensor([1.0, value, 2.0])))
    assert not math.isfinite(metric.compute()["nats"])
