"""How is a checkpoint scored on the test split from the command line?"""

from collections.abc import Sequence

from lightning_cv.cli.program import run_verb

SUMMARY = "Score a checkpoint on the test split. Without RECIPE: the recipe of the run that the checkpoint lies in."
EXAMPLES = (
    "lightning-cv test --ckpt runs/digits_resnet/<run id>",
    "lightning-cv test digits_resnet --ckpt best.ckpt",
)


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    return run_verb("test", arguments, summary=SUMMARY, examples=EXAMPLES)
