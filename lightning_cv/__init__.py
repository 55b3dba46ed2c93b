"""lightning_cv: experiments on computer-vision models with PyTorch Lightning, from recipes."""

__version__ = "0.1.0"
