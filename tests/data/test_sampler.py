"""Batches are fixed by (seed, epoch), shared over devices, and Lightning leaves them alone."""

import pytest
import torch

from lightning_cv.data import sampler as sampler_module
from lightning_cv.data.sampler import OrderedBatches, ShuffledBatches
from lightning_cv.errors import UserError


@pytest.fixture
def as_rank(monkeypatch):
    """Pretend to be one of several devices, without processes."""

    def pretend(rank: int, num_devices: int) -> None:
        monkeypatch.setattr(sampler_module, "rank_and_devices", lambda: (rank, num_devices))

    return pretend


def steps_of_all_ranks(sampler, as_rank, num_devices):
    steps = []
    for rank in range(num_devices):
        as_rank(rank, num_devices)
        steps.append([batch.tolist() for batch in sampler])
        assert len(sampler) == max(1, len(steps[-1])), "the steps of all, also where this rank has no part in any"
    return steps


@pytest.mark.parametrize("num_samples", [64, 61, 57, 49])
@pytest.mark.parametrize("num_devices", [2, 4])
def test_devices_share_each_global_batch_whatever_their_number(as_rank, num_samples, num_devices):
    """The union of the shares of step k on 2 or 4 devices is batch k on one device, in its order."""
    alone = ShuffledBatches(num_samples, 8, seed=3)
    alone.set_epoch(2)
    batches = [batch.tolist() for batch in alone]
    steps = steps_of_all_ranks(alone, as_rank, num_devices)
    assert len({len(s) for s in steps}) == 1, "every device makes the same number of steps"
    for k in range(len(steps[0])):
        parts = [rank_steps[k] for rank_steps in steps]
        assert [index for part in parts for index in part] == batches[k]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert min(map(len, parts)) >= 1
    dropped = batches[len(steps[0]) :]
    assert all(len(batch) < num_devices for batch in dropped)


@pytest.mark.parametrize("num_samples", [1, 3, 16, 17, 30, 33])
@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_evaluation_sees_every_sample_once_over_the_devices(as_rank, num_samples, num_devices):
    """No padding and no duplicates; all devices make the same number of steps if there is a sample for each."""
    steps = steps_of_all_ranks(OrderedBatches(num_samples, 8), as_rank, num_devices)
    seen = sorted(index for rank_steps in steps for batch in rank_steps for index in batch)
    assert seen == list(range(num_samples))
    if num_samples >= num_devices:
        assert len({len(s) for s in steps}) == 1


def test_the_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch):
        sampler = ShuffledBatches(100, 10, seed=seed)
        sampler.set_epoch(epoch)
        return torch.cat(list(sampler)).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
    assert sorted(order(0, 1)) == list(range(100))


def test_the_order_does_not_draw_from_the_global_generator():
    before = torch.get_rng_state()
    list(ShuffledBatches(100, 10, seed=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_start_inside_the_epoch_is_used_once():
    """Batches from `start_batch` on are those of the whole epoch; the next pass is whole again."""
    sampler = ShuffledBatches(50, 8, seed=0)
    whole = [b.tolist() for b in sampler]
    sampler.start_batch = 4
    assert [b.tolist() for b in sampler] == whole[4:]
    assert [b.tolist() for b in sampler] == whole
    sampler.start_batch = 4
    sampler.set_epoch(1)
    assert len(list(sampler)) == len(whole)


def test_a_small_last_batch_is_left_out_if_asked_to():
    assert [len(b) for b in ShuffledBatches(20, 8, seed=0)] == [8, 8, 4]
    assert [len(b) for b in ShuffledBatches(20, 8, seed=0, drop_last=True)] == [8, 8]


@pytest.mark.parametrize("make", [lambda: ShuffledBatches(9, 3, seed=0), lambda: OrderedBatches(9, 3)])
def test_a_batch_that_devices_cannot_share_is_refused_in_one_line(as_rank, make):
    as_rank(0, 2)
    with pytest.raises(UserError, match=r"^data\.init_args\.batch_size: 3 given.*multiples of 2 \(next: 2 or 4\)$"):
        len(make())


def test_an_empty_batch_is_refused():
    with pytest.raises(UserError, match=r"data\.init_args\.batch_size: 0 given"):
        OrderedBatches(9, 0)


@pytest.mark.parametrize("num_samples", [64, 61, 57, 50])
@pytest.mark.parametrize("num_devices", [2, 4])
def test_weighted_means_of_the_devices_average_to_the_mean_over_the_samples(as_rank, num_samples, num_devices):
    """row 8: for values of the samples drawn at random, in each step; oracle: their mean over the whole batch."""
    values = torch.randn(num_samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sampler = ShuffledBatches(num_samples, 8, seed=3)
    order, means = sampler.order(), []
    for rank in range(num_devices):
        as_rank(rank, num_devices)
        means.append([sampler.weight((a, b)) * values[order[a:b]].mean() for a, b in sampler.shares()])
    expected = [values[order[start : start + 8]].mean() for start in range(0, num_samples, 8)]
    for step, parts in enumerate(zip(*means, strict=True)):
        torch.testing.assert_close(torch.stack(parts).mean(), expected[step])
    as_rank(0, 1)
    assert {sampler.weight(share) for share in sampler.shares()} == {1.0}


def test_fewer_training_samples_than_devices_are_refused_in_one_line(as_rank):
    as_rank(0, 2)
    with pytest.raises(UserError, match=r"^trainer\.devices: 2 together for 1 training samples"):
        sampler_module.check_has_batches(ShuffledBatches(1, 4, seed=0))
