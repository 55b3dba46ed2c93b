"""How does a user search hyperparameters, look at what was found, and go on from there?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lightning_cv.cli import sweep_actions
from lightning_cv.errors import UserError
from lightning_cv.recipe.suggest import hint, nearest

_ABOUT = """\
usage: lightning-cv sweep SWEEP [options]             search; or go on with a search
       lightning-cv sweep list                        list the shipped sweeps
       lightning-cv sweep report STUDY [options]      table, CSV and pictures of what was found
       lightning-cv sweep confirm STUDY [options]     train the best trials again, over fresh seeds
       lightning-cv sweep refine STUDY [FILE]         write the next, narrower sweep
       lightning-cv sweep best STUDY [FILE]           write the winning recipe

SWEEP is a file or the name of a shipped sweep; STUDY is the folder of a study, or its name below runs.
lightning-cv sweep ACTION --help tells more.

The same command goes on with a study, after a Ctrl-C as after a power cut; on several machines at once it is
one search. Every trial is an ordinary run below runs/<study>.

examples:
  lightning-cv sweep digits_lr_decay --workers 2
  lightning-cv sweep digits_lr_decay --dry-run
  lightning-cv sweep confirm digits_lr_decay --top 3 --seeds 5
  lightning-cv compare runs/digits_lr_decay-confirm"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog.removeprefix('lightning-cv ')}: {message}")


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    action, *rest = list(arguments) or ["--help"]
    if action in ("-h", "--help"):
        print(_ABOUT)
        return 0
    make, act = _ACTIONS.get(action, (_search_parser, sweep_actions.search))
    parser = make(f"lightning-cv sweep {action}" if action in _ACTIONS else "lightning-cv sweep")
    if {"-h", "--help"}.intersection(arguments):
        sys.stdout.write(parser.format_help())
        return 0
    options, unknown = parser.parse_known_args(rest if action in _ACTIONS else list(arguments))
    if unknown:
        near = nearest(action, _ACTIONS)
        if action not in _ACTIONS and near and not Path(action).exists():
            raise UserError(f"{action} is not an action of sweep; did you mean {near}?")
        known = [name for known in parser._actions for name in known.option_strings]
        what = parser.prog.removeprefix("lightning-cv ")
        if not unknown[0].startswith("-"):
            raise UserError(f"{what}: {unknown[0]} is one word too many; see lightning-cv {what} --help")
        raise UserError(f"{unknown[0]} is not an option of {what}{hint(unknown[0].partition('=')[0], known)}")
    return act(options)


def _parser(prog: str, usage: str, about: str) -> _Parser:
    parser = _Parser(prog=prog, usage=usage, description=about, allow_abbrev=False, add_help=False)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), metavar="DIR", help="folder of all runs")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, allowed: a whole number from 1")
    return int(text)


def _add_workers(parser: _Parser) -> None:
    parser.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="trials at once, a device each (default: 1)"
    )
    parser.add_argument(
        "--allow-code", action="append", default=[], metavar="PACKAGE", help="a package of yours that recipes may name"
    )
    _add_storage(parser)


def _add_storage(parser: _Parser) -> None:
    parser.add_argument("--storage", metavar="URL", help="database of the study (default: a journal in its folder)")


def _search_parser(prog: str) -> _Parser:
    parser = _parser(prog, "lightning-cv sweep SWEEP [options]", "Search, or go on with a search.")
    add = parser.add_argument
    add("sweep", metavar="SWEEP", help="a file, the name of a shipped sweep, or the folder of a study")
    add("--trials", type=_count, metavar="N", help="how many trials there are to be in all (default: the sweep's)")
    add("--name", metavar="NAME", help="name of the study (default: the sweep's file)")
    _add_workers(parser)
    add("--dry-run", action="store_true", help="show the trials, their commands and an estimate of the time; no search")
    add("--export-wandb", metavar="FILE", help="write the same search as a W&B sweep, and end (- for the terminal)")
    return parser


def _report_parser(prog: str) -> _Parser:
    parser = _parser(prog, f"{prog} STUDY [options]", "What was found so far; the search may still run.")
    add = parser.add_argument
    add("study", metavar="STUDY", help="folder of a study, or its name")
    add("--csv", metavar="FILE", help="a line a trial (- for the terminal)")
    add("--json", metavar="FILE", help="everything, for programs (- for the terminal)")
    add("--pictures", type=Path, metavar="DIR", help="folder of the pictures (default: <study>/report)")
    _add_storage(parser)
    return parser


def _confirm_parser(prog: str) -> _Parser:
    parser = _parser(prog, f"{prog} STUDY [options]", "Train the best trials again, with seeds that are new to them.")
    add = parser.add_argument
    add("study", metavar="STUDY", help="folder of a study, or its name")
    add("--top", type=_count, default=3, metavar="N", help="how many of the best (default: 3)")
    add("--seeds", type=_count, default=5, metavar="N", help="how many seeds each (default: 5)")
    add("--name", metavar="NAME", help="name of the new study (default: <study>-confirm)")
    _add_workers(parser)
    return parser


def _refine_parser(prog: str) -> _Parser:
    parser = _parser(prog, f"{prog} STUDY [FILE] [options]", "Write the next sweep: narrower, around the best region.")
    add = parser.add_argument
    add("study", metavar="STUDY", help="folder of a study, or its name")
    add("file", nargs="?", type=Path, metavar="FILE", help="default: <study>-refined.yaml in the working folder")
    add("--trials", type=_count, metavar="N", help="how many (default: as before)")
    add("--epochs", type=_count, metavar="N", help="train each for so many epochs (default: as before)")
    add("--constant-rate", action="store_true", help="without a schedule of the learning rate")
    add("--force", action="store_true", help="overwrite FILE")
    _add_storage(parser)
    return parser


def _best_parser(prog: str) -> _Parser:
    parser = _parser(prog, f"{prog} STUDY [FILE] [options]", "Write the recipe of the best trial.")
    add = parser.add_argument
    add("study", metavar="STUDY", help="folder of a study, or its name")
    add("file", nargs="?", type=Path, metavar="FILE", help="default: <study>-best.yaml in the working folder")
    add("--trial", type=int, metavar="N", help="another trial than the best")
    add("--force", action="store_true", help="overwrite FILE")
    _add_storage(parser)
    return parser


def _list_parser(prog: str) -> _Parser:
    return _parser(prog, prog, "List the shipped sweeps.")


_ACTIONS: dict[str, tuple[Callable[[str], _Parser], Callable[[argparse.Namespace], int]]] = {
    "list": (_list_parser, sweep_actions.list_sweeps),
    "report": (_report_parser, sweep_actions.report),
    "confirm": (_confirm_parser, sweep_actions.confirm),
    "refine": (_refine_parser, sweep_actions.write_refined),
    "best": (_best_parser, sweep_actions.write_best),
}
