"""What does each action of `lightning-cv sweep` do, once its options are read?"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from lightning_cv.errors import DONE, Preempted, UserError
from lightning_cv.recipe.files import display_path
from lightning_cv.recipe.shipped import find_sweep, shipped_sweeps
from lightning_cv.recipe.suggest import hint


def search(options: argparse.Namespace) -> int:
    """Run a sweep until all its trials have an end."""
    from rich.console import Console

    from lightning_cv.sweep.definition.file import read_sweep
    from lightning_cv.sweep.engine.dry_run import print_plan
    from lightning_cv.sweep.engine.session import begin_study, is_study, sweep_of_study

    given = Path(options.sweep)
    if is_study(given):
        if options.name:
            raise UserError(f"--name {options.name}: {options.sweep} is a study and has its name")
        sweep = sweep_of_study(options.sweep, given.parent, storage=options.storage, trials=options.trials)
        runs_dir = given.resolve().parent
    else:
        path = _find(options.sweep)
        sweep = read_sweep(path, name=options.name, trials=options.trials, storage=options.storage)
        runs_dir = options.runs_dir
    if options.export_wandb:
        from lightning_cv.sweep.definition.wandb_sweep import wandb_sweep

        return _write(options.export_wandb, _yaml(wandb_sweep(sweep)), option="--export-wandb")
    if options.dry_run:
        print_plan(Console(highlight=False), sweep, runs_dir, workers=options.workers, allow_code=options.allow_code)
        return DONE
    place = begin_study(sweep, runs_dir)
    _run(place, options, f"lightning-cv sweep {shlex.quote(options.sweep)}")
    _conclude(place)
    return DONE


def list_sweeps(_: argparse.Namespace) -> int:
    """Print the shipped sweeps."""
    sweeps = shipped_sweeps()
    width = max((len(sweep.name) for sweep in sweeps), default=0)
    for sweep in sweeps:
        print(f"{sweep.name:<{width}}  {sweep.summary}")
    return DONE


def report(options: argparse.Namespace) -> int:
    """Print and draw what a study found so far."""
    from rich.console import Console

    from lightning_cv.sweep.engine.session import find_study
    from lightning_cv.sweep.report.pictures import draw
    from lightning_cv.sweep.report.printed import print_results, to_csv, to_json

    if options.csv == "-" and options.json == "-":
        raise UserError("--csv and --json would both write to the terminal; give one of them a file")
    place = find_study(options.study, options.runs_dir, storage=options.storage)
    results = place.results()
    for option, target, text in (("--csv", options.csv, to_csv), ("--json", options.json, to_json)):
        if target:
            _write(target, text(results), option=option)
    if "-" not in (options.csv, options.json):
        print_results(Console(highlight=False), results)
    drawn = draw(results, options.pictures or place.folder / "report")
    print(*(f"wrote {display_path(path)}" for path in drawn), sep="\n", file=sys.stderr)
    return DONE


def confirm(options: argparse.Namespace) -> int:
    """Train the best trials over fresh seeds, and print what they are worth."""
    from rich.console import Console

    from lightning_cv.sweep.engine.session import begin_study, find_study
    from lightning_cv.sweep.report.confirm import confirm_sweep, confirmed, print_confirmed

    searched = find_study(options.study, options.runs_dir, storage=options.storage)
    sweep = confirm_sweep(searched.results(), top=options.top, seeds=options.seeds, name=options.name)
    place = begin_study(sweep, searched.folder.parent)
    words = ["lightning-cv", "sweep", "confirm", options.study]
    _run(place, options, shlex.join([*words, "--top", str(options.top), "--seeds", str(options.seeds)]))
    print_confirmed(Console(highlight=False), confirmed(place.results(), searched.results()), sweep)
    print(f"\ncompare   lightning-cv compare {shlex.quote(display_path(place.folder))}")
    return DONE


def write_refined(options: argparse.Namespace) -> int:
    """Write the next, narrower sweep."""
    from lightning_cv.sweep.definition.yaml_text import as_yaml
    from lightning_cv.sweep.engine.session import BASE_FILE, find_study
    from lightning_cv.sweep.report.refine import refine

    place = find_study(options.study, options.runs_dir, storage=options.storage)
    target = options.file or Path(f"{place.sweep.name}-refined.yaml")
    values = refine(place.results(), trials=options.trials, epochs=options.epochs, constant_rate=options.constant_rate)
    values["recipe"] = display_path(place.folder.resolve() / BASE_FILE)
    header = [
        f"The region around the best trials of {place.sweep.name}.",
        "",
        f"Run:       lightning-cv sweep {target}",
        f"Source:    lightning-cv sweep refine, of {display_path(place.folder)}",
    ]
    _write_new(target, as_yaml(values, header), force=options.force)
    print(f"wrote {target}; search it: lightning-cv sweep {shlex.quote(str(target))}")
    return DONE


def write_best(options: argparse.Namespace) -> int:
    """Write the recipe of the best trial."""
    from lightning_cv.sweep.engine.session import find_study
    from lightning_cv.sweep.report.winner import winner

    place = find_study(options.study, options.runs_dir, storage=options.storage)
    target = options.file or Path(f"{place.sweep.name}-best.yaml")
    _write_new(target, winner(place.results(), options.trial), force=options.force)
    print(f"wrote {target}; train it: lightning-cv fit {shlex.quote(str(target))}")
    return DONE


def _find(word: str) -> Path:
    """The file of a sweep; a word that is neither may be a mistyped action."""
    try:
        return find_sweep(word)
    except UserError as error:
        actions = ("list", "report", "confirm", "refine", "best")
        near = hint(word, actions) if "/" not in word and "." not in word else ""
        raise UserError(f"{error}{near if 'did you mean' in near else ''}") from error


def _run(place: object, options: argparse.Namespace, again: str) -> None:
    """Run what is left of a study; a signal says how to go on."""
    from rich.console import Console

    from lightning_cv.sweep.engine.board import Board
    from lightning_cv.sweep.engine.execute import Workers, execute
    from lightning_cv.sweep.engine.study import StudyPlace

    assert isinstance(place, StudyPlace)
    workers = Workers(number=options.workers, allow_code=tuple(options.allow_code))
    board = Board(place.sweep, Console(highlight=False), workers=workers.number)
    print(f"study     {display_path(place.folder)}, {place.sweep.num_trials} trials in {place.storage.text}")
    try:
        execute(place, workers, board)
    except Preempted as stopped:
        raise Preempted(f"{stopped}; go on with: {again}") from None


def _conclude(place: object) -> None:
    """Table, files, pictures and W&B's record of a study whose trials have all come to an end."""
    from rich.console import Console

    from lightning_cv.sweep.engine.study import StudyPlace
    from lightning_cv.sweep.report.conclude import conclude

    assert isinstance(place, StudyPlace)
    conclude(place, Console(highlight=False))


def _yaml(values: dict[str, object]) -> str:
    import yaml

    return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False)


def _write(target: str, text: str, *, option: str) -> int:
    if target == "-":
        sys.stdout.write(text)
        return DONE
    try:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{option} {target}: cannot be written ({error.strerror})") from error
    print(f"wrote {target}", file=sys.stderr)
    return DONE


def _write_new(target: Path, text: str, *, force: bool) -> None:
    if target.exists() and not force:
        raise UserError(f"{target} exists; --force overwrites it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error
