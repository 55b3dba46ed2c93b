"""What is the file called that is written for an image?"""

from pathlib import Path

from lightning_cv.contracts import Stage
from lightning_cv.data import VisionData

MAX_PICTURES = 200  # that a person will look at


def prediction_names(data: VisionData) -> list[str]:
    """A name for each image that is predicted, without a suffix: that of its file, with its number where two are alike.

    The same in every process.
    """
    used: set[str] = set()
    names = []
    for index in range(len(data.split(Stage.PREDICT))):
        stem = Path(data.sample_name(Stage.PREDICT, index)).stem.replace("#", "").replace(" ", "_")
        name = stem if stem not in used else f"{stem}-{index}"
        used.add(name)
        names.append(name)
    return names
