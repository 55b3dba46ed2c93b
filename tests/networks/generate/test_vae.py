"""The variational autoencoder: its bound against closed forms, its gradient, its layers, what its latents mean."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import (
    Bernoulli,
    Categorical,
    ConvVae,
    DiscretizedLogistic,
    DiscretizedNormal,
    MlpVae,
    Normal,
)
from lightning_cv.networks.generate.latents import STEPS, traversal
from lightning_cv.ops.diagonal_normal import draw_normal, kl_to_standard_normal, log_prob_of_normal
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.networks.generate.sources import bars
from tests.tolerances import assert_close


def draws(count: int, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


# --- The diagonal normal ---


def test_the_divergence_is_that_of_torch_and_of_many_draws():
    """row 240: oracles, torch.distributions, and the mean of log q - log p over a million draws of NumPy."""
    rng = np.random.default_rng(0)
    mean, log_std = rng.normal(size=(3, 4)), rng.normal(scale=0.5, size=(3, 4))
    ours = kl_to_standard_normal(torch.from_numpy(mean), torch.from_numpy(log_std))
    q = torch.distributions.Normal(torch.from_numpy(mean), torch.from_numpy(log_std).exp())
    theirs = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    assert_close(ours, theirs.float())
    z = mean[0] + np.exp(log_std[0]) * rng.normal(size=(1_000_000, 4))
    ratio = (stats.norm.logpdf(z, mean[0], np.exp(log_std[0])) - stats.norm.logpdf(z)).sum(1)
    assert ours[0].item() == pytest.approx(ratio.mean(), abs=4 * ratio.std() / 1000)


def test_the_divergence_keeps_its_digits_near_the_prior():
    """row 240: oracle, float64; the naive formula in float32 loses all digits of 1e-8."""
    log_std = torch.tensor([[1e-4]])
    expected = (math.exp(2e-4) - 1 - 2e-4) / 2
    assert kl_to_standard_normal(torch.zeros(1, 1), log_std).item() == pytest.approx(expected, rel=1e-2, abs=2e-12)
    assert kl_to_standard_normal(torch.zeros(1, 5), torch.zeros(1, 5)).item() == 0


def test_the_density_is_that_of_scipy():
    """row 240: oracle, SciPy's multivariate normal with a diagonal covariance."""
    rng = np.random.default_rng(1)
    values, mean, log_std = rng.normal(size=4), rng.normal(size=4), rng.normal(size=4)
    expected = stats.multivariate_normal(mean, np.diag(np.exp(2 * log_std))).logpdf(values)
    ours = log_prob_of_normal(*(torch.from_numpy(array)[None] for array in (values, mean, log_std)))
    assert ours.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("operation", [kl_to_standard_normal, lambda m, s: draw_normal(m, s, m), torch.add])
def test_sums_are_float32_whatever_comes_in(operation):
    """row 240: of bfloat16 numbers too, where 100 + 0.1 is 100."""
    if operation is torch.add:
        operation = lambda m, s: log_prob_of_normal(m, m, s)  # noqa: E731
    mean = torch.ones(2, 3, dtype=torch.bfloat16)
    assert operation(mean, mean).dtype == torch.float32


# --- The bound ---

PIXELS, LATENTS, NOISE = 6, 2, 0.5


class Certain(nn.Module):
    """A linear map to (B, P, C, H, W) or (B, 2, Z); a head of constants beside it where there is one."""

    def __init__(self, weight: torch.Tensor, shape: tuple[int, ...], constant: torch.Tensor | None = None) -> None:
        super().__init__()
        self.weight, self.shape, self.constant = weight, shape, constant

    def forward(self, inputs, labels=None):
        out = (inputs.flatten(1) @ self.weight.T)[:, None]
        if self.constant is not None:
            out = torch.cat([out, self.constant.expand_as(out)], 1)
        return out.view(len(inputs), -1, *self.shape)


def linear_gaussian() -> tuple[MlpVae, torch.Tensor, np.ndarray, np.ndarray]:
    """x = W z + noise: the network, W, and mean weights and covariance of the true posterior (Bishop, eq. 12.42)."""
    weight = np.random.default_rng(0).normal(size=(PIXELS, LATENTS))
    network = MlpVae((1, 2, 3), num_latents=LATENTS, likelihood=Normal(NOISE))
    covariance = np.linalg.inv(np.eye(LATENTS) + weight.T @ weight / NOISE**2)
    gain = covariance @ weight.T / NOISE**2
    network.decoder = Certain(torch.from_numpy(weight).float(), (1, 2, 3))
    return network, torch.from_numpy(weight), gain, covariance


