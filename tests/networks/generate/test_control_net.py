"""ControlNet: published sizes, neutral at first, a base that stays as it is, and a control that is followed."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_cv.contracts import FollowsControl, SamplesInSteps, Sampling
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import ConditionUNet, ControlledDiffusion, Diffusion, FlowMatching
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from lightning_cv.ops.edges import edges
from lightning_cv.optim import build_optimizer
from lightning_cv.recipe.imports import ImportPolicy
from lightning_cv.tasks.control import agreement, correlation
from tests.tolerances import assert_close


def draws(count: int, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


def images(count: int = 4) -> Tensor:
    return torch.randint(17, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 16


def controlled(num_classes: int | None = None, guidance: float = 1.0) -> tuple[ControlledDiffusion, Diffusion]:
    """One, and the diffusion that it started from."""
    torch.manual_seed(0)
    sampling = Sampling("ddim", 3, guidance)
    base = Diffusion(ConditionUNet(num_classes=num_classes, widths=(16, 32)), levels=None, sampling=sampling).eval()
    return ControlledDiffusion(copy.deepcopy(base)).eval(), base


def awake(network: ControlledDiffusion) -> ControlledDiffusion:
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return network


@pytest.mark.parametrize(
    ("class_path", "options", "parameters"),
    [
        ("diffusers.UNet2DConditionModel", {"cross_attention_dim": 768}, 859_520_964),
        ("diffusers.PriorTransformer", {}, 1_022_030_080),
    ],
)
def test_networks_of_stable_diffusion_and_unclip_are_the_published_ones(class_path, options, parameters):
    """rows 263, 264: a recipe may name them; on no device; and what a prior gives is as long as a vector of CLIP."""
    with torch.device("meta"):
        built = ImportPolicy().resolve(class_path)(**options)
    assert sum(p.numel() for p in built.parameters()) == parameters
    if class_path.endswith("PriorTransformer"):
        assert built.proj_to_clip_embeddings.out_features == built.config.embedding_dim == 768


def test_the_control_net_of_stable_diffusion_is_the_published_one():
    """row 265: 361,279,120 parameters, made as ours is."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
        net = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    assert sum(p.numel() for p in net.parameters()) == 361_279_120


@pytest.mark.parametrize(("num_classes", "guidance"), [(None, 1.0), (3, 1.0), (3, 2.5)])
def test_it_starts_as_the_base_exactly(num_classes, guidance):
    """row 265: at step 0 a sample that follows a control is the base's, to the last digit; guided too."""
    network, base = controlled(num_classes, guidance)
    labels = None if num_classes is None else torch.arange(4) % num_classes
    expected = base.sample(draws(4), labels)
    assert torch.equal(network.sample_controlled(draws(4), edges(images()), labels), expected)
    assert torch.equal(network.sample(draws(4), labels), expected)
    followed = awake(network).sample_controlled(draws(4), edges(images()), labels)
    assert not torch.equal(followed, expected)
    assert torch.equal(network.sample(draws(4), labels), expected)


def test_each_image_follows_its_own_control():
    """row 265: with guidance, where two answers an image are asked for at once, and alone as in a batch."""
    network = awake(controlled(3, guidance=2.0)[0])
    control, labels = edges(images()), torch.tensor([0, 1, 2, 0])
    together = network.sample_controlled(draws(4), control, labels)
    own = OwnDraws.of_indices(torch.tensor([2]), seed=0)
    alone = network.sample_controlled(own, control[2, None], labels[2, None])
    torch.testing.assert_close(alone[0], together[2], rtol=1e-4, atol=1e-5)
    other = network.sample_controlled(draws(4), control.roll(1, 0), labels)
    assert all(not torch.equal(a, b) for a, b in zip(together, other, strict=True))


def test_the_base_is_frozen_and_every_other_parameter_learns():
    """row 265: steps with weight decay, in training mode, change the copy alone."""
    network = awake(controlled()[0])
    before = copy.deepcopy(network.state_dict())
    network.train()
    assert not any(module.training for module in network.control_net.base.modules())
    optimizer = build_optimizer(network, lambda groups: torch.optim.AdamW(groups, lr=0.1, weight_decay=0.5), head=None)
    network(images(), None, StreamDraws(4))["denoising"].mean().backward()
    learning = [name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    assert learning == [name for name, p in network.named_parameters() if p.requires_grad]
    optimizer.step()
    changed = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert changed
    assert all(name.startswith("diffusion.denoiser.net.") for name in changed)


def test_in_training_it_is_told_the_edges_of_the_images():
    """row 265: oracle, the edges by their own function, as the copy receives them."""
    network, seen = controlled()[0], []
    network.control_net.net.register_forward_pre_hook(lambda module, given: seen.append(given[3]))
    network(images(), None, draws(4))
    assert torch.equal(seen[0], edges(images()))


def test_it_draws_in_steps_and_starts_from_a_run(tmp_path):
    """row 265: the copy starts with the weights of the run, which its base has; another denoiser is refused."""
    network, base = controlled()
    assert isinstance(network, SamplesInSteps)
    assert isinstance(network, FollowsControl)
    torch.save({"averaged_network": base.state_dict(), "scored": "averaged"}, tmp_path / "best.ckpt")
    torch.manual_seed(7)
    fresh = Diffusion(ConditionUNet(widths=(16, 32)), levels=None, sampling=base.sampling)
    started = ControlledDiffusion(fresh, weights=str(tmp_path / "best.ckpt")).eval()
    assert torch.equal(started.sample(draws(2)), base.sample(draws(2)))
    inner = started.control_net
    assert torch.equal(inner.net.conv_in.weight, inner.base.unet.conv_in.weight)
    with pytest.raises(UserError, match="denoiser is UNet; allowed: ConditionUNet"):
        ControlledDiffusion(FlowMatching())


def test_agreement_is_the_correlation_of_numpy():
    """row 265: oracle, numpy.corrcoef of the edges of samples and images; of a flat picture it is 0."""
    network = awake(controlled()[0])
    index = torch.arange(4)
    found = agreement(network, images(), None, index)
    assert found.shape == (4, 2)
    control = edges(images())
    for place, samples in enumerate(
        [network.sample_controlled(draws(4, seed=2), control), network.sample(draws(4, seed=2))]
    ):
        expected = [
            np.corrcoef(a.double().flatten(), b.double().flatten())[0, 1]
            for a, b in zip(edges(samples), control, strict=True)
        ]
        np.testing.assert_allclose(found[:, place].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert_close(correlation(torch.ones(1, 1, 2, 2), torch.rand(1, 1, 2, 2)), torch.zeros(1))
