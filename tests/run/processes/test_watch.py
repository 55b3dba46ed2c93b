"""Who is found to be dead, stopped or hanging, and who never is, however long it takes?"""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn

from lightning_cv.callbacks import Snapshot
from lightning_cv.errors import UserError
from lightning_cv.run.processes import standing as standing_module
from lightning_cv.run.processes.board import Board, Entry, Standing, Words
from lightning_cv.run.processes.standing import SLOWER, Standings
from lightning_cv.run.processes.together import BOUND_VARIABLE, stalled_after_s
from lightning_cv.run.processes.watch import Watch, hung
from tests.processes import fork, status_of
from tests.resuming import Dots, classifier

BOUND_S = 600.0


# What a process says of itself.


def test_an_entry_is_never_read_torn(tmp_path):
    """One process writes as fast as it can, one reads 2,000 times: the beats only ever grow."""

    def write() -> None:
        board = Board(tmp_path, 1)
        while not (tmp_path / "enough").exists():
            board.write(standing=Standing(code="x" * (board.own.beat % 300)))

    writer = fork(write)
    reader, beats = Board(tmp_path, 0), []
    while len(beats) < 2000:
        entry = reader.entry(1)
        if entry is not None:
            assert entry.standing.code == "x" * ((entry.beat - 1) % 300) or entry.beat == 1
            beats.append(entry.beat)
    (tmp_path / "enough").touch()
    assert status_of(writer) == 0
    assert beats == sorted(beats)
    assert beats[-1] > beats[0]


def test_an_entry_with_any_name_of_a_file_is_overwritten_as_a_whole(tmp_path):
    """Names of up to 300 characters, of 4 bytes each, or not text at all; the shorter one after it is read too."""
    board = Board(tmp_path, 0)
    for code in ("\N{GRINNING FACE}" * 300, "caf\udcc3\udca9.py:3", '\\ " \n', "x"):
        board.write(standing=Standing(code=code))
        assert board.entry(0).standing.code == code
        assert board.entry(0).beat == board.own.beat


def test_last_words_are_read_as_they_were_written_and_only_the_first_count(tmp_path):
    writer, reader = Board(tmp_path, 3), Board(tmp_path, 0)
    words = Words(3, "die Daten fehlen: \N{SNOWMAN} /tmp/x y", 3, 12.5, traceback="Traceback\n  line\n")
    assert reader.words(3) is None
    writer.fail(words)
    writer.fail(replace(words, text="a consequence"))
    writer.write(state="done")
    assert reader.words(3) == words
    assert reader.entry(3).state == "failed"
    writer = Board(tmp_path / "long", 1)
    writer.fail(replace(words, text="t" * 10**5, traceback="T" * 10**5))
    assert writer.words(1).text == "t" * 4000


def test_a_process_is_gone_when_it_is_killed_and_not_when_it_is_stopped(tmp_path):
    """The oracle is the kernel: waitpid tells of each change before the lock is asked for."""

    def hold() -> None:
        board = Board(tmp_path, 1)
        reader = fork(lambda: os.read(enough, 1) and 0)  # as readers of data are forked: it does not hold the lock
        os.kill(os.getpid(), signal.SIGSTOP)
        board.write()
        status_of(reader)

    enough, tell = os.pipe()

    child = fork(hold)
    os.waitpid(child, os.WUNTRACED)
    board = Board(tmp_path, 0)
    entry = board.entry(1)
    assert entry.pid == child
    assert not board.is_gone(entry)
    os.kill(child, signal.SIGKILL)
    assert status_of(child) == -signal.SIGKILL
    assert board.is_gone(entry)
    os.write(tell, b"!")


def test_a_lock_that_another_machine_never_showed_says_nothing(tmp_path):
    """Some network file systems keep locks to each machine: there only silence tells."""
    board = Board(tmp_path, 0)
    (tmp_path / "00001.lock").touch()
    assert board.is_gone(Entry(1))
    assert not board.is_gone(Entry(1, machine="another"))


# Who is to blame.


def at(place: int, idle_s: float, limit_s: float | None = BOUND_S, *, waits: bool = False, rank: int = 0) -> Entry:
    standing = Standing("a training batch", 1, 12, (1, place), idle_s, limit_s, "read, x.py:1", waits)
    return Entry(rank, host="node7", standing=standing)


@pytest.mark.parametrize(
    ("entries", "rank"),
    [
        ([at(7, 601, waits=True), at(6, 601, rank=1)], 1),
        ([at(7, 601, waits=True), at(7, 601, rank=1)], 1),
        ([at(7, 601), at(7, 601, waits=True, rank=1), at(7, 700, waits=True, rank=2)], 0),
        ([at(7, 601), at(7, 599, rank=1)], None),
        ([at(7, 9999), at(6, 1, rank=1)], None),
        ([at(7, 9999, waits=True), at(6, 9999, None, rank=1)], None),
        ([at(7, 9999, None), at(6, 9999, rank=1)], 1),
        ([at(7, 9999, waits=True), at(6, 9999, 12000.0, rank=1)], None),
    ],
    ids=[
        "the one behind",
        "the one that does not wait",
        "also the first",
        "not before all have stood still",
        "not while one gets further",
        "not one that may take any time",
        "whatever the others do",
        "not one whose batches are slow",
    ],
)
def test_who_hangs(entries, rank):
    """By hand: who stands behind all others, in a batch, for longer than batches take."""
    words = hung(entries)
    assert (words.rank if words else None) == rank
    if words:
        assert words.text.startswith(f"process {rank} on node7 (pid ")
        assert "hangs at epoch 1, step 12, a training batch in read, x.py:1" in words.text


