"""A diffusion bounds what is known exactly, draws as it is told, and its U-Net is the published one."""

import math

import pytest
import torch
from torch import Tensor, nn

from lightning_cv.contracts import DecodesLatents, HasBound, SamplesInSteps, Sampling
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Diffusion, FlowMatching, UNet
from lightning_cv.ops import CosineSchedule, LinearSchedule
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.tolerances import assert_close

MEAN, STD = 0.2, 0.3  # of every value, from -1 to 1


def draws(count: int = 4, seed: int = 3) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


class BestOfNormal(nn.Module):
    """The denoiser that knows that every value is N(MEAN, STD^2): the mean of what is asked for, in closed form."""

    def __init__(self, asked: str, schedule: LinearSchedule | CosineSchedule | None = None) -> None:
        super().__init__()
        self.image, self.num_classes = (1, 2, 2), None
        self.asked, self.schedule = asked, schedule
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        if self.schedule is None:
            spread = (time.double() / 1000).view(-1, 1, 1, 1)
            signal = 1 - spread
        else:
            place = (time * self.schedule.num_steps / 1000).round().long()
            signal, spread = (t[place].view(-1, 1, 1, 1) for t in (self.schedule.signal, self.schedule.noise))
        off = (noisy - signal * MEAN) / (signal**2 * STD**2 + spread**2)
        clean, noise = MEAN + signal * STD**2 * off, spread * off
        answers = {
            "epsilon": noise,
            "sample": clean,
            "v_prediction": signal * noise - spread * clean,
            "velocity": noise - clean,
        }
        return answers[self.asked].float() * self.weight


class Counted(nn.Module):
    """Answers (label + 1) times its input, and counts what it is asked."""

    def __init__(self, num_classes: int | None = 3) -> None:
        super().__init__()
        self.image, self.num_classes = (1, 2, 2), num_classes
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, noisy: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        self.asked.append((noisy, time, labels))
        return noisy if labels is None else noisy * (labels + 1).view(-1, 1, 1, 1)


@pytest.mark.parametrize("network", [Diffusion, FlowMatching])
def test_what_a_network_in_steps_offers(network):
    """row 257: it samples in steps and from given noise; only of a diffusion a bound is known."""
    built = network(Counted())
    assert isinstance(built, SamplesInSteps)
    assert isinstance(built, DecodesLatents)
    assert isinstance(built, HasBound) == (network is Diffusion)
    assert built.num_latents == 4


def test_the_published_unet_has_its_parameters():
    """row 259: at the CIFAR-10 setting 35,746,307 (the paper says 35.7 million); the shape is kept."""
    network = UNet(
        (3, 32, 32), widths=(128, 256, 256, 256), blocks_per_level=2, attention_levels=(1,), dropout=0.1
    ).eval()
    assert sum(p.numel() for p in network.parameters()) == 35_746_307
    noisy = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert network(noisy, torch.tensor([0.0, 999.0])).shape == noisy.shape


