"""What stood before learned features: fixed features of an image, and classifiers that fit the training images."""

from lightning_cv.networks.classical.bag_of_words import BagOfVisualWords
from lightning_cv.networks.classical.color_histogram import ColorHistogram
from lightning_cv.networks.classical.hog import Hog
from lightning_cv.networks.classical.learned_features import LearnedFeatures
from lightning_cv.networks.classical.nearest_neighbors import NearestNeighbors
from lightning_cv.networks.classical.on_features import LinearOnFeatures
from lightning_cv.networks.classical.pixels import Pixels

__all__ = [
    "BagOfVisualWords",
    "ColorHistogram",
    "Hog",
    "LearnedFeatures",
    "LinearOnFeatures",
    "NearestNeighbors",
    "Pixels",
]
