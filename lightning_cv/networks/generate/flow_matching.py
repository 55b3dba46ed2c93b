"""How is a distribution of images learned as a flow along straight lines from noise?"""

from collections.abc import Iterator, Mapping
from typing import Literal

from torch import Tensor, nn

from lightning_cv.contracts import Density, Draws, Sampling
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import check_labels
from lightning_cv.networks.generate.denoise_unet import UNet
from lightning_cv.networks.generate.in_steps import InSteps

Times = Literal["uniform", "logit_normal"]


class FlowMatching(InSteps):
    """Flow matching (Lipman et al. 2023) along the straight lines of rectified flow (Liu et al. 2023).

    At time t in [0, 1], 1 the noisiest, an image is x_t = (1 - t) x + t z with z from N(0, 1); the denoiser learns the
    velocity z - x, and samples follow dx/dt from 1 to 0. Nothing is drawn on the way. The loss is a mean over the
    values of an image.

    Args:
        denoiser: see `InSteps`; hears 1000 t; None: a small `UNet`.
        times: of which it is trained: uniform, or logit_normal, the logistic function of N(0, 1), more of the middle
            (Esser et al. 2024, section 3.1).
        class_dropout: see `InSteps`.
        sampling: euler, or heun, of second order and twice as expensive; None: euler in 50 steps.
    """

    density = Density.IMPLICIT

    def __init__(
        self,
        denoiser: nn.Module | None = None,
        *,
        times: Times = "logit_normal",
        class_dropout: float = 0.1,
        sampling: Sampling | None = None,
    ) -> None:
        if times not in ("uniform", "logit_normal"):
            raise UserError(f"network: times is {times}; allowed: uniform, logit_normal")
        super().__init__(
            denoiser or UNet(),
            levels=None,
            class_dropout=class_dropout,
            sampling=sampling or Sampling("euler", 50),
            samplers=("euler", "heun"),
            most_steps=None,
        )
        self.times = times

    def loss_of(self, values: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """`velocity` (B,), the squared error at one random time of each image; see `InSteps`."""
        labels = self.labels_for_training(labels, draws)
        times = draws.uniform() if self.times == "uniform" else draws.normal().sigmoid()
        noise = draws.normal(*self.image)
        share = times[:, None, None, None]
        velocity = self.denoiser((1 - share) * values + share * noise, 1000 * times, labels).float()
        return {"velocity": (velocity - (noise - values)).square().flatten(1).mean(1)}

    def states(self, noise: Tensor, labels: Tensor | None, draws: Draws | None, sampling: Sampling) -> Iterator[Tensor]:
        """See `InSteps`."""
        check_labels(labels, self.num_classes)
        x = noise
        yield x
        for left in range(sampling.steps, 0, -1):
            now, then = left / sampling.steps, (left - 1) / sampling.steps
            velocity = self.ask(x, 1000 * now, labels, sampling.guidance)
            reached = x.add(velocity, alpha=then - now)
            if sampling.sampler == "heun":
                there = self.ask(reached, 1000 * then, labels, sampling.guidance)
                reached = x.add(velocity + there, alpha=(then - now) / 2)
            x = reached
            yield x

    def without_draws(self) -> Sampling:
        """`sampling`: nothing is drawn on the way."""
        return self.sampling
