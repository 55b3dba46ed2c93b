"""A network without its batch norms scores the same."""

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_cv.callbacks import FoldBatchNorm
from lightning_cv.contracts import IMAGE
from lightning_cv.errors import UserError
from lightning_cv.networks.classify import Mlp, SmallResNet
from lightning_cv.networks.fold import fold_batch_norm
from lightning_cv.tasks import Classify
from tests.tolerances import assert_close


def trained(network: nn.Module) -> nn.Module:
    """Norms with statistics, scales and shifts that are not those of the start."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (SmallResNet, 0),
        (torchvision.models.resnet18, 0),
        (torchvision.models.mobilenet_v2, 0),
        (lambda: timm.create_model("mobilenetv1_100"), 0),
        (torchvision.models.densenet121, 62),  # 121 less the stem's and the second one of each of 58 layers
    ],
    ids=["own", "resnet18", "mobilenet_v2", "timm mobilenetv1", "densenet121"],
)
def test_the_scores_stay_and_the_norms_go(make, left):
    """row 71: equal to 1e-5 of the largest score; no batch norm is left where each follows a convolution."""
    network, images = trained(make()), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        folded = fold_batch_norm(network, images[:1])
        assert torch.equal(network(images), before), "the network itself stays as it is"
        assert (folded(images) - before).abs().max() <= 1e-5 * before.abs().max()
    assert sum(isinstance(module, _BatchNorm) for module in folded.modules()) == left


def test_a_layer_whose_output_is_used_beside_its_norm_is_refused():
    """Folding it would change what the other reader gets."""

    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, images):
            features = self.layer(images)
            return features + self.norm(features)

    with pytest.raises(UserError, match="used beside its batch norm"):
        fold_batch_norm(trained(Fork()), torch.randn(3, 4))
    with pytest.raises(UserError, match="Mlp has no batch norm that directly follows a layer"):
        fold_batch_norm(Mlp(), torch.randn(2, 1, 8, 8))


@pytest.mark.parametrize("averaged", [False, True])
def test_prediction_runs_without_norms_and_ends_with_them(averaged):
    """row 71: the callback folds the weights that predict, the averaged ones where there are any, and undoes it."""
    task = Classify(trained(SmallResNet(in_channels=1, widths=[8], blocks_per_stage=1)), torch.optim.SGD).eval()
    if averaged:
        task.averaged = trained(copy.deepcopy(task.network))
    images = torch.randn(4, 1, 8, 8)
    _, scored = task._scored_networks()[0]
    before = task.predict(scored, images)
    callback = FoldBatchNorm()
    callback.on_predict_batch_start(None, task, {IMAGE: images}, 0)
    _, folded = task._scored_networks()[0]
    assert not any(isinstance(module, _BatchNorm) for module in folded.modules())
    assert (task.predict(folded, images) - before).abs().max() < 1e-5
    callback.on_predict_end(None, task)
    assert task._scored_networks()[0][1] is scored


def test_an_exported_network_has_no_norms_left():
    """row 71: torch.export of the folded network scores the same and holds no operation of a batch norm."""
    network, images = trained(SmallResNet(widths=[8, 16], blocks_per_stage=1)), torch.randn(2, 3, 16, 16)
    plain, folded = (torch.export.export(n, (images,)) for n in (network, fold_batch_norm(network, images)))
    assert "batch_norm" in str(plain.graph)
    assert "batch_norm" not in str(folded.graph)
    with torch.no_grad():
        assert (folded.module()(images) - network(images)).abs().max() < 1e-5


def test_a_layer_that_two_norms_share_stays_as_it_is():
    """Folding one of them would scale what the other gets; a pair that nothing shares is folded beside them."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
            self.layer, self.one, self.other = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.first(x))
            return self.one(self.layer(x)) + self.other(self.layer(x + 1))

    network, inputs = trained(Shared()), torch.randn(5, 4)
    folded = fold_batch_norm(network, inputs)
    with torch.no_grad():
        assert_close(folded(inputs), network(inputs))
    left = {name for name, module in folded.named_modules() if isinstance(module, _BatchNorm)}
    assert left == {"one", "other"}
