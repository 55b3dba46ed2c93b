"""Does a signal, to any process and at any time, end training on all of them with a snapshot to go on from?"""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from lightning_cv.errors import Preempted
from lightning_cv.record.manifest import newest_valid
from lightning_cv.run.stop import SIGNALS, StopOnSignal, stop_signals
from tests.processes import fork, fork_ranks, status_of
from tests.resuming import CASES, Case, differences, end_of, train

PHASES = ("train", "validation", "save")
STEP = 7  # the second of epoch 1; the validation is that of epoch 1, the save that of step 7
CASE = replace(CASES["ema"])
TWO = replace(CASES["ema"], options={"devices": 2, "strategy": "ddp"})


class Send(Callback):
    """Sends a signal to this process, once, in a phase of training."""

    def __init__(self, number: int, phase: str) -> None:
        self.number, self.phase, self.sent = number, phase, False

    def _send(self, phase: str, trainer) -> None:
        if phase == self.phase and trainer.global_step >= STEP and not self.sent and not trainer.sanity_checking:
            self.sent = True
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._send("train", trainer)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self._send("validation", trainer)

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        self._send("save", trainer)


def run(folder, case: Case, *extra: Checkpoint, checkpoint=None):
    """Train as `lightning-cv fit` does: with the signals taken, and going on from a checkpoint if there is one."""
    with stop_signals() as signals:
        return train(folder, case, *extra, StopOnSignal(signals), checkpoint=checkpoint)


def newest(folder):
    checkpoint, skipped = newest_valid(folder / "checkpoints")
    assert not skipped
    return checkpoint


def last_event(folder) -> dict:
    return json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What the run that no signal stopped ends with."""
    return end_of(train(tmp_path_factory.mktemp("straight"), CASE))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_one_process_stops_with_a_snapshot_and_goes_on_bit_for_bit(tmp_path, straight, number, phase):
    """Oracle: the run that was not stopped. The signal comes before step 8, in a validation, or in a save."""
    with pytest.raises(Preempted, match=f"{number.name} received at epoch 1, step"):
        run(tmp_path, CASE, Send(number, phase))
    assert last_event(tmp_path)["status"] == "preempted"
    checkpoint = newest(tmp_path)
    step = {"train": 8, "validation": 10, "save": STEP}[phase]
    assert checkpoint.name == f"last-epoch001-step{step:06d}.ckpt"
    assert not differences(straight, end_of(run(tmp_path, CASE, checkpoint=checkpoint)))


def test_a_signal_within_an_accumulated_batch_waits_for_the_step(tmp_path):
    """The gradients of half a batch are in no snapshot: oracle is the run without a signal."""
    case = CASES["accumulation"]
    expected = end_of(train(tmp_path / "straight", case))

    class Early(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 2 and batch_idx == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Preempted, match="epoch 1, step 3"):
        run(tmp_path / "cut", case, Early())
    resumed = run(tmp_path / "cut", case, checkpoint=newest(tmp_path / "cut"))
    assert not differences(expected, end_of(resumed))


def test_a_signal_before_or_after_training_ends_the_program_at_once(tmp_path):
    with stop_signals(), pytest.raises(Preempted, match="SIGTERM received"):
        os.kill(os.getpid(), signal.SIGTERM)
    with stop_signals() as signals:
        train(tmp_path, CASE, StopOnSignal(signals))
        with pytest.raises(Preempted, match="SIGUSR1 received"):
            os.kill(os.getpid(), signal.SIGUSR1)


def test_a_second_interrupt_does_not_wait_for_the_step(tmp_path):
    class Impatient(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == STEP:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Preempted, match=r"^SIGINT received$"):
        run(tmp_path, CASE, Impatient())
    assert newest(tmp_path).name == f"last-epoch001-step{STEP:06d}.ckpt"


def test_handlers_are_put_back(tmp_path):
    before = [signal.getsignal(number) for number in SIGNALS]
    run(tmp_path, CASE)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.fixture(scope="module")
def straight_pair(tmp_path_factory):
    """What the first of two processes that no signal stopped ends with."""
    folder = tmp_path_factory.mktemp("pair")

    def program(rank: int) -> None:
        end = end_of(train(folder, TWO))
        torch.save(end, folder / f"end{rank}.pt")

    assert [status_of(child) for child in fork_ranks(2, program)] == [0, 0]
    return [torch.load(folder / f"end{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("targets", [(0,), (1,), (0, 1)], ids=["rank0", "rank1", "group"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_two_processes_stop_at_the_same_step_and_go_on_bit_for_bit(tmp_path, straight_pair, number, targets, phase):
    """Oracle: two processes that were not stopped, each compared with its like (generators are of each)."""

    def stopped(rank: int) -> int:
        senders = [Send(number, phase)] if rank in targets else []
        try:
            run(tmp_path, TWO, *senders)
        except Preempted as error:
            (tmp_path / f"stopped{rank}").write_text(str(error).split(" at ")[1])
            return error.exit_code
        return 0

    assert [status_of(child) for child in fork_ranks(2, stopped)] == [75, 75]
    assert (tmp_path / "stopped0").read_text() == (tmp_path / "stopped1").read_text()
    checkpoint = newest(tmp_path)

    def resumed(rank: int) -> None:
        end = end_of(run(tmp_path, TWO, checkpoint=checkpoint))
        torch.save(end, tmp_path / f"end{rank}.pt")

    assert [status_of(child) for child in fork_ranks(2, resumed)] == [0, 0]
    for rank in range(2):
        end = torch.load(tmp_path / f"end{rank}.pt", weights_only=True)
        assert not differences(straight_pair[rank], end)


def test_the_program_ends_with_status_75(tmp_path):
    """A forked training that gets SIGTERM from outside."""

    class Ask(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == STEP:
                os.kill(os.getppid(), signal.SIGUSR2)  # let the parent send now
                signal.pause()

    received = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: received.append(number))
    try:
        child = fork(lambda: run(tmp_path, CASE, Ask()) and 0)
        while not received:
            signal.sigtimedwait([], 0.05)
        os.kill(child, signal.SIGTERM)
        assert status_of(child) == 75
    finally:
        signal.signal(signal.SIGUSR2, before)
