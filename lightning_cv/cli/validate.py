"""How is a checkpoint scored on the validation split from the command line?"""

from collections.abc import Sequence

from lightning_cv.cli.program import run_verb

SUMMARY = "Score a checkpoint on the validation split. Without RECIPE: the recipe of the checkpoint's run."
EXAMPLES = (
    "lightning-cv validate --ckpt runs/digits_resnet/<run id>",
    "lightning-cv validate digits_resnet --ckpt best.ckpt --data.init_args.batch_size=512",
)


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    return run_verb("validate", arguments, summary=SUMMARY, examples=EXAMPLES)
