"""How does a user see what the network of a recipe costs, without training it?"""

import importlib
from collections.abc import Sequence
from pathlib import Path

from lightning_cv.cli.program import run_verb

SUMMARY = """\
Show the network of a recipe layer by layer: what each gives for one image, its parameters, its multiply-adds
(a FLOP counter gives twice as many) and the memory of its output; and how much of the image a feature map sees.
With --dataset, or for a folder (COCO, Pascal VOC, YOLO, class folders) in place of a recipe: what the data hold,
what is wrong with them by file and line, and a picture of some images with their objects."""
EXAMPLES = (
    "lightning-cv inspect digits_resnet",
    "lightning-cv inspect imagenet_resnet50 --image 3,224,224",
    "lightning-cv inspect scenes_fasterrcnn --dataset",
    "lightning-cv inspect path/to/coco",
)


def run(arguments: Sequence[str]) -> int:
    """Run the verb on the rest of its command line; returns the exit status."""
    if len(arguments) == 1 and (Path(arguments[0]).is_dir() or Path(arguments[0]).name == "data.yaml"):
        runner = importlib.import_module("lightning_cv.run.data_report")  # loads torch
        return int(runner.inspect_folder(arguments[0]))
    return run_verb("inspect", arguments, summary=SUMMARY, examples=EXAMPLES)
