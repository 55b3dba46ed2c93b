"""Is a folder's behaviour seen as it is: real ones, and ones whose file system fails in a known way?"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from lightning_cv.doctor.folders import file_system, read_folder


def test_a_real_folder_takes_files_holds_locks_and_is_left_as_it_was(tmp_path):
    """Oracle: what the operating system says of the same folder."""
    folder = read_folder(tmp_path, shown="runs")
    assert (folder.path, folder.problem, folder.locks, folder.rename_problem) == ("runs", "", True, "")
    assert folder.fsync_s is not None
    assert folder.fsync_s >= 0
    space = os.statvfs(tmp_path)
    assert folder.free is not None
    assert abs(folder.free - space.f_bavail * space.f_frsize) < 1 << 30
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_judged_by_the_one_above(tmp_path):
    folder = read_folder(tmp_path / "runs" / "digits", shown="runs/digits")
    assert (folder.path, folder.problem, folder.locks) == ("runs/digits", "", True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_has_the_reason(tmp_path):
    """Below a file nothing can be made, by the superuser neither."""
    (tmp_path / "file").touch()
    folder = read_folder(tmp_path / "file" / "runs", shown="runs")
    assert folder.problem == os.strerror(errno.ENOTDIR).lower()


def failing(number: int):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize(
    ("flock", "locks"),
    [(failing(errno.ENOLCK), None), (failing(errno.EOPNOTSUPP), None), (lambda file, operation: None, False)],
)
def test_a_file_system_without_locks_is_told_from_one_whose_locks_hold_nobody(tmp_path, monkeypatch, flock, locks):
    monkeypatch.setattr(fcntl, "flock", flock)
    assert read_folder(tmp_path, shown="runs").locks is locks


def await_reader(others):
    """Wait for the thread that reads; earlier tests may have left threads that never end."""
    for thread in set(threading.enumerate()) - others:
        thread.join(10.0)


def test_a_replacement_in_two_steps_is_seen_by_a_reader(tmp_path, monkeypatch):
    """A file system that takes the old file away first; it waits until the reader has looked."""
    others = set(threading.enumerate())

    def replace(self, target):
        target.unlink()
        await_reader(others)
        self.rename(target)

    monkeypatch.setattr(Path, "replace", replace)
    assert read_folder(tmp_path, shown="runs").rename_problem.startswith("a reader found no file")


def test_a_replacement_that_writes_in_place_is_seen_by_a_reader(tmp_path, monkeypatch):
    """The reader comes between the truncation and the write, or behind both."""
    others = set(threading.enumerate())

    def replace(self, target):
        target.write_bytes(self.read_bytes()[:100])
        await_reader(others)
        self.unlink()

    monkeypatch.setattr(Path, "replace", replace)
    seen = {f"a reader saw {size} bytes that nobody wrote" for size in (0, 100)}
    assert read_folder(tmp_path, shown="runs").rename_problem in seen


MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:40 / /scratch rw - lustre 10.0.0.1@tcp:/scratch rw,flock
41 40 0:41 / /scratch/fast rw - tmpfs tmpfs rw
42 27 0:42 / /my\040data rw - nfs4 server:/export rw
43 27 0:43 / /twice rw - ext4 /dev/vdb rw
44 27 0:44 / /twice rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me/runs", "ext4"),
        ("/scratch/me/runs", "lustre"),
        ("/scratch/fast", "tmpfs"),
        ("/scratch/faster", "lustre"),
        ("/my data/runs", "nfs4"),
        ("/twice/runs", "overlay"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_and_latest_mount(tmp_path, folder, kind):
    """The format is that of proc_pid_mountinfo(5), with octal escapes."""
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert file_system(Path(folder), tmp_path / "mountinfo") == kind


def test_without_a_table_of_mounts_the_file_system_is_not_known(tmp_path):
    assert file_system(tmp_path, tmp_path / "none") is None
