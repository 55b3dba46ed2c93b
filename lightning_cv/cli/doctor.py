"""What does this machine have, what is wrong with it, and how is it mended?"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lightning_cv.doctor.checks import examine
from lightning_cv.doctor.facts import Facts
from lightning_cv.doctor.finding import Finding, Status, worst
from lightning_cv.doctor.gather import ANSWER_WITHIN_S, gather
from lightning_cv.doctor.local import run_here
from lightning_cv.doctor.printed import as_json, print_findings
from lightning_cv.doctor.rank_report import RankReport
from lightning_cv.errors import DONE, RESOURCES, UserError
from lightning_cv.recipe.suggest import hint

_ABOUT = """\
Look at this machine: versions, devices, driver, cores, memory, limits, folders, W&B, SLURM. Each check says ok,
note, warning or broken, and how to mend what is not as it should be. Exit status 5: something is broken.

--processes and --nodes also let several processes work together: sums over all of them (checked, and timed from
64 KiB to 16 MiB on CPUs, 1 to 256 MiB on GPUs), then a training of 20 steps whose weights must be equal in the
end. Who does not come, stops or fails is named."""
_EXAMPLES = """\
examples:
  lightning-cv doctor
  lightning-cv doctor --processes 8
  srun lightning-cv doctor --nodes
  torchrun --nproc-per-node 8 -m lightning_cv doctor --nodes"""
# Hold `run_nodes` and `Terms`, `leave`; load torch.
_NODES, _RANK = "lightning_cv.doctor.nodes", "lightning_cv.doctor.rank"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"doctor: {message}")


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        sys.stdout.write(_parser().format_help())
        return DONE
    options = _parse(arguments)
    if options.nodes:
        return _run_nodes(options)
    facts = gather(options.runs_dir, timeout_s=options.timeout)
    findings = examine(facts)
    report = None
    if options.processes:
        _check_processes(options, facts)
        report = run_here(options.processes, cpu=options.cpu, timeout_s=options.timeout, num_cores=facts.cores.usable)
        findings += report.findings()
    return _tell(options, findings, report)


def _run_nodes(options: argparse.Namespace) -> int:
    """One of the processes that a launcher started; it ends here."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # what c10d says of a lost connection fills pages
    nodes, rank = importlib.import_module(_NODES), importlib.import_module(_RANK)
    outcome = nodes.run_nodes(rank.Terms(cpu=options.cpu, timeout_s=options.timeout), options.runs_dir)
    status = RESOURCES if outcome.report.cause else DONE
    if outcome.speaks:
        status = _tell(options, outcome.findings, outcome.report, outcome.nodes)
    return int(rank.leave(status))


def _tell(
    options: argparse.Namespace,
    findings: Sequence[Finding],
    report: RankReport | None,
    nodes: Sequence[dict[str, Any]] = (),
) -> int:
    if options.json:
        print(as_json(findings, report, nodes))
    else:
        from rich.console import Console

        print_findings(Console(highlight=False, markup=False, emoji=False), findings, report)
    return RESOURCES if worst(findings) is Status.BROKEN else DONE


def _check_processes(options: argparse.Namespace, facts: Facts) -> None:
    """Refuse more processes than there is room for, before any is started."""
    gpus = 0 if options.cpu else len(facts.torch.devices)
    most, what = (gpus, "GPUs") if gpus else (max(2, facts.cores.machine), "CPU cores")
    if options.processes > most:
        instead = "; --cpu lets them work on the CPU" if gpus else ""
        raise UserError(
            f"--processes {options.processes}: this machine has {gpus or facts.cores.machine} {what}{instead}"
        )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, allowed: a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} given, allowed: seconds from 1 to 86400")
    return seconds


def _parser() -> _Parser:
    parser = _Parser(
        prog="lightning-cv doctor",
        usage="lightning-cv doctor [options]",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    add = parser.add_argument
    add("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs (default: runs)")
    add("--json", action="store_true", help="everything, for programs")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--processes", type=_count, metavar="N", help="let N processes here work together, a GPU each")
    group.add_argument(
        "--nodes", action="store_true", help="let the processes work together that srun or torchrun started"
    )
    add("--cpu", action="store_true", help="let them work on the CPU, also where there are GPUs")
    add(
        "--timeout",
        type=_seconds,
        default=ANSWER_WITHIN_S,
        metavar="S",
        help=f"how long an answer, or another process, is waited for (default: {ANSWER_WITHIN_S:g})",
    )
    return parser


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        raise UserError(f"{unknown[0]} is not an option of doctor{hint(unknown[0].partition('=')[0], known)}")
    if options.cpu and not (options.processes or options.nodes):
        raise UserError("--cpu needs --processes N or --nodes")
    return options
