"""Do checkpoints get to the disk whole, in the background, and is nothing lost where the disk fails?"""

import errno
import os
import random
import resource
import signal
import subprocess
import threading
import warnings
from collections import OrderedDict

import pytest
import torch

import lightning_cv.callbacks.checkpoint_file as module
from lightning_cv.callbacks import Snapshot
from lightning_cv.callbacks.checkpoint_io import SnapshotIO
from lightning_cv.errors import UserError
from lightning_cv.record.atomic import remove_leftovers
from lightning_cv.record.manifest import newest_valid, problem_of, read_manifest
from tests.callbacks.tiny import TinyTask, loader, newest, trainer
from tests.processes import fork, status_of
from tests.resuming import differences


def state(step: int, size: int = 8) -> dict:
    generator = torch.Generator().manual_seed(step)
    weight = torch.randn(size, size, generator=generator)
    return {
        "epoch": step // 2,
        "global_step": step,
        "run": {"id": "abc", "recipe_sha256": "f" * 64},
        "state_dict": OrderedDict(weight=weight, tied=weight, row=weight[1], turned=weight.t()),
        "optimizer": [{"state": {0: {"step": torch.tensor(float(step)), "none": None, "betas": (0.9, 0.999)}}}],
        "kinds": [torch.zeros(0), torch.tensor(True), torch.arange(3), torch.randn(2, generator=generator).bfloat16()],
        "sparse": torch.eye(3).to_sparse(),
    }


def dense(value):
    return value.to_dense() if isinstance(value, torch.Tensor) and value.is_sparse else value


def same(left: dict, right: dict) -> bool:
    left, right = ({**part, "sparse": dense(part["sparse"])} for part in (left, right))
    return not differences(left, right)


@pytest.fixture
def files():
    files = SnapshotIO()
    yield files
    files.wait()


def test_what_is_read_is_what_was_saved_and_the_manifest_says_of_which_run(tmp_path, files):
    path = tmp_path / "deep" / "a.ckpt"
    files.save_checkpoint(state(4), path)
    assert same(files.load_checkpoint(path), state(4))
    manifest = read_manifest(path)
    assert (manifest.epoch, manifest.step, manifest.run_id, manifest.recipe_sha256) == (2, 4, "abc", "f" * 64)
    assert problem_of(path) is None


def test_training_may_change_everything_as_soon_as_save_returns(tmp_path, files, monkeypatch):
    """The writer is held back until everything was changed in place."""
    changed = threading.Event()
    real = torch.save
    monkeypatch.setattr(torch, "save", lambda *a, **k: (changed.wait(30), real(*a, **k)))
    given = state(1)
    files.save_checkpoint(given, tmp_path / "a.ckpt")
    given["state_dict"]["weight"].zero_()
    given["optimizer"][0]["state"][0]["step"] += 1
    given["optimizer"].append("more")
    given["sparse"].zero_()
    given["global_step"] = 9
    changed.set()
    assert same(files.load_checkpoint(tmp_path / "a.ckpt"), state(1))


def test_the_same_buffers_serve_the_next_state_and_one_of_another_size(tmp_path, files):
    """Three states in turn, the last one larger: each file holds its own."""
    for step, size in ((1, 8), (2, 8), (3, 20)):
        files.save_checkpoint(state(step, size), tmp_path / f"{step}.ckpt")
    for step, size in ((1, 8), (2, 8), (3, 20)):
        assert same(files.load_checkpoint(tmp_path / f"{step}.ckpt"), state(step, size))


def test_tensors_that_share_memory_are_written_once(tmp_path, files):
    """Oracle: torch.save of the same state, which writes shared storages once."""
    weight = torch.randn(100, 100)
    shared = {"a": weight, "b": weight, "c": weight[10:20]}
    files.save_checkpoint(shared, tmp_path / "a.ckpt")
    files.wait()
    torch.save(shared, tmp_path / "b.ckpt")
    assert (tmp_path / "a.ckpt").stat().st_size == pytest.approx((tmp_path / "b.ckpt").stat().st_size, abs=500)


