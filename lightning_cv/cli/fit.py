"""How is a recipe trained from the command line?"""

from collections.abc import Sequence

from lightning_cv.cli.folds import is_cross_validation, run_folds
from lightning_cv.cli.program import run_verb

SUMMARY = "Train the recipe: write a run folder with the resolved recipe, snapshots, curves and provenance."
EXAMPLES = (
    "lightning-cv fit digits_resnet --test",
    "lightning-cv fit digits_resnet --trainer.max_epochs=3 --model.init_args.optimizer.init_args.lr=0.01",
    "lightning-cv fit my_recipe.yaml --config faster.yaml --seed 7",
    "lightning-cv fit --resume runs/digits_resnet/<run id>",
    "lightning-cv fit digits_linear --folds 5",
)


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if is_cross_validation(arguments):
        return run_folds(arguments)
    return run_verb("fit", arguments, summary=SUMMARY, examples=EXAMPLES)
