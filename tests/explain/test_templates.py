"""The templates of a linear classifier are its weights, whatever stands before them."""

import pytest
import torch
from torch import nn

from lightning_cv.contracts import IMAGE, LABEL, DataInfo, Showing
from lightning_cv.explain import find_templates, template_images
from lightning_cv.networks.classical import LinearOnFeatures, Pixels
from lightning_cv.networks.classify import Mlp, SmallResNet
from lightning_cv.tasks import Classify
from tests.tolerances import assert_close

IMAGE_SIZE = (3, 8, 8)


def standardized() -> LinearOnFeatures:
    network = LinearOnFeatures(4, features=Pixels(IMAGE_SIZE))
    images = 3 + 5 * torch.rand(20, *IMAGE_SIZE)
    network.fit_images(lambda: [{IMAGE: images, LABEL: torch.zeros(20, dtype=torch.int64)}])
    return network


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mlp(4, image=IMAGE_SIZE, hidden=[]),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()),
        standardized,
    ],
    ids=["mlp", "linear", "convolution", "standardized"],
)
def test_a_score_is_the_product_with_the_template(make):
    """row 3: one image of the input's shape a class, and score_c = <template_c, x> + b_c to 1e-5."""
    network = make()
    templates = find_templates(network, IMAGE_SIZE)
    assert templates.weights.shape == (4, *IMAGE_SIZE)
    images = torch.randn(6, *IMAGE_SIZE)
    said = torch.einsum("kchw,bchw->bk", templates.weights, images) + templates.bias
    assert (network(images) - said).abs().max() < 1e-5 * max(1, said.abs().max().item())
    assert network.training


def test_the_templates_of_a_linear_layer_are_its_rows():
    """row 3: row c of the weights in the shape of the image."""
    network = Mlp(4, image=IMAGE_SIZE, hidden=[])
    assert_close(find_templates(network, IMAGE_SIZE).weights, network.head.weight.detach().view(4, *IMAGE_SIZE))


def test_a_bias_may_be_a_last_column_of_the_weights():
    """row 2: [W b] [x; 1] = W x + b."""
    images = torch.randn(5, 192, dtype=torch.float64)
    layer = nn.Linear(192, 4, dtype=torch.float64)
    with_bias = torch.cat([layer.weight, layer.bias[:, None]], dim=1)
    with_one = torch.cat([images, torch.ones(5, 1, dtype=torch.float64)], dim=1)
    assert_close(with_one @ with_bias.T, layer(images))


@pytest.mark.parametrize(
    "network",
    [
        Mlp(4, image=IMAGE_SIZE, hidden=[8]),
        SmallResNet(4, widths=[4], blocks_per_stage=1),
        nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(192, 4)),
        nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Tanh()),
    ],
    ids=["hidden layer", "resnet", "relu before", "tanh behind"],
)
def test_what_is_not_linear_has_no_templates(network):
    """One template a class would be a lie there."""
    assert find_templates(network, IMAGE_SIZE) is None


def test_colors_say_what_speaks_for_and_against_a_class():
    """Of one channel: the largest weight is red, its opposite blue, 0 white; of three the range is stretched."""
    weights = torch.tensor([2.0, -2.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert template_images(weights)[0].flatten(1).T.tolist() == [
        [255, 0, 0],
        [0, 0, 255],
        [255, 255, 255],
        [255, 128, 128],
    ]
    colored = template_images(torch.linspace(-1, 1, 12).view(1, 3, 2, 2))
    assert (colored.min(), colored.max()) == (0, 255)


def test_a_linear_task_shows_its_templates():
    """row 3: `Media` of a linear classifier also has the picture of its templates; of another it has not."""
    info = DataInfo(("cat", "dog", "cow", "hen"), 3, (8, 8), (0.0,) * 3, (1.0,) * 3)
    showing = Showing(info, "val", str, 4)

    def pictures(network: nn.Module) -> dict:
        task = Classify(network, torch.optim.SGD)
        made = [gallery.draw([gallery.take()]) for gallery in task.galleries(showing)]
        return {name: picture for part in made for name, picture in part.items()}

    shown = pictures(Mlp(4, image=IMAGE_SIZE, hidden=[]))
    assert shown["templates"].width > 176 * 2
    assert "templates" not in pictures(SmallResNet(4, widths=[4], blocks_per_stage=1))
