"""The generative stochastic network: a chain that corrupts an image and restores it goes through likely images."""

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Density, Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.class_embedding import ClassEmbedding
from lightning_cv.networks.generate.base import Generative, check_at_least
from lightning_cv.ops.levels import from_levels, log_prob_of, pick, to_levels


class Gsn(Generative):
    """GSN (Bengio et al. 2014), the chain of a denoising autoencoder (row 237).

    An image is corrupted by salt and pepper, and an MLP learns the distribution of the image given what is left: of
    each value by itself, a softmax over its levels. Who corrupts, draws, corrupts again and so on follows a Markov
    chain whose stationary distribution is that of the data, if the distributions that were learned are right (theorem
    1); nobody writes it down. Training by walkback (Bengio et al. 2013, Generalized denoising auto-encoders, algorithm
    1) follows the chain away from each image for some steps, and wants it back from each of them: so no wrong modes are
    left. Here the state of the chain is the image alone, without hidden units that last.

    Args:
        image: (C, H, W).
        levels: values that a pixel can take.
        num_classes: see `Generative`; the class adds to each hidden layer.
        widths: units of each hidden layer.
        corruption: probability of each value to become black or white, above 0 and up to 1.
        walkback_steps: of the chain in training, 1 or more; 1: plain denoising.
        sample_steps: of the chain that starts at noise and ends in a sample.
    """

    example_input = (1, 8, 8)
    density = Density.IMPLICIT
    levels: int

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        levels: int = 17,
        num_classes: int | None = None,
        widths: tuple[int, ...] = (512, 512),
        corruption: float = 0.4,
        walkback_steps: int = 3,
        sample_steps: int = 50,
    ) -> None:
        super().__init__(image, levels=levels, num_classes=num_classes)
        if not widths or min(widths) < 1:
            raise UserError(f"network: widths is {list(widths)}; allowed: one or more, each 1 or more")
        if not 0 < corruption <= 1:
            raise UserError(f"network: corruption is {corruption}; allowed: above 0, at most 1")
        check_at_least("walkback_steps", walkback_steps, 1)
        check_at_least("sample_steps", sample_steps, 1)
        self.corruption = corruption
        self.walkback_steps = walkback_steps
        self.sample_steps = sample_steps
        sizes = (self.num_values, *widths)
        self.layers = nn.ModuleList(nn.Linear(before, width) for before, width in zip(sizes, widths, strict=False))
        self.classes = nn.ModuleList(ClassEmbedding(num_classes, width) for width in widths)
        self.head = nn.Linear(widths[-1], levels * self.num_values)
        nn.init.zeros_(self.head.weight)

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> dict[str, Tensor]:
        """`reconstruction` (B,) in nats: -log p(image | corrupted), its mean over the steps of the walk."""
        values = to_levels(images, self.levels)
        state, nats = values, []
        for _ in range(self.walkback_steps):
            scores = self.scores(self.corrupted(state, draws), labels)
            nats.append(-log_prob_of(scores, values))
            state = self._drawn(scores, draws)
        return {"reconstruction": torch.stack(nats).mean(0)}

    @torch.no_grad()
    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1]: states of chains that started at noise."""
        state = (draws.uniform(*self.image) * self.levels).long()
        for _ in range(self.sample_steps):
            state = self.step(state, labels, draws)
        return from_levels(state, self.levels)

    @torch.no_grad()
    def step(self, values: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """The state (B, C, H, W) int64 of the chain after this one: corrupt, and draw what it may have been."""
        return self._drawn(self.scores(self.corrupted(values, draws), labels), draws)

    def corrupted(self, values: Tensor, draws: Draws) -> Tensor:
        """Values (B, C, H, W) int64 of which some are black or white, by chance."""
        change, white = draws.uniform(2, *self.image).unbind(1)
        noise = (white < 0.5).long() * (self.levels - 1)
        return torch.where(change < self.corruption, noise, values)

    def scores(self, corrupted: Tensor, labels: Tensor | None = None) -> Tensor:
        """Scores (B, L, C, H, W) of what each value was, of corrupted ones (B, C, H, W) int64."""
        hidden = 2 * from_levels(corrupted, self.levels).flatten(1) - 1
        for layer, classes in zip(self.layers, self.classes, strict=True):
            hidden = (layer(hidden) + classes(labels)).relu()
        scores: Tensor = self.head(hidden)
        return scores.view(len(corrupted), self.levels, *self.image)

    def _drawn(self, scores: Tensor, draws: Draws) -> Tensor:
        return pick(scores.detach().movedim(1, -1), draws.uniform(*self.image))
