"""What numbers does the COCO evaluation report of detections?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from lightning_cv.metrics.detection.matching import match
from lightning_cv.metrics.detection.precision import average
from lightning_cv.metrics.detection.records import Floats, Found, Truth
from lightning_cv.metrics.detection.similarity import Similarity

Kind = Literal["box", "mask", "keypoint"]
ALL = (0.0, 1e10)
SMALL, MEDIUM, LARGE = (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10)


@dataclass(frozen=True)
class CocoEvaluation:
    """The evaluation of boxes and masks, or of keypoints, as pycocotools has it (rows 204, 205).

    Args:
        kind: what is compared; keypoints have no small objects, and 20 detections an image instead of 100.
        similarity: how.
        num_classes: labels are below it.
    """

    kind: Kind
    similarity: Similarity
    num_classes: int
    thresholds: ClassVar[Floats] = np.linspace(0.5, 0.95, 10)

    def __call__(self, found: Found, truth: Truth) -> dict[str, float | Floats]:
        """Scores by name; NaN where there is no object to find.

        `map` is the mean over classes with objects and over the ten thresholds; `map_50`, `map_75` at one;
        `map_small`, `map_medium`, `map_large` by the objects' area; `mar_<n>` the mean recall with the n best
        detections an image and class; `map_50_exact` the area under the curve as it is; `ap` (classes,) that of each.
        """
        sizes = {"medium": MEDIUM, "large": LARGE}
        if self.kind != "keypoint":
            sizes = {"small": SMALL, **sizes}
        limits = (20,) if self.kind == "keypoint" else (1, 10, 100)
        matches = match(
            found,
            truth,
            self.similarity,
            thresholds=self.thresholds,
            ranges=[ALL, *sizes.values()],
            max_detections=limits[-1],
            num_classes=self.num_classes,
        )
        averages = average(matches)
        scores: dict[str, float | Floats] = {
            "map": _mean(averages.precision[0]),
            "map_50": _mean(averages.precision[0, 0]),
            "map_75": _mean(averages.precision[0, 5]),
            "map_50_exact": _mean(averages.exact[0, 0]),
        }
        for number, size in enumerate(sizes, start=1):
            scores[f"map_{size}"] = _mean(averages.precision[number])
            scores[f"mar_{size}"] = _mean(averages.recall[number])
        for most in limits:
            recall = averages.recall if most == limits[-1] else average(matches, max_detections=most).recall
            scores[f"mar_{most}"] = _mean(recall[0])
        scores["ap"] = averages.precision[0].mean(0)
        return scores


def _mean(values: Floats) -> float:
    """Over what is known: classes without objects have no precision."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
