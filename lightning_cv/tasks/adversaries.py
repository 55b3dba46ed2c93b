"""How do two networks train against each other, each with its own optimizer, in one training?"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_cv.contracts import INDEX, Batch, DataInfo, Draws, StepOutput
from lightning_cv.errors import UserError
from lightning_cv.networks import Initialize
from lightning_cv.ops.counter_random import sample_keys
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.optim import RateScaling, Schedule, build_optimizer
from lightning_cv.tasks.base import OptimizerBuilder, VisionTask
from lightning_cv.tasks.curves import SparseCurves
from lightning_cv.tasks.idle_hooks import remember_signature
from lightning_cv.tasks.pixel_scale import PixelScale
from lightning_cv.tasks.rates import configure_schedule, scale_to_batch
from lightning_cv.tasks.turns import (
    average_gradients,
    check_turns_of_trainer,
    frozen,
    shares_of,
    without_reduction,
)

Player = Literal["generator", "discriminator"]
_STREAM = 0x6A09E667  # so that no player draws what the augmentation of data draws


class Adversaries(VisionTask):
    """Two networks that train by turns: a generator, which is the network of the task, and its discriminator.

    An author writes `discriminator_step`, `generator_step` and `step`. One step of the training (as `max_steps`,
    schedules, snapshots, curves and averaged weights count them) is one of the discriminator, on one batch, or on
    `accumulate` batches; an epoch's last step takes what is left. Behind every `discriminator_steps`-th of them,
    counted over the whole training, the generator steps once, on as many images as that batch has; its schedule counts
    its own steps, over as many as it will make.

    A turn changes the parameters of its own player alone, and leaves no gradient behind. Running statistics of batch
    norms follow whatever passes through them: the generator's those of both turns, the discriminator's those of real
    and generated batches alike. Each image has draws of its own, by its index and the step, so that they depend neither
    on the number of devices nor on a resume. Devices average the gradients of a turn themselves: what
    `DistributedDataParallel` waits for are those of all parameters at once.

    The Trainer's own `gradient_clip_val` and `accumulate_grad_batches` are refused; those here take their place.

    Args:
        network: the generator; `Ema` averages it alone.
        discriminator: what judges it.
        optimizer: builds the generator's optimizer from parameter groups.
        discriminator_optimizer: builds the discriminator's; None: as the generator's.
        discriminator_steps: for each of the generator, 1 or more.
        accumulate: batches of one step, 1 or more; where no network looks across a batch, the same as a large one.
        gradient_clip: largest norm of the gradients of a step, of each player by itself, above 0; None: any.
        schedule: see `VisionTask`; both players follow it. One that watches a metric is refused.
        lr_scaling: see `VisionTask`.
        decay_norm_and_bias: see `VisionTask`.
        init: see `VisionTask`; of both.
    """

    player_names: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    sparse_losses: ClassVar[dict[str, str]] = {}  # of curves that not every turn has, see `SparseCurves`

    def __init__(
        self,
        network: nn.Module,
        discriminator: nn.Module,
        optimizer: OptimizerBuilder,
        discriminator_optimizer: OptimizerBuilder | None = None,
        *,
        discriminator_steps: int = 1,
        accumulate: int = 1,
        gradient_clip: float | None = None,
        schedule: Schedule | None = None,
        lr_scaling: RateScaling | None = None,
        decay_norm_and_bias: bool = False,
        init: Initialize | None = None,
    ) -> None:
        for name, value in (("discriminator_steps", discriminator_steps), ("accumulate", accumulate)):
            if value < 1:
                raise UserError(f"model.init_args.{name}: {value} given; allowed: 1 or more")
        if gradient_clip is not None and not gradient_clip > 0:
            raise UserError(f"model.init_args.gradient_clip: {gradient_clip} given; allowed: above 0, or null")
        super().__init__(
            network,
            optimizer,
            schedule=schedule,
            lr_scaling=lr_scaling,
            decay_norm_and_bias=decay_norm_and_bias,
            init=init,
        )
        if init is not None:
            init(discriminator)
        self.loss_is_zero_where_won = True
        self.automatic_optimization = False  # Lightning's word for one optimizer
        self.discriminator = discriminator
        self.discriminator_steps = discriminator_steps
        self.accumulate = accumulate
        self.gradient_clip = gradient_clip
        self._build_discriminator_optimizer = discriminator_optimizer or optimizer
        self._curves: SparseCurves = SparseCurves(
            {**{player: f"{player}_loss" for player in self.player_names}, **self.sparse_losses}
        )
        self._pixels = PixelScale()
        self._schedulers: list[tuple[str, LRScheduler]] = []  # generator, discriminator: (step or epoch, scheduler)
        self._group: list[Batch] = []  # of the step that is being collected
        self._seed = 0

    # What an author writes.

    @abstractmethod
    def discriminator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """What the discriminator minimizes; `discriminator_loss` among the terms, by the same names each time."""

    @abstractmethod
    def generator_step(self, batch: Batch, draws: Draws) -> StepOutput:
        """What the generator minimizes; `generator_loss` among the terms, by the same names each time."""

    def check_discriminator(self, info: DataInfo) -> None:
        """Refuse a discriminator that does not fit the data; like `check_network`."""

    def ways(self, info: DataInfo) -> tuple[str, ...]:
        """Names of the images that are predicted of one, where a task predicts images."""
        return ()

    def pixels(self, images: Tensor) -> Tensor:
        """Values in [0, 1] of normalized images (B, C, H, W): what generative networks take."""
        return self._pixels(images, self.data_info())

    # Training.

    def configure_callbacks(self) -> list[Any]:
        """Lightning's hook, the last before it refuses in words of its own what manual optimization excludes."""
        if self.trainer.state.fn == TrainerFn.FITTING:
            check_turns_of_trainer(self.trainer)
        return []

    def setup(self, stage: str) -> None:
        """Lightning's hook: see `VisionTask`; and let the Trainer know how many batches make a step."""
        super().setup(stage)
        info = self.data_info()
        if info is not None:
            self.check_discriminator(info)
        if stage == "fit":
            self.trainer.accumulate_grad_batches = self.accumulate

    def teardown(self, stage: str) -> None:
        """Lightning's hook: the Trainer is as it came."""
        if stage == "fit":
            self.trainer.accumulate_grad_batches = 1

    def on_fit_start(self) -> None:
        """Lightning's hook: see `VisionTask`; all devices draw from one seed."""
        super().on_fit_start()
        self._seed = self.trainer.strategy.broadcast(torch.initial_seed()) ^ _STREAM

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Lightning's hook: collect the batches of a step, and let the players take their turns."""
        self._group.append(batch)
        if self.trainer.fit_loop._should_accumulate():
            return
        group, self._group = self._group, []
        with without_reduction(self.trainer.strategy.model):
            self._take_turn("discriminator", group)
            if self.trainer.global_step % self.discriminator_steps == 0:
                self._take_turn("generator", group)
        if self.trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            self._step_schedules("epoch", (0, 1))

    def _take_turn(self, player: Player, group: Sequence[Batch]) -> None:
        """One optimizer step of a player, on the batches of one step of the training."""
        place = self.player_names.index(player)
        learn = self.generator_step if player == "generator" else self.discriminator_step
        moves, rests = self.network, self.discriminator
        if player == "discriminator":
            moves, rests = rests, moves
        with frozen(rests):
            for batch, share in zip(group, shares_of(group), strict=True):
                output = learn(batch, self._draws(batch, place))
                self._curves.add_to(player, batch, output.terms)
                self.manual_backward(output.loss * share)
        average_gradients(moves)
        self._step_optimizer(place)
        moves.zero_grad()
        self._step_schedules("step", (place,))

    def _draws(self, batch: Batch, place: int) -> Draws:
        """Of each image, for one turn of one player."""
        turn = 2 * self.trainer.global_step + place
        return OwnDraws(sample_keys(self._seed, turn, batch[INDEX]))

    def _step_optimizer(self, place: int) -> None:
        """The Trainer counts the discriminator's steps alone."""
        if self.player_names[place] == "discriminator":
            optimizers = self.optimizers()
            assert isinstance(optimizers, list)
            optimizers[place].step()
        else:
            self.trainer.strategy.optimizer_step(self.trainer.optimizers[place], lambda: None)

    def _step_schedules(self, interval: str, places: Sequence[int]) -> None:
        for place in places if self._schedulers else ():
            stepped_by, scheduler = self._schedulers[place]
            if stepped_by == interval:
                scheduler.step()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Lightning's hook, where gradients are no longer scaled for float16: clip those of the player."""
        if self.gradient_clip is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.gradient_clip)

    def on_validation_start(self) -> None:
        """Lightning's hook: see `VisionTask`."""
        model = self.trainer.strategy.model
        if isinstance(model, DistributedDataParallel):
            model.require_forward_param_sync = True  # it gives up buffers where it averages no gradients
        super().on_validation_start()

    # Set-up.

    def configure_optimizers(self) -> Any:
        """Lightning's hook: an optimizer for each player, and schedules over the real number of its steps."""
        builders = (self._build_optimizer, self._build_discriminator_optimizer)
        optimizers = [
            build_optimizer(player, build, head=None, decay_norm_and_bias=self._decay_norm_and_bias)
            for player, build in zip((self.network, self.discriminator), builders, strict=True)
        ]
        for optimizer in optimizers:
            self.rate_factor = scale_to_batch(optimizer, self._lr_scaling, self.trainer)
        if self._schedule is None:
            return optimizers
        self._schedulers = []
        for optimizer, every in zip(optimizers, (self.discriminator_steps, 1), strict=True):
            described = configure_schedule(self._schedule, optimizer, self.trainer, every=every)
            if "monitor" in described:
                raise UserError(
                    "model.init_args.schedule: ReduceLROnPlateau watches a metric, which adversaries cannot follow; "
                    "allowed: a schedule of steps or epochs, such as lightning_cv.optim.Cosine"
                )
            self._schedulers.append((described["interval"], described["scheduler"]))
        return optimizers, [scheduler for _, scheduler in self._schedulers]


remember_signature(Adversaries)
