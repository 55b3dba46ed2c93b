"""The restricted Boltzmann machine: an energy for each image, and a Markov chain that goes where it is low."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_cv.contracts import Density, Draws
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import Generative, check_at_least
from lightning_cv.ops.levels import from_levels, to_levels


class Rbm(Generative):
    """A Boltzmann machine whose units are in two layers (Smolensky 1986; Hinton 2002; row 236).

    p(v) = exp(-F(v)) / Z with the free energy F(v) = -b v - sum over j of softplus(c_j + W_j v): all hidden units are
    summed over, and Z, a sum over all images, nobody knows. Pixels are black or white, white from 1/2 on.

    The loss is F(image) - F(state of a chain), whose gradient is that of contrastive divergence: the chain starts at
    the image and makes `gibbs_steps` steps (CD-k, Hinton 2002); or, with `num_chains`, it goes on from where the batch
    before left it (persistent contrastive divergence, Tieleman 2008). Its value says little of how good the network is:
    runs are judged by the error of the reconstruction. In evaluation the chain starts at the image.

    Args:
        image: (C, H, W).
        num_hidden: hidden units.
        gibbs_steps: k, 1 or more.
        num_chains: that persist, as many as there are images in a batch or more; 0: they start at the images.
        sample_steps: of the chain that starts at noise and ends in a sample.
    """

    example_input = (1, 8, 8)
    density = Density.UNNORMALIZED
    chains: Tensor

    def __init__(
        self,
        image: tuple[int, int, int] = (1, 8, 8),
        *,
        num_hidden: int = 256,
        gibbs_steps: int = 1,
        num_chains: int = 0,
        sample_steps: int = 200,
    ) -> None:
        super().__init__(image, levels=2, num_classes=None)
        check_at_least("num_hidden", num_hidden, 1)
        check_at_least("gibbs_steps", gibbs_steps, 1)
        check_at_least("num_chains", num_chains, 0)
        check_at_least("sample_steps", sample_steps, 1)
        self.gibbs_steps = gibbs_steps
        self.sample_steps = sample_steps
        self.weight = nn.Parameter(0.01 * torch.randn(num_hidden, self.num_values))
        self.hidden_bias = nn.Parameter(torch.zeros(num_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(self.num_values))
        # Whole numbers: averages of weights copy them, and are not averages of black and white.
        self.register_buffer("chains", torch.randint(2, (num_chains, self.num_values), dtype=torch.uint8))

    def free_energy(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B,) float32, -log p(x) - log Z in nats of images (B, C, H, W) in [0, 1]."""
        return self._free_energy(self._visible(images))

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> dict[str, Tensor]:
        """`free_energy_gap` (B,) in nats, above 0 where the network likes its own images more than the data."""
        visible = self._visible(images)
        start = self._persistent(len(visible)) if self._persists else visible
        end = self._walk(start, draws, self.gibbs_steps)
        if self._persists:
            with torch.no_grad():  # those that have moved go to the end of the queue
                self.chains.copy_(torch.cat([self.chains[len(end) :], end.byte()]))
        return {"free_energy_gap": self._free_energy(visible) - self._free_energy(end)}

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W), 0 or 1: states of chains that started at noise."""
        start = (draws.uniform(self.num_values) < 0.5).float()
        return self._walk(start, draws, self.sample_steps).view(-1, *self.image)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1]: the mean image of the mean hidden units."""
        hidden = self._activation(self._visible(images)).sigmoid()
        return self._linear(hidden, self.weight.t(), self.visible_bias).sigmoid().view(-1, *self.image)

    @property
    def _persists(self) -> bool:
        return self.training and len(self.chains) > 0

    def _persistent(self, count: int) -> Tensor:
        if count > len(self.chains):
            raise UserError(
                f"network: num_chains is {len(self.chains)}; allowed: 0, or at least the batch size, {count}"
            )
        return self.chains[:count].float()

    @torch.no_grad()
    def _walk(self, visible: Tensor, draws: Draws, steps: int) -> Tensor:
        """Gibbs sampling: all hidden units, then all visible ones; (B, D) of 0 and 1."""
        for _ in range(steps):
            hidden = (draws.uniform(len(self.hidden_bias)) < self._activation(visible).sigmoid()).float()
            white = self._linear(hidden, self.weight.t(), self.visible_bias).sigmoid()
            visible = (draws.uniform(self.num_values) < white).float()
        return visible

    def _visible(self, images: Tensor) -> Tensor:
        """(B, D) of 0 and 1."""
        return from_levels(to_levels(images, 2), 2).flatten(1)

    def _free_energy(self, visible: Tensor) -> Tensor:
        return -visible @ self.visible_bias - F.softplus(self._activation(visible)).sum(1)

    def _activation(self, visible: Tensor) -> Tensor:
        return self._linear(visible, self.weight, self.hidden_bias)

    def _linear(self, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """In float32 whatever the precision: energies are large, and it is their difference that counts."""
        with torch.autocast(inputs.device.type, enabled=False):
            return F.linear(inputs, weight, bias)
