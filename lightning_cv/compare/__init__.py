"""The reading side: runs read back from their folders or from W&B, and set side by side. Loads no torch."""

from lightning_cv.compare.comparison import Comparison, compare
from lightning_cv.compare.find import find_places, read_runs
from lightning_cv.compare.run import Curve, Run
from lightning_cv.compare.table import Table, make_table

__all__ = ["Comparison", "Curve", "Run", "Table", "compare", "find_places", "make_table", "read_runs"]
