"""Are parameters that get no gradient named in the first step, before processes wait for them?"""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.run.processes.together import Together
from lightning_cv.run.stop import stop_signals
from tests.processes import fork_ranks, status_of
from tests.run.processes import ddp_program

HUNG_S = 60


class Partly(nn.Module):
    """Its second head is used where `uses` says so: always given the rank and the number of the batch.

    Args:
        uses: whether a forward pass uses the second head.
        frozen: whether its parameters need no gradient.
    """

    def __init__(self, uses, *, frozen: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)
        self.aux = nn.Sequential(nn.Linear(64, 3), nn.Linear(3, 3))
        self.aux.requires_grad_(not frozen)
        self.uses = uses
        self.batch = -1

    def forward(self, images):
        self.batch += self.training
        scores = self.head(images.flatten(1))
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        return scores + self.aux(images.flatten(1)) if self.uses(rank, self.batch) else scores


def never(rank: int, batch: int) -> bool:
    return False


def train(folder: Path, network: Partly, **options) -> int:
    """Train in this process; the status, and on stderr what the command would print."""
    with stop_signals() as signals:
        together = Together(signals)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        try:
            trainer = ddp_program.fit(folder, together, network=network, **options)
            together.finish()
        except Exception as error:
            same = all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
            print("weights are those of the start" if same else "weights were changed", file=sys.stderr)
            try:
                return together.end(error)
            except UserError as told:
                print(f"error: {told}", file=sys.stderr)
                return told.exit_code
        assert together.callbacks[0].on_after_backward is None, "no cost afterwards"
        assert trainer.global_step == trainer.num_training_batches * 2 / trainer.accumulate_grad_batches // 1
    return 0


def two(folder: Path, make, **options) -> tuple[list[int], list[str], list[str]]:
    """The statuses of two processes, and the lines that each wrote to its stderr."""

    def program(rank: int) -> int:
        signal.alarm(HUNG_S)
        ddp_program.write_stderr_to(folder / f"stderr{rank}")
        return train(folder / "run", make(), **options)

    statuses = [status_of(child) for child in fork_ranks(2, program)]
    return statuses, *((folder / f"stderr{rank}").read_text().splitlines() for rank in range(2))


def test_parameters_without_a_gradient_are_named_before_the_first_step(tmp_path):
    """One line with names and what to do; no weight was changed by gradients that were not averaged."""
    statuses, first, second = two(tmp_path, lambda: Partly(never))
    assert statuses == [2, 2]
    assert first[-1] == (
        "error: 4 parameters get no gradient: network.aux.0.weight, network.aux.0.bias, network.aux.1.weight, "
        "network.aux.1.bias; processes that train together would wait for it: take them out of the network, freeze "
        "them (requires_grad_(False)), or set trainer.strategy: ddp_find_unused_parameters_true"
    )
    for lines in (first, second):
        assert "weights are those of the start" in lines
    assert not [line for line in second if line.startswith("error")]


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 5}], ids=["plain", "accumulated"])
def test_a_parameter_that_one_process_leaves_out_is_named_with_the_process(tmp_path, options):
    """The other one waits for its gradient in the backward pass, and ends too."""
    statuses, first, _ = two(tmp_path, lambda: Partly(lambda rank, batch: rank == 0), **options)
    assert statuses == [2, 2]
    assert first[-1].startswith("error: process 1: 4 parameters get no gradient: network.aux.0.weight, ")


def test_a_parameter_that_is_left_out_later_is_named_too(tmp_path):
    statuses, first, _ = two(tmp_path, lambda: Partly(lambda rank, batch: batch < 3))
    assert statuses == [2, 2]
    assert "4 parameters get no gradient: network.aux.0.weight, " in first[-1]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: Partly(lambda rank, batch: True), {}),
        (lambda: Partly(never, frozen=True), {}),
        (lambda: Partly(never), {"strategy": "ddp_find_unused_parameters_true"}),
        (lambda: Partly(lambda rank, batch: batch % 5 == 4), {"accumulate_grad_batches": 5}),
    ],
    ids=["used", "frozen", "looked for", "used where it counts"],
)
def test_what_can_be_trained_is_trained(tmp_path, make, options):
    """The last one leaves parameters out only where gradients are not exchanged."""
    statuses, first, _ = two(tmp_path, make, **options)
    assert statuses == [0, 0], first


def test_one_process_may_leave_parameters_out(tmp_path):
    assert train(tmp_path, Partly(never), devices=1, strategy="auto") == 0
