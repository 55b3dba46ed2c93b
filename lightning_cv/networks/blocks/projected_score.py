"""How real does an image of a class look, by its features?"""

from torch import Tensor, nn

from lightning_cv.networks.blocks.class_embedding import ClassEmbedding


class ProjectedScore(nn.Module):
    """A score that is linear in features, with weights of each class beside those of all (Miyato and Koyama 2018).

    Args:
        num_features: D.
        num_classes: None: the weights of all alone.
    """

    def __init__(self, num_features: int, num_classes: int | None) -> None:
        super().__init__()
        self.head = nn.Linear(num_features, 1)
        self.classes = ClassEmbedding(num_classes, num_features)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """(B,) float32 of features (B, D)."""
        told = self.classes(labels)
        score: Tensor = self.head(features)[:, 0].float()
        return score if isinstance(told, float) else score + (features.float() * told).sum(1)