class Clock:
    """Each look is 10,000 s after the one before: whatever may not take any time has been found to hang."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


class Looker(Callback):
    """Looks in every hook of a training."""

    def __init__(self, standings: Standings, clock: Clock) -> None:
        self.standings, self.clock = standings, clock
        self.seen: list[tuple[str, str, bool]] = []

    def look(self, where: str) -> None:
        self.clock.now_s += 10_000
        standing = self.standings.look()
        self.seen.append((where, standing.activity, standing.limit_s is not None))


HOOKS = [name for name in vars(Callback) if name.startswith("on_") or name in ("setup", "teardown")]
for _name in HOOKS:
    setattr(Looker, _name, lambda self, *args, _name=_name, **kwargs: self.look(_name))
Looker.on_train_start = lambda self, *args: (self.standings.start(), self.look("on_train_start"))


def looked(tmp_path, monkeypatch, checkpoint=None) -> list[tuple[str, str, bool]]:
    """Where a training was seen: hook, activity, and whether that has a bound."""
    clock = Clock()
    monkeypatch.setattr(standing_module, "time", clock)
    looker = Looker(standings := Standings(BOUND_S), clock)

    class Data(Dots):
        def prepare_data(self):
            looker.look("prepare_data")

    class Identity(nn.Module):
        def forward(self, image):
            looker.look("reading")
            return image

    task = classifier()
    step = task.step
    task.step = lambda network, batch: (looker.look("step"), step(network, batch))[1]
    standings.trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=3,
        logger=False,
        callbacks=[looker, Snapshot(every_n_steps=3)],
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = Data(batch_size=8, train_transform=Identity(), eval_transform=Identity())
    standings.trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return looker.seen


def test_only_a_batch_and_its_reading_have_a_bound_and_not_the_first(tmp_path, monkeypatch):
    """A training whose every hook takes hours: downloads, set-up, validation's end, saving are never found to hang."""
    seen = looked(tmp_path, monkeypatch)
    in_batch = {"on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad", "step"}
    bounded = {where for where, _, has_bound in seen if has_bound}
    assert in_batch | {"reading"} == bounded
    visited = {where for where, _, _ in seen}
    assert {"prepare_data", "setup", "on_validation_epoch_end", "on_save_checkpoint", "on_train_end"} <= visited
    steps = [(activity, has_bound) for where, activity, has_bound in seen if where == "step"]
    training = [has_bound for activity, has_bound in steps if activity == "a training batch"]
    assert training == [False] + [True] * 14, "the first batch may compile"
    validation = [has_bound for activity, has_bound in steps if activity == "a validation batch"]
    assert validation[2:] == [False, True, True] * 3, "the first batch of each validation may compile"


def test_the_first_batch_after_a_resume_has_no_bound(tmp_path, monkeypatch):
    looked(tmp_path, monkeypatch)
    last = min((tmp_path / "checkpoints").glob("last-epoch*.ckpt"), key=lambda path: path.name)
    state = torch.load(last, weights_only=True)
    seen = looked(tmp_path, monkeypatch, checkpoint=last)
    training = [has_bound for where, activity, has_bound in seen if where == "step" and activity == "a training batch"]
    assert training == [False] + [True] * (14 - state["global_step"])


def test_the_bound_follows_the_slowest_batch_so_far(monkeypatch):
    """20 times the slowest: by hand."""
    clock = Clock()
    monkeypatch.setattr(standing_module, "time", clock)
    standings = Standings(BOUND_S)
    activity = [("a training batch", True, (1,))]
    standings._position = lambda stack: activity[-1]
    assert standings.look().limit_s == BOUND_S
    clock.now_s = 40.0
    activity.append(("a training batch", True, (2,)))
    assert standings.look().limit_s == SLOWER * 40
    activity.append(("a validation batch", True, (2,)))
    assert standings.look().limit_s == BOUND_S


def stopped(folder, rank: int) -> int:
    """A process that has written one entry and was stopped."""

    def hold() -> None:
        board = Board(folder, rank)
        os.kill(os.getpid(), signal.SIGSTOP)
        board.write()

    child = fork(hold)
    os.waitpid(child, os.WUNTRACED)
    return child


def test_a_process_that_stood_still_itself_blames_nobody(tmp_path, monkeypatch):
    """Ctrl-Z stops all processes, a laptop that sleeps the whole machine: the watch's clock stands still too."""
    board, other = Board(tmp_path, 0), stopped(tmp_path, 1)
    watch = Watch(board, 2, bound_s=2.0, end=lambda words, tells: None)
    clock = Clock()
    monkeypatch.setattr("lightning_cv.run.processes.watch.time", clock)
    clock.time = lambda: 0.0
    for _ in range(3):
        clock.now_s += 10_000
        watch.tick()
    assert watch.cause is None
    for _ in range(20):
        clock.now_s += 0.5
        watch.tick()
    assert "gave no sign of life for" in watch.cause.text
    assert status_of(other) == -signal.SIGKILL


@pytest.mark.parametrize("given", ["", "ten", "-1", "0", "nan"])
def test_a_bound_that_is_no_time_is_one_line(monkeypatch, given):
    monkeypatch.setenv(BOUND_VARIABLE, given)
    with pytest.raises(UserError, match=f"^{BOUND_VARIABLE}: {given} given, allowed: seconds above 0"):
        stalled_after_s()


def test_the_bound_is_generous_unless_it_is_given(monkeypatch):
    assert stalled_after_s() == BOUND_S
    monkeypatch.setenv(BOUND_VARIABLE, "inf")
    assert stalled_after_s() == float("inf")
    assert json.loads(json.dumps({"limit_s": stalled_after_s()}))["limit_s"] == float("inf")