def test_an_old_file_goes_only_when_the_new_one_is_whole(tmp_path, files):
    for step in (1, 2):
        files.save_checkpoint(state(step), tmp_path / f"{step}.ckpt")
    files.remove_checkpoint(tmp_path / "1.ckpt")
    files.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.ckpt", "2.ckpt.json"]


def test_what_a_failed_file_should_have_replaced_goes_when_its_successor_is_there(tmp_path, files, monkeypatch):
    """Two kinds of files; the second state fails. Its `best` has no successor, so the old one stays for good."""

    def save(step, *removed, best):
        names = [f"best-{step}.ckpt", f"last-{step}.ckpt"][not best :]
        files.save_checkpoint(state(step), tmp_path / names[0])
        for name in names[1:]:
            files.copy_checkpoint(tmp_path / names[0], tmp_path / name)
        for name in removed:
            files.remove_checkpoint(tmp_path / name)
        files.wait()
        return sorted(path.name for path in tmp_path.glob("*.ckpt"))

    assert save(1, best=True) == ["best-1.ckpt", "last-1.ckpt"]
    with monkeypatch.context() as full:
        full.setattr(torch, "save", _no_space)
        with pytest.warns(UserWarning, match=r"best-2\.ckpt could not be written"):
            names = save(2, "best-1.ckpt", "last-1.ckpt", best=True)
        assert names == ["best-1.ckpt", "last-1.ckpt"]
        assert save(3, "last-2.ckpt", best=False) == ["best-1.ckpt", "last-1.ckpt"]
    assert save(4, "last-3.ckpt", best=False) == ["best-1.ckpt", "last-4.ckpt"]
    assert save(5, "last-4.ckpt", "best-2.ckpt", best=True) == ["best-5.ckpt", "last-5.ckpt"]


def test_what_waited_for_a_failed_file_goes_when_that_is_written_after_all(tmp_path, files, monkeypatch):
    """The same state is saved again under its name, as at the end of an epoch."""
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")
    files.wait()
    with monkeypatch.context() as full:
        full.setattr(torch, "save", _no_space)
        files.save_checkpoint(state(2), tmp_path / "2.ckpt")
        files.remove_checkpoint(tmp_path / "1.ckpt")
        with pytest.warns(UserWarning, match=r"2\.ckpt could not be written"):
            files.wait()
    files.save_checkpoint(state(2), tmp_path / "2.ckpt")
    files.wait()
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["2.ckpt"]


def test_a_file_that_is_written_again_is_not_removed_for_what_was_asked_before(tmp_path, files, monkeypatch):
    """The removal of 1 waited for 2; then 1 is the newest state."""
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")
    files.wait()
    with monkeypatch.context() as full:
        full.setattr(torch, "save", _no_space)
        files.save_checkpoint(state(2), tmp_path / "2.ckpt")
        files.remove_checkpoint(tmp_path / "1.ckpt")
        with pytest.warns(UserWarning, match=r"2\.ckpt could not be written"):
            files.wait()
    for name in ("1.ckpt", "2.ckpt"):
        files.save_checkpoint(state(3), tmp_path / name)
    files.wait()
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["1.ckpt", "2.ckpt"]


