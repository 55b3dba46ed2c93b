"""The counter-based draws are SplitMix64, uniform, independent, and the same for any batch."""

import pytest
import torch
from scipy import stats

from lightning_cv.ops import integers, sample_keys, splitmix64, stream_keys, uniform

# Outputs of Vigna's reference implementation (splitmix64.c) for a state that starts at the given seed.
REFERENCE = {
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
    1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431],
}


def unsigned(values: torch.Tensor) -> list[int]:
    return [value % 2**64 for value in values.flatten().tolist()]


@pytest.mark.parametrize("seed", REFERENCE)
def test_draws_of_a_key_are_the_outputs_of_splitmix64(seed):
    gamma = 0x9E3779B97F4A7C15
    states = [(seed + n * gamma) % 2**64 for n in range(4)]
    signed = torch.tensor([s - 2**64 if s >= 2**63 else s for s in states])
    assert unsigned(splitmix64(signed)) == REFERENCE[seed]


@pytest.mark.parametrize("seed", REFERENCE)
def test_uniform_takes_the_upper_bits_of_draw_n(seed):
    drawn = uniform(torch.tensor([seed]), 0, 4).flatten().tolist()
    assert drawn == [(value >> 40) / 2**24 for value in REFERENCE[seed]]
    assert uniform(torch.tensor([seed]), 2)[0].tolist() == drawn[2:3]


@pytest.mark.parametrize("draw", [0, 1, 7])
def test_draws_over_samples_are_uniform_by_kolmogorov_smirnov(draw):
    keys = sample_keys(0, 3, torch.arange(20_000))
    values = uniform(keys, draw)[0]
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values.numpy(), "uniform").pvalue > 0.001


def test_draws_are_uncorrelated_over_draws_epochs_seeds_streams_and_neighbours():
    index = torch.arange(20_000)
    keys = sample_keys(0, 0, index)
    first, second = stream_keys(keys, 2)
    series = torch.stack(
        [
            uniform(keys, 0)[0],
            uniform(keys, 1)[0],
            uniform(keys, 0)[0].roll(1),
            uniform(sample_keys(0, 1, index), 0)[0],
            uniform(sample_keys(1, 0, index), 0)[0],
            uniform(first, 0)[0],
            uniform(second, 0)[0],
        ]
    )
    off_diagonal = torch.corrcoef(series) - torch.eye(len(series))
    # Five standard deviations of the correlation of independent samples, 1 / sqrt(n).
    assert off_diagonal.abs().max() < 5 / 20_000**0.5


def test_a_sample_draws_the_same_in_any_batch_and_order():
    index = torch.randperm(1000)
    whole = uniform(sample_keys(5, 2, torch.arange(1000)), 1, 3)
    parts = [uniform(sample_keys(5, 2, part), 1, 3) for part in index.split(7)]
    assert torch.equal(torch.cat(parts, 1), whole[:, index])


@pytest.mark.gpu
def test_a_sample_draws_the_same_on_a_gpu():
    index = torch.arange(1000)
    on_gpu = uniform(stream_keys(sample_keys(5, 2, index.cuda()), 2)[1], 0, 3).cpu()
    assert torch.equal(on_gpu, uniform(stream_keys(sample_keys(5, 2, index), 2)[1], 0, 3))


def test_keys_do_not_collide():
    index = torch.arange(100_000)
    keys = torch.cat([sample_keys(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1)])
    assert len(keys.unique()) == 400_000


@pytest.mark.parametrize("high", [1, 2, 9, 1000])
def test_integers_cover_their_range_evenly(high):
    drawn = integers(sample_keys(0, 0, torch.arange(50_000)), 0, 2, high)
    assert drawn.shape == (2, 50_000)
    assert drawn.min() == 0
    assert drawn.max() == high - 1
    if high > 1:
        counts = torch.bincount(drawn[1], minlength=high)
        assert stats.chisquare(counts.numpy()).pvalue > 0.001


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1, 67280421310721])
def test_any_integer_is_a_seed(seed):
    assert sample_keys(seed, 0, torch.arange(3)).dtype == torch.int64
