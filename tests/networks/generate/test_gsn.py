"""A generative stochastic network walks through images that are like the data."""

import numpy as np
import pytest
import torch

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Gsn
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.networks.generate.sources import bars
from tests.tolerances import assert_close


def draws(count: int, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


def randomized(**options) -> Gsn:
    torch.manual_seed(0)
    network = Gsn(**options)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    return network


def nats_by_numpy(scores: torch.Tensor, values: torch.Tensor) -> np.ndarray:
    """-log p of each image, of scores (B, L, C, H, W)."""
    exact = scores.detach().double().numpy()
    log_p = exact - np.log(np.exp(exact).sum(1, keepdims=True))
    return -np.take_along_axis(log_p, values.numpy()[:, None], 1).sum((1, 2, 3, 4))


def trained_on_bars() -> Gsn:
    torch.manual_seed(0)
    network = Gsn((1, 4, 4), levels=2, widths=(128,), corruption=0.15, walkback_steps=2)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(800):
        loss = network(bars().repeat(8, 1, 1, 1), None, StreamDraws(64))["reconstruction"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def distance_to_bars(values: torch.Tensor) -> torch.Tensor:
    """(B,) int64, how many pixels of (B, 1, 4, 4) differ from the nearest bar."""
    return (values[:, None].long() != bars()[None].long()).flatten(2).sum(2).amin(1)


def test_salt_and_pepper_are_as_frequent_as_is_said():
    """row 237: of grey pixels 12% become black, 12% white, with corruption 0.24; the others stay."""
    network = Gsn((1, 100, 100), levels=5, widths=(1,), corruption=0.24)
    corrupted = network.corrupted(torch.full((4, 1, 100, 100), 2), draws(4))
    frequency = torch.bincount(corrupted.flatten(), minlength=5) / corrupted.numel()
    torch.testing.assert_close(frequency, torch.tensor([0.12, 0, 0.76, 0, 0.12]), atol=0.01, rtol=0)


def test_denoising_is_scored_by_the_image_as_it_was():
    """row 237: one step, against a softmax in NumPy of the scores of the corrupted image."""
    network = randomized(image=(2, 3, 3), levels=5, walkback_steps=1, widths=(7,))
    values = torch.randint(5, (6, 2, 3, 3), generator=torch.Generator().manual_seed(1))
    expected = nats_by_numpy(network.scores(network.corrupted(values, draws(6))), values)
    assert_close(network(values / 4, None, draws(6))["reconstruction"], torch.from_numpy(expected).float())


def test_walkback_wants_the_image_back_from_each_step_of_the_chain():
    """row 237: three steps, each from where the chain went, all against the image the walk began at."""
    network = randomized(image=(1, 3, 3), levels=4, walkback_steps=3, widths=(7,))
    values = torch.randint(4, (6, 1, 3, 3), generator=torch.Generator().manual_seed(1))
    same, state, nats = draws(6), values, []
    for _ in range(3):
        scores = network.scores(network.corrupted(state, same))
        nats.append(nats_by_numpy(scores, values))
        uniform = same.uniform(1, 3, 3)[:, None]
        state = (scores.detach().softmax(1).cumsum(1) <= uniform).sum(1)
    expected = torch.from_numpy(np.mean(nats, 0)).float()
    assert_close(network(values / 3, None, draws(6))["reconstruction"], expected)


def test_a_right_denoiser_makes_a_chain_that_stays_at_the_data():
    """row 237, theorem 1: with p(x | corrupted) by Bayes the chain has the frequencies of the data, (0.2, 0.5, 0.3)."""
    data = torch.tensor([0.2, 0.5, 0.3])
    kept, noise = 0.6 * torch.eye(3), 0.4 * torch.tensor([0.5, 0, 0.5]).expand(3, 3)
    posterior = (data[:, None] * (kept + noise)).t().log()  # row: what is left, column: what it was

    class Right(Gsn):
        """Knows the distribution."""

        def scores(self, corrupted, labels=None):
            return posterior[corrupted].movedim(-1, 1)

    network = Right((1, 1, 1), levels=3, widths=(1,), corruption=0.4, sample_steps=30)
    drawn = (network.sample(draws(20_000)) * 2).long().flatten()
    frequency = torch.bincount(drawn, minlength=3) / len(drawn)
    torch.testing.assert_close(frequency, data, atol=0.012, rtol=0)


def test_the_chain_keeps_to_the_modes_of_the_data_and_visits_them():
    """row 237: trained on eight bars; states are bars, where independent pixels as frequent hardly ever are."""
    network = trained_on_bars()
    independent = torch.rand(4000, 1, 4, 4, generator=torch.Generator().manual_seed(1)) < bars().mean(0)
    baseline = (distance_to_bars(independent) == 0).float().mean()
    samples = network.sample(draws(400)).long()
    distance = distance_to_bars(samples)
    assert baseline < 0.05
    assert (distance == 0).float().mean() > 0.75
    assert (distance <= 1).float().mean() > 0.88
    assert len(samples[distance == 0].unique(dim=0)) == 8
    state, visited = bars()[:1].long(), []
    chain = draws(1, seed=1)
    for _ in range(300):
        state = network.step(state, None, chain)
        visited.append((state == bars().long()).flatten(1).all(1).nonzero().flatten())
    seen = torch.cat(visited)
    assert len(seen) > 0.7 * 300
    assert len(seen.unique()) >= 5


def test_a_chain_is_of_one_class():
    """rows 231, 237: each class of bars has samples that are bars of this class."""
    torch.manual_seed(0)
    network = Gsn((1, 4, 4), levels=2, widths=(128,), corruption=0.15, walkback_steps=2, num_classes=2, sample_steps=20)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    labels = torch.arange(8) // 4  # rows, columns
    for _ in range(500):
        loss = network(bars().repeat(8, 1, 1, 1), labels.repeat(8), StreamDraws(64))["reconstruction"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for label in (0, 1):
        drawn = network.sample(draws(100), torch.full((100,), label)).long()
        right = (drawn[:, None] == bars()[labels == label][None].long()).flatten(2).all(2).any(1)
        assert right.float().mean() > 0.7


@pytest.mark.parametrize(
    "option", [{"corruption": 0.0}, {"corruption": 1.1}, {"walkback_steps": 0}, {"sample_steps": 0}, {"widths": ()}]
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(option):
    with pytest.raises(UserError, match=next(iter(option))):
        Gsn(**option)
