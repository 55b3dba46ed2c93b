"""What do the networks share that make an image of noise in steps, asking a denoiser at each?"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from lightning_cv.contracts import Denoiser, Draws, Sampling
from lightning_cv.errors import UserError
from lightning_cv.networks.generate.base import Generative, check_labels
from lightning_cv.ops.levels import from_levels, to_levels


class InSteps(Generative):
    """A distribution that a denoiser knows: see `lightning_cv.contracts.Denoiser`, and `SamplesInSteps`.

    An author writes `loss_of` and `states`, of values that are centred and of about unit variance: those of an image,
    -1 black and 1 white, or latent ones of another network, which takes `loss_of`, `draw` and `draw_from` directly.
    Where the denoiser takes a class, it also learns images without one, so that samples can be guided (Ho and Salimans
    2022): in training, classes are left out by chance.

    Args:
        denoiser: gives `image` and `num_classes`.
        levels: see `Generative`; samples are rounded to them.
        class_dropout: share of the images of a training step whose class is left out, in [0, 1]; no matter without
            classes.
        sampling: how samples are drawn.
        samplers: methods that can be asked for.
        most_steps: that these can make; None: any number.

    Attributes:
        num_latents: C x H x W, of the noise that samples start from.
    """

    example_input = (1, 8, 8)

    def __init__(
        self,
        denoiser: nn.Module,
        *,
        levels: int | None,
        class_dropout: float,
        sampling: Sampling,
        samplers: tuple[str, ...],
        most_steps: int | None,
    ) -> None:
        for name in ("image", "num_classes"):
            if not hasattr(denoiser, name):
                raise UserError(
                    f"network: denoiser {type(denoiser).__name__} has no {name}; allowed: a denoiser such as "
                    "lightning_cv.networks.generate.UNet"
                )
        if not 0 <= class_dropout <= 1:
            raise UserError(f"network: class_dropout is {class_dropout}; allowed: 0 to 1")
        known = cast(Denoiser, denoiser)
        super().__init__(known.image, levels=levels, num_classes=known.num_classes)
        self.denoiser = denoiser
        self.class_dropout = class_dropout
        self.samplers = samplers
        self.most_steps = most_steps
        self.num_latents = self.num_values
        self.check_sampling(sampling)
        self.sampling = sampling

    # What an author writes.

    @abstractmethod
    def loss_of(self, values: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """Named losses (B,) of values (B, C, H, W), centred and of about unit variance; labels as in `loss_terms`."""

    @abstractmethod
    def states(self, noise: Tensor, labels: Tensor | None, draws: Draws | None, sampling: Sampling) -> Iterator[Tensor]:
        """The values on their way: the noise (B, C, H, W), and what comes of it after each step.

        Args:
            noise: (B, C, H, W) float32 from N(0, 1).
            labels: (B,) int64 where the denoiser takes a class.
            draws: None: only where the method takes no fresh noise.
            sampling: the method.
        """

    @abstractmethod
    def without_draws(self) -> Sampling:
        """`sampling`, or what is nearest to it that takes no fresh noise."""

    # Values.

    @torch.no_grad()
    def draw(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New values (B, C, H, W) float32."""
        return _last(self.states(draws.normal(*self.image), labels, draws, self.sampling))

    @torch.no_grad()
    def draw_from(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The values (B, C, H, W) float32 that noise (B, C H W) leads to without any chance."""
        return _last(self.states(latents.float().unflatten(1, self.image), labels, None, self.without_draws()))

    @torch.no_grad()
    def draw_frames(self, draws: Draws, labels: Tensor | None = None, *, num_frames: int) -> Tensor:
        """(F, B, C, H, W) float32 values on their way, evenly over the steps, at most `num_frames`; the last `draw`."""
        if num_frames < 1:
            raise UserError(f"num_frames is {num_frames}; allowed: 1 or more")
        states = list(self.states(draws.normal(*self.image), labels, draws, self.sampling))
        number = min(num_frames, len(states))
        places = [len(states) - 1 - (len(states) - 1) * back // max(number - 1, 1) for back in range(number)]
        return torch.stack([states[place] for place in reversed(places)])

    # Images.

    def loss_terms(self, images: Tensor, labels: Tensor | None, draws: Draws) -> Mapping[str, Tensor]:
        """See `loss_of`: means over the values of an image, since they bound no likelihood."""
        return self.loss_of(2 * images.float() - 1, labels, draws)

    def sample(self, draws: Draws, labels: Tensor | None = None) -> Tensor:
        """New images (B, C, H, W) in [0, 1], by the method of `sampling`."""
        return self._finished(self.draw(draws, labels))

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images (B, C, H, W) in [0, 1] that noise (B, C H W) leads to without any chance."""
        return _images(self.draw_from(latents, labels))

    def trajectory(self, draws: Draws, labels: Tensor | None = None, *, num_frames: int) -> Tensor:
        """(F, B, C, H, W) in [0, 1], the last one that of `sample`; see `SamplesInSteps`."""
        frames = self.draw_frames(draws, labels, num_frames=num_frames)
        return torch.cat([_images(frames[:-1]), self._finished(frames[-1:])])

    def check_sampling(self, sampling: Sampling) -> None:
        """See `SamplesInSteps`."""
        name = type(self).__name__
        if sampling.sampler not in self.samplers:
            raise UserError(f"sampler is {sampling.sampler}; allowed of {name}: {', '.join(self.samplers)}")
        if sampling.steps < 1 or (self.most_steps is not None and sampling.steps > self.most_steps):
            allowed = (
                "1 or more" if self.most_steps is None else f"1 to {self.most_steps}, as many as it was trained in"
            )
            raise UserError(f"steps is {sampling.steps}; allowed of this {name}: {allowed}")
        if not 0 <= sampling.guidance < float("inf"):
            raise UserError(f"guidance is {sampling.guidance}; allowed: 0 or more")
        if sampling.guidance != 1 and self.num_classes is None:
            raise UserError(f"guidance is {sampling.guidance}; allowed: 1, since the network takes no class")

    # What authors use.

    def labels_for_training(self, labels: Tensor | None, draws: Draws) -> Tensor | None:
        """Labels as the denoiser takes them, in training some of them left out.

        Raises:
            UserError: labels are missing, or given in vain.
        """
        check_labels(labels, self.num_classes)
        if labels is None or not (self.training and self.class_dropout):
            return labels
        return labels.masked_fill(draws.uniform() < self.class_dropout, self.num_classes or 0)

    def ask(self, noisy: Tensor, time: float, labels: Tensor | None, guidance: float) -> Tensor:
        """The denoiser's answer (B, C, H, W) float32, none + w (class - none): in one call of 2 B images.

        Args:
            noisy: (B, C, H, W) float32.
            time: of all, in [0, 1000].
            labels: (B,) int64 where the denoiser takes a class.
            guidance: w.
        """
        if labels is None or guidance == 1:
            return self._answer(noisy, time, labels)
        none = torch.full_like(labels, self.num_classes or 0)
        if guidance == 0:
            return self._answer(noisy, time, none)
        both = self._answer(noisy.repeat(2, 1, 1, 1), time, torch.cat([none, labels]))
        without, with_class = both.chunk(2)
        return torch.lerp(without, with_class, guidance)

    def _answer(self, noisy: Tensor, time: float, labels: Tensor | None) -> Tensor:
        times = torch.full((len(noisy),), time, device=noisy.device)
        answer: Tensor = self.denoiser(noisy, times, labels)
        return answer.float()

    def _finished(self, values: Tensor) -> Tensor:
        images = _images(values)
        return images if self.levels is None else from_levels(to_levels(images, self.levels), self.levels)


def _images(values: Tensor) -> Tensor:
    """In [0, 1], of values where -1 is black and 1 white."""
    return ((values + 1) / 2).clamp(0, 1)


def _last(states: Iterator[Tensor]) -> Tensor:
    state = next(states)
    for state in states:  # noqa: B007 - the last one is wanted
        pass
    return state
