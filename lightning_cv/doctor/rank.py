"""How does one rank take part: do its share, watch the others, and end when all have, or when one cannot go on?"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from lightning_cv.doctor.allreduce import measure_all_reduce
from lightning_cv.doctor.exchange import Exchange, Post, meet
from lightning_cv.doctor.launched import launched_place
from lightning_cv.doctor.place import Place
from lightning_cv.doctor.rank_report import Measured, RankReport
from lightning_cv.doctor.training import train
from lightning_cv.doctor.watch import GRACE_POLLS, Follower, Judge, Verdict, hosts_of
from lightning_cv.errors import DONE, RESOURCES
from lightning_cv.record.atomic import write_text_atomically

POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms the ranks work.

    Args:
        cpu: whether they use CPUs also where there are GPUs.
        timeout_s: how long each waits for another that does not come, does not go on, or gives no sign of life.
        poll_s: how often they look.
    """

    cpu: bool = False
    timeout_s: float = 120.0
    poll_s: float = POLL_S


@dataclass
class Part:
    """What the work of a rank has to do with: its post, its device, and what is measured."""

    post: Post
    rank: int
    num_ranks: int
    backend: str
    device: torch.device
    measured: Measured = field(default_factory=Measured)

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Outcome:
    """How a rank's part ended.

    Args:
        report: what came of it, as far as this rank knows.
        speaks: whether this rank is the one that tells people.
        nodes: what is known of each machine, by the rank that said it; of the first rank only.
    """

    report: RankReport
    speaks: bool
    nodes: dict[int, dict[str, Any]]


Work = Sequence[Callable[[Part], None]]
WORK: Work = (measure_all_reduce, train)


def main(words: Sequence[str]) -> int:
    """A rank that `local` started: a file for the report, and the terms as JSON; returns the exit status."""
    report, terms = words
    outcome = take_part(launched_place(), Terms(**json.loads(terms)))
    if outcome.speaks:
        _write_once(Path(report), json.dumps(outcome.report.data()))
    return leave(RESOURCES if outcome.report.cause else DONE)


def take_part(place: Place, terms: Terms, work: Work = WORK, node: dict[str, Any] | None = None) -> Outcome:
    """Do a rank's part of the work, and watch over all.

    The work is done in a thread, since what waits for other ranks cannot be interrupted; afterwards the process
    must end with `leave`.

    Args:
        place: of this rank.
        terms: on which all work.
        work: what all do, in this order.
        node: what is known of this machine.
    """
    post = Post(place.rank, node)
    backend = "nccl" if torch.cuda.is_available() and not terms.cpu else "gloo"
    part = Part(post, place.rank, place.num_ranks, backend, _device(place, backend))
    exchange = Exchange(place, post, poll_s=terms.poll_s, timeout_s=terms.timeout_s)
    exchange.start()
    threading.Thread(target=_work, args=(part, place, work, terms.timeout_s), daemon=True).start()
    patience = math.ceil(terms.timeout_s / terms.poll_s)
    if place.rank == 0:
        verdict, speaks = _judge(exchange, place.num_ranks, patience=patience, poll_s=terms.poll_s), True
    else:
        verdict, speaks = _follow(exchange, patience=patience, poll_s=terms.poll_s)
        speaks = speaks and place.rank == 1
    report = RankReport(
        backend=backend,
        num_ranks=place.num_ranks,
        hosts=hosts_of(exchange.heard),
        transfers=tuple(part.measured.transfers),
        training=part.measured.training,
        cause=verdict.cause,
        mend=verdict.mend,
    )
    return Outcome(report, speaks, exchange.nodes)


def leave(status: int) -> int:
    """End the process at once: a thread that waits for other ranks would keep it for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _device(place: Place, backend: str) -> torch.device:
    return torch.device("cuda", place.local_rank) if backend == "nccl" else torch.device("cpu")


def _work(part: Part, place: Place, work: Work, timeout_s: float) -> None:
    try:
        _check_device(part, place)
        part.post.begin("the start of the group", together=True)
        distributed.init_process_group(
            part.backend,
            store=meet(place, listens=False, timeout_s=timeout_s),
            rank=place.rank,
            world_size=place.num_ranks,
            # The watch comes first, and knows more.
            timeout=timedelta(seconds=2 * timeout_s),
            device_id=part.device if part.backend == "nccl" else None,
        )
        for task in work:
            task(part)
        part.post.begin("the end of the group", together=True)
        distributed.barrier()
        distributed.destroy_process_group()
    except BaseException as error:
        part.post.fail(error)
    else:
        part.post.end()


def _check_device(part: Part, place: Place) -> None:
    part.post.begin(f"the choice of {part.device}")
    if part.backend != "nccl":
        return
    visible = torch.cuda.device_count()
    if place.local_rank >= visible:
        raise ValueError(f"it is process {place.local_rank} of its machine, counted from 0, and sees {visible} GPUs")
    torch.cuda.set_device(part.device)


def _judge(exchange: Exchange, num_ranks: int, *, patience: int, poll_s: float) -> Verdict:
    """The verdict of the first rank, once the others have heard it, or have had time to."""
    judge = Judge(num_ranks, patience=patience, poll_s=poll_s)
    verdict = None
    while verdict is None:
        time.sleep(poll_s)
        if exchange.problem:
            mend = "MASTER_PORT=<a port that is free> chooses another"
            return Verdict(f"rank 0 cannot open, or reach, the place where all meet: {exchange.problem}", mend)
        verdict = judge.poll(exchange.heard)
    exchange.say(verdict)
    for _ in range(GRACE_POLLS):
        time.sleep(poll_s)
        if exchange.is_heard or exchange.problem:
            break
    return verdict


def _follow(exchange: Exchange, *, patience: int, poll_s: float) -> tuple[Verdict, bool]:
    """The verdict, and whether it is not that of the first rank, which is gone."""
    follower = Follower(patience=patience, poll_s=poll_s)
    while True:
        time.sleep(poll_s)
        if exchange.verdict is not None:
            return exchange.verdict, False
        verdict = follower.poll(exchange.heard.get(0), problem=exchange.problem)
        if verdict is not None:
            return verdict, True


def _write_once(path: Path, text: str) -> None:
    """Write a file, unless another rank has: what is said first counts."""
    own = path.with_name(f"{path.name}.{os.getpid()}")
    write_text_atomically(own, text)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(own)