def exact_log_p(weight: torch.Tensor, images: torch.Tensor) -> np.ndarray:
    covariance = weight.numpy() @ weight.numpy().T + NOISE**2 * np.eye(PIXELS)
    return stats.multivariate_normal(np.zeros(PIXELS), covariance).logpdf(images.flatten(1).numpy())


def test_more_importance_samples_come_nearer_to_log_p():
    """row 240: oracle, the closed form of x = W z + noise. ELBO < IWAE-5 < IWAE-100 < log p(x), all with a poor q."""
    network, weight, gain, _ = linear_gaussian()
    network.encoder = Certain(torch.from_numpy(0.5 * gain).float(), (LATENTS,), torch.tensor(-0.5))
    images = torch.rand(400, 1, 2, 3)
    exact = exact_log_p(weight, images).mean()
    terms = network(images, None, draws(400))
    elbo = -(terms["reconstruction"] + terms["kl"]).mean().item()
    once, five, hundred = (network.bound(images, None, draws(400), num_samples=k).mean().item() for k in (1, 5, 100))
    assert elbo == pytest.approx(once, abs=0.5)
    assert max(elbo, once) < five - 0.2
    assert five < hundred - 0.1
    assert hundred < exact
    # The bound is log p - E KL(q | p(z|x)), which is known of two normal distributions.
    many = np.mean(
        [
            -sum(network(images, None, draws(400, seed))[name].mean().item() for name in ("reconstruction", "kl"))
            for seed in range(50)
        ]
    )
    assert many == pytest.approx(exact - _divergence(network, images), abs=0.1)


def _divergence(network: MlpVae, images: torch.Tensor) -> float:
    """Mean of KL(q(z|x) | p(z|x)), by torch.distributions."""
    _, _, gain, covariance = linear_gaussian()
    told = network.encode(images)
    q = torch.distributions.MultivariateNormal(told.mean.double(), torch.diag_embed(told.std.double() ** 2))
    posterior = images.flatten(1).double() @ torch.from_numpy(gain).T
    p = torch.distributions.MultivariateNormal(posterior, torch.from_numpy(covariance).expand(len(images), -1, -1))
    return torch.distributions.kl_divergence(q, p).mean().item()


def test_with_the_true_posterior_one_sample_is_exact():
    """row 240: oracle, the closed form; of one latent number, whose true posterior is a diagonal normal."""
    weight = np.random.default_rng(2).normal(size=(PIXELS, 1))
    network = MlpVae((1, 2, 3), num_latents=1, likelihood=Normal(NOISE))
    variance = 1 / (1 + (weight**2).sum() / NOISE**2)
    network.decoder = Certain(torch.from_numpy(weight).float(), (1, 2, 3))
    gain = torch.from_numpy(variance * weight.T / NOISE**2).float()
    network.encoder = Certain(gain, (1,), torch.tensor(math.log(variance) / 2))
    images = torch.rand(5, 1, 2, 3)
    expected = torch.from_numpy(exact_log_p(torch.from_numpy(weight), images)).float()
    for samples in (1, 7):
        torch.testing.assert_close(
            network.bound(images, None, draws(5), num_samples=samples), expected, rtol=1e-5, atol=1e-4
        )


def test_the_sum_of_weights_does_not_underflow():
    """row 240: p(x|z) of -10,000 nats is exp of nothing in float32; the bound is finite all the same."""
    network = MlpVae((1, 8, 8), likelihood=Normal(0.01))
    bound = network.bound(torch.rand(2, 1, 8, 8), None, draws(2), num_samples=3)
    assert bound.dtype == torch.float32
    assert bound.isfinite().all()
    assert (bound < -1000).all()


def test_the_gradient_is_that_of_the_expectation():
    """row 240: the reparameterised gradient of KL + reconstruction, against differences of its closed form.

    Oracle: E log p(x|z) of a linear decoder is known, -|x - W m|^2 / 2 s^2 - s_q^2 |W|^2 / 2 s^2 + constant.
    """
    network, weight, _, _ = linear_gaussian()
    mean = torch.tensor([0.3, -0.2], requires_grad=True)
    log_std = torch.tensor([-0.4, 0.1], requires_grad=True)
    image = torch.rand(1, 1, 2, 3)
    count = 20_000

    class Told(nn.Module):
        def forward(self, images, labels=None):
            return torch.stack([mean, log_std]).expand(len(images), 2, 2)

    network.encoder = Told()
    terms = network(image.expand(count, -1, -1, -1), None, draws(count))
    (terms["reconstruction"] + terms["kl"]).mean().backward()

    def closed(m: np.ndarray, s: np.ndarray) -> float:
        w = weight.numpy()
        misfit = np.square(image.flatten().numpy() - w @ m).sum() + (np.exp(2 * s) * np.square(w).sum(0)).sum()
        return misfit / 2 / NOISE**2 + (m**2 + np.exp(2 * s) - 1 - 2 * s).sum() / 2

    m, s, step = mean.detach().double().numpy(), log_std.detach().double().numpy(), 1e-5
    for place in range(2):
        at = np.eye(2)[place] * step
        slope = (closed(m + at, s) - closed(m - at, s)) / 2 / step
        assert mean.grad[place].item() == pytest.approx(slope, abs=0.02 * abs(slope) + 0.3)
        slope = (closed(m, s + at) - closed(m, s - at)) / 2 / step
        assert log_std.grad[place].item() == pytest.approx(slope, rel=0.05)


