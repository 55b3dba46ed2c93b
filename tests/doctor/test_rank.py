"""Do ranks sum right, train alike, and end together with the true cause when one of them cannot go on?"""

from __future__ import annotations

import os
import signal
import socket

import pytest
import torch
from torch import distributed, nn

from lightning_cv.doctor import training
from lightning_cv.doctor.allreduce import SIZES, check_sum, measure_all_reduce
from lightning_cv.doctor.place import Place, places_here
from lightning_cv.doctor.rank import WORK
from lightning_cv.doctor.training import BATCH_SIZE, LEARNING_RATE, STEPS, make_batch, make_network, train
from tests.doctor.ranks import TERMS, end, outcome, run, start
from tests.tolerances import assert_close

HOST = socket.gethostname()


def test_two_ranks_sum_train_and_say_so_once():
    """Oracle: status 0 of both; the sizes that were asked for; the losses of one process with both batches."""
    assert run([WORK, WORK]) == [0, 0]
    first, second = outcome(0), outcome(1)
    assert (first["speaks"], second["speaks"]) == (True, False)
    assert first["cause"] == second["cause"] == ""
    assert first["hosts"] == f"{HOST} (0-1)"
    assert [each["size"] for each in first["transfers"]] == list(SIZES["gloo"])
    for each in first["transfers"]:
        assert each["time_s"] > 0
        assert each["bus_bandwidth"] == each["algorithm_bandwidth"] == pytest.approx(each["size"] / each["time_s"])
    losses, _ = train_alone(num_ranks=2)
    assert first["training"]["steps"] == STEPS == 20
    assert first["training"]["first_loss"] == pytest.approx(losses[0], rel=1e-4)
    assert first["training"]["last_loss"] == pytest.approx(losses[-1], rel=1e-4)
    assert losses[-1] < losses[0]


def train_alone(num_ranks: int) -> tuple[list[float], list[torch.Tensor]]:
    """Losses and weights of one process that has the batches of all ranks: the same mean gradient."""
    network = make_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE)
    losses = []
    for step in range(STEPS):
        images, labels = (
            torch.cat(parts) for parts in zip(*(make_batch(r, step) for r in range(num_ranks)), strict=True)
        )
        assert len(images) == num_ranks * BATCH_SIZE
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [weight.detach() for weight in network.parameters()]


def test_the_weights_of_both_ranks_are_those_of_one_process_with_both_batches():
    """Oracle: plain SGD on the joined batches; between the ranks the bits are equal."""

    def keep(network, rank):
        torch.save([weight.detach() for weight in network.parameters()], f"weights-{rank}.pt")

    def with_keeping(part):
        compare = training._compare
        training._compare = lambda part, network: (keep(network, part.rank), compare(part, network))
        train(part)

    assert run([[with_keeping]] * 2) == [0, 0]
    first, second = (torch.load(f"weights-{rank}.pt") for rank in (0, 1))
    _, alone = train_alone(num_ranks=2)
    for one, other, expected in zip(first, second, alone, strict=True):
        assert torch.equal(one, other)
        assert_close(one, expected)


def test_every_rank_has_other_batches_at_every_step_with_the_brightest_quarter_as_label():
    """Oracle: sums of the four quarters of each image, in a loop."""
    batches = [make_batch(rank, step) for rank in range(3) for step in range(STEPS)]
    assert len({images.numpy().tobytes() for images, _ in batches}) == 3 * STEPS
    images, labels = batches[-1]
    for image, label in zip(images[:, 0], labels.tolist(), strict=True):
        quarters = [image[row : row + 4, column : column + 4].sum() for row in (0, 4) for column in (0, 4)]
        assert max(quarters) == quarters[label]


def test_every_rank_of_three_sees_sums_that_it_can_check_by_hand():
    """Oracle: element i of rank r is (i mod 4 + 1)(r + 1), so that the sum over three ranks is 6 (i mod 4 + 1)."""

    def sum_by_hand(part):
        values = torch.tensor([1.0, 2.0, 3.0, 4.0]) * (part.rank + 1)
        distributed.all_reduce(values)
        assert values.tolist() == [6.0, 12.0, 18.0, 24.0]
        check_sum(part, 64)

    assert run([[sum_by_hand]] * 3) == [0, 0, 0]


def test_a_wrong_sum_is_named_with_the_element_and_its_value():
    """One rank adds 1 to the last of its 16 elements: 4 + 8 + 1."""

    def wrong(part):
        plain = distributed.all_reduce

        def all_reduce(values, *args, **kwargs):
            values[-1] += part.rank
            return plain(values, *args, **kwargs)

        distributed.all_reduce = all_reduce
        part.post.begin("the sum", together=True)
        check_sum(part, 64)

    assert run([[wrong], [wrong]]) == [5, 5]
    cause = outcome(0)["cause"]
    assert (
        "failed in the check of the sum of 64 B: ValueError: 1 of 16 sums are wrong; number 15 is 13, not 12" in cause
    )


def test_weights_that_differ_are_named_by_their_rank():
    """Of three ranks one loses a weight after training."""

    def lose(part):
        compare = training._compare

        def compare_other(part, network):
            if part.rank == 2:
                network[0].bias.data[0] += 1e-6
            compare(part, network)

        training._compare = compare_other
        train(part)

    assert run([[lose]] * 3) == [5, 5, 5]
    assert "ValueError: rank 2 of 3 has other weights than the rest" in outcome(0)["cause"]
    assert outcome(0)["training"] is None


