"""Which class have the training images that look most like this one?"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lightning_cv.contracts import LABEL, Batches
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.fitted import Fitted, features_of
from lightning_cv.networks.classical.pixels import Pixels


class NearestNeighbors(Fitted):
    """k nearest neighbours: remembers all training images, and lets the nearest ones vote (row 12; Cover, Hart 1967).

    The scores are `sharpness` x log of the smoothed share of votes, ((votes + 1/C) / (k + 1)); the class with most
    votes has the highest, of equal ones the nearest neighbour's. `sharpness` is all that is trained: it makes
    probabilities of votes and changes no prediction. In training the nearest neighbour of an image, itself, has no
    vote. Time and memory grow with the number of training images.

    Args:
        num_classes: number of classes.
        features: images (B, C, H, W) to the vectors (B, num_features) that are compared, by their Euclidean distance;
            not trained. None: the pixels.
        k: how many neighbours vote, 1 or more.

    Raises:
        UserError: k below 1, or more neighbours than training images.
    """

    example_input: ClassVar[tuple[int, int, int]] = (1, 8, 8)
    memory: Tensor
    labels: Tensor

    def __init__(self, num_classes: int = 10, *, features: nn.Module | None = None, k: int = 5) -> None:
        super().__init__()
        if k < 1:
            raise UserError(f"NearestNeighbors: k is {k}; allowed: 1 or more")
        self.features = (features or Pixels()).requires_grad_(False)
        self.num_classes = num_classes
        self.k = k
        self.sharpness = nn.Parameter(torch.ones(()))
        self.declare("memory")
        self.declare("labels", dtype=torch.int64)

    def fit_images(self, batches: Batches) -> None:
        """Remember the features and labels of all training images."""
        memory = features_of(self.features, batches)
        labels = torch.cat([batch[LABEL] for batch in batches()])
        if labels.ndim != 1:
            raise UserError("NearestNeighbors: images have several labels each; allowed: one class an image")
        if self.k >= len(memory):
            raise UserError(f"NearestNeighbors: k is {self.k}; allowed: below {len(memory)}, the training images")
        self.find("memory", memory)
        self.find("labels", labels)

    def get_classifier(self) -> nn.Module:
        """No layer: the head of a network whose features are compared is not this one's."""
        return nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to class scores (B, num_classes)."""
        self.check_found(self.memory)
        distances = torch.cdist(self.features(images).to(self.memory.dtype), self.memory)
        itself = 1 if self.training else 0
        nearest = distances.topk(self.k + itself, dim=1, largest=False).indices[:, itself:]
        classes = self.labels[nearest]
        votes = torch.zeros(len(images), self.num_classes, device=images.device, dtype=images.dtype)
        votes.scatter_add_(1, classes, torch.ones_like(classes, dtype=images.dtype))
        # Less than any vote, so that it decides between equal ones only.
        votes.scatter_add_(1, classes[:, :1], torch.full_like(votes[:, :1], 1e-3))
        shares = (votes + 1 / self.num_classes) / (self.k + 1)
        return self.sharpness * shares.log()

    def train(self, mode: bool = True) -> Any:
        """Switch to training; the features always work as they do in evaluation."""
        super().train(mode)
        self.features.eval()
        return self