# --- The layers ---


def test_its_layers_are_those_of_the_figure():
    """row 241: on each side one linear layer, then two parallel ones: x -> h -> (mean, deviation) of z, and back."""
    network = MlpVae((1, 8, 8), num_latents=5, width=30, likelihood=DiscretizedNormal(17))
    shapes = {n: tuple(m.weight.shape) for n, m in network.named_modules() if isinstance(m, nn.Linear)}
    assert shapes == {
        "encoder.hidden.layers.0": (30, 64),
        "encoder.heads.0": (5, 30),
        "encoder.heads.1": (5, 30),
        "decoder.hidden.layers.0": (30, 5),
        "decoder.heads.0": (64, 30),
        "decoder.heads.1": (64, 30),
    }


def test_parallel_layers_see_the_same_hidden_units():
    """row 241: oracle, the four products written out in NumPy."""
    torch.manual_seed(0)
    network, image = MlpVae(num_latents=3, width=7), torch.rand(1, 1, 8, 8)
    w = {name: value.double().numpy() for name, value in network.encoder.state_dict().items()}
    x = 2 * image.flatten().double().numpy() - 1
    hidden = np.maximum(w["hidden.layers.0.weight"] @ x + w["hidden.layers.0.bias"], 0)
    told = network.encode(image)
    mean, log_std = (w[f"heads.{n}.weight"] @ hidden + w[f"heads.{n}.bias"] for n in (0, 1))
    assert_close(told.mean[0], torch.from_numpy(mean).float())
    assert_close(told.std[0], torch.from_numpy(np.exp(log_std)).float())


@pytest.mark.parametrize("kind", [MlpVae, ConvVae])
@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Categorical(5), DiscretizedNormal(5), DiscretizedLogistic(5), Normal(0.2), Normal(None)]
)
def test_any_likelihood_fits_any_decoder(kind, likelihood):
    """rows 240, 242: levels are the likelihood's; samples take these values alone."""
    torch.manual_seed(0)
    network = kind((3, 8, 8), likelihood=likelihood)
    assert network.levels == likelihood.levels
    terms = network(torch.rand(4, 3, 8, 8), None, StreamDraws(4))
    assert all(value.isfinite().all() for value in terms.values())
    drawn = network.sample(draws(4))
    assert drawn.shape == (4, 3, 8, 8)
    if network.levels:
        steps = drawn * (network.levels - 1)
        assert_close(steps.round(), steps)


# --- Trained ---


