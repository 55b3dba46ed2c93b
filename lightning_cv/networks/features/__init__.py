"""Networks that turn images into vectors in which samples are compared with real images; see `FeatureNetwork`."""

from lightning_cv.networks.features.inception import InceptionFeatures
from lightning_cv.networks.features.saved import SavedFeatures
from lightning_cv.networks.features.trained import TrainedFeatures

__all__ = ["InceptionFeatures", "SavedFeatures", "TrainedFeatures"]
