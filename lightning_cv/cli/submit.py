"""How does a user hand a recipe or a sweep to a cluster, or to several machines without one?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from lightning_cv.cli import submit_actions
from lightning_cv.cli.options import OPTIONS, Line, read_line
from lightning_cv.cli.submit_job import Asked
from lightning_cv.errors import UserError
from lightning_cv.launch.cluster.keys import KEYS
from lightning_cv.launch.cluster.profile import read_resources
from lightning_cv.recipe.compose import TOP_LEVEL
from lightning_cv.recipe.suggest import hint

_ABOUT = """\
usage: lightning-cv submit RECIPE [options] [--KEY.PATH=VALUE ...]     train a recipe
       lightning-cv submit RECIPE --seeds N [options]                  train it with N seeds, at once
       lightning-cv submit SWEEP --workers N [options]                 search, with N workers of one study

Writes a batch script, checks what can be known before it waits in a queue, and hands it to SLURM. A job that SLURM
signals before its time limit, or preempts, saves its state, is started again, and goes on with the same run.

Where there is no SLURM, one machine trains right here, and for several the line for each of them is printed.

{options}

Everything but the first group can stand in cluster.yaml (in the working folder, or in ~/.config/lightning_cv), in named
profiles with these names as keys; the profile `default` is used unless --profile names another:

  default: {{partition: gpu, gpu: true, cpus: 8, time: 12:00:00, setup: [module load cuda]}}
  large: {{partition: gpu, gpu: true, nodes: 4, devices: 8}}

examples:
  lightning-cv submit digits_resnet --dry-run
  lightning-cv submit imagenet_resnet50 --nodes 4 --devices 8 --time 1-00:00:00 --trainer.max_epochs=100
  lightning-cv submit digits_resnet --seeds 5
  lightning-cv submit digits_lr_decay --workers 16 --storage postgresql://me@host/studies
  lightning-cv jobs"""

_OWN = (
    ("--dry-run", "", "print the script and what was checked; submit nothing"),
    ("--seeds", "N", "one job each for N seeds, from the recipe's own on"),
    ("--workers", "N", "workers of a search, a job each (default: 1)"),
    ("--trials", "N", "how many trials a search is to have in all (default: the sweep's)"),
    ("--storage", "URL", "database of a search; its password goes to the job as a variable, and into no file"),
    ("--after", "JOB", "start once this job has ended well"),
    (
        "--first-node",
        "HOST[:PORT]",
        "without SLURM: where the others reach the first machine (default: this one's name)",
    ),
    ("--no-check", "", "do not read the recipe as a training would, which takes some seconds"),
    ("--profile", "NAME", "a profile of cluster.yaml, or another such file (FILE, FILE:NAME)"),
)
# Options of `fit` that are handed on.
_OF_FIT = (
    *("--config", "--seed", "--ckpt", "--resume", "--test", "--batch", "--batch-memory"),
    *("--name", "--runs-dir", "--run-dir", "--allow-code"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"submit: {message}")


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if not arguments or {"-h", "--help"}.intersection(arguments):
        print(help_text())
        return 0
    options, rest = _parser().parse_known_args(list(arguments))
    line = _line_of_fit(rest)
    flags = {key.name: value for key in KEYS if (value := getattr(options, key.field)) not in (None, False)}
    asked = Asked(
        argv=tuple(arguments),
        line=line,
        resources=read_resources(flags, options.profile),
        seeds=_count("--seeds", options.seeds),
        workers=_count("--workers", options.workers),
        trials=_count("--trials", options.trials),
        storage=options.storage,
        after=_job(options.after),
        first_node=options.first_node,
        checks_recipe=not options.no_check,
    )
    return submit_actions.dry_run(asked) if options.dry_run else submit_actions.submit(asked)


def help_text() -> str:
    """What `lightning-cv submit --help` prints."""
    own = [(f"{name} {value}".rstrip(), text) for name, value, text in _OWN]
    known = {option.name: option for option in OPTIONS}
    own += [(f"{name} {known[name].value}".rstrip(), known[name].text) for name in _OF_FIT]
    of_cluster = [(f"--{key.name} {key.value}".rstrip(), key.text) for key in KEYS]
    width = max(len(head) for head, _ in own + of_cluster)
    groups = [
        "\n".join([title, *(f"  {head:<{width}}  {text}" for head, text in rows)])
        for title, rows in (("what to run, and how:", own), ("what to ask of the cluster:", of_cluster))
    ]
    return _ABOUT.format(options="\n\n".join(groups))


def _parser() -> _Parser:
    parser = _Parser(prog="lightning-cv submit", allow_abbrev=False, add_help=False, argument_default=None)
    for name, value, _ in _OWN:
        _add(parser, name, value)
    for key in KEYS:
        _add(parser, f"--{key.name}", key.value, repeats=key.name == "setup")
    return parser


def _add(parser: _Parser, name: str, value: str, *, repeats: bool = False) -> None:
    if not value:
        parser.add_argument(name, action="store_true")
    else:
        parser.add_argument(name, action="append" if repeats else "store", metavar=value)


def _line_of_fit(rest: list[str]) -> Line:
    """What is not an option of submit: the recipe, overrides, and options that are handed on to `fit`."""
    known = [name for name, _, _ in _OWN] + [f"--{key.name}" for key in KEYS] + list(_OF_FIT)
    for word in rest:
        name = word.partition("=")[0]
        if name.startswith("--") and "." not in name and name[2:] not in TOP_LEVEL and name not in known:
            raise UserError(f"{name} is not an option of submit{hint(name, known)}")
    line = read_line("fit", rest)
    if len(line.recipes) == 0 and "--resume" not in line.settings:
        raise UserError("submit needs a recipe or a sweep: a file, or a name from lightning-cv recipes or sweep list")
    return line


def _count(option: str, text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise UserError(f"{option} {text!r:.60}: allowed: whole numbers from 1")
    return None if text is None else int(text)


def _job(text: str | None) -> str | None:
    parts = [] if text is None else text.split("_")
    if text is not None and not (len(parts) <= 2 and all(part.isascii() and part.isdecimal() for part in parts)):
        raise UserError(f"--after {text!r:.60}: allowed: the number of a job, such as 1234 or 1234_0")
    return text
