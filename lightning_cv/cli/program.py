"""How does the command line of fit, validate, test or predict become a request to run?"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

from lightning_cv.cli.options import SCORING, Line, help_text, read_line
from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.request import OptionsRequest, RunRequest, Verb
from lightning_cv.recipe.shipped import find
from lightning_cv.recipe.sizes import read_size
from lightning_cv.record.runs import RECIPE, run_folders

# Holds `execute(RunRequest) -> int` and `show_options(OptionsRequest) -> int`; loads torch.
_RUNNER = "lightning_cv.run.program"


def run_verb(verb: Verb, arguments: Sequence[str], *, summary: str, examples: Sequence[str]) -> int:
    """Run one verb on the rest of its command line; returns the exit status.

    Raises:
        UserError: anything that the user can mend.
    """
    line = read_line(verb, arguments)
    if "--help" in line.settings:
        print(help_text(verb, summary, examples))
        return 0
    if line.help_on is not None:
        subject, class_path = line.help_on
        question = OptionsRequest(
            subject=cast(Literal["trainer", "model", "data"], subject),
            class_path=class_path or None,
            allow_code=tuple(line.allow_code),
        )
        return int(_runner(line).show_options(question))
    request = read_request(verb, line)
    return int(_runner(line).execute(request))


def read_request(verb: Verb, line: Line) -> RunRequest:
    """The request that a command line makes: recipes read and merged, overrides applied.

    Raises:
        UserError: no recipe is named, or one cannot be found or read.
    """
    checkpoint = _path(line, "--ckpt") or _scored_run(verb, line)
    resumed = _resumed_run(line)
    files = [find(name) for name in line.recipes] or _recipe_of_run(resumed or checkpoint)
    if not files:
        with_run = "" if verb in ("fit", "inspect") else ", or --ckpt with the folder of a run"
        raise UserError(f"{verb} needs a recipe: give a file or a name from lightning-cv recipes{with_run}")
    composed = compose([read_recipe(path) for path in files], line.overrides)
    return RunRequest(
        verb=verb,
        composed=composed,
        name=_name(line, files[0]),
        runs_dir=_path(line, "--runs-dir") or Path("runs"),
        run_dir=resumed or _path(line, "--run-dir"),
        checkpoint=checkpoint,
        test_after_fit="--test" in line.settings,
        allow_code=tuple(line.allow_code),
        print_config="--print_config" in line.settings,
        images=_path(line, "--images"),
        auto_batch=_auto_batch(line),
        batch_memory=_batch_memory(line),
        image=_image(line),
        dataset="--dataset" in line.settings,
    )


def _scored_run(verb: Verb, line: Line) -> Path | None:
    """The folder of a run that stands where a recipe may stand: what is scored, by its own recipe."""
    if verb in SCORING and len(line.recipes) == 1 and (Path(line.recipes[0]) / RECIPE).is_file():
        return Path(line.recipes.pop())
    return None


def _runner(line: Line) -> Any:
    folder = str(Path.cwd())
    if line.allow_code and folder not in sys.path:
        # The user's own packages; last in line, so that nothing there takes an installed one's place.
        sys.path.append(folder)
    return importlib.import_module(_RUNNER)


def _path(line: Line, option: str) -> Path | None:
    text = line.settings.get(option)
    if text == "":
        raise UserError(f"{option} needs a value: {option}=PATH")
    return Path(text) if text is not None else None


def _image(line: Line) -> tuple[int, int, int] | None:
    text = line.settings.get("--image")
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and int(part) >= 1 for part in parts):
        raise UserError(f"--image {text:.40}: give channels, height and width, such as 3,224,224")
    channels, height, width = map(int, parts)
    return channels, height, width


def _auto_batch(line: Line) -> bool:
    given = line.settings.get("--batch")
    if given not in (None, "auto"):
        raise UserError(f"--batch {given}: the only value is auto; a batch size is --data.init_args.batch_size={given}")
    if given and "--resume" in line.settings:
        raise UserError("--resume and --batch exclude each other: a run goes on with the batch that it has")
    return given is not None


def _batch_memory(line: Line) -> int | None:
    given = line.settings.get("--batch-memory")
    if given is None:
        return None
    if "--batch" not in line.settings:
        raise UserError("--batch-memory says how much --batch may use; give --batch auto with it")
    return read_size(given, "--batch-memory")


def _resumed_run(line: Line) -> Path | None:
    """The folder of the run that `--resume` names."""
    given = _path(line, "--resume")
    if given is None:
        return None
    for option in ("--ckpt", "--run-dir"):
        if option in line.settings:
            raise UserError(f"--resume and {option} exclude each other: --resume names the run and its checkpoint")
    if line.recipes:
        raise UserError(f"--resume goes on with the run's own recipe; leave out {line.recipes[0]}")
    if str(given) == "last" and not given.exists():
        runs_dir = _path(line, "--runs-dir") or Path("runs")
        folders = run_folders(runs_dir)
        if not folders:
            raise UserError(f"--resume last: there is no run in {runs_dir}")
        return folders[-1]
    if not (given / RECIPE).is_file():
        raise UserError(f"--resume {given}: not the folder of a run (it has no {RECIPE}); or give last")
    return given


def _recipe_of_run(checkpoint: Path | None) -> list[Path]:
    """The recipe in the folder of the run that a checkpoint lies in."""
    folders = [] if checkpoint is None else [checkpoint, *list(checkpoint.absolute().parents)[:2]]
    return [folder / "recipe.yaml" for folder in folders if (folder / "recipe.yaml").is_file()][:1]


def _name(line: Line, recipe: Path) -> str:
    name = line.settings.get("--name")
    if name is None:
        # The recipe in the folder of a run is called recipe.yaml; the run's name is its parent folder's.
        return recipe.stem if recipe.name != "recipe.yaml" else recipe.resolve().parent.parent.name or "run"
    if not name or name in (".", "..") or any(character in name for character in '/\\:*?"<>|\0'):
        raise UserError(f"--name {name}: give a name that can be a folder's, without / \\ : * ? \" < > |")
    return name