def train(network: nn.Module, images: torch.Tensor, *, steps: int, lr: float, kl) -> list[float]:
    """-ELBO every 100 steps, by 4,000 draws."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    curve = []
    for step in range(steps):
        if step % 100 == 0:
            curve.append(negative_elbo(network, images, step))
        chosen = images[torch.randint(len(images), (64,), generator=generator)]
        terms = network(chosen, None, StreamDraws(len(chosen)))
        loss = (terms["reconstruction"] + kl(step) * terms["kl"]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [*curve, negative_elbo(network, images, steps)]


@torch.no_grad()
def negative_elbo(network: nn.Module, images: torch.Tensor, seed: int) -> float:
    many = images.repeat(-(-4000 // len(images)), 1, 1, 1)
    terms = network(many, None, draws(len(many), seed))
    return (terms["reconstruction"] + terms["kl"]).mean().item()


@pytest.fixture(scope="module")
def of_bars() -> tuple[MlpVae, list[float]]:
    torch.manual_seed(0)
    network = MlpVae((1, 4, 4), num_latents=2, width=128, likelihood=Bernoulli())
    return network, train(network, bars(), steps=2000, lr=3e-3, kl=lambda _: 1.0)


def test_bars_cost_little_more_than_their_entropy(of_bars):
    """row 241: no bound lies below the entropy ln 8 of the source; 2,000 steps come near it."""
    _, curve = of_bars
    assert curve[0] > 4.5
    assert np.mean(curve[-10:]) <= 3.7
    assert min(curve) >= math.log(8)


def test_the_bound_of_bars_is_tighter_with_more_samples_and_never_below_the_entropy(of_bars):
    """row 240: oracle, p(x) by a grid of quadrature over the two latent numbers."""
    network, _ = of_bars
    grid = torch.linspace(-6, 6, 241)
    latents = torch.cartesian_prod(grid, grid)
    with torch.no_grad():
        outputs = network.decoder(latents)
        log_prior = log_prob_of_normal(latents, torch.zeros(2), torch.zeros(2)) + 2 * math.log(0.05)
        exact = torch.stack(
            [
                (network.likelihood.log_prob(outputs, image.expand(len(latents), -1, -1, -1)) + log_prior).logsumexp(0)
                for image in bars()
            ]
        )
        bound = network.bound(bars(), None, draws(8), num_samples=2000)
    assert -exact.mean().item() >= math.log(8)
    torch.testing.assert_close(bound, exact, rtol=0, atol=0.25)
    assert exact.logsumexp(0) < 0  # the eight have no more than all of the probability


def test_samples_of_bars_are_bars_and_follow_the_seed(of_bars):
    """row 242: z of the prior, decoded and drawn: N of them, the same for a seed, most of them one of the eight."""
    network, _ = of_bars
    drawn = network.sample(draws(500, seed=5))
    assert drawn.shape == (500, 1, 4, 4)
    assert torch.equal(drawn, network.sample(draws(500, seed=5)))
    assert not torch.equal(drawn, network.sample(draws(500, seed=6)))
    matches = (drawn[:, None] == bars()).flatten(2).all(2)
    assert matches.any(1).float().mean() > 0.4
    assert matches.any(0).all()


def lamps() -> torch.Tensor:
    """(81, 1, 6, 6): two fields side by side, each at one of 9 levels, 0.9 apart on the left and 0.4 on the right."""
    levels = torch.cartesian_prod(torch.linspace(0.05, 0.95, 9), torch.linspace(0.3, 0.7, 9))
    images = torch.zeros(81, 1, 6, 6)
    images[:, 0, 1:5] = levels.repeat_interleave(3, 1)[:, None]
    return images


def test_one_latent_number_moves_one_factor_of_the_image():
    """row 243: of two independent factors each has a number of its own, the wider one first; others change nothing.

    Factors of one range could be mixed at no cost (Rolinek et al. 2019): those of these lamps have two.
    """
    torch.manual_seed(0)
    network = MlpVae((1, 6, 6), num_latents=4, width=64, likelihood=Normal(0.3))
    train(network, lamps(), steps=800, lr=3e-3, kl=lambda step: min(1.0, step / 200))
    with torch.no_grad():
        told = network.encode(lamps())
        assert (told.std.mean(0) < 0.8).sum() == 2
        assert (told.std.mean(0) > 0.9).sum() == 2
        sheet = traversal(network, network.encode(lamps()[40, None])).view(4, len(STEPS), 1, 6, 6)[:, 1:-1]
    seen = torch.stack([sheet[..., 1:5, :3].mean((2, 3, 4)), sheet[..., 1:5, 3:].mean((2, 3, 4))])
    left, right = seen.amax(2) - seen.amin(2)  # (4 rows) each
    assert left[0] > 0.7
    assert right[1] > 0.2
    assert left[1:].max() < 0.15
    assert right[[0, 2, 3]].max() < 0.15


def test_the_class_says_what_the_latents_need_not():
    """row 231: with the class of each bar told, one bar a class, samples are the bar of their class."""
    torch.manual_seed(0)
    network = MlpVae((1, 4, 4), num_latents=2, width=64, likelihood=Bernoulli(), num_classes=8)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    labels = torch.arange(8).repeat(8)
    for _ in range(500):
        loss = sum(value.mean() for value in network(bars()[labels], labels, StreamDraws(64)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = network.sample(draws(64), labels)
    assert (drawn == bars()[labels]).flatten(1).all(1).float().mean() >= 0.9


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MlpVae(num_latents=0), "num_latents is 0; allowed: 1 or more"),
        (lambda: MlpVae(width=0), "width is 0; allowed: 1 or more"),
        (lambda: ConvVae((1, 6, 8)), "image is .1, 6, 8. with 2 convolutions"),
        (lambda: ConvVae(widths=(8, 0)), "widths is .8, 0."),
        (lambda: MlpVae().bound(torch.rand(1, 1, 8, 8), None, draws(1), num_samples=0), "num_samples is 0"),
    ],
)
def test_a_mistake_is_one_line(make, said):
    with pytest.raises(UserError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)
