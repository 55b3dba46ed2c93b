"""Does a run that is killed again and again end as if nothing had happened?"""

import os
import random
import signal
import threading
import time

import pytest
import torch

from lightning_cv.record.manifest import newest_valid
from tests.processes import fork, status_of
from tests.resuming import CASES, Case, differences, end_of, train

KILLS = 50


def train_on(folder, case: Case) -> None:
    """What a cluster does with a job that died: start it again; it takes the newest valid snapshot."""
    checkpoints = folder / "checkpoints"
    checkpoint, _ = newest_valid(checkpoints) if checkpoints.is_dir() else (None, [])
    torch.save(end_of(train(folder, case, checkpoint=checkpoint)), folder / "end.pt")


def kill_after(child: int, delay_s: float) -> threading.Timer:
    timer = threading.Timer(delay_s, os.kill, (child, signal.SIGKILL))
    timer.start()
    return timer


@pytest.mark.parametrize("name", ["ema", "validation_within_epochs"])
def test_fifty_kills_change_no_bit(tmp_path, name):
    """Oracle: the run that was never killed. Kills fall at random instants of the time that it takes."""
    case = CASES[name]
    began_s = time.monotonic()
    assert status_of(fork(lambda: train_on(tmp_path / "straight", case))) == 0
    took_s = time.monotonic() - began_s
    expected = torch.load(tmp_path / "straight/end.pt", weights_only=True)
    draw = random.Random(0)  # noqa: S311 - no secret
    kills = runs = 0
    while kills < KILLS // 2:
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        runs += 1
        while True:
            began_s = time.monotonic()
            child = fork(lambda folder=folder: train_on(folder, case))
            timer = kill_after(child, draw.uniform(0, took_s))
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its number is its own until status_of
            timer.cancel()
            timer.join()
            status = status_of(child)
            if status == 0:
                took_s = min(took_s, time.monotonic() - began_s)
                break
            assert status == -signal.SIGKILL
            kills += 1
        assert not differences(expected, torch.load(folder / "end.pt", weights_only=True))
        names = [path.name for path in (folder / "checkpoints").iterdir()]
        assert not [name for name in names if not name.endswith((".ckpt", ".ckpt.json"))]
        assert len(list((folder / "checkpoints").glob("*.ckpt"))) <= 3
        assert runs < 10 * KILLS