class FullDisk:
    """A file that takes some bytes and then none, as on a full disk."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def write(self, content) -> int:
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)

    def flush(self) -> None:
        self.file.flush()


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_on_a_full_disk_the_files_before_stay_and_one_warning_says_so(tmp_path, files, monkeypatch, room):
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")
    files.wait()
    real = module._HashedFile
    monkeypatch.setattr(module, "_HashedFile", lambda file: real(FullDisk(file, room)))

    def save() -> None:
        for step in (2, 3):
            files.save_checkpoint(state(step), tmp_path / f"{step}.ckpt")
            files.remove_checkpoint(tmp_path / f"{step - 1}.ckpt")
        files.wait()

    with pytest.warns(UserWarning, match=r"2\.ckpt could not be written \(No space left on device\)") as warned:
        save()
    assert len(warned) == 1
    assert len(files.failures) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.ckpt", "1.ckpt.json"]
    monkeypatch.setattr(module, "_HashedFile", real)
    files.save_checkpoint(state(4), tmp_path / "4.ckpt")
    files.remove_checkpoint(tmp_path / "3.ckpt")
    files.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4.ckpt", "4.ckpt.json"]


def test_what_the_disk_returns_is_compared_with_what_was_written(tmp_path, files, monkeypatch):
    """A disk that flips a bit: the file does not count, and the one before it stays."""
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")
    files.wait()
    real = module.describe

    def flip(path, **facts):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
        return real(path, **facts)

    monkeypatch.setattr(module, "describe", flip)
    files.save_checkpoint(state(2), tmp_path / "2.ckpt")
    files.remove_checkpoint(tmp_path / "1.ckpt")
    with pytest.warns(UserWarning, match="what was read back is not what was written"):
        files.wait()
    assert newest_valid(tmp_path) == (tmp_path / "1.ckpt", [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.ckpt", "1.ckpt.json"]


def test_a_state_that_cannot_be_written_is_an_error_of_the_program(tmp_path, files):
    """A bug is not passed over like a full disk: the next call raises it."""
    files.save_checkpoint({"lock": _Unwritable()}, tmp_path / "a.ckpt")
    with pytest.raises(TypeError, match="not to be written"):
        files.wait()


class _Unwritable:
    def __reduce__(self):
        raise TypeError("not to be written")

    def __deepcopy__(self, memo):
        return self


def test_code_in_a_file_is_never_run(tmp_path, files):
    """Also where a caller asks for it."""
    torch.save({"evil": _Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        files.load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)
    assert not (tmp_path / "ran").exists()


class _Evil:
    def __reduce__(self):
        return (os.mkdir, ("ran",))


def test_a_forked_process_writes_by_itself(tmp_path, files):
    """The parent's writer does not exist there."""
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")

    def child() -> None:
        files.save_checkpoint(state(2), tmp_path / "2.ckpt")
        files.wait()

    assert status_of(fork(child)) == 0
    files.wait()
    assert problem_of(tmp_path / "1.ckpt") is problem_of(tmp_path / "2.ckpt") is None


def test_a_state_that_could_not_be_loaded_is_refused_at_once(tmp_path, files):
    """A path among the values would only be found when the run is to go on: the error names its class now."""
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")
    files.save_checkpoint({"callbacks": {"folder": tmp_path}}, tmp_path / "2.ckpt")
    files.remove_checkpoint(tmp_path / "1.ckpt")
    with pytest.raises(UserError, match=r"2\.ckpt: not written, since it would hold pathlib\.PosixPath"):
        files.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.ckpt", "1.ckpt.json"]


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_flipped_bit_among_the_weights_is_not_loaded(tmp_path, files, place):
    """torch alone loads such a file, and trains on with the wrong number."""
    path = tmp_path / "a.ckpt"
    files.save_checkpoint({"w": torch.ones(10_000)}, path)
    files.wait()
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)
    assert not torch.equal(torch.load(path, weights_only=True)["w"], torch.ones(10_000))
    with pytest.raises(UserError, match=r"a\.ckpt: damaged: .*; it is not loaded"):
        files.load_checkpoint(path)


def test_a_file_of_another_program_is_loaded_and_a_missing_one_named(tmp_path, files):
    torch.save({"w": torch.ones(3)}, tmp_path / "a.ckpt")
    assert torch.equal(files.load_checkpoint(tmp_path / "a.ckpt")["w"], torch.ones(3))
    with pytest.raises(FileNotFoundError, match=r"b\.ckpt"):
        files.load_checkpoint(tmp_path / "b.ckpt")


