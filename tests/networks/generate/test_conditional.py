"""Networks of p(x | y) draw images of the class that they are asked for."""

import pytest
import torch

from lightning_cv.networks.generate import Autoregressive, Made, PixelCnn, PixelTransformer
from lightning_cv.ops.draws import OwnDraws
from tests.networks.generate.sources import bars

OPTIONS = {
    Made: {"widths": (128, 128)},
    PixelCnn: {"width": 16, "num_layers": 2},
    PixelTransformer: {"width": 32, "num_layers": 2},
}


@pytest.mark.parametrize("family", OPTIONS, ids=lambda n: n.__name__)
def test_samples_of_a_class_are_of_that_class(family: type[Autoregressive]):
    """row 231: of bars, rows are class 0 and columns class 1; of 200 samples 90% or more are bars of their class."""
    torch.manual_seed(0)
    network = family((1, 4, 4), levels=2, num_classes=2, **OPTIONS[family])
    labels = torch.tensor([0, 1]).repeat_interleave(4)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(300):
        loss = -network.log_prob(bars(), labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    asked = torch.arange(200) % 2
    drawn = network.sample(OwnDraws.of_indices(torch.arange(200)), asked)
    known = (drawn[:, None] == bars()[None]).flatten(2).all(2)
    right = known[torch.arange(200)[:, None], 4 * asked[:, None] + torch.arange(4)].any(1)
    assert right.float().mean() >= 0.9
