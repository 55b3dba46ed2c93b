"""How do images and numbers become pictures that a person reads? Files are written elsewhere."""

from lightning_cv.pictures.confusions import confusions_picture
from lightning_cv.pictures.grid import BAD, GOOD, Caption, Tile, grid_picture
from lightning_cv.pictures.show import show_images
from lightning_cv.pictures.text import readable_names

__all__ = [
    "BAD",
    "GOOD",
    "Caption",
    "Tile",
    "confusions_picture",
    "grid_picture",
    "readable_names",
    "show_images",
]
