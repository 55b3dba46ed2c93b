"""How are runs compared from the command line?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lightning_cv.compare.comparison import Comparison, compare
from lightning_cv.compare.exported import FORMATS
from lightning_cv.compare.find import find_places, read_runs
from lightning_cv.compare.metrics import Mode
from lightning_cv.compare.run import X_AXES
from lightning_cv.compare.table import Table, make_table
from lightning_cv.errors import UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.suggest import hint

_ABOUT = """\
Set runs side by side: what differs in their recipes, what they scored, what they cost. Runs that differ in
their seed only are one group (mean ± standard deviation), and groups get a 95% interval.

RUN is the folder of a run, a folder with runs below it, a pattern of such, an offline W&B directory
(offline-run-...), or entity/project/run in W&B."""
_EXAMPLES = """\
examples:
  lightning-cv compare runs/digits_resnet
  lightning-cv compare runs/*/* --metric val/accuracy --sort val/accuracy --descending
  lightning-cv compare runs/a/1 runs/b/2 --curves --x samples --plot curves.png
  lightning-cv compare runs/sweep --csv --output sweep.csv"""
_HELP = {
    "metric": "a metric to compare; repeatable (default: the monitored one, then those of validation and test)",
    "mode": "whether more or less is better, where neither recipe nor name says; repeatable",
    "reference": "the run whose group the others are compared with (default: the first one with several seeds)",
    "sort": "order of the runs: a metric (its best value), METRIC:last, a setting, time, steps, parameters, status",
}
_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"compare: {message}")


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if {"-h", "--help"}.intersection(arguments):
        sys.stdout.write(_parser().format_help())
        return 0
    options = _parse(arguments)
    if options.push:
        from lightning_cv.compare.view import push

        print(push(Path(options.push)))
        return 0
    modes = _modes(options.mode, options.metric)
    runs = read_runs(find_places(options.run))
    comparison = compare(runs, options.metric, modes=modes, reference=options.reference)
    table = make_table(comparison)
    if options.sort:
        table = table.sorted(options.sort, descending=options.descending)
    _write(options, comparison, table)
    return 0


def _parser() -> _Parser:
    parser = _Parser(
        prog="lightning-cv compare",
        usage="lightning-cv compare RUN [RUN ...] [options]",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", nargs="*", metavar="RUN", help=argparse.SUPPRESS)
    add("--metric", action="append", default=[], metavar="NAME", help=_HELP["metric"])
    add("--mode", action="append", default=[], metavar="[NAME=]max|min", help=_HELP["mode"])
    add("--reference", metavar="RUN", help=_HELP["reference"])
    add("--sort", metavar="KEY", help=_HELP["sort"])
    add("--descending", action="store_true", help="the largest first")
    add("--all", action="store_true", help="also settings that only one of several differing classes has")
    add("--curves", action="store_true", help="curves in the terminal")
    add("--plot", metavar="FILE", help="curves as a picture: .png, .svg or .pdf")
    add("--x", choices=X_AXES, default="step", help="what curves are drawn over (default: step)")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--json", action="store_const", const="json", dest="format", help="everything, for programs")
    add("--csv", action="store_const", const="csv", dest="format", help="a line a run")
    add("--markdown", action="store_const", const="markdown", dest="format", help="tables for a document")
    add = parser.add_argument
    add("--output", metavar="FILE", help="write to a file: .json, .csv or .md, unless an option says which")
    add("--wandb", action="store_true", help="the same comparison as a saved view in W&B, or a file to push later")
    add("--project", metavar="[ENTITY/]PROJECT", help="where the view goes (default: where the runs are)")
    add("--push", metavar="FILE", help="send a view that --wandb wrote to a file")
    return parser


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        raise UserError(f"{unknown[0]} is not an option of compare{hint(unknown[0].partition('=')[0], known)}")
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    """Options that would do nothing are mistakes."""
    if options.push:
        if options.run:
            raise UserError("--push sends a file that --wandb wrote; it takes no RUN")
        return
    if not options.run:
        raise UserError("compare needs a run: give a folder, e.g. runs; see lightning-cv compare --help")
    if options.descending and not options.sort:
        raise UserError("--descending needs --sort KEY")
    if options.project and not options.wandb:
        raise UserError("--project needs --wandb")
    if options.output and not options.format:
        options.format = _SUFFIXES.get(Path(options.output).suffix)
        if options.format is None:
            raise UserError(f"--output {options.output}: give .json, .csv or .md, or one of --json, --csv, --markdown")
    if options.curves and options.format and not options.output:
        raise UserError(f"--curves and --{options.format} would both write to the terminal; add --output FILE")


def _modes(given: Sequence[str], metrics: Sequence[str]) -> dict[str, Mode]:
    """The mode of each metric: `--mode max` is one for all that --metric names."""
    modes: dict[str, Mode] = {}
    for text in given:
        name, _, mode = text.rpartition("=")
        if mode not in ("max", "min"):
            raise UserError(f"--mode {text}: allowed are max and min, or METRIC=max and METRIC=min")
        if not name and not metrics:
            raise UserError(f"--mode {text}: of which metric? --mode METRIC={text}")
        for metric in [name] if name else metrics:
            modes[metric] = "max" if mode == "max" else "min"
    return modes


def _write(options: argparse.Namespace, comparison: Comparison, table: Table) -> None:
    said: list[str] = []
    text = FORMATS[options.format](comparison, table) if options.format else ""
    if options.output:
        _to_file(Path(options.output), text)
        said.append(f"wrote {display_path(Path(options.output))}")
    elif options.format:
        sys.stdout.write(text)
    if not options.format or options.output:
        _to_terminal(options, comparison, table)
    if options.plot:
        from lightning_cv.compare.picture import draw

        draw(comparison, Path(options.plot), options.x)
        said.append(f"wrote {display_path(Path(options.plot))}")
    if options.wandb:
        from lightning_cv.compare.view import save

        said.append(save(comparison, options.project, options.x))
    # What is written to stdout for a program stays free of other words.
    stream = sys.stderr if options.format and not options.output else sys.stdout
    for line in said:
        print(line, file=stream)


def _to_terminal(options: argparse.Namespace, comparison: Comparison, table: Table) -> None:
    from rich.console import Console

    from lightning_cv.compare.printed import print_comparison

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
    print_comparison(console, comparison, table, all_keys=options.all)
    if options.curves:
        from lightning_cv.compare.terminal import print_curves

        print_curves(console, comparison, options.x)


def _to_file(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {display_path(path)}: cannot be written ({error.strerror})") from error
