"""How does a study look? Pictures of its trials; matplotlib is loaded where one is drawn."""

from lightning_cv.sweep.report.pictures.write import draw

__all__ = ["draw"]
