"""Which verb was asked for, and how does a user's mistake become one line?

Nothing heavy is loaded here: the verb's module is imported when the verb is known, and it loads torch when
a run starts.
"""

import importlib
import os
import select
import sys
from collections.abc import Sequence

from lightning_cv import __version__
from lightning_cv.errors import BUG, Preempted, UserError

# verb: (module that holds `run(arguments) -> exit status`, one line)
VERBS = {
    "fit": ("lightning_cv.cli.fit", "train a recipe"),
    "validate": ("lightning_cv.cli.validate", "score a checkpoint on the validation split"),
    "test": ("lightning_cv.cli.test", "score a checkpoint on the test split"),
    "predict": ("lightning_cv.cli.predict", "write what a checkpoint predicts"),
    "sample": ("lightning_cv.cli.sample", "draw new images from a run of a generative network, or edit images"),
    "export": ("lightning_cv.cli.export", "write a trained diffusion as a folder that diffusers loads"),
    "inspect": ("lightning_cv.cli.inspect", "show what a recipe's network costs, layer by layer"),
    "compare": ("lightning_cv.cli.compare", "set runs side by side: settings, scores, costs, curves"),
    "sweep": ("lightning_cv.cli.sweep", "search hyperparameters over a recipe, and go on from what was found"),
    "submit": ("lightning_cv.cli.submit", "hand a recipe or a sweep to a cluster"),
    "jobs": ("lightning_cv.cli.jobs", "show what was submitted: where it runs, its last line, its best score"),
    "sync": ("lightning_cv.cli.sync", "send runs that were recorded offline to W&B"),
    "doctor": ("lightning_cv.cli.doctor", "look at this machine: what is wrong, and how to mend it"),
    "recipes": ("lightning_cv.cli.recipes", "list the shipped recipes, show one, copy one"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status.

    A user's mistake is one line on stderr; `--traceback` anywhere on the line also shows where it arose. The
    exit statuses are those of `lightning_cv.errors`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with_traceback = "--traceback" in arguments
    try:
        status = _dispatch([argument for argument in arguments if argument != "--traceback"])
        sys.stdout.flush()
    except UserError as error:
        if with_traceback:
            import traceback

            traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except Preempted as stopped:
        print(f"stopped: {stopped}", file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return 0
    except Exception as error:
        import traceback

        traceback.print_exc()
        print(f"bug: {type(error).__name__}: {error}; please report it with the lines above", file=sys.stderr)
        return BUG
    return status


def _dispatch(arguments: list[str]) -> int:
    verb, *rest = arguments or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if verb == "--version":
        print(f"lightning-cv {__version__}")
        return 0
    if verb not in VERBS:
        from lightning_cv.recipe.suggest import hint

        raise UserError(f"{verb} is not a verb of lightning-cv{hint(verb, VERBS)}")
    module = importlib.import_module(VERBS[verb][0])
    status: int = module.run(rest)
    return status


def help_text() -> str:
    """What `lightning-cv --help` prints."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {summary}" for verb, (_, summary) in VERBS.items())
    return f"""\
usage: lightning-cv VERB [...]

{verbs}

lightning-cv VERB --help tells more; --version; --traceback shows where an error arose.

exit status: 0 done, 2 mistake in the recipe or command, 3 data missing or damaged, 4 the loss diverged,
5 memory or disk ran out or doctor found something broken, 70 a bug,
75 stopped by a signal with a snapshot (the same run can go on)

examples:
  lightning-cv fit digits_resnet
  lightning-cv fit --resume last
  lightning-cv sweep digits_lr_decay --workers 2
  lightning-cv submit digits_resnet --seeds 5 --dry-run
  lightning-cv recipes copy digits_resnet my_recipe.yaml"""


def _reader_has_left() -> bool:
    """Whether the pipe that stdout writes to is closed, as by `| head`; if so, nothing more is written."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
