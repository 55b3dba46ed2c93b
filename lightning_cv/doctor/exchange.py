"""How do ranks tell one another what they are doing, beside the communication that is being tested?"""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # exported by a star

from lightning_cv.doctor.place import Place
from lightning_cv.doctor.watch import DONE, Sign, Verdict


class Post:
    """What this rank says of itself; set by the thread that works, sent by another.

    Args:
        rank: its number.
        node: what is known of its machine, said once; None: another rank of the machine says it.
    """

    def __init__(self, rank: int, node: dict[str, Any] | None = None) -> None:
        self.node = node
        self.sign = Sign(rank=rank, host=socket.gethostname(), beat=0, place=0, doing="its start")

    def begin(self, doing: str, *, together: bool = False) -> None:
        """Begin something; `together`: what all ranks do together, where each waits for the others."""
        self.sign = replace(self.sign, place=self.sign.place + 1, doing=doing, together=together)

    def fail(self, error: BaseException) -> None:
        """End with an error, in what was begun last."""
        text = " ".join(str(error).split())
        self.sign = replace(self.sign, failure=f"{type(error).__name__}: {text}"[:500])

    def end(self) -> None:
        """End well."""
        self.begin(DONE)


class Exchange(threading.Thread):
    """Sends what this rank says, and hears the others, once a poll.

    In a thread of its own: a store whose host was stopped never answers. The first rank hears all; the others hear
    only the first one, which gives the verdict.

    Attributes:
        heard: the last sign of each rank that was heard.
        problem: why nothing is heard any more.
    """

    def __init__(self, place: Place, post: Post, *, poll_s: float, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self.heard: dict[int, Sign] = {}
        self.nodes: dict[int, dict[str, Any]] = {}
        self.verdict: Verdict | None = None
        self.problem = ""
        self._place = place
        self._post = post
        self._poll_s = poll_s
        self._timeout_s = timeout_s
        self._to_say: Verdict | None = None
        self._left: set[int] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        """Exchange until `leave`, or until it is not possible any more."""
        try:
            store = meet(self._place, listens=True, timeout_s=self._timeout_s)
            if self._post.node is not None:
                store.set(f"node/{self._place.rank}", json.dumps(self._post.node))
            while not self._ended.is_set():
                self._round(store)
                self._ended.wait(self._poll_s)
        except Exception as error:
            self.problem = " ".join(str(error).split())[:200] or type(error).__name__

    def say(self, verdict: Verdict) -> None:
        """Tell all ranks how it ended."""
        self._to_say = verdict

    @property
    def is_heard(self) -> bool:
        """Whether every rank that came has heard the verdict."""
        return self._left >= set(self.heard) - {self._place.rank}

    def leave(self) -> None:
        """End the exchange."""
        self._ended.set()

    def _round(self, store: Any) -> None:
        rank, sign = self._place.rank, self._post.sign
        self._post.sign = replace(self._post.sign, beat=sign.beat + 1)
        store.set(f"sign/{rank}", json.dumps(asdict(self._post.sign)))
        if rank == 0:
            ranks = [
                each for each in range(self._place.num_ranks) if each in self.heard or store.check([f"sign/{each}"])
            ]
            self._hear(store, ranks)
            self._hear_nodes(store, ranks)
            if self._to_say is not None:
                store.set("verdict", json.dumps(asdict(self._to_say)))
                self._left |= {each for each in ranks if each not in self._left and store.check([f"left/{each}"])}
        elif store.check(["sign/0"]):
            self._hear(store, [0])
            if store.check(["verdict"]):
                store.set(f"left/{rank}", "")
                self.verdict = Verdict(**json.loads(store.get("verdict")))

    def _hear(self, store: Any, ranks: list[int]) -> None:
        said = store.multi_get([f"sign/{rank}" for rank in ranks])
        self.heard = {rank: Sign(**json.loads(text)) for rank, text in zip(ranks, said, strict=True)}

    def _hear_nodes(self, store: Any, ranks: list[int]) -> None:
        for rank in ranks:
            if rank not in self.nodes and store.check([f"node/{rank}"]):
                self.nodes[rank] = json.loads(store.get(f"node/{rank}"))


def meet(place: Place, *, listens: bool, timeout_s: float) -> Any:
    """A connection to where the ranks meet.

    Args:
        place: of this rank.
        listens: whether rank 0 also opens the place, where no launcher does.
        timeout_s: how long the others try to reach it.
    """
    store = TCPStore(
        place.address,
        place.port,
        is_master=listens and place.rank == 0 and not place.launcher_listens,
        wait_for_workers=False,
        timeout=timedelta(seconds=timeout_s),
    )
    return PrefixStore(f"lightning_cv_doctor/{place.attempt}", store)
