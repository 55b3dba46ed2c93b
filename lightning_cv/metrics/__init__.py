"""Metrics that are exact over ragged batches and devices, and whose updates do not wait for the device."""

from lightning_cv.metrics.classification import classification_metrics, confusion_matrix
from lightning_cv.metrics.mean import DatasetMean

__all__ = ["DatasetMean", "classification_metrics", "confusion_matrix"]
