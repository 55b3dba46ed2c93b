"""Which file is meant by a run, and is a damaged one told before anything is loaded?"""

import pytest

from lightning_cv.callbacks import Snapshot
from lightning_cv.errors import UserError
from lightning_cv.run.checkpoints import find_checkpoint
from tests.callbacks.tiny import TinyTask, loader, newest, trainer


@pytest.fixture
def run(tmp_path):
    """Five epochs of which the second is the best and the fourth the second best; three best files are kept."""
    task = TinyTask(script=[0.1, 0.9, 0.4, 0.8, 0.2])
    trainer(tmp_path, [Snapshot(save_top_k=3)], max_epochs=5).fit(task, loader(), loader())
    return tmp_path


def test_of_several_best_files_the_best_is_taken(run):
    assert len(list((run / "checkpoints").glob("best-*.ckpt"))) == 3
    assert find_checkpoint(run).name == "best-epoch001-step000012.ckpt"


def test_a_damaged_best_file_is_passed_over_with_a_line(run, capsys):
    """The newest whole one of the best is taken then; without any, the newest state."""
    (run / "checkpoints/best-epoch001-step000012.ckpt").write_bytes(b"")
    assert find_checkpoint(run).name == "best-epoch003-step000024.ckpt"
    for path in (run / "checkpoints").glob("best-*.ckpt"):
        path.write_bytes(b"")
    assert find_checkpoint(run) == newest(run)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["skipped"] * 3


def test_a_file_that_is_named_is_checked_too(run):
    path = newest(run)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"--ckpt .*: damaged: .*; it is not loaded$"):
        find_checkpoint(path)
