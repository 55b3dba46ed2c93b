"""Which of the processes that work together is this one, and where do they meet?"""

from __future__ import annotations

import socket
from dataclasses import dataclass

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Place:
    """One process of several.

    Args:
        rank: its number among all.
        num_ranks: how many there are.
        local_rank: its number on its machine.
        address: host where they meet, that of rank 0.
        port: there.
        launcher_listens: whether the launcher listens at that port; else rank 0 does.
        attempt: how often the launcher has started them anew.
    """

    rank: int
    num_ranks: int
    local_rank: int
    address: str
    port: int
    launcher_listens: bool = False
    attempt: str = "0"

    def environ(self) -> dict[str, str]:
        """The variables that torchrun would set."""
        values = (self.rank, self.num_ranks, self.local_rank, self.address, self.port)
        return dict(zip(TORCHRUN, map(str, values), strict=True))


def places_here(number: int) -> list[Place]:
    """The places of processes on this machine, which meet at a port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        Place(rank=rank, num_ranks=number, local_rank=rank, address="127.0.0.1", port=port) for rank in range(number)
    ]
