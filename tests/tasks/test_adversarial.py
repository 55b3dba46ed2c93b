"""The task Adversarial: whose turn it is, what a turn changes, how steps are counted, and where a game ends."""

import math

import pytest
import torch
from lightning.pytorch import Callback, seed_everything
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn
from torch.nn import functional as F

from lightning_cv.callbacks import Ema, LearningRate, Media, Speed, Throughput, WeightPenalty
from lightning_cv.contracts import Stage
from lightning_cv.data import Digits
from lightning_cv.data.base import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import NonFiniteLossError, UserError
from lightning_cv.losses.adversarial import Minimax, Wasserstein
from lightning_cv.networks.generate import DcganDiscriminator, DcganGenerator, LatentGenerator, Made
from lightning_cv.optim import Linear, TorchSchedule
from lightning_cv.strategies import FullyShard
from lightning_cv.tasks import Adversarial
from tests.tasks.playing import Affine, Critic, Pixels, sgd
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close


def game(lr=0.1, critic=None, **options) -> Adversarial:
    return Adversarial(Affine(), critic or Critic(), sgd(lr), **options)


def fit(folder, task, *callbacks, data=None, seed=3, **options):
    seed_everything(seed, verbose=False)
    runner = trainer(folder, *callbacks, **options)
    runner.fit(task, datamodule=data or Pixels(batch_size=4))
    return runner


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()]).clone()


class Turns(Callback):
    """Notes each optimizer step: the player, its rates, whether the other one has gradients, and both weights."""

    def __init__(self) -> None:
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        place = trainer.optimizers.index(optimizer)
        moves, rests = (pl_module.network, pl_module.discriminator)[:: 1 if place == 0 else -1]
        assert all(parameter.grad is not None for parameter in moves.parameters())
        assert all(parameter.grad is None for parameter in rests.parameters())
        before = weights(pl_module.network), weights(pl_module.discriminator)
        self.seen.append((pl_module.player_names[place], optimizer.param_groups[0]["lr"], before))


