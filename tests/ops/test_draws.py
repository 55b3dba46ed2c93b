"""Random numbers that belong to an image: where they come from, and how they are distributed."""

import pytest
import torch
from scipy import stats

from lightning_cv.ops.draws import OwnDraws, StreamDraws


@pytest.fixture(params=[StreamDraws(4), OwnDraws.of_indices(torch.arange(4))], ids=["stream", "own"])
def draws(request):
    torch.manual_seed(0)
    return request.param


def test_draws_have_their_distribution(draws):
    """Kolmogorov-Smirnov against SciPy's distributions, of 40,000 numbers each."""
    assert len(draws) == 4
    uniform, normal = draws.uniform(100, 100), draws.normal(100, 100)
    assert uniform.shape == normal.shape == (4, 100, 100)
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 0.01
    assert abs(torch.corrcoef(normal.flatten(1)) - torch.eye(4)).max() < 0.05


def test_draws_are_never_0_or_1(monkeypatch):
    """Not even where the generator gives the ends of what it can give."""
    for module in ("lightning_cv.ops.draws.uniform", "torch.rand"):
        for value in (0.0, 1 - 2.0**-24):
            with monkeypatch.context() as patch:
                patch.setattr(module, lambda *shape, value=value, **_: torch.full((1, 1), value))
                own = OwnDraws.of_indices(torch.arange(1)) if "draws" in module else StreamDraws(1)
                assert 0 < own.uniform(1).item() < 1
                assert own.normal(1).isfinite()


def test_an_image_has_its_own_draws_in_any_batch():
    """In another order and number, the same numbers; with another seed, others; later ones are new."""
    whole = OwnDraws.of_indices(torch.arange(6), seed=5)
    first, second = whole.uniform(3, 2), whole.normal(4)
    part = OwnDraws.of_indices(torch.tensor([4, 1]), seed=5)
    assert torch.equal(part.uniform(3, 2), first[[4, 1]])
    assert torch.equal(part.normal(4), second[[4, 1]])
    assert not torch.equal(OwnDraws.of_indices(torch.arange(6), seed=6).uniform(3, 2), first)
    assert len(torch.cat([first.flatten(), whole.uniform(6).flatten()]).unique()) == 72
