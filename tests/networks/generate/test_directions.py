"""Directions that nobody named: planted ones must come back."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from lightning_cv.errors import UserError
from lightning_cv.networks.generate import MlpVae
from lightning_cv.networks.generate.directions import (
    Directions,
    direction_sheet,
    principal_directions,
    weight_directions,
)
from lightning_cv.ops.draws import OwnDraws
from tests.tolerances import assert_close

Z = 8


def draws(count: int = 400, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


def planted(seed: int) -> tuple[Tensor, Tensor]:
    """A weight (64, 8) that stretches one direction 5 times as much as any other, and that direction."""
    generator = torch.Generator().manual_seed(seed)
    factor = nn.functional.normalize(torch.randn(Z, generator=generator), dim=0)
    outputs, _ = torch.linalg.qr(torch.randn(64, Z, generator=generator))
    inputs, _ = torch.linalg.qr(torch.cat([factor[:, None], torch.randn(Z, Z - 1, generator=generator)], 1))
    return outputs @ torch.diag(torch.tensor([1.0, *[0.2] * (Z - 1)])) @ inputs.T, factor


class Planted(nn.Module):
    """One linear layer and a sigmoid, whose first direction is known."""

    image = (1, 8, 8)
    num_latents = Z

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        if isinstance(self.layer, nn.Linear):
            return self.layer(latents).sigmoid().view(-1, 1, 8, 8)
        return self.layer(latents[:, :, None, None]).sigmoid()


class Styled(Planted):
    """The same behind a mapping that stretches and turns: directions are those of the mapped vectors."""

    def __init__(self, layer: nn.Module, stretch: Tensor) -> None:
        super().__init__(layer)
        self.register_buffer("stretch", stretch)

    def map_latents(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return latents @ self.stretch + 1

    def decode_mapped(self, mapped: Tensor) -> Tensor:
        return Planted.decode(self, mapped) * self.layer(mapped).tanh().view(-1, 1, 8, 8).abs()

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.decode_mapped(self.map_latents(latents))


def linear(weight: Tensor) -> nn.Module:
    layer = nn.Linear(Z, 64, bias=False)
    layer.weight.data.copy_(weight)
    return layer


def transposed(weight: Tensor) -> nn.Module:
    layer = nn.ConvTranspose2d(Z, 1, 8, bias=False)
    layer.weight.data.copy_(weight.T.view(Z, 1, 8, 8))
    return layer


@pytest.mark.parametrize("make", [linear, transposed])
@pytest.mark.parametrize("find", [weight_directions, principal_directions])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_direction_is_found(make, find, seed):
    """row 252: |cos| above 0.9 with the first, by weights and by components, of either kind of layer."""
    weight, factor = planted(seed)
    found = find(Planted(make(weight)), draws(), count=3)
    assert found.vectors.shape == (3, Z)
    assert abs(float(found.vectors[0] @ factor)) > 0.9
    assert abs(float(found.vectors[1] @ factor)) < 0.4
    assert_close(found.scales, torch.ones(3))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_directions_of_mapped_vectors_are_the_components_of_sklearn(seed):
    """row 252: oracle, scikit-learn's PCA of mapped vectors; and scales that are its deviations."""
    stretch = torch.diag(torch.tensor([4.0, 2.0, 1.0, *[0.1] * (Z - 3)]))
    turn, _ = torch.linalg.qr(torch.randn(Z, Z, generator=torch.Generator().manual_seed(seed)))
    network = Styled(linear(planted(seed)[0]), stretch @ turn)
    found = principal_directions(network, draws(), count=3)
    oracle = PCA(3).fit(network.map_latents(draws().normal(Z)).double().numpy())
    cosines = np.abs((found.vectors.double().numpy() * oracle.components_).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
    np.testing.assert_allclose(found.scales.numpy(), np.sqrt(oracle.explained_variance_), rtol=1e-4)


def test_weights_that_a_mapped_vector_enters_count_wherever_they_are():
    """row 252: the planted factor of a layer that is called with the mapped vector, not with the latent one."""
    weight, factor = planted(3)
    network = Styled(linear(weight), torch.randn(Z, Z, generator=torch.Generator().manual_seed(0)))
    assert abs(float(weight_directions(network, draws(), count=1).vectors[0] @ factor)) > 0.999


@pytest.mark.parametrize("find", [weight_directions, principal_directions])
def test_directions_are_orthonormal_and_no_more_than_there_are(find):
    """row 252: of a network with classes, where 99 are asked for there are as many as latent numbers."""
    torch.manual_seed(0)
    found = find(MlpVae(num_classes=3).eval(), draws(), count=99, label=torch.tensor([2]))
    assert found.vectors.shape == (16, 16)
    assert_close(found.vectors @ found.vectors.T, torch.eye(16))


def test_directions_of_weights_are_the_eigenvectors_of_numpy():
    """row 252: oracle, numpy.linalg.eigh of A^T A, as the paper solves it."""
    torch.manual_seed(0)
    network = MlpVae().eval()
    weight = network.decoder.hidden.layers[0].weight.detach().double().numpy()
    _, vectors = np.linalg.eigh(weight.T @ weight)
    found = weight_directions(network, draws(), count=4).vectors.double().numpy()
    np.testing.assert_allclose(np.abs((found * vectors.T[::-1][:4]).sum(1)), 1, atol=1e-5)


def test_a_sheet_has_a_row_a_direction_with_the_image_in_its_middle():
    """row 252: from -3 to 3 deviations; 0 changes nothing, and more changes more."""
    weight, factor = planted(0)
    network = Planted(linear(weight))
    sheet = direction_sheet(network, Directions(factor[None], torch.tensor([0.5])), draws(1)).unflatten(0, (1, 7))
    latents = draws(1).normal(Z)
    assert_close(sheet[0, 3], network.decode(latents)[0])
    assert_close(sheet[0, 6], network.decode(latents + 1.5 * factor)[0])
    distances = (sheet[0] - sheet[0, 3]).flatten(1).norm(dim=1)
    assert (distances[:3].diff() < 0).all()
    assert (distances[3:].diff() > 0).all()


def test_a_network_that_takes_its_latents_in_pieces_is_told_so():
    """row 252: and too few draws, or none asked for."""
    network = Planted(nn.Linear(4, 32))
    network.decode = lambda latents, labels=None: network.layer(latents.view(-1, 2, 4)).view(-1, 1, 8, 8)
    with pytest.raises(UserError, match="no layer that takes its latent vector whole"):
        weight_directions(network, draws(), count=1)
    with pytest.raises(UserError, match="allowed: more than the 8 dimensions"):
        principal_directions(network, draws(8), count=1)
    with pytest.raises(UserError, match="0 asked for"):
        weight_directions(network, draws(), count=0)
