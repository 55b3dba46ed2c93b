"""Is work done beside the training done in order, once, and to its end?"""

import subprocess
import sys
import threading
import weakref

import pytest

import lightning_cv.callbacks.background as module
from lightning_cv.callbacks.background import Background
from tests.processes import fork, status_of


def test_jobs_are_done_in_order_by_one_thread_that_is_not_this_one():
    """Twice as many again after a wait, by a new thread: none stays behind."""
    background, done, threads = Background(), [], set()

    def job(number):
        done.append(number)
        threads.add(threading.current_thread())

    first = threading.Event()
    background.add(lambda: first.wait(30))
    for number in range(100):
        background.add(lambda number=number: job(number))
    first.set()
    background.wait()
    assert done == list(range(100))
    assert len(threads) == 1
    (thread,) = threads
    assert thread is not threading.current_thread()
    thread.join()
    background.add(lambda: job(100))
    background.wait()
    assert done[-1] == 100


def test_wait_returns_only_when_the_last_job_is_done():
    background, done = Background(), []
    started, go_on = threading.Event(), threading.Event()
    background.add(lambda: (started.set(), go_on.wait(30), done.append(1)))
    started.wait(30)
    threading.Timer(0.05, go_on.set).start()
    background.wait()
    assert done == [1]


def test_an_error_is_raised_once_and_the_jobs_after_it_are_done():
    background, done = Background(), []
    background.add(lambda: int("x"))
    background.add(lambda: 1 / 0)
    background.add(lambda: done.append(1))
    with pytest.raises(ValueError, match="'x'"):
        background.wait()
    assert done == [1]
    background.wait()


def test_a_forked_process_has_none_of_the_jobs_of_its_parent(tmp_path):
    """It is forked within a job, with the lock held: it does its own jobs, and does not hang."""
    background = Background()
    started, go_on = threading.Event(), threading.Event()
    background.add(lambda: (started.set(), go_on.wait(30)))
    background.add(lambda: (tmp_path / "of-parent").open("a").write("x"))
    started.wait(30)

    def child() -> int:
        background.wait()
        background.add((tmp_path / "of-child").touch)
        background.wait()
        return 3 if (tmp_path / "of-parent").exists() else 0

    with background._changed:
        forked = fork(child)
    assert status_of(forked) == 0
    assert (tmp_path / "of-child").exists()
    go_on.set()
    background.wait()
    assert (tmp_path / "of-parent").read_text() == "x"


def test_without_a_thread_jobs_are_done_at_once(monkeypatch):
    """A system that has no more threads, or an interpreter that is ending."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    background, done = Background(), []
    background.add(lambda: done.append(1))
    assert done == [1]
    background.wait()


def test_the_interpreter_ends_only_when_all_is_done(tmp_path):
    """The jobs begin when the main program has ended, and there are two; nobody waits for them."""
    program = f"""
import runpy, threading
Background = runpy.run_path({module.__file__!r})["Background"]
background = Background()
background.add(threading.main_thread().join)
background.add(lambda: open({str(tmp_path / "done")!r}, "w").write("all"))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert (tmp_path / "done").read_text() == "all"


def test_what_a_job_held_in_memory_is_given_back_with_it():
    """The next job finds it gone."""

    class Large:
        pass

    background, seen = Background(), []
    large = Large()
    reference = weakref.ref(large)
    go_on = threading.Event()
    background.add(lambda large=large: (go_on.wait(30), large)[0])
    del large
    background.add(lambda: seen.append(reference()))
    go_on.set()
    background.wait()
    assert seen == [None]
