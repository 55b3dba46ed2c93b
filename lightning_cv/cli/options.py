"""What do the options on the command line of a run say?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lightning_cv.errors import UserError
from lightning_cv.recipe.compose import TOP_LEVEL
from lightning_cv.recipe.request import Verb
from lightning_cv.recipe.suggest import hint

SCORING: tuple[Verb, ...] = ("validate", "test", "predict")
RUNS: tuple[Verb, ...] = ("fit", *SCORING)
ALL: tuple[Verb, ...] = (*RUNS, "inspect")


@dataclass(frozen=True)
class Option:
    """One option.

    Args:
        name: as written, e.g. `--seed`.
        value: what stands for its value in the help; empty for a switch.
        text: one line for the help.
        verbs: where it may stand.
        path: the key of the recipe that it is short for; empty: none.
    """

    name: str
    value: str
    text: str
    verbs: tuple[Verb, ...] = RUNS
    path: str = ""


OPTIONS = (
    Option("--config", "FILE", "-c; a further recipe, merged over what stands before it; repeatable", ALL),
    Option("--KEY.PATH", "VALUE", "override one value of the recipe, e.g. --trainer.max_epochs=3", ALL),
    Option("--seed", "N", "the same as --seed_everything=N", path="seed_everything"),
    Option("--devices", "N", "how many devices, -1: all, or which: 0,2 (--trainer.devices=N)", path="trainer.devices"),
    Option("--nodes", "N", "on how many machines it is started (--trainer.num_nodes=N)", path="trainer.num_nodes"),
    Option("--batch", "auto", "as many samples at once as fit; accumulation keeps the recipe's batch", ("fit",)),
    Option("--batch-memory", "SIZE", "for --batch: memory to use, of each GPU or of this machine: 20GB", ("fit",)),
    Option("--folds", "K", "cross-validation: K runs, each validated on another part; their mean ± spread", ("fit",)),
    Option("--ckpt", "PATH", "a checkpoint, or the folder of a run: its best one; fit starts a new run from it"),
    Option("--resume", "RUN", "go on with a run where it stopped: its folder, or last; by its own recipe", ("fit",)),
    Option("--images", "PATH", "a picture or a folder of pictures, in place of the recipe's data", ("predict",)),
    Option("--dataset", "", "tell of the data: counts, sizes, what is wrong; draw some images", ("inspect",)),
    Option("--image", "C,H,W", "channels and size of the images, where the data is not at hand", ("inspect",)),
    Option("--test", "", "afterwards score the best snapshot on the test split", ("fit",)),
    Option("--name", "NAME", "name of the run (default: the recipe's)"),
    Option("--runs-dir", "DIR", "folder of all runs (default: runs)"),
    Option("--run-dir", "DIR", "folder of this run (default: <runs-dir>/<name>/<run id>); fit goes on if it holds it"),
    Option("--allow-code", "PACKAGE", "a package of yours that the recipe may name; repeatable", ALL),
    Option("--print_config", "", "print the complete recipe and end", ALL),
    Option("--trainer.help", "", "list every option of the Trainer (also --model.help CLASS, --data.help CLASS)", ALL),
    Option("--help", "", "-h; this text", ALL),
)

_SHORT = {"-c": "--config", "-h": "--help"}
_HELPS = ("--trainer.help", "--model.help", "--data.help")


@dataclass
class Line:
    """A command line, taken apart.

    Args:
        recipes: names or files of recipes in their order: the positional one first.
        overrides: dotted path and YAML text.
        settings: value of each option that has one; of a switch an empty string.
        allow_code: packages that the recipe may name.
        help_on: `model`, `data` or `trainer` if its options are asked for, and a class path or empty text.
    """

    recipes: list[str] = field(default_factory=list)
    overrides: list[tuple[str, str]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    allow_code: list[str] = field(default_factory=list)
    help_on: tuple[str, str] | None = None


def read_line(verb: Verb, arguments: Sequence[str]) -> Line:
    """Take a command line apart. No option may be abbreviated.

    Raises:
        UserError: an unknown option, one of another verb, one without its value, or two recipes.
    """
    line = Line()
    positional: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-") or argument == "-":
            positional.append(argument)
            continue
        name, given, text = argument.partition("=")
        name = _SHORT.get(name, name)
        if name in _HELPS:
            follows = not given and name != "--trainer.help" and rest and not rest[0].startswith("-")
            line.help_on = (name[2:].partition(".")[0], rest.pop(0) if follows else text)
            continue
        option = None if "." in name or name[2:] in TOP_LEVEL else _find_option(verb, name)
        if option is not None and not option.value:
            if given:
                raise UserError(f"{option.name} takes no value, got {text:.60}")
            line.settings[option.name] = ""
            continue
        value = text if given else _next(rest, name)
        _store(line, option, name, value)
    if len(positional) > 1:
        raise UserError(
            f"{positional[1]}: a second recipe after {positional[0]}; merge it with --config {positional[1]}"
        )
    line.recipes[:0] = positional
    return line


def help_text(verb: Verb, summary: str, examples: Iterable[str]) -> str:
    """What `lightning-cv VERB --help` prints."""
    options = [option for option in OPTIONS if verb in option.verbs]
    heads = [f"{option.name} {option.value}".rstrip() for option in options]
    width = max(map(len, heads))
    lines = [f"  {head:<{width}}  {option.text}" for head, option in zip(heads, options, strict=True)]
    return "\n".join(
        [
            f"usage: lightning-cv {verb} [RECIPE] [options]",
            "",
            summary,
            "",
            "RECIPE is a file or the name of a shipped recipe (lightning-cv recipes lists them).",
            "",
            "options:",
            *lines,
            "",
            "Every option of Lightning's Trainer is a key of the recipe: --trainer.<option>=...; list them",
            "with --trainer.help. A VALUE is read as YAML; null switches off what the recipe states.",
            "",
            "examples:",
            *(f"  {example}" for example in examples),
        ]
    )


def _find_option(verb: Verb, name: str) -> Option:
    spelled = name.replace("_", "-")
    for option in OPTIONS:
        if option.name.replace("_", "-") == spelled:
            if verb not in option.verbs:
                raise UserError(f"{name} is an option of {', '.join(option.verbs)}, not of {verb}")
            return option
    known = [option.name for option in OPTIONS if verb in option.verbs and "." not in option.name]
    raise UserError(f"{name} is not an option of {verb}{hint(name, [*known, *(f'--{key}' for key in TOP_LEVEL)])}")


def _next(rest: list[str], name: str) -> str:
    if not rest or rest[0].startswith("--"):
        raise UserError(f"{name} needs a value: {name}=VALUE")
    return rest.pop(0)


def _store(line: Line, option: Option | None, name: str, value: str) -> None:
    if option is None:
        if not name.startswith("--"):
            raise UserError(f"{name} is not an option; overrides are written --KEY.PATH=VALUE")
        line.overrides.append((name[2:], value))
    elif option.name == "--config":
        line.recipes.append(value)
    elif option.name == "--allow-code":
        line.allow_code.append(value)
    elif option.path:
        line.overrides.append((option.path, value))
    else:
        line.settings[option.name] = value