def test_a_turn_changes_one_player_and_leaves_no_gradient_in_the_other(tmp_path):
    """row 247: in each of many turns; both move, and nothing is left behind."""
    turns, task = Turns(), game()
    fit(tmp_path, task, turns, max_epochs=3)
    assert [name for name, _, _ in turns.seen] == ["discriminator", "generator"] * 6
    ends = [before for _, _, before in turns.seen[1:]] + [(weights(task.network), weights(task.discriminator))]
    for (name, _, before), after in zip(turns.seen, ends, strict=True):
        moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert moved == [name == "generator", name == "discriminator"]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in task.parameters())


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_step_of_the_training_is_one_of_the_discriminator(tmp_path, steps):
    """`max_steps` counts them; the generator follows every n-th, across epochs; each schedule has its own end.

    Oracle: Linear's formula, 1 - t / T, with T of each player.
    """
    turns = Turns()
    task = game(discriminator_steps=steps, schedule=Linear())
    runner = fit(tmp_path, task, turns, max_epochs=-1, max_steps=7, data=Pixels(10, batch_size=4))
    assert runner.global_step == 7
    names = [name for name, _, _ in turns.seen]
    expected = []
    for step in range(1, 8):
        expected += ["discriminator"] + ["generator"] * (step % steps == 0)
    assert names == expected
    for player, total in (("discriminator", 7), ("generator", 7 // steps)):
        rates = [rate for name, rate, _ in turns.seen if name == player]
        assert rates == pytest.approx([0.1 * (1 - t / total) for t in range(total)])


@pytest.mark.parametrize(("number", "batch", "accumulate"), [(8, 2, 4), (7, 2, 4), (10, 2, 2)])
def test_accumulation_is_the_large_batch(tmp_path, number, batch, accumulate):
    """Oracle: training with the large batch, in float64, where no network looks across a batch; last steps too."""
    found = []
    for each, together in ((batch, accumulate), (batch * accumulate, 1)):
        task = game(accumulate=together, gradient_penalty=1.0, r1=0.5, r1_every=2, discriminator_steps=2)
        data = Pixels(number, batch_size=each)
        runner = fit(tmp_path, task, data=data, max_epochs=4, precision="64-true")
        assert runner.global_step == 4 * math.ceil(number / (batch * accumulate))
        assert runner.accumulate_grad_batches == 1
        found.append(weights(task))
        assert found[-1].dtype == torch.float64
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
    assert not torch.allclose(found[0], weights(game()).double())


@pytest.mark.parametrize("is_scaled", [False, True])
def test_gradients_are_clipped_by_player_also_where_they_are_scaled_for_float16(tmp_path, is_scaled):
    """Oracle: a step of gradient descent with rate 1 is as long as the clipped gradient; trap 8."""
    turns, task = Turns(), game(1.0, gradient_clip=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    plugins = [MixedPrecision("16-mixed", "cpu", scaler=scaler)] if is_scaled else []
    fit(tmp_path, task, turns, plugins=plugins)
    ends = [before for _, _, before in turns.seen[1:]] + [(weights(task.network), weights(task.discriminator))]
    for (name, _, before), after in zip(turns.seen, ends, strict=True):
        place = task.player_names.index(name)
        assert (after[place] - before[place]).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_penalties_are_those_of_a_linear_critic(tmp_path):
    """Oracle: a linear score's slope is w everywhere: (|w| - 1)^2 and |w|^2 / 2; a lazy penalty counts for its pause.

    One step of gradient descent on -E log D(real) - E log(1 - D(fake)) + r1 . r1_every . |w|^2 / 2, worked out.
    """
    critic = Critic(width=0)
    task = game(0.0, critic=critic, gradient_penalty=10.0, r1=2.0, r1_every=2)
    runner = fit(tmp_path, task, max_epochs=2)
    norm = critic.layers[0].weight.norm().item()
    metrics = runner.callback_metrics
    assert metrics["train/gradient_penalty"] == pytest.approx((norm - 1) ** 2, rel=1e-4)
    assert metrics["train/r1"] == pytest.approx(norm**2 / 2, rel=1e-4)
    moved = Critic(width=0)
    task = Adversarial(Affine(), moved, sgd(0.0), sgd(0.1), r1=2.0, r1_every=3)
    fit(tmp_path, task, max_steps=1, data=Pixels(4, batch_size=4))
    plain = Critic(width=0)
    fit(tmp_path, Adversarial(Affine(), plain, sgd(0.0), sgd(0.1)), max_steps=1, data=Pixels(4, batch_size=4))
    pull = plain.layers[0].weight - moved.layers[0].weight
    assert_close(pull, 0.1 * 2.0 * 3 * Critic(width=0).layers[0].weight)


class Coin(LatentGenerator):
    """One pixel, white in half of all images."""

    def __init__(self) -> None:
        super().__init__((1, 1, 1), num_latents=1, num_classes=None)
        self.unmoved = nn.Parameter(torch.zeros(()))

    def decode(self, latents, labels=None):
        return (latents > 0).float().view(-1, 1, 1, 1) + 0 * self.unmoved


class OnePixel(VisionData):
    """Images of one pixel with given values, 0 to 255."""

    def __init__(self, values: torch.Tensor, **shared) -> None:
        super().__init__(normalize=False, **shared)
        self.values = values

    def load(self, stage: Stage) -> ResidentSplit:
        images = self.values.to(torch.uint8).view(-1, 1, 1, 1)
        return ResidentSplit(images, torch.zeros(len(images), dtype=torch.int64), ("a",), "OnePixel")


def test_the_best_discriminator_is_p_over_p_plus_q(tmp_path):
    """row 247: against a generator that stays, D* = p / (p + q): white is 30% of the data, half of what is generated.

    And where both are equal, its loss, -V, is ln 4.
    """
    for white, expected in ((0.3, (0.7 / 1.2, 0.3 / 0.8)), (0.5, (0.5, 0.5))):
        values = torch.where(torch.arange(200) < 200 * white, 255, 0)
        critic = Critic((1, 1, 1), width=0)
        task = Adversarial(Coin(), critic, sgd(0.0), sgd(1.0), loss=Minimax(), schedule=Linear())
        runner = fit(tmp_path, task, data=OnePixel(values, batch_size=200), max_epochs=400, check_val_every_n_epoch=400)
        found = critic(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)).sigmoid().tolist()
        assert found == pytest.approx(expected, abs=0.02)
    assert runner.callback_metrics["val/discriminator_loss"].item() == pytest.approx(math.log(4), rel=0.01)


class Bell(LatentGenerator):
    """One pixel from a normal distribution, whose mean and deviation are learned."""

    def __init__(self) -> None:
        super().__init__((1, 1, 1), num_latents=1, num_classes=None)
        self.mean, self.std = nn.Parameter(torch.tensor(0.2)), nn.Parameter(torch.tensor(0.3))

    def decode(self, latents, labels=None):
        return (self.mean + self.std * latents).view(-1, 1, 1, 1)


class Quadratic(nn.Module):
    """The logit of two normal distributions against each other is quadratic."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        nn.init.zeros_(self.layer.weight)

    def forward(self, images, labels=None):
        values = 5 * (images.flatten(1) - 0.5)
        return self.layer(torch.cat([values, values.square()], 1))[:, 0]


def test_a_game_ends_where_the_generator_has_the_distribution(tmp_path):
    """row 247: mean and deviation are those of the data, D says 1/2 everywhere, V = -ln 4."""
    values = 255 * (0.6 + 0.12 * torch.special.ndtri((torch.arange(500) + 0.5) / 500)).clamp(0, 1)
    generator, critic = Bell(), Quadratic()
    task = Adversarial(
        generator,
        critic,
        lambda g: torch.optim.Adam(g, lr=5e-3, betas=(0.0, 0.9)),
        sgd(0.5),
        r1=0.02,
        schedule=Linear(),
    )
    data = OnePixel(values.round(), batch_size=500)
    runner = fit(tmp_path, task, data=data, max_epochs=1500, check_val_every_n_epoch=1500)
    assert generator.mean.item() == pytest.approx(0.6, abs=0.02)
    assert abs(generator.std.item()) == pytest.approx(0.12, abs=0.02)
    assert critic(torch.linspace(0.3, 0.9, 7).view(-1, 1, 1, 1)).sigmoid().tolist() == pytest.approx([0.5] * 7, abs=0.1)
    assert runner.callback_metrics["val/discriminator_loss"].item() == pytest.approx(math.log(4), rel=0.02)


def digits_game(**options) -> Adversarial:
    network = DcganGenerator(num_latents=4, width=4, num_classes=options.get("num_classes"))
    critic = DcganDiscriminator(width=4, num_classes=options.pop("num_classes", None))
    return Adversarial(network, critic, lambda g: torch.optim.Adam(g, lr=1e-3), **options)


def test_it_works_with_the_callbacks_of_other_tasks(tmp_path):
    """Averaged weights are the generator's alone; rates have names; samples are shown; a penalty moves one player."""
    task = digits_game(num_classes=10, discriminator_steps=2)
    callbacks = Ema(), LearningRate(), Throughput(), Media(num_images=4, every_n_epochs=1), Speed(channels_last=True)
    data = Digits(batch_size=256)
    runner = fit(tmp_path, task, *callbacks, data=data, max_epochs=2, precision="bf16-mixed", log_every_n_steps=2)
    metrics = runner.callback_metrics
    assert {"lr/generator/network", "lr/discriminator/network"} <= metrics.keys()
    names = ("discriminator_loss", "generator_loss", "real_score", "fake_score")
    assert {f"train/{name}" for name in names} | {"val/loss", "val/discriminator_loss"} <= metrics.keys()
    assert task.averaged.state_dict().keys() == task.network.state_dict().keys()
    assert task.scored_network is task.averaged
    assert {path.parent.name for path in tmp_path.rglob("*.png")} == {"samples"}
    assert runner.test(task, datamodule=data, verbose=False)[0].keys() >= {"test/loss", "test/fake_score"}
    without, with_penalty = game(0.1), game(0.1)
    fit(tmp_path, without, max_steps=1)
    fit(tmp_path, with_penalty, WeightPenalty(l2=0.5), max_steps=1)
    assert_close(without.network.layer.weight - with_penalty.network.layer.weight, 0.1 * Affine().layer.weight)
    assert torch.equal(weights(without.discriminator), weights(with_penalty.discriminator))


def test_the_same_seed_plays_the_same_game_and_another_one_another(tmp_path):
    found = []
    for seed in (3, 3, 4):
        seed_everything(seed, verbose=False)
        task = game()
        trainer(tmp_path).fit(task, datamodule=Pixels(batch_size=4, shuffle_seed=0))
        found.append(weights(task))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_scores_do_not_depend_on_the_batch(tmp_path):
    """Each image of a set has draws of its own; oracle: the losses of all images at once."""
    task = game(0.0)
    values = []
    for batch in (3, 8):
        runner = trainer(tmp_path)
        values.append(runner.validate(task, datamodule=Pixels(batch_size=batch), verbose=False)[0])
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    images = Pixels().load(Stage.VAL).images.float() / 255
    real = F.softplus(-task.discriminator(images)).mean().item()
    fake = values[0]["val/discriminator_loss"] - real
    assert 0 < fake < 5
    assert values[0]["val/real_score"] == pytest.approx(task.discriminator(images).mean().item(), rel=1e-5)


def test_a_loss_that_is_no_number_names_its_images(tmp_path):
    task = game(critic=Critic())
    with torch.no_grad():
        task.discriminator.layers[0].weight[0, 0] = math.nan
    with pytest.raises(NonFiniteLossError, match="Pixels"):
        fit(tmp_path, task)


PLATEAU = TorchSchedule(torch.optim.lr_scheduler.ReduceLROnPlateau, monitor="val/loss")


@pytest.mark.parametrize(
    ("task", "callbacks", "options", "message"),
    [
        ({}, [], {"gradient_clip_val": 1.0}, "trainer.gradient_clip_val: 1.0 .* model.init_args.gradient_clip to 1.0"),
        ({}, [], {"accumulate_grad_batches": 3}, "accumulate_grad_batches: 3 .* model.init_args.accumulate to 3"),
        ({}, [], {"strategy": FullyShard(), "devices": 1}, "strategy: FullyShard .* allowed: ddp"),
        ({"schedule": PLATEAU}, [], {}, "ReduceLROnPlateau watches a metric"),
        ({}, [Speed(compile=True)], {}, "Speed: compile: Adversarial trains several networks by turns"),
    ],
)
def test_what_cannot_be_done_for_two_players_is_one_line(tmp_path, task, callbacks, options, message):
    """Trap 8: the key, and the one that takes its place."""
    with pytest.raises(UserError, match=message):
        fit(tmp_path, game(**task), *callbacks, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"discriminator_steps": 0}, "discriminator_steps: 0"),
        ({"accumulate": 0}, "accumulate: 0"),
        ({"gradient_clip": 0.0}, "gradient_clip: 0.0"),
        ({"r1": -1.0}, "r1: -1.0"),
        ({"r1_every": 0}, "r1_every: 0"),
        ({"critic": Critic((1, 4, 4))}, r"its image is \[1, 4, 4\], and that of the network is \[1, 2, 2\]"),
        ({"critic": Critic(num_classes=3)}, "its num_classes is 3, and that of the network is null"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        game(**options)


def test_a_network_with_a_loss_of_its_own_is_another_tasks(tmp_path):
    with pytest.raises(UserError, match="Made is no generator"):
        Adversarial(Made(), Critic(), sgd(0.1))
    with pytest.raises(UserError, match=r"makes images \[1, 2, 2\], but those of the data are \[1, 8, 8\]"):
        fit(tmp_path, game(), data=Digits())


def test_wasserstein_losses_are_those_of_the_scores(tmp_path):
    """Gulrajani et al. 2017, algorithm 1: E fake - E real, from the curves of the scores themselves."""
    task = game(0.0, loss=Wasserstein())
    metrics = fit(tmp_path, task, data=Pixels(8, batch_size=8)).callback_metrics
    assert metrics["train/discriminator_loss"].item() == pytest.approx(
        metrics["train/fake_score"].item() - metrics["train/real_score"].item(), abs=1e-5
    )
