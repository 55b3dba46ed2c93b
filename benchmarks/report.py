"""How is a measurement printed, so that a reader knows how far to trust it?"""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch


def interleaved(measures: dict[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Run every measure once a round, in turn, so that a drifting machine hits all of them alike."""
    results: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            results[name].append(measure())
    return results


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median of the ratios taken round by round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, how: str) -> None:
    """Print one Markdown table with the machine, the versions, the date and how it was taken."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n{how} {machine()}\n")


def machine() -> str:
    """One sentence on machine, versions and date."""
    import lightning

    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s); Python"
        f" {platform.python_version()}, torch {torch.__version__}, lightning {lightning.__version__};"
        f" {datetime.now(UTC).date().isoformat()}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
