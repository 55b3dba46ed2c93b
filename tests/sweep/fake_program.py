"""A training without torch, so that a sweep of forty trials takes seconds; started as `lightning-cv fit` would be.

It reads its recipe, computes for some epochs, writes its progress and a snapshot after each, goes on from the
snapshot exactly, obeys SIGTERM, and notes when two of it train one run at a time. What it ends with is a function of
the recipe's values alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import yaml

from lightning_cv.record.atomic import write_text_atomically
from lightning_cv.record.progress import ProgressFile

EPOCHS = 6
ROUNDS = 30_000  # of the hash an epoch: some milliseconds
TWICE = "twice.txt"
LEFT = "left.txt"  # in the working folder: the process that a trial left behind
TOLD = "told.txt"  # there once SIGTERM came


def curve_of(lr: float, epochs: int = EPOCHS) -> list[float]:
    """What a training with this rate scores after each epoch: a chain of hashes, as numbers in [0, 1)."""
    digest, scores = f"{lr!r}".encode(), []
    for _ in range(epochs):
        digest = _epoch(digest)
        scores.append(_score(digest))
    return scores


def value_of(lr: float, epochs: int = EPOCHS) -> float:
    """What it ends with."""
    return curve_of(lr, epochs)[-1]


def main(words: list[str]) -> int:
    """`fit FILE --run-dir FOLDER ...`; the exit status."""
    recipe = yaml.safe_load(Path(words[1]).read_text())
    folder = Path(words[words.index("--run-dir") + 1])
    lr = recipe["model"]["init_args"]["optimizer"]["init_args"]["lr"]
    stopped: list[int] = []

    def on_term(number: int, frame: object) -> None:
        (folder / TOLD).touch()
        if recipe["trainer"].get("deed") != "deaf":
            stopped.append(number)

    signal.signal(signal.SIGTERM, on_term)
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (folder / TWICE).touch()
            return 70
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        return _train(recipe, folder, lr, stopped)


def _train(recipe: dict, folder: Path, lr: float, stopped: list[int]) -> int:
    snapshot, progress = folder / "snapshot.json", ProgressFile()
    state = json.loads(snapshot.read_text()) if snapshot.is_file() else {"epoch": 0, "digest": "", "lines": 0}
    digest = bytes.fromhex(state["digest"]) or f"{lr!r}".encode()
    progress.open(folder)
    if progress.num_lines:
        kept = {"kept": state["lines"]}
        progress.append("resume", epoch=state["epoch"], step=state["epoch"], metrics={}, outcome=kept)
    (folder / "pids.txt").open("a").write(f"{os.getpid()}\n")
    epochs = recipe["trainer"]["max_epochs"]
    for epoch in range(state["epoch"], epochs):
        _misbehave(recipe, epoch, began=state["epoch"])
        digest = _epoch(digest)
        score = {"val/accuracy": _score(digest), "val/loss": 1 - _score(digest)}
        progress.append("validation", epoch=epoch, step=epoch + 1, metrics=score)
        saved = {"epoch": epoch + 1, "digest": digest.hex(), "lines": progress.num_lines}
        write_text_atomically(snapshot, json.dumps(saved))
        if stopped:
            return 75
    progress.append("end", epoch=epochs, step=epochs, metrics={}, outcome={"status": "completed"})
    return 0


def _misbehave(recipe: dict, epoch: int, *, began: int) -> None:
    """What the recipe's name for it says: die, here or one epoch after each start, end with an error, leave a child."""
    deed, _, number = str(recipe["trainer"].get("deed", "")).partition(" ")
    if (deed == "killed" and epoch == 2) or (deed == "dies" and epoch == began + 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "leaves" and epoch == began and os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(LEFT).write_text(str(os.getpid()))
        while True:
            signal.pause()
    if deed == "status" and epoch == (0 if number == "2" else 1):
        print("error: something before\nerror: the true reason", file=sys.stderr, flush=True)
        os._exit(int(number))


def _epoch(digest: bytes) -> bytes:
    for _ in range(ROUNDS):
        digest = hashlib.blake2b(digest).digest()
    return digest


def _score(digest: bytes) -> float:
    return int.from_bytes(digest[:6], "big") / 2**48
