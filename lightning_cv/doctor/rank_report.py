"""What did the ranks measure together, and what does that say of the machines?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lightning_cv.doctor.finding import Finding, Status, count, size

GB = 1e9  # bandwidths are given in powers of 1000, as networks and NCCL's own tests give them


@dataclass(frozen=True)
class Transfer:
    """One all-reduce.

    Args:
        size: bytes that every rank gives, and gets back.
        time_s: for one, on the slowest rank.
        num_ranks: how many take part.
    """

    size: int
    time_s: float
    num_ranks: int

    @property
    def algorithm_bandwidth(self) -> float:
        """Size / time, in bytes a second."""
        return self.size / self.time_s

    @property
    def bus_bandwidth(self) -> float:
        """What each rank sends and gets at least, in bytes a second: algorithm bandwidth · 2(n-1)/n.

        Unlike the other it does not depend on the number of ranks, and compares with what the link can do.
        Source: nccl-tests, doc/PERFORMANCE.md, "Bus bandwidth", AllReduce.
        """
        return self.algorithm_bandwidth * 2 * (self.num_ranks - 1) / self.num_ranks

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {
            "algorithm_bandwidth": self.algorithm_bandwidth,
            "bus_bandwidth": self.bus_bandwidth,
        }


@dataclass(frozen=True, kw_only=True)
class Training:
    """A short training of a small network under DDP; its weights were equal on all ranks afterwards."""

    steps: int
    first_loss: float
    last_loss: float
    time_s: float


@dataclass(frozen=True, kw_only=True)
class RankReport:
    """What came of it.

    Args:
        backend: `nccl` or `gloo`.
        num_ranks: how many there were to be.
        hosts: which ranks ran on which machine, e.g. `gpu01 (0-7)`.
        transfers: one for each size that was got through.
        training: None: it was not got through.
        cause: why it did not come to its end; empty: it did.
        mend: what to do about that.
    """

    backend: str
    num_ranks: int
    hosts: str = ""
    transfers: tuple[Transfer, ...] = ()
    training: Training | None = None
    cause: str = ""
    mend: str = ""

    def findings(self) -> list[Finding]:
        """The same as lines of the table."""
        found = [self._came()]
        if self.transfers:
            best = max(self.transfers, key=lambda transfer: transfer.bus_bandwidth)
            text = f"right sums; at most {best.bus_bandwidth / GB:.3g} GB/s of bus bandwidth ({size(best.size)})"
            found.append(Finding("all-reduce", Status.OK, text))
        if self.training is not None:
            run = self.training
            text = (
                f"{count(run.steps, 'step')} under DDP in {run.time_s:.2g} s, loss {run.first_loss:.3g} to "
                f"{run.last_loss:.3g}, equal weights on all ranks"
            )
            found.append(Finding("training", Status.OK, text))
        return found

    def _came(self) -> Finding:
        if self.cause:
            return Finding("ranks", Status.BROKEN, self.cause, self.mend)
        return Finding("ranks", Status.OK, f"{count(self.num_ranks, 'rank')} over {self.backend}: {self.hosts}")

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"transfers": [transfer.data() for transfer in self.transfers]}


def read_report(data: Mapping[str, Any]) -> RankReport:
    """The report that `data` wrote."""
    transfers = tuple(Transfer(each["size"], each["time_s"], each["num_ranks"]) for each in data["transfers"])
    training = None if data["training"] is None else Training(**data["training"])
    return RankReport(**{**data, "transfers": transfers, "training": training})


@dataclass
class Measured:
    """What the first rank has measured so far."""

    transfers: list[Transfer] = field(default_factory=list)
    training: Training | None = None
