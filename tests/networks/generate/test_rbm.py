"""A restricted Boltzmann machine small enough to be summed over is what its energy says, and learns by its chain."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Rbm
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.networks.generate.sources import bars
from tests.tolerances import assert_close


def all_images(*image: int) -> torch.Tensor:
    size = int(np.prod(image))
    codes = torch.arange(2**size)[:, None] >> torch.arange(size).flip(0)
    return (codes & 1).float().view(-1, *image)


def tiny(std: float = 0.8, **options) -> Rbm:
    """2 x 3 pixels and 4 hidden units."""
    torch.manual_seed(0)
    network = Rbm((1, 2, 3), num_hidden=4, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=std)
    return network


def joint_weights(network: Rbm) -> np.ndarray:
    """exp(-E(v, h)) in float64 by the energy -b v - c h - h W v: (64 images, 16 states of the hidden units)."""
    w, c, b = (
        parameter.detach().double().numpy() for parameter in (network.weight, network.hidden_bias, network.visible_bias)
    )
    states = list(itertools.product((0, 1), repeat=len(c)))
    return np.array(
        [
            [np.exp(b @ v + c @ np.array(h) + np.array(h) @ w @ v) for h in states]
            for v in all_images(1, 2, 3).flatten(1).double().numpy()
        ]
    )


def exact_nll(network: Rbm, images: torch.Tensor) -> torch.Tensor:
    """Nats an image, by a sum over all images."""
    log_z = torch.logsumexp(-network.free_energy(all_images(*network.image)), 0)
    return (network.free_energy(images) + log_z).mean()


def frequencies(images: torch.Tensor) -> torch.Tensor:
    size = images[0].numel()
    return torch.bincount((images.flatten(1).long() << torch.arange(size).flip(0)).sum(1), minlength=2**size) / len(
        images
    )


def test_the_free_energy_sums_over_all_hidden_units():
    """row 236: of each of 64 images, against the sum over 16 states of the hidden units in NumPy."""
    network = tiny()
    expected = -np.log(joint_weights(network).sum(1))
    assert_close(network.free_energy(all_images(1, 2, 3)), torch.from_numpy(expected).float())


def test_the_exact_probabilities_sum_to_one():
    """row 236: exp(-F) / Z with Z over images and hidden units; and exactly then."""
    network = tiny()
    p = (-network.free_energy(all_images(1, 2, 3)).double()).exp() / joint_weights(network).sum()
    assert p.sum().item() == pytest.approx(1, abs=1e-6)


def test_grey_is_white_from_the_middle_on():
    """row 236: the energy is that of the image in black and white."""
    network = tiny()
    grey = torch.tensor([0.0, 0.49, 0.5, 1.0, 0.7, 0.2]).view(1, 1, 2, 3)
    assert torch.equal(network.free_energy(grey), network.free_energy((grey >= 0.5).float()))


def test_a_long_chain_draws_images_as_often_as_they_are_likely():
    """rows 236, 242: 20,000 samples after 50 steps against the 64 exact probabilities."""
    network = tiny(sample_steps=50)
    weights = joint_weights(network).sum(1)
    drawn = network.sample(OwnDraws.of_indices(torch.arange(20_000)))
    exact = torch.from_numpy(weights / weights.sum()).float()
    distance = (frequencies(drawn) - exact).abs().sum() / 2
    assert distance < 0.026  # a fair sample of this size is off by 0.019 on average
    assert (exact - 1 / 64).abs().sum() / 2 > 0.3


def test_one_step_goes_through_the_hidden_units():
    """row 236: from one image, frequencies of 20,000 next ones against sum over h of p(h | v) p(v' | h) in NumPy."""
    network = tiny()
    joint = joint_weights(network)
    expected = (joint / joint.sum(0)) @ (joint[11] / joint[11].sum())
    network.sample_steps = 1
    start = all_images(1, 2, 3)[11].flatten()

    class FromThere(OwnDraws):
        """Its first numbers are such that the chain starts at the image."""

        def uniform(self, *shape: int) -> torch.Tensor:
            drawn = super().uniform(*shape)
            return drawn if self._made > 6 else (1 - start).expand(len(self), -1)

    drawn = network.sample(FromThere(OwnDraws.of_indices(torch.arange(20_000))._keys))
    distance = (frequencies(drawn) - torch.from_numpy(expected).float()).abs().sum() / 2
    assert distance < 0.025


def test_after_many_steps_the_gradient_is_that_of_the_likelihood():
    """row 236: 100 steps of 40,000 chains against autograd through the sum over all images; one step is biased."""
    data = all_images(1, 2, 3)[[3, 3, 17, 40, 62]]

    def gradient(loss: torch.Tensor, network: Rbm) -> torch.Tensor:
        return parameters_to_vector(torch.autograd.grad(loss, list(network.parameters())))

    many, one = tiny(gibbs_steps=100), tiny(gibbs_steps=1)
    exact = gradient(exact_nll(many, data), many)
    many_images = data.repeat(8000, 1, 1, 1)
    draws = [OwnDraws.of_indices(torch.arange(len(many_images))) for _ in range(2)]
    by_chain = gradient(many(many_images, None, draws[0])["free_energy_gap"].mean(), many)
    by_one = gradient(one(many_images, None, draws[1])["free_energy_gap"].mean(), one)
    assert (by_chain - exact).norm() < 0.03 * exact.norm()
    assert (by_one - exact).norm() > 0.1 * exact.norm()


@pytest.mark.parametrize(
    ("options", "rate", "steps"), [({"gibbs_steps": 1}, 0.02, 600), ({"num_chains": 64, "gibbs_steps": 5}, 0.005, 1000)]
)
def test_contrastive_divergence_raises_the_exact_likelihood(options, rate, steps):
    """row 236: of the eight bars of 4 x 4 pixels; from log 65536 nats to less than half, not below log 8."""
    torch.manual_seed(0)
    network = Rbm((1, 4, 4), num_hidden=16, **options)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    before = exact_nll(network, bars()).item()
    for _ in range(steps):
        images = bars().repeat(8, 1, 1, 1)
        loss = network(images, None, StreamDraws(64))["free_energy_gap"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = exact_nll(network, bars()).item()
    assert before == pytest.approx(16 * np.log(2), abs=0.1)
    assert np.log(8) < after < before / 2


def test_persistent_chains_go_on_from_where_they_were():
    """row 236: a state that is kept, in turn where a batch is small; scores neither use nor move it."""
    network = tiny(num_chains=4)
    images, before = all_images(1, 2, 3)[:3], network.chains.float()
    network.eval()(images, None, OwnDraws.of_indices(torch.arange(3)))
    assert torch.equal(network.chains.float(), before)
    draws = OwnDraws.of_indices(torch.arange(3), seed=1)
    network.train()(images, None, draws)
    assert torch.equal(network.chains[0].float(), before[3])
    again = OwnDraws.of_indices(torch.arange(3), seed=1)
    hidden_draws, visible_draws = again.uniform(4), again.uniform(6)
    hidden = (hidden_draws < (before[:3] @ network.weight.t() + network.hidden_bias).sigmoid()).float()
    visible = (visible_draws < (hidden @ network.weight + network.visible_bias).sigmoid()).float()
    assert torch.equal(network.chains[1:].float(), visible)
    assert torch.equal(network.state_dict()["chains"], network.chains)
    with pytest.raises(UserError, match="num_chains"):
        network(all_images(1, 2, 3)[:5], None, StreamDraws(5))


def test_a_reconstruction_goes_to_the_hidden_units_and_back():
    """row 236: two layers of an MLP with the same weights, in NumPy."""
    network, image = tiny(), all_images(1, 2, 3)[[11, 50]]
    w, c, b = (p.detach().double().numpy() for p in (network.weight, network.hidden_bias, network.visible_bias))
    hidden = 1 / (1 + np.exp(-(image.flatten(1).numpy() @ w.T + c)))
    expected = 1 / (1 + np.exp(-(hidden @ w + b)))
    assert_close(network.reconstruct(image).flatten(1), torch.from_numpy(expected).float())


@pytest.mark.parametrize("option", [{"num_hidden": 0}, {"gibbs_steps": 0}, {"num_chains": -1}, {"sample_steps": 0}])
def test_a_size_that_cannot_be_is_refused_by_its_name(option):
    with pytest.raises(UserError, match=next(iter(option))):
        Rbm(**option)
