"""How long does COCO's evaluation of detections take beside the other programs for it?"""

import contextlib
import io
import statistics
import time
from typing import Any

import faster_coco_eval as faster
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.report import interleaved, median_ratio, print_table
from lightning_cv.metrics.detection import BoxIoU, CocoEvaluation, Found, Truth

NUM_IMAGES, NUM_DETECTIONS, NUM_CLASSES = 1_000, 30, 20
NUM_OBJECTS = 15
ROUNDS = 5


def problem() -> tuple[Found, Truth]:
    """Half of the detections lie near an object, with its class in four cases of five."""
    rng = np.random.default_rng(0)
    side = np.exp(rng.uniform(np.log(10), np.log(200), (NUM_IMAGES, NUM_OBJECTS, 2)))
    boxes = np.concatenate([rng.uniform(0, 400, side.shape), side], -1)
    labels = rng.integers(NUM_CLASSES, size=boxes.shape[:2])
    near = boxes + rng.normal(0, 0.1, boxes.shape) * side[..., [0, 1, 0, 1]]
    near[..., 2:] = near[..., 2:].clip(1)
    near_labels = np.where(rng.random(labels.shape) < 0.8, labels, rng.integers(NUM_CLASSES, size=labels.shape))
    others = NUM_DETECTIONS - NUM_OBJECTS
    far = rng.uniform(10, 300, (NUM_IMAGES, others, 4))
    far_labels = rng.integers(NUM_CLASSES, size=far.shape[:2])
    found = np.concatenate([near, far], 1).reshape(-1, 4)
    found_labels = np.concatenate([near_labels, far_labels], 1).reshape(-1)
    score = rng.random(len(found))
    image = np.repeat(np.arange(NUM_IMAGES), NUM_DETECTIONS)
    own = np.repeat(np.arange(NUM_IMAGES), NUM_OBJECTS)
    flat = boxes.reshape(-1, 4)
    none = np.zeros(len(flat), dtype=np.bool_)
    truth = Truth(own, labels.reshape(-1), flat[:, 2:].prod(1), none, none, flat)
    return Found(image, found_labels, score, found[:, 2:].prod(1), found), truth


def as_coco(found: Found, truth: Truth) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as an annotation file's contents and a list of results."""
    annotations = [
        {"id": n + 1, "image_id": int(i), "category_id": int(c), "area": float(a), "iscrowd": 0, "bbox": box.tolist()}
        for n, (i, c, a, box) in enumerate(zip(truth.image, truth.label, truth.area, truth.shape, strict=True))
    ]
    results = [
        {"image_id": int(i), "category_id": int(c), "score": float(s), "bbox": box.tolist()}
        for i, c, s, box in zip(found.image, found.label, found.score, found.shape, strict=True)
    ]
    images = [{"id": image, "height": 640, "width": 640} for image in range(NUM_IMAGES)]
    categories = [{"id": label, "name": str(label)} for label in range(NUM_CLASSES)]
    return {"images": images, "categories": categories, "annotations": annotations}, results


def main() -> None:
    """Print the table."""
    found, truth = problem()
    dataset, results = as_coco(found, truth)
    values: dict[str, float] = {}

    def ours() -> float:
        start = time.perf_counter()
        score = CocoEvaluation("box", BoxIoU(), NUM_CLASSES)(found, truth)["map"]
        elapsed = time.perf_counter() - start
        values["lightning_cv"] = float(np.asarray(score))
        return elapsed

    def theirs(name: str, index: Any, evaluation: Any) -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            coco = index()
            coco.dataset = dataset
            coco.createIndex()
            detections = coco.loadRes(results)
            start = time.perf_counter()
            evaluated = evaluation(coco, detections, "bbox")
            evaluated.evaluate()
            evaluated.accumulate()
            evaluated.summarize()
            elapsed = time.perf_counter() - start
        values[name] = float(evaluated.stats[0])
        return elapsed

    times = interleaved(
        {
            "lightning_cv": ours,
            "faster_coco_eval": lambda: theirs("faster_coco_eval", faster.COCO, faster.COCOeval_faster),
            "pycocotools": lambda: theirs("pycocotools", COCO, COCOeval),
        },
        rounds=ROUNDS,
    )
    rows = [
        [
            name,
            f"{statistics.median(taken):.2f} s",
            f"{median_ratio(taken, times['faster_coco_eval']):.2f}",
            f"{values[name]:.8f}",
        ]
        for name, taken in times.items()
    ]
    title = f"COCO mAP, {NUM_IMAGES:,} images × {NUM_DETECTIONS} detections × {NUM_CLASSES} classes"
    how = f"Median of {ROUNDS} interleaved rounds; reading the annotations is not counted."
    print_table(title, ["evaluation", "time", "of faster_coco_eval", "mAP"], rows, how=how)


if __name__ == "__main__":
    main()
