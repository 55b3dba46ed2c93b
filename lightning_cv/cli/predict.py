"""How are predictions written from the command line?"""

from collections.abc import Sequence

from lightning_cv.cli.program import run_verb

SUMMARY = "Write what a checkpoint predicts. Without RECIPE: the recipe of the run that the checkpoint lies in."
EXAMPLES = (
    "lightning-cv predict runs/digits_resnet/<run id> --images photos/",
    "lightning-cv predict digits_resnet --ckpt best.ckpt",
)


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    return run_verb("predict", arguments, summary=SUMMARY, examples=EXAMPLES)
