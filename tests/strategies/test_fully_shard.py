"""Is a network whose weights are shared out trained as one that every device holds, with the same files?"""

import itertools
import re
import signal

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.distributed.fsdp import FSDPModule

from lightning_cv.callbacks import Ema
from lightning_cv.errors import UserError
from lightning_cv.strategies import FullyShard
from lightning_cv.tasks import Classify
from tests.processes import fork_ranks, status_of
from tests.resuming import Dots, differences
from tests.run.test_begin import FIT, Send, by_torchrun, final, start

STRATEGY = "--trainer.strategy.class_path=lightning_cv.strategies.FullyShard"
SHARDED = [STRATEGY, "--trainer.strategy.init_args.unit_parameters=1000"]
HUNG_S = 120


class Blocks(nn.Module):
    """Two blocks of 314 parameters in a list, which has no forward pass, and a head of 27."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 8)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 18), nn.Linear(18, 8)) for _ in range(2)])
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        hidden = self.stem(images.flatten(1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.head(self.norm(hidden))


def train(folder, rank: int, strategy, **options) -> tuple[Trainer, Classify]:
    signal.alarm(HUNG_S)
    torch.manual_seed(2)
    # Behind the batch norm the gradients of biases are rounding alone, which Adam would make steps of.
    task = Classify(Blocks(), lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9))
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy=strategy, max_epochs=2, logger=False, enable_model_summary=False,
        enable_checkpointing=False, enable_progress_bar=False, default_root_dir=str(folder), **options,
    )  # fmt: skip
    trainer.fit(task, datamodule=Dots(batch_size=8))
    return trainer, task


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 2}, {"gradient_clip_val": 0.1}, {"precision": "bf16-mixed"}],
    ids=["plain", "accumulated", "clipped", "mixed precision"],
)
def test_weights_and_running_means_are_those_of_ddp(tmp_path, options):
    """Oracle: torch's DDP on the same data; batches of uneven shares and a batch norm are among it."""

    def both(rank: int) -> int:
        ends = []
        for strategy in ("ddp", FullyShard(unit_parameters=300)):
            trainer, _ = train(tmp_path, rank, strategy, **options)
            ends.append(trainer.strategy.lightning_module_state_dict())
            scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
            ends.append(scores)
        if rank == 0:
            torch.save(ends, tmp_path / "ends.pt")
        return 0

    assert [status_of(child) for child in fork_ranks(2, both)] == [0, 0]
    ddp, scores, sharded, sharded_scores = torch.load(tmp_path / "ends.pt", weights_only=True)
    assert ddp.keys() == sharded.keys()
    for name, value in ddp.items():
        torch.testing.assert_close(sharded[name], value, rtol=1e-5, atol=1e-6)
    assert sharded_scores == pytest.approx(scores, rel=1e-5)


@pytest.mark.parametrize(("least", "meant"), [(300, ["", "stem", "blocks.0", "blocks.1"]), (400, ["", "stem"])])
def test_each_device_holds_a_part_and_units_are_made_from_the_inside_out(tmp_path, least, meant):
    """By hand: the stem has 520 parameters, a block 314, and their list, which is never called, both."""

    def look(rank: int) -> int:
        trainer, task = train(tmp_path, rank, FullyShard(unit_parameters=least))
        units = [name for name, module in task.network.named_modules() if isinstance(module, FSDPModule)]
        parameters = [parameter for group in trainer.optimizers[0].param_groups for parameter in group["params"]]
        held = sum(parameter.to_local().numel() for parameter in parameters)
        moments = [state["momentum_buffer"] for state in trainer.optimizers[0].state.values()]
        torch.save([units, held, sum(moment.to_local().numel() for moment in moments)], tmp_path / f"{rank}.pt")
        return 0

    assert [status_of(child) for child in fork_ranks(2, look)] == [0, 0]
    (units, *held), (others, *rest) = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert units == others == meant
    whole = sum(parameter.numel() for parameter in Blocks().parameters())
    assert [one + other for one, other in zip(held, rest, strict=True)] == [whole, whole]
    assert max(held + rest) <= 0.6 * whole


@pytest.mark.slow
def test_a_run_goes_on_with_or_without_it_to_the_same_bits(tmp_path):
    """Stopped by a signal while sharded; its snapshot, a single file, goes on under DDP; oracle: DDP throughout."""
    line = [*FIT, "--callbacks.ema=null"]
    assert start([*line, "--run-dir=straight"], by_torchrun) == [0, 0]
    assert start([*line, *SHARDED, "--run-dir=run"], by_torchrun, sends={1: Send(3, signal.SIGUSR1)}) == [75, 75]
    assert start([*line, "--run-dir=run"], by_torchrun) == [0, 0]
    assert not differences(final(tmp_path / "straight"), final(tmp_path / "run"))
    assert start([*line, *SHARDED, "--run-dir=sharded"], by_torchrun) == [0, 0]
    sharded = final(tmp_path / "sharded")
    sharded["optimizer_states"] = [numbered_by_group(state) for state in sharded["optimizer_states"]]
    assert not differences(final(tmp_path / "straight"), sharded)


@pytest.mark.slow
def test_the_processes_of_a_sharded_training_look_after_one_another_too(capfd):
    """Where torchrun started them the strategy has no launcher of Lightning's; the one that was killed is named."""
    line = [*FIT, "--callbacks.ema=null", *SHARDED, "--run-dir=run"]
    statuses = start(line, by_torchrun, sends={1: Send(3, signal.SIGKILL)})
    assert statuses == [5, -signal.SIGKILL]
    lines = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
    assert re.match(r"error: process 1 .*killed", lines[-1]), lines


def numbered_by_group(state: dict) -> dict:
    """The state of an optimizer with its parameters numbered as torch does; sharded they are as in the network."""
    numbers = itertools.chain.from_iterable(group["params"] for group in state["param_groups"])
    order = {old: new for new, old in enumerate(numbers)}
    groups = [group | {"params": [order[number] for number in group["params"]]} for group in state["param_groups"]]
    return {"state": {order[old]: value for old, value in state["state"].items()}, "param_groups": groups}


def test_what_cannot_be_sharded_is_refused(tmp_path):
    with pytest.raises(UserError, match="FullyShard: unit_parameters is 0; allowed: 1 or more"):
        FullyShard(unit_parameters=0)
    trainer = Trainer(accelerator="cpu", devices=1, strategy=FullyShard(), logger=False, enable_checkpointing=False)
    task = Classify(Blocks(), lambda groups: torch.optim.SGD(groups, lr=0.01))
    with pytest.raises(UserError, match=r"sharded weights cannot be averaged; .*\(callbacks\.ema: null\)"):
        Ema().setup(trainer, task, "fit")