def test_a_second_name_has_its_own_bytes_and_is_newer(tmp_path, files):
    """Damage to the one leaves the other; each has its manifest, with what the first one's says."""
    first, second = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    files.save_checkpoint(state(3), first)
    files.copy_checkpoint(first, second)
    files.wait()
    assert first.read_bytes() == second.read_bytes()
    assert newest_valid(tmp_path) == (second, [])
    one, two = read_manifest(first), read_manifest(second)
    assert (one.step, one.epoch, one.run_id, one.recipe_sha256) == (two.step, two.epoch, two.run_id, two.recipe_sha256)
    with second.open("r+b") as file:
        file.write(b"damage")
    assert newest_valid(tmp_path)[0] == first


def test_what_failed_gets_no_second_name(tmp_path, files, monkeypatch):
    """The file of that name stays as it was."""
    files.save_checkpoint(state(1), tmp_path / "last.ckpt")
    files.wait()
    monkeypatch.setattr(torch, "save", _no_space)
    files.save_checkpoint(state(2), tmp_path / "best.ckpt")
    files.copy_checkpoint(tmp_path / "best.ckpt", tmp_path / "last.ckpt")
    with pytest.warns(UserWarning, match=r"best\.ckpt could not be written"):
        files.wait()
    assert len(files.failures) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.json"]
    assert read_manifest(tmp_path / "last.ckpt").step == 1


def _no_space(*args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("at", range(1, 5))
def test_wherever_writing_a_new_file_fails_nothing_of_it_is_left(tmp_path, files, monkeypatch, at):
    """The at-th fsync of a save fails: of the file, its folder, its manifest, the folder."""
    _fail_at(at, monkeypatch)
    files.save_checkpoint(state(2), tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match="Input/output error"):
        files.wait()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ([] if at < 4 else ["a.ckpt", "a.ckpt.json"])
    assert at < 4 or problem_of(tmp_path / "a.ckpt") is None


def _fail_at(at: int, monkeypatch) -> None:
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) == at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("at", range(1, 5))
def test_wherever_writing_over_a_file_fails_one_of_both_is_there_whole(tmp_path, files, monkeypatch, at):
    """The at-th fsync of a save fails (file, manifest of both, its folder, the folder): no content is lost."""
    path = tmp_path / "a.ckpt"
    files.save_checkpoint(state(1), path)
    files.wait()
    _fail_at(at, monkeypatch)
    files.save_checkpoint(state(2), path)
    with pytest.warns(UserWarning, match="Input/output error"):
        files.wait()
    assert problem_of(path) is None
    assert read_manifest(path).step == (1 if at < 4 else 2)
    assert not list(tmp_path.glob(".*"))


def test_where_only_the_last_manifest_fails_no_file_is_left_that_does_not_count(tmp_path, files, monkeypatch):
    """Written over another: the manifest of both is right for it. Under a new name, or beside damage: it goes."""
    files.save_checkpoint(state(1), tmp_path / "a.ckpt")
    files.wait()
    real = module.write_manifest

    def only_of_both(path, manifest, *, replaces=None):
        if replaces is None:
            _no_space()
        real(path, manifest, replaces=replaces)

    monkeypatch.setattr(module, "write_manifest", only_of_both)
    files.save_checkpoint(state(2), tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"a\.ckpt could not be written"):
        files.wait()
    assert problem_of(tmp_path / "a.ckpt") is None
    assert read_manifest(tmp_path / "a.ckpt").step == 2
    (tmp_path / "c.ckpt.json").write_text("{}")
    for name in ("b.ckpt", "c.ckpt"):
        files.save_checkpoint(state(3), tmp_path / name)
    files.wait()
    assert len(files.failures) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "a.ckpt.json"]


def test_a_failed_save_leaves_a_file_of_another_program_under_its_name(tmp_path, files, monkeypatch):
    (tmp_path / "a.ckpt").write_text("not ours")
    monkeypatch.setattr(torch, "save", _no_space)
    files.save_checkpoint(state(1), tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"a\.ckpt could not be written"):
        files.wait()
    assert (tmp_path / "a.ckpt").read_text() == "not ours"


