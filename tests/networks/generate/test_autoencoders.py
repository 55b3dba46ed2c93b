"""Autoencoders: what a code keeps of an image, against principal components."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import nn

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import ConvAutoencoder, LinearAutoencoder, MlpAutoencoder
from lightning_cv.ops.draws import StreamDraws
from tests.tolerances import assert_close

DIGITS = torch.from_numpy(load_digits().images).float()[:, None] / 16


def train(network: nn.Module, *, steps: int, lr: float) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        images = DIGITS[torch.randint(len(DIGITS), (256,), generator=generator)]
        loss = network(images, None, StreamDraws(len(images)))["squared_error"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def error(network: nn.Module) -> float:
    return network(DIGITS, None, StreamDraws(len(DIGITS)))["squared_error"].mean().item()


@pytest.fixture(scope="module")
def linear() -> LinearAutoencoder:
    torch.manual_seed(0)
    network = LinearAutoencoder(num_latents=8)
    train(network, steps=1500, lr=1e-2)
    return network


def test_the_linear_one_reaches_the_error_of_principal_components(linear):
    """row 238: oracle, scikit-learn's PCA with as many components; no linear code is better, this one 2% worse."""
    rows = DIGITS.flatten(1).double().numpy()
    pca = PCA(8).fit(rows)
    least = float(np.square(pca.inverse_transform(pca.transform(rows)) - rows).sum(1).mean())
    assert least * (1 - 1e-6) <= error(linear) <= 1.02 * least


def test_the_linear_one_spans_the_subspace_of_principal_components(linear):
    """row 238: oracle, scikit-learn's PCA: its first 6 directions lie in the span of the decoder's 8 columns.

    The seventh to ninth have nearly equal variances, and may take each other's place.
    """
    components = PCA(6).fit(DIGITS.flatten(1).numpy()).components_
    basis, _ = np.linalg.qr(linear.decoder.heads[0].weight.detach().numpy())
    assert np.linalg.svd(components @ basis, compute_uv=False).min() > 0.99


@pytest.mark.parametrize("kind", [MlpAutoencoder, ConvAutoencoder])
def test_layers_with_nonlinearities_keep_more_than_principal_components(kind):
    """row 238: with 4 numbers an image the error is below that of the best linear code, PCA's."""
    rows = DIGITS.flatten(1).double().numpy()
    pca = PCA(4).fit(rows)
    least = float(np.square(pca.inverse_transform(pca.transform(rows)) - rows).sum(1).mean())
    torch.manual_seed(0)
    network = kind(num_latents=4)
    train(network, steps=600, lr=3e-3)
    assert error(network) < 0.95 * least


def test_the_loss_is_the_sum_over_the_image_of_what_the_two_parts_leave():
    """row 238: oracle, the two matrices written out in NumPy; the reconstruction is the same, cut off at 0 and 1."""
    torch.manual_seed(0)
    network, images = LinearAutoencoder((2, 3, 5), num_latents=4), torch.rand(6, 2, 3, 5)
    into, out = network.encoder.heads[0], network.decoder.heads[0]
    flat = images.flatten(1).double().numpy()
    code = (2 * flat - 1) @ into.weight.detach().double().numpy().T + into.bias.detach().double().numpy()
    back = code @ out.weight.detach().double().numpy().T + out.bias.detach().double().numpy()
    with torch.no_grad():
        assert_close(
            network(images, None, StreamDraws(6))["squared_error"],
            torch.from_numpy(np.square(back - flat).sum(1)).float(),
        )
        assert_close(network.encode(images).mean, torch.from_numpy(code).float())
        assert_close(network.reconstruct(images), torch.from_numpy(np.clip(back, 0, 1)).float().view_as(images))
    assert network.encode(images).std is None


def test_convolutions_are_mirrored_by_transposed_convolutions():
    """row 238: as the course notes draw it; each halves, or doubles, the image."""
    network = ConvAutoencoder((3, 16, 8), widths=(8, 16), num_latents=5)
    assert [type(m) for m in network.encoder.modules() if isinstance(m, nn.Conv2d)] == [nn.Conv2d] * 2
    assert len([m for m in network.decoder.modules() if isinstance(m, nn.ConvTranspose2d)]) == 2
    assert network.decoder.coarsest == (16, 4, 2)
    assert network.reconstruct(torch.rand(2, 3, 16, 8)).shape == (2, 3, 16, 8)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ConvAutoencoder((1, 10, 8)), "image is .1, 10, 8. with 2 convolutions.*multiples of 4"),
        (lambda: ConvAutoencoder(widths=()), "widths is"),
        (lambda: MlpAutoencoder(widths=(3, 0)), "widths is"),
        (lambda: LinearAutoencoder(num_latents=0), "num_latents is 0; allowed: 1 or more"),
        (lambda: LinearAutoencoder().sample(StreamDraws(1)), "no distribution"),
    ],
)
def test_a_mistake_is_one_line(make, said):
    with pytest.raises(UserError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)
