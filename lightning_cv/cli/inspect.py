"""How does a user see what the network of a recipe costs, without training it?"""

from collections.abc import Sequence

from lightning_cv.cli.program import run_verb

SUMMARY = """\
Show the network of a recipe layer by layer: what each gives for one image, its parameters, its multiply-adds
(a FLOP counter gives twice as many) and the memory of its output; and how much of the image a feature map sees.
With --dataset: what its data hold, what is wrong with them, and a picture of some images with their objects."""
EXAMPLES = (
    "lightning-cv inspect digits_resnet",
    "lightning-cv inspect imagenet_resnet50 --image 3,224,224",
    "lightning-cv inspect scenes_fasterrcnn --dataset",
)


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    return run_verb("inspect", arguments, summary=SUMMARY, examples=EXAMPLES)