def test_each_kind_of_failure_is_told_once(tmp_path, files, monkeypatch):
    """Three saves fail for want of space, two by the quota: two warnings, five failures."""
    kinds = [errno.ENOSPC, errno.EDQUOT, errno.ENOSPC, errno.EDQUOT, errno.ENOSPC]

    def fail(*args, **options):
        number = kinds[len(files.failures)]
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(torch, "save", fail)

    def save() -> None:
        for step in range(5):
            files.save_checkpoint(state(step), tmp_path / f"{step}.ckpt")
        files.wait()

    with pytest.warns(UserWarning, match="could not be written") as warned:
        save()
    assert len(warned) == 2
    assert len(files.failures) == 5


def test_a_file_that_cannot_be_removed_stops_nothing(tmp_path, files):
    """It is a folder; the failure is told, and the next file is written."""
    (tmp_path / "a.ckpt").mkdir()
    files.save_checkpoint(state(1), tmp_path / "1.ckpt")
    files.remove_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"a\.ckpt could not be removed"):
        files.wait()
    files.save_checkpoint(state(2), tmp_path / "2.ckpt")
    files.wait()
    assert newest_valid(tmp_path) == (tmp_path / "2.ckpt", [])


def test_a_write_that_the_system_refuses_halfway_is_a_failure_and_no_bug(tmp_path):
    """A real refusal, as by a full disk, wherever this runs: no file may be larger than 100 KB in this process."""

    def child() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        files = SnapshotIO()
        files.save_checkpoint(state(1, 20), tmp_path / "1.ckpt")
        files.save_checkpoint(state(2, 300), tmp_path / "2.ckpt")
        files.remove_checkpoint(tmp_path / "1.ckpt")
        with pytest.warns(UserWarning, match=r"2\.ckpt could not be written \(File too large\)"):
            files.wait()
        return 0

    assert status_of(fork(child)) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.ckpt", "1.ckpt.json"]
    assert newest_valid(tmp_path) == (tmp_path / "1.ckpt", [])


def test_a_state_is_copied_only_when_the_one_before_is_written(tmp_path, files, monkeypatch):
    """There is one set of buffers; the writer gives a copy that comes too early the time to come."""
    done, copied = [], threading.Event()
    save, copy = torch.save, files._copy

    def slow_save(*args):
        if done == ["copied"]:
            copied.clear()
            copied.wait(0.3)
        save(*args)
        done.append("written")

    def noted_copy(value):
        done.append("copied")
        copied.set()
        return copy(value)

    monkeypatch.setattr(torch, "save", slow_save)
    monkeypatch.setattr(files, "_copy", noted_copy)
    for step in (1, 2):
        files.save_checkpoint(state(step), tmp_path / f"{step}.ckpt")
    files.wait()
    assert done == ["copied", "written"] * 2


def test_several_trainers_may_use_one_and_it_serves_after_its_teardown(tmp_path, files):
    """Each run's newest file is that of the end of its training."""
    for name in ("a", "b"):
        fitter = trainer(tmp_path / name, [Snapshot(save_top_k=0)], plugins=[files])
        fitter.fit(TinyTask(), loader(), loader())
        assert fitter.strategy.checkpoint_io is files
        assert problem_of(newest(tmp_path / name)) is None
        assert read_manifest(newest(tmp_path / name)).step == 12


def test_a_file_given_by_a_relative_path_is_written_where_it_was_meant(tmp_path, files, monkeypatch):
    """The program may change its folder while the writer works."""
    files.save_checkpoint(state(1), "here.ckpt")
    files.copy_checkpoint("here.ckpt", "too.ckpt")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    files.wait()
    assert (tmp_path / "here.ckpt").is_file()
    assert (tmp_path / "too.ckpt").is_file()


