"""Which process of several that work together is to blame when they do not come to an end?

Nothing here waits or communicates: time is counted in polls, so that who was stopped itself accuses nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lightning_cv.doctor.finding import numbers

GRACE_POLLS = 20  # until an error in what all do together is believed: its true cause may be a process that died
DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Sign:
    """What a rank last said of itself.

    Args:
        rank: its number.
        host: name of its machine.
        beat: a number that grows as long as its process runs.
        place: number of the things that it has begun.
        doing: what it has begun last; `DONE`: it is through.
        failure: the error that it ended with, in one line; empty: none.
        together: whether that befell it in something that all ranks do together.
    """

    rank: int
    host: str
    beat: int
    place: int
    doing: str
    failure: str = ""
    together: bool = False

    @property
    def named(self) -> str:
        """As people know it."""
        return f"rank {self.rank} ({self.host})"


@dataclass(frozen=True)
class Verdict:
    """How it ended: the cause, empty if all is well, and how to mend it."""

    cause: str = ""
    mend: str = ""


class Judge:
    """Gives the verdict, from what all ranks say at each poll.

    Args:
        num_ranks: how many there are to be.
        patience: polls that a rank may be silent, or may stay where it is while nothing goes on.
        poll_s: time between two polls in seconds, for what is said to people.
    """

    def __init__(self, num_ranks: int, *, patience: int, poll_s: float) -> None:
        self._num_ranks = num_ranks
        self._patience = patience
        self._within = f"within {patience * poll_s:g} s"
        self._seen: dict[int, Sign] = {}
        self._silent: dict[int, int] = {}  # polls since a rank's beat last grew, or since it was first waited for
        self._standing = 0  # polls since any rank began something
        self._failing = 0  # polls since the first error in what all do together

    def poll(self, signs: Mapping[int, Sign]) -> Verdict | None:
        """Judge what the ranks say now; None: it still goes on.

        Args:
            signs: by rank; one that has not come yet is missing.
        """
        self._note(signs)
        for sign in signs.values():
            if sign.failure and not sign.together:
                return Verdict(f"{sign.named} failed in {sign.doing}: {sign.failure}")
        if len(signs) == self._num_ranks and all(sign.doing == DONE for sign in signs.values()):
            return Verdict()
        failures = [sign for sign in signs.values() if sign.failure]
        self._failing += bool(failures)
        grace = min(self._patience, GRACE_POLLS)
        silent = [
            rank for rank in range(self._num_ranks) if self._silent[rank] >= (grace if failures else self._patience)
        ]
        if silent:
            return self._silence(silent[0], signs)
        # A rank that died beat for the last time a little before the others noticed.
        if failures and (len(failures) == self._num_ranks or self._failing > grace + 2):
            first = failures[0]
            return Verdict(f"{first.named} failed in {first.doing}: {first.failure}", _NETWORK)
        if self._standing >= self._patience and len(signs) == self._num_ranks:
            return self._standstill(list(signs.values()))
        return None

    def _note(self, signs: Mapping[int, Sign]) -> None:
        self._standing += 1
        for rank in range(self._num_ranks):
            now, before = signs.get(rank), self._seen.get(rank)
            beats = now is not None and (before is None or now.beat != before.beat or now.doing == DONE)
            self._silent[rank] = 0 if beats else self._silent.get(rank, 0) + 1
            if now is not None and (before is None or now.place != before.place):
                self._standing = 0
        self._seen = dict(signs)

    def _silence(self, rank: int, signs: Mapping[int, Sign]) -> Verdict:
        if rank in signs:
            sign = signs[rank]
            cause = (
                f"{sign.named} gives no sign of life after {sign.doing}: it was stopped, killed, or its machine is gone"
            )
            return Verdict(cause, "look at its log, and at dmesg on its machine (out of memory?)")
        missing = [rank for rank in range(self._num_ranks) if rank not in signs]
        came = f"; those that came: {hosts_of(signs)}" if signs else ""
        cause = f"rank {numbers(missing)} of {self._num_ranks} has not come {self._within}{came}"
        return Verdict(cause, "look at its log; a start from a slow file system may need a longer --timeout")

    def _standstill(self, signs: list[Sign]) -> Verdict:
        last = min(signs, key=lambda sign: sign.place)
        furthest = max(signs, key=lambda sign: sign.place)
        if last.place < furthest.place:
            waiting = f"the others wait for it at {furthest.doing}"
            cause = f"{last.named} does not get through {last.doing} {self._within}: {waiting}"
            return Verdict(cause, "look at its log; py-spy dump --pid <its process> shows where it hangs")
        return Verdict(f"all ranks have come to {last.doing}, and none gets through it {self._within}", _NETWORK)


class Follower:
    """Waits for the verdict that the first rank gives, and says when that rank is gone itself.

    Args:
        patience: polls that the first rank may be silent.
        poll_s: time between two polls in seconds, for what is said to people.
    """

    def __init__(self, *, patience: int, poll_s: float) -> None:
        self._patience = patience
        self._within = f"within {patience * poll_s:g} s"
        self._beat: int | None = None
        self._silent = 0

    def poll(self, first: Sign | None, *, problem: str) -> Verdict | None:
        """Judge what the first rank says now; None: it lives.

        Args:
            first: its last sign; None: it has not come yet.
            problem: why nothing can be heard of it any more; empty: it can.
        """
        named = first.named if first else "rank 0"
        if problem:
            return Verdict(f"{named}, which the others meet at, cannot be reached: {problem}", _MEETING)
        beat = first.beat if first else None
        self._silent = 0 if beat != self._beat else self._silent + 1
        self._beat = beat
        if self._silent < self._patience:
            return None
        if first is None:
            return Verdict(f"rank 0 has not come {self._within}", _MEETING)
        return Verdict(f"{named} gives no sign of life: it was stopped, killed, or its machine is gone", _MEETING)


_MEETING = "look at its log; MASTER_ADDR and MASTER_PORT must name its machine and a port that is free there"
_NETWORK = "NCCL_DEBUG=INFO says more; NCCL_SOCKET_IFNAME (on CPUs GLOO_SOCKET_IFNAME) names the network that all share"


def hosts_of(signs: Mapping[int, Sign]) -> str:
    """`gpu01 (0-3), gpu02 (4-6)`: the machines, and the ranks on them."""
    by_host: dict[str, list[int]] = {}
    for sign in signs.values():
        by_host.setdefault(sign.host, []).append(sign.rank)
    return ", ".join(f"{host} ({numbers(ranks)})" for host, ranks in sorted(by_host.items()))
