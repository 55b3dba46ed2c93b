"""How do predictions become a table that a person or another program reads?"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import distributed as dist

from lightning_cv.contracts import INDEX, PublishesInfo, Stage
from lightning_cv.tasks import VisionTask


def write_predictions(path: Path, batches: Sequence[Any], *, task: VisionTask, data: PublishesInfo) -> int:
    """Write one CSV row per image, in the order of the data, and return their number.

    `batches` is what `Trainer.predict` returned in this process; the parts of several processes are joined
    and process 0 writes. The first column, `sample`, is the file or the data set's name of the image.
    """
    rows: dict[int, dict[str, Any]] = {}
    for batch in batches:
        described = task.prediction_rows(batch["prediction"], data.info.class_names)
        for index, row in zip(batch[INDEX].tolist(), described, strict=True):
            rows[index] = {"sample": data.sample_name(Stage.PREDICT, index), **row}
    if dist.is_available() and dist.is_initialized():
        parts: list[dict[int, dict[str, Any]]] = [{} for _ in range(dist.get_world_size())]
        dist.all_gather_object(parts, rows)
        rows = {index: row for part in parts for index, row in part.items()}
        if dist.get_rank() != 0:
            return len(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        columns = list(next(iter(rows.values()), {"sample": ""}))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows[index] for index in sorted(rows))
    return len(rows)
