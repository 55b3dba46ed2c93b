"""How does what was found look on a terminal, in a file, and to a program?"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lightning_cv.doctor.finding import Finding, Status, count, size, worst
from lightning_cv.doctor.rank_report import GB, RankReport

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {Status.OK: "green", Status.NOTE: "cyan", Status.WARNING: "yellow", Status.BROKEN: "bold red"}
_NARROWEST = 40


def print_findings(console: Console, findings: Sequence[Finding], report: RankReport | None) -> None:
    """The table of checks, that of the transfers, and a last line that sums up.

    Lines are broken on a terminal only.
    """
    from rich.text import Text

    name_width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        indent = 9 + name_width + 2
        width = max(_NARROWEST, console.width - indent) if console.is_terminal else 0
        head, *rest = _lines(finding, width)
        status = Text(f"{finding.status:<9}", _STYLES[finding.status])
        console.print(Text.assemble(status, f"{finding.check:<{name_width}}  {head}"), soft_wrap=True)
        for line in rest:
            console.print(Text(" " * indent + line), soft_wrap=True)
    if report is not None and report.transfers:
        for line in _table(report):
            console.print(line, soft_wrap=True)
    console.print(summary(findings), soft_wrap=True)


def summary(findings: Sequence[Finding]) -> str:
    """One line: how much is broken, and what else there is to look at."""
    broken, warnings = (
        sum(finding.status is status for finding in findings) for status in (Status.BROKEN, Status.WARNING)
    )
    first = f"{broken} broken" if broken else "nothing is broken"
    return f"{first}, {count(warnings, 'warning')}" if warnings else first


def as_json(findings: Sequence[Finding], report: RankReport | None, nodes: Sequence[dict[str, Any]] = ()) -> str:
    """Everything, for programs."""
    data: dict[str, Any] = {"status": worst(findings), "checks": [finding.data() for finding in findings]}
    if report is not None:
        data["ranks"] = report.data()
    if nodes:
        data["machines"] = [{"host": node["host"], **node["has"]} for node in nodes]
    return json.dumps(data, indent=2)


def _lines(finding: Finding, width: int) -> list[str]:
    """What was found, and below it how to mend it; a width of 0 breaks no line."""
    texts = [finding.found, *([f"mend: {finding.mend}"] if finding.mend else [])]
    if not width:
        return texts
    return [line for text in texts for line in textwrap.wrap(text, width, break_on_hyphens=False) or [""]]


def _table(report: RankReport) -> Iterator[str]:
    """The transfers; bandwidths in units of 10^9 bytes a second."""
    yield f"\nall-reduce over {count(report.num_ranks, 'rank')}; bus bandwidth = size / time · 2(n-1)/n, n ranks"
    yield f"{'size':>8}  {'time':>9}  {'size / time':>12}  {'bus bandwidth':>13}"
    for each in report.transfers:
        yield (
            f"{size(each.size):>8}  {1000 * each.time_s:6.3f} ms  {each.algorithm_bandwidth / GB:7.2f} GB/s  "
            f"{each.bus_bandwidth / GB:8.2f} GB/s"
        )
    yield ""
