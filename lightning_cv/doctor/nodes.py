"""What do the machines of a job have, are they alike, and do they work together? Runs in every launched process."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_cv import __version__
from lightning_cv.doctor.checks import examine
from lightning_cv.doctor.facts import Facts
from lightning_cv.doctor.finding import Finding, Status, count
from lightning_cv.doctor.gather import gather
from lightning_cv.doctor.launched import launched_place
from lightning_cv.doctor.rank import Terms, take_part
from lightning_cv.doctor.rank_report import RankReport

# What must be the same everywhere; of the rest a difference is only told.
_SHARE = 0.75
MUST_AGREE = ("lightning_cv", "torch", "NCCL")


@dataclass(frozen=True)
class NodesOutcome:
    """What there is to tell.

    Args:
        findings: lines of the table, those of the other machines under their names.
        report: what the ranks did together.
        speaks: whether this process is the one that tells people.
        nodes: what is known of each machine.
    """

    findings: list[Finding]
    report: RankReport
    speaks: bool
    nodes: list[dict[str, Any]]


def run_nodes(terms: Terms, runs_dir: Path) -> NodesOutcome:
    """Look at this machine, once on each, then work together with all ranks.

    Raises:
        UserError: no launcher started this process.
    """
    place = launched_place()
    findings: list[Finding] = []
    node = None
    if place.local_rank == 0:
        facts = gather(runs_dir, timeout_s=_SHARE * terms.timeout_s)  # the other ranks wait for this one
        findings = examine(facts)
        node = describe(facts, findings)
    outcome = take_part(place, terms, node=node)
    nodes = [outcome.nodes[rank] for rank in sorted(outcome.nodes)]
    findings += compare(nodes) + outcome.report.findings()
    return NodesOutcome(findings, outcome.report, outcome.speaks, nodes)


def describe(facts: Facts, findings: list[Finding]) -> dict[str, Any]:
    """What a machine tells the first rank of itself, as plain data."""
    torch = facts.torch
    return {
        "host": socket.gethostname(),
        "has": {
            "lightning_cv": __version__,
            "Python": platform.python_version(),
            "torch": torch.version,
            "torchvision": torch.torchvision,
            "NCCL": torch.nccl,
            "driver": facts.driver.version,
            "devices": ", ".join(device.name for device in torch.devices) or "none",
        },
        "findings": [finding.data() for finding in findings if finding.status in (Status.WARNING, Status.BROKEN)],
    }


def compare(nodes: list[dict[str, Any]]) -> list[Finding]:
    """Whether all machines are alike, and what is wrong with those behind the first."""
    if len(nodes) < 2:
        return []
    differing = [name for name in nodes[0]["has"] if len({node["has"][name] for node in nodes}) > 1]
    found = [Finding("machines", Status.OK, f"{count(len(nodes), 'machine')}, with the same versions and devices")]
    if differing:
        status = Status.BROKEN if set(differing) & set(MUST_AGREE) else Status.WARNING
        text = "; ".join(f"{name}: {_values(name, nodes)}" for name in differing)
        found = [Finding("machines", status, f"they differ in {text}", "install the same everywhere")]
    for node in nodes[1:]:
        for finding in node["findings"]:
            check = f"{node['host']}: {finding['check']}"
            found.append(Finding(check, Status(finding["status"]), finding["found"], finding["mend"]))
    return found


def _values(name: str, nodes: Sequence[Mapping[str, Any]]) -> str:
    """`2.15.0 (gpu01, gpu02), 2.14.0 (gpu03)`."""
    hosts: dict[str, list[str]] = {}
    for node in nodes:
        hosts.setdefault(str(node["has"][name]), []).append(node["host"])
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in hosts.items())
