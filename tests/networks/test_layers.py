"""The layers of torch that recipes' networks are made of do what the course says of them."""

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightning_cv.networks.account import account
from tests.tolerances import assert_close


def warm_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Statistics, scales and shifts as training leaves them."""
    norm = nn.BatchNorm2d(channels)
    for tensor, low in ((norm.weight, 0.5), (norm.bias, -1.0), (norm.running_mean, -1.0), (norm.running_var, 0.5)):
        tensor.data.uniform_(low, low + 1.5)
    return norm


@pytest.mark.parametrize(("layer", "axes"), [(nn.Conv1d, 1), (nn.Conv3d, 3)])
def test_convolutions_of_other_dimensions_follow_the_formula_on_each_axis(layer, axes):
    """row 61: H' = (H - K + 2P) / S + 1 for K 3, S 2, P 1."""
    sizes = (9, 12, 15)[:axes]
    features = layer(2, 4, 3, stride=2, padding=1)(torch.zeros(1, 2, *sizes))
    assert features.shape == (1, 4, *((size - 3 + 2) // 2 + 1 for size in sizes))


def test_max_pooling_forgets_where_in_a_cell_the_maximum_was():
    """row 65: H' = (H - K) / S + 1; a peak that moves within its cell changes nothing, one that leaves it does."""
    pool = nn.MaxPool2d(2)
    images = torch.zeros(3, 1, 9, 9)
    images[0, 0, 2, 4] = images[1, 0, 3, 5] = images[2, 0, 4, 4] = 1.0
    pooled = pool(images)
    assert pooled.shape[-2:] == (4, 4)
    assert torch.equal(pooled[0], pooled[1])
    assert not torch.equal(pooled[0], pooled[2])


def test_a_head_behind_global_pooling_has_c_d_plus_c_parameters_for_any_size():
    """row 66: 64 features and 10 classes: 650; flattened maps of 8x8 would need 40,970."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for size in (1, 7, 8, 30):
        assert head(torch.zeros(2, 64, size, size + 3)).shape == (2, 10)
    assert account(head, torch.zeros(1, 64, 8, 8)).parameters == 64 * 10 + 10
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64 * 8 * 8, 10))
    assert account(flat, torch.zeros(1, 64, 8, 8)).parameters == 40_970


def test_batch_norm_standardizes_in_training_and_knows_no_batch_mates_in_evaluation():
    """row 69: mean 0 and deviation 1 a feature; the running averages are what evaluation uses."""
    norm, batch = nn.BatchNorm1d(5), 3 + 2 * torch.randn(256, 5)
    trained = norm(batch)
    assert_close(trained.mean(0), torch.zeros(5))
    torch.testing.assert_close(trained.std(0, correction=0), torch.ones(5), rtol=1e-4, atol=0)
    assert_close(norm.running_mean, 0.1 * batch.mean(0))
    norm.eval()
    with torch.no_grad():
        assert_close(norm(batch[:1]), norm(batch)[:1])
        meant = (batch - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        assert_close(norm(batch), meant)
    assert (trained[:1] - norm(batch[:1])).abs().max() > 0.1


def test_spatial_batch_norm_has_one_scale_a_channel():
    """row 70: statistics are those over images and places of each channel."""
    norm, batch = nn.BatchNorm2d(4), torch.randn(8, 4, 5, 6) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None]
    assert norm.weight.shape == norm.bias.shape == (4,)
    mean = batch.mean((0, 2, 3), keepdim=True)
    variance = batch.var((0, 2, 3), keepdim=True, correction=0)
    assert_close(norm(batch), (batch - mean) / (variance + norm.eps).sqrt())


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_folds_into_the_convolution_before_it(bias):
    """row 71: in evaluation both are one linear operator: equal to 1e-5, and no norm is left."""
    convolution, norm = nn.Conv2d(3, 6, 3, padding=1, bias=bias), warm_batch_norm(6)
    network = nn.Sequential(convolution, norm).eval()
    folded = fuse_conv_bn_eval(network[0], network[1])
    images = torch.randn(4, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-5, atol=1e-5)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]


def test_layer_norm_over_an_image_is_group_norm_with_one_group():
    """row 72: per image, so that a batch of one is as good as any."""
    images = torch.randn(4, 6, 5, 5)
    layer = nn.LayerNorm([6, 5, 5])
    assert_close(layer(images), nn.GroupNorm(1, 6)(images))
    assert_close(layer(images[:1]), layer(images)[:1])


def test_instance_norm_is_group_norm_with_a_group_a_channel_and_removes_contrast():
    """row 73: an image that is made brighter and of more contrast gives the same."""
    images = torch.randn(4, 6, 5, 5)
    norm = nn.InstanceNorm2d(6)
    assert_close(norm(images), nn.GroupNorm(6, 6)(images))
    torch.testing.assert_close(norm(7 + 3 * images), norm(images), rtol=1e-3, atol=1e-4)
