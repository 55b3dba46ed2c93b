"""A recipe made into objects and run: the LightningCLI subclass, the run folder, loading a run back."""

from lightning_cv.run.load import load_task

__all__ = ["load_task"]