def _killed_at(calls: int, program) -> None:
    """Run the program and kill it at the given call of fsync, rename, unlink or open, before it is made."""
    counted = 0

    def counting(real):
        def call(*args, **options):
            nonlocal counted
            counted += 1
            if counted == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in ("fsync", "replace", "unlink", "open"):
        setattr(os, name, counting(getattr(os, name)))
    program()


@pytest.mark.parametrize("over", [False, True], ids=["new name", "same name"])
def test_a_kill_at_every_call_to_the_system_leaves_a_whole_file(tmp_path, over):
    """Exhaustive: whichever call is the last one, the newest whole file is the old state or the new one."""
    calls, ended, seen = 0, False, set()
    while not ended:
        calls += 1
        folder = tmp_path / str(calls)
        saved(folder / "1.ckpt", 1)

        def save(folder=folder) -> None:
            files = SnapshotIO()
            files.save_checkpoint(state(2), folder / ("1.ckpt" if over else "2.ckpt"))
            if not over:
                files.remove_checkpoint(folder / "1.ckpt")
            files.wait()

        status = status_of(fork(lambda calls=calls, save=save: _killed_at(calls, save)))
        assert status in (0, -signal.SIGKILL)
        ended = status == 0
        found, _ = newest_valid(folder)
        step = read_manifest(found).step
        assert same(torch.load(found, weights_only=True), state(step))
        seen.add(step)
        remove_leftovers(folder)
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert calls > 8
    assert seen == {1, 2}


def saved(path, step: int) -> None:
    files = SnapshotIO()
    files.save_checkpoint(state(step), path)
    files.wait()


def test_forty_kills_within_a_write_leave_a_whole_newest_file(tmp_path):
    """A writer that never stops is killed at random instants; what it leaves is whole, and never goes back."""
    draw = random.Random(3)  # noqa: S311 - no secret
    latest = 0
    for _ in range(40):
        readable, writable = os.pipe()

        def write(writable: int = writable, first: int = latest + 1) -> None:
            files = SnapshotIO()
            for step in range(first, first + 10_000):
                files.save_checkpoint(state(step, 100), tmp_path / f"{step}.ckpt")
                files.remove_checkpoint(tmp_path / f"{step - 2}.ckpt")
                files.wait()
                os.write(writable, b".")

        child = fork(write)
        os.close(writable)
        for _ in range(draw.randint(1, 3)):
            os.read(readable, 1)
        signal.sigtimedwait([], draw.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        assert status_of(child) == -signal.SIGKILL
        os.close(readable)
        found, _ = newest_valid(tmp_path)
        assert same(torch.load(found, weights_only=True), state(int(found.stem), 100))
        assert int(found.stem) > latest
        latest = int(found.stem)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_training_goes_on_on_a_full_disk_and_saves_again_when_there_is_room(small_disk):
    """A network of 0.5 MB with its momentum on 2 MB: one file fits, then none, until a user makes room."""
    made_room = []

    class Room(Snapshot):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 3:
                (small_disk / "ballast").unlink()
                made_room.append(sorted(p.name for p in (small_disk / "checkpoints").glob("*.ckpt")))
            super().on_train_epoch_end(trainer, pl_module)

    (small_disk / "ballast").write_bytes(bytes(600_000))
    network = torch.nn.Sequential(torch.nn.Linear(4, 12_000), torch.nn.Linear(12_000, 3))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fitter = trainer(small_disk, [Room(save_top_k=0, keep_last=1)], max_epochs=5, enable_checkpointing=True)
        fitter.fit(TinyTask(network), loader(), loader())
    full = [str(w.message) for w in warned if "could not be written" in str(w.message)]
    assert len(full) == 1
    assert fitter.global_step == 30
    assert len(made_room[0]) == 1
    assert [path.name for path in small_disk.glob("*/*.ckpt")] == ["last-epoch004-step000030.ckpt"]
    assert problem_of(newest(small_disk)) is None
