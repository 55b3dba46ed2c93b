"""Is a file, at any moment, either the old one or the new one?"""

import errno
import fcntl
import os
import threading
from pathlib import Path

import pytest

from lightning_cv.record.atomic import remove_leftovers, write_atomically, write_text_atomically
from tests.processes import fork, status_of


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def half_then(error):
    """A writer that fails after some bytes, most of which are still in a buffer."""

    def write(file):
        file.write(b"half")
        raise error

    return write


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_atomically(path, half_then(error))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_call_that_the_system_refuses_leaves_the_old_file(tmp_path, monkeypatch, call):
    """fsync is where a delayed "disk full" or a broken disk is told."""
    path = tmp_path / "a"
    path.write_text("old")

    def refuse(*args):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="quota"):
        write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_file_that_does_not_pass_its_check_never_gets_the_name(tmp_path):
    """The check sees the whole new file, while the old one still has the name."""
    path = tmp_path / "a"
    path.write_text("old")

    def check(temporary):
        assert (temporary.read_text(), path.read_text()) == ("new", "old")
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        write_atomically(path, lambda file: file.write(b"new"), check=check)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """The order that a power cut cannot break: all content, fsync of the file, rename, fsync of the folder."""
    done = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle):
        done.append((str(Path(f"/proc/self/fd/{handle}").readlink()), os.fstat(handle).st_size))
        fsync(handle)

    def note_replace(source, target):
        done.append((str(source), str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    path = tmp_path / "folder" / "a"
    write_text_atomically(path, "new")
    temporary = done[0][0]
    assert temporary.startswith(f"{tmp_path}/folder/.a.")
    assert done[:2] == [(temporary, 3), (temporary, str(path))]
    assert [name for name, _ in done[2:]] == [str(path.parent)]
    assert path.read_text() == "new"


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.EOPNOTSUPP, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_folders_is_used_and_a_broken_one_is_told(tmp_path, monkeypatch, number, raises):
    real = os.fsync

    def fsync(handle):
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    if raises:
        with pytest.raises(OSError, match=os.strerror(number)):
            write_text_atomically(tmp_path / "a", "new")
    else:
        write_text_atomically(tmp_path / "a", "new")
    assert names(tmp_path) == ["a"]


def test_files_have_the_permissions_that_the_user_set(tmp_path):
    """As `open` gives them: a colleague can read a run."""
    before = os.umask(0o027)
    try:
        write_text_atomically(tmp_path / "a", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_text_is_written_as_utf8(tmp_path):
    write_text_atomically(tmp_path / "a", "naïve ✓\n")
    assert (tmp_path / "a").read_bytes() == b"na\xc3\xafve \xe2\x9c\x93\n"


def test_a_process_killed_within_a_write_leaves_the_old_file(tmp_path):
    """What it had written goes with `remove_leftovers`; whatever else is in the folder stays."""
    path = tmp_path / "a"
    path.write_text("old")

    def die(file):
        file.write(b"half")
        file.flush()
        os._exit(9)

    assert status_of(fork(lambda: write_atomically(path, die))) == 9
    assert path.read_text() == "old"
    (left,) = set(names(tmp_path)) - {"a"}
    others = ["mine.tmp", ".a.tmp", ".a.1-0123456789.tmp", "a.1-01234567.tmp"]
    for other in others:
        (tmp_path / other).touch()
    (tmp_path / ".folder.1-01234567.tmp").mkdir()
    (tmp_path / ".link.1-01234567.tmp").symlink_to(path)
    remove_leftovers(tmp_path)
    kept = ["a", *others, ".folder.1-01234567.tmp", ".link.1-01234567.tmp"]
    assert left not in names(tmp_path)
    assert names(tmp_path) == sorted(kept)


def test_what_another_process_is_writing_is_no_leftover(tmp_path):
    """It finishes as if nothing had been removed, and the same goes for a thread of this process."""
    path = tmp_path / "a"
    started, go_on = os.pipe(), os.pipe()

    def write(file):
        file.write(b"new")
        os.write(started[1], b".")
        os.read(go_on[0], 1)

    child = fork(lambda: write_atomically(path, write))
    os.read(started[0], 1)
    thread = threading.Thread(target=write_atomically, args=(tmp_path / "b", write))
    thread.start()
    os.read(started[0], 1)
    remove_leftovers(tmp_path)
    os.write(go_on[1], b"..")
    thread.join()
    assert status_of(child) == 0
    assert path.read_text() == (tmp_path / "b").read_text() == "new"
    assert names(tmp_path) == ["a", "b"]


def test_a_temporary_file_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """The only instant in which `remove_leftovers` can take one from a living process."""
    real = fcntl.flock
    times = []

    def lock(file, how):
        times.append(how)
        if len(times) == 1:
            remove_leftovers_of(tmp_path)
        real(file, how)

    def remove_leftovers_of(folder):
        for path in folder.iterdir():
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", lock)
    write_text_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert len(times) == 2


def test_where_files_cannot_be_locked_they_are_written_all_the_same_and_leftovers_stay(tmp_path, monkeypatch):
    def unknown(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    write_text_atomically(tmp_path / "a", "new")
    (tmp_path / ".b.1-01234567.tmp").touch()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".b.1-01234567.tmp", "a"]