def ends_with(*, rank: int, at: str, act):
    """Work in which one rank does `act` when it begins something of this name."""

    def work(part):
        begin = part.post.begin

        def watched(doing, **how):
            begin(doing, **how)
            if part.rank == rank and doing == at:
                act()

        part.post.begin = watched
        measure_all_reduce(part)
        train(part)

    return [work]


def fail() -> None:
    raise OSError("the disk of this rank is gone")


@pytest.mark.parametrize("rank", [0, 1])
def test_the_error_of_one_rank_ends_all_and_is_the_cause_that_all_say(rank):
    """The other rank waits in the sum for it, and would for 4 minutes; what it sees itself is a lost connection."""
    work = ends_with(rank=rank, at="training step 7", act=fail)
    assert run([work, work]) == [5, 5]
    for each in (0, 1):
        assert outcome(each)["cause"] == (
            f"rank {rank} ({HOST}) failed in training step 7: OSError: the disk of this rank is gone"
        )
    assert [outcome(each)["speaks"] for each in (0, 1)] == [True, False]
    assert len(outcome(0)["transfers"]) == len(SIZES["gloo"])


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("act", [stop, kill])
def test_a_rank_that_stops_or_dies_is_named_by_the_first(act):
    """The one that was stopped is killed by the test afterwards; what the first rank measured before is kept."""
    work = ends_with(rank=1, at="the all-reduce of 1 MiB", act=act)
    assert run([work, work], TERMS) == [5, -signal.SIGKILL]
    said = outcome(0)
    assert said["speaks"]
    assert said["cause"].startswith(f"rank 1 ({HOST}) gives no sign of life after ")
    assert [each["size"] for each in said["transfers"]] == [SIZES["gloo"][0]]


@pytest.mark.parametrize(("act", "cause"), [(stop, "gives no sign of life"), (kill, "cannot be reached")])
def test_a_first_rank_that_stops_or_dies_is_named_by_the_second_one_alone(act, cause):
    """Three ranks: they all see it, and one says so."""
    work = ends_with(rank=0, at="the all-reduce of 1 MiB", act=act)
    assert run([work] * 3, TERMS) == [-signal.SIGKILL, 5, 5]
    assert [outcome(rank)["speaks"] for rank in (1, 2)] == [True, False]
    assert f"rank 0 ({HOST})" in outcome(1)["cause"]
    assert cause in outcome(1)["cause"]


def test_a_rank_that_does_not_come_is_named_with_those_that_did():
    places = places_here(3)
    assert end([start(place, TERMS) for place in places[:2]]) == [5, 5]
    assert outcome(0)["cause"] == f"rank 2 of 3 has not come within 5 s; those that came: {HOST} (0-1)"


def test_a_first_rank_that_does_not_come_is_named():
    places = places_here(2)
    assert end([start(places[1], TERMS)]) == [5]
    assert "rank 0" in outcome(1)["cause"]
    assert outcome(1)["speaks"]


def test_a_rank_that_lags_behind_is_named_with_what_it_does():
    """It lives, and beats, but does not get on: it reads a pipe that nobody writes to."""
    read, _ = os.pipe()

    def work(part):
        part.post.begin("its own share")
        if part.rank == 1:
            os.read(read, 1)
        part.post.begin("the sum of all", together=True)
        distributed.barrier()

    assert run([[work], [work]], TERMS) == [5, 5]
    assert outcome(0)["cause"] == (
        f"rank 1 ({HOST}) does not get through its own share within 5 s: the others wait for it at the sum of all"
    )


def test_a_port_that_is_taken_is_said_by_the_first_rank():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.listen()
        place = Place(rank=0, num_ranks=1, local_rank=0, address="127.0.0.1", port=taken.getsockname()[1])
        assert end([start(place, TERMS)]) == [5]
    assert "rank 0 cannot open, or reach, the place where all meet: " in outcome(0)["cause"]
    assert "MASTER_PORT" in outcome(0)["mend"]


def test_what_is_known_of_each_machine_comes_to_the_first_rank():
    """Three ranks on two machines; the second rank says nothing of its own."""
    nodes = [{"host": "one"}, None, {"host": "two"}]
    children = [start(place, TERMS, [], node) for place, node in zip(places_here(3), nodes, strict=True)]
    assert end(children) == [0, 0, 0]
    assert outcome(0)["nodes"] == {"0": {"host": "one"}, "2": {"host": "two"}}


@pytest.mark.gpu
def test_as_many_ranks_as_there_are_gpus_work_together_over_nccl():
    """In a fresh interpreter: a process that has used CUDA cannot fork."""
    from lightning_cv.doctor.local import run_here

    number = torch.cuda.device_count()
    report = run_here(number, cpu=False, timeout_s=120.0, num_cores=4)
    assert (report.cause, report.backend) == ("", "nccl")
    assert [each.size for each in report.transfers] == list(SIZES["nccl"])
    assert report.training is not None
    assert report.training.last_loss < report.training.first_loss
