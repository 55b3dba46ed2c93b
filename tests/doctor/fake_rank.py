"""A rank that does, by its number, what the variable FAKE_RANKS says; loads no torch."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path


def main(words: Sequence[str]) -> int:
    """`fail`, `kill`, `hang`, `leave`, or the cause that is to stand in the report."""
    report, terms = words
    assert json.loads(terms).keys() == {"cpu", "timeout_s", "poll_s"}
    act = os.environ["FAKE_RANKS"].split(";")[int(os.environ["RANK"])]
    assert os.environ["MASTER_ADDR"] == "127.0.0.1"
    assert os.environ["WORLD_SIZE"] == str(len(os.environ["FAKE_RANKS"].split(";")))
    if act == "fail":
        raise ImportError("libnccl.so: no such file")
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "hang":
        signal.pause()
    if act == "leave":
        return 0
    data = {
        "backend": "gloo",
        "num_ranks": 2,
        "hosts": "",
        "transfers": [],
        "training": None,
        "cause": act,
        "mend": "m",
    }
    Path(report).write_text(json.dumps(data))
    return 5 if act else 0