@pytest.mark.parametrize("num_classes", [None, 3])
def test_the_first_loss_of_the_noise_is_1(num_classes):
    """row 259: an untrained U-Net answers 0, and the mean square of the noise is 1; of a velocity, more by the data."""
    images = torch.rand(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = None if num_classes is None else torch.arange(256) % num_classes
    unet = UNet(num_classes=num_classes)
    with torch.no_grad():
        loss = Diffusion(unet)(images, labels, draws(256))["denoising"]
        assert loss.mean().item() == pytest.approx(1, rel=0.03)
        loss = FlowMatching(unet)(images, labels, draws(256))["velocity"]
        assert loss.mean().item() == pytest.approx(1 + (2 * images - 1).square().mean().item(), rel=0.03)


def test_times_are_told_apart():
    """row 258: embeddings of all times differ, and have one norm (sines and cosines in pairs)."""
    embedded = UNet().unet.time_proj(torch.arange(1000).float())
    assert torch.cdist(embedded.double(), embedded.double()).fill_diagonal_(1).min() > 1e-3
    assert_close(embedded.norm(dim=1), torch.full((1000,), math.sqrt(embedded.shape[1] / 2)))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("weighting", ["simple", "min_snr"])
def test_the_loss_of_the_best_denoiser_is_what_nobody_can_know(prediction, weighting):
    """row 257: on normal data it is the weighted variance that is left of the answer, in closed form, within 3%."""
    schedule = CosineSchedule(20)
    network = Diffusion(
        BestOfNormal(prediction, schedule), schedule=schedule, prediction=prediction, weighting=weighting
    ).eval()
    values = MEAN + STD * torch.randn(40_000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    snr = schedule.snr
    left = STD**2 / (snr * STD**2 + 1)  # variance of the clean values given the noisy ones
    if weighting == "min_snr":
        wanted = left * snr.clamp(max=5)
    else:
        wanted = left * {"epsilon": snr, "sample": 1, "v_prediction": snr + 1}[prediction]
    loss = network.loss_of(values, None, draws(40_000))["denoising"]
    assert loss.mean().item() == pytest.approx(wanted.mean().item(), rel=0.03)


@pytest.mark.parametrize("schedule", [LinearSchedule(), LinearSchedule(40, 1e-3, 0.05)], ids=["long", "unfinished"])
def test_the_bound_is_not_above_what_is_known_and_what_theory_says(schedule):
    """row 260: on a normal distribution the mean of the bound is below the exact log density, and its closed form.

    That is the sum over steps of half of the fall of the SNR times the variance that is left (Kingma et al. 2021,
    equation 13), with the first and last term. Few times an image have the same mean; a worse denoiser has a lower one.
    """
    images = (MEAN + STD * torch.randn(4000, 1, 2, 2, generator=torch.Generator().manual_seed(0)) + 1) / 2
    exact = torch.distributions.Normal((MEAN + 1) / 2, STD / 2).log_prob(images).sum((1, 2, 3)).mean().item()
    snr, beta, kept = schedule.snr, schedule.betas[0], schedule.alpha_bar[-1]
    left = 1 / (snr + 1 / STD**2)
    first = (kept * (MEAN**2 + STD**2) - kept - torch.log1p(-kept)) / 2
    last = (2 * math.pi * beta).log() / 2 + left[0] / (2 * beta)
    steps = ((snr[:-1] - snr[1:]) / 2 * left[1:]).sum()
    theory = 4 * (math.log(2) - (first + steps + last)).item()
    network = Diffusion(BestOfNormal("epsilon", schedule), schedule=schedule, levels=None, clip=False).eval()
    bound = network.bound(images, None, draws(4000), num_samples=100).mean().item()
    assert bound < exact
    assert bound == pytest.approx(theory, abs=0.08)
    few = network.bound(images, None, draws(4000, seed=5), num_samples=10).mean().item()
    assert few == pytest.approx(theory, abs=0.15)
    nn.init.constant_(network.denoiser.weight, 0.7)
    assert network.bound(images, None, draws(4000), num_samples=100).mean().item() < bound - 0.1


def test_the_bound_of_levels_is_a_probability():
    """row 260: of a pixel with 3 levels, exp(bound) over all of them is at most 1: -log p is not below the truth."""
    network = Diffusion(BestOfNormal("epsilon", LinearSchedule()), levels=3).eval()
    every = torch.cartesian_prod(*[torch.arange(3) / 2] * 4).view(-1, 1, 2, 2)
    bound = torch.stack([network.bound(every, None, draws(81, seed), num_samples=50) for seed in range(8)]).mean(0)
    assert 0 < bound.exp().sum().item() < 1


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_a_flow_with_the_best_velocity_leads_to_the_data(sampler):
    """row 257: from N(0, 1) along the closed-form velocity to N(0.2, 0.3^2), in 100 steps within 3%."""
    network = FlowMatching(BestOfNormal("velocity"), sampling=Sampling(sampler, 100)).eval()
    reached = network.draw(draws(20_000))
    assert reached.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert reached.std().item() == pytest.approx(STD, rel=0.03)


def test_heun_is_of_second_order():
    """row 257: twice the steps leave a quarter of the error, with euler a half; the end of a latent vector is known.

    A flow of normal distributions keeps each value's place among the deviations: the end of z is MEAN + STD z.
    """
    left = {}
    z = torch.tensor([[-1.0, 0.0, 0.5, 1.0]])
    for sampler in ("euler", "heun"):
        errors = []
        for steps in (20, 40):
            network = FlowMatching(BestOfNormal("velocity"), sampling=Sampling(sampler, steps)).eval()
            errors.append((network.draw_from(z).flatten(1) - (MEAN + STD * z)).abs().max().item())
        left[sampler] = errors[1] / errors[0]
    assert left["euler"] == pytest.approx(0.5, abs=0.06)
    assert left["heun"] == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize(("guidance", "factor", "rows"), [(1.0, 2, 2), (0.0, 4, 2), (3.0, 4 + 3 * (2 - 4), 4)])
@pytest.mark.parametrize("network", [Diffusion, FlowMatching])
def test_guidance_goes_from_no_class_through_the_class(network, guidance, factor, rows):
    """row 257: none + w (class - none), in one call of 2 B images; the class alone, and none, cost one of B."""
    denoiser = Counted()
    built = network(denoiser)
    noisy = torch.ones(2, 1, 2, 2)
    answer = built.ask(noisy, 500.0, torch.tensor([1, 1]), guidance)
    assert_close(answer, noisy * factor)
    assert [len(noisy) for noisy, _, _ in denoiser.asked] == [rows]


def test_classes_are_left_out_by_chance_in_training_alone():
    """row 257: a share of them becomes the class "none", which is the one after the last."""
    denoiser = Counted(3)
    network = Diffusion(denoiser, class_dropout=0.25)
    images, labels = torch.rand(4000, 1, 2, 2), torch.ones(4000, dtype=torch.int64)
    torch.manual_seed(0)
    network(images, labels, StreamDraws(4000))
    told = denoiser.asked.pop()[2]
    assert (told == 3).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert ((told == 3) | (told == 1)).all()
    network.eval()(images, labels, draws(4000))
    assert torch.equal(denoiser.asked.pop()[2], labels)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm_solver"])
def test_the_denoiser_hears_the_time_as_it_does_in_training(sampler):
    """row 258: with 50 steps of 1,000 in all, each step is told in [0, 1000), as often as asked for."""
    denoiser = Counted(None)
    network = Diffusion(denoiser, schedule=LinearSchedule(50, 1e-3, 0.3), sampling=Sampling(sampler, 10)).eval()
    network.sample(draws())
    assert [int(time[0]) for _, time, _ in denoiser.asked] == [980, 880, 780, 680, 580, 480, 380, 280, 180, 80]
    denoiser.asked.clear()
    network.train()(torch.rand(4, 1, 2, 2), None, draws())
    assert all(time in range(0, 1000, 20) for time in denoiser.asked[0][1].tolist())


@pytest.mark.parametrize("network", [Diffusion, FlowMatching])
def test_frames_begin_with_noise_and_end_with_the_sample(network):
    """row 257: evenly over the steps; the last is what `sample` gives of the same draws."""
    torch.manual_seed(0)
    unet = UNet()
    nn.init.normal_(unet.unet.conv_out.weight, std=0.1)
    built = network(unet, sampling=Sampling("ddpm" if network is Diffusion else "euler", 8)).eval()
    frames = built.trajectory(draws(), num_frames=5)
    assert frames.shape == (5, 4, 1, 8, 8)
    assert torch.equal(frames[-1], built.sample(draws()))
    assert_close(frames[0], ((draws().normal(1, 8, 8) + 1) / 2).clamp(0, 1))
    assert torch.equal(built.trajectory(draws(), num_frames=100)[[0, 2, 4, 6, 8]], frames)
    assert torch.equal(built.trajectory(draws(), num_frames=1)[0], frames[-1])


def test_the_image_of_noise_is_that_of_a_sample_without_chance():
    """row 257: decoding the noise that a sample starts from gives the sample, but for its rounding to levels."""
    torch.manual_seed(0)
    unet = UNet()
    nn.init.normal_(unet.unet.conv_out.weight, std=0.1)
    network = Diffusion(unet, levels=None, sampling=Sampling("ddim", 6)).eval()
    latents = draws().normal(1, 8, 8).flatten(1)
    assert torch.equal(network.decode(latents), network.sample(draws()))
    network.sampling = Sampling("ddpm", 6)  # draws on the way, and so has a method beside it
    assert torch.equal(network.decode(latents), network.decode(latents))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Diffusion(nn.Linear(1, 1)), "denoiser"),
        (lambda: Diffusion(Counted(), prediction="score"), "prediction"),
        (lambda: Diffusion(Counted(), weighting="none"), "weighting"),
        (lambda: Diffusion(Counted(), class_dropout=1.5), "class_dropout"),
        (lambda: Diffusion(Counted(), sampling=Sampling("euler", 10)), "ddpm, ddim, dpm_solver"),
        (lambda: Diffusion(Counted(), sampling=Sampling("ddim", 1001)), "1 to 1000"),
        (lambda: Diffusion(Counted(), sampling=Sampling("ddim", 10, guidance=-1.0)), "guidance"),
        (lambda: Diffusion(Counted(None), sampling=Sampling("ddim", 10, guidance=2.0)), "guidance"),
        (lambda: FlowMatching(Counted(), sampling=Sampling("euler", 0)), "1 or more"),
        (lambda: FlowMatching(Counted(), times="normal"), "times"),
        (lambda: Diffusion(Counted()).sample(draws()), "class"),
        (lambda: Diffusion(Counted(None)).sample(draws(), torch.zeros(4, dtype=torch.int64)), "class"),
        (lambda: Diffusion(Counted(None)).trajectory(draws(), num_frames=0), "num_frames"),
        (lambda: UNet((1, 9, 8)), "multiples of 2"),
        (lambda: UNet(widths=(30,)), "widths"),
        (lambda: UNet(attention_levels=(2,)), "attention_levels"),
        (lambda: UNet(dropout=1.0), "dropout"),
        (lambda: UNet(num_classes=0), "num_classes"),
        (lambda: UNet(blocks_per_level=0), "blocks_per_level"),
    ],
)
def test_a_mistake_is_one_line(make, named):
    with pytest.raises(UserError, match=named):
        make()
