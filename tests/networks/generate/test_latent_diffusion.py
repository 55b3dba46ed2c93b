"""Latent diffusion: published sizes, a first stage that bounds, a second stage that leaves it as it is."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lightning_cv.contracts import IMAGE, DecodesLatents, Density, FitsImages, HasBound, SamplesInSteps, Sampling
from lightning_cv.errors import UserError
from lightning_cv.networks.generate import Diffusion, Dit, FlowMatching, KlAutoencoder, LatentDiffusion, Normal
from lightning_cv.ops.diagonal_normal import kl_to_standard_normal
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.optim import build_optimizer
from tests.tolerances import assert_close


def draws(count: int, seed: int = 0) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


def images(count: int = 6) -> Tensor:
    return torch.randint(17, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 16


def small(**options) -> LatentDiffusion:
    """With a DiT that says something."""
    torch.manual_seed(0)
    denoiser = Dit((2, 4, 4), size=(16, 1, 2), num_classes=3)
    for parameter in denoiser.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    diffusion = Diffusion(denoiser, levels=None, clip=False, sampling=Sampling("ddim", 4), **options)
    return LatentDiffusion(KlAutoencoder(widths=(8, 16)), diffusion)


def test_the_autoencoder_of_stable_diffusion_is_the_published_one():
    """row 261: 83,653,863 parameters; at f = 8 and c = 4 a latent image has 1/48 of the numbers of the image."""
    with torch.device("meta"):
        built = KlAutoencoder(
            (3, 512, 512),
            latent_channels=4,
            widths=(128, 256, 512, 512),
            blocks_per_level=2,
            likelihood=Normal(std=1.0),
        )
    assert sum(p.numel() for p in built.parameters()) == 83_653_863
    assert built.latent_image == (4, 64, 64)
    assert built.num_values == 48 * built.num_latents


def test_moments_and_images_are_those_of_diffusers():
    """row 261: oracle, the distribution and the decoder of diffusers' AutoencoderKL, asked by hand."""
    torch.manual_seed(0)
    built = KlAutoencoder(likelihood=Normal(std=1.0)).double().eval()
    with torch.no_grad():
        theirs = built.autoencoder.encode(2 * images().double() - 1).latent_dist
        ours = built.encode(images().double())
        assert_close(ours.mean, theirs.mean.flatten(1))
        assert_close(ours.std, theirs.std.flatten(1))
        decoded = built.autoencoder.decode(theirs.mode()).sample.clamp(0, 1)
        assert_close(built.decode(theirs.mode().flatten(1)), decoded)
    assert_close(kl_to_standard_normal(ours.mean, ours.std.log()), theirs.kl())


def test_the_factor_makes_latents_of_unit_variance():
    """row 261: oracle, the variance of many draws of the latents of all the training images; of batches of any size."""
    network = small()
    shown = images(50)
    network.fit_images(lambda: iter([{IMAGE: shown[:32]}, {IMAGE: shown[32:]}]))
    assert isinstance(network, FitsImages)
    assert "scale" in network.state_dict()
    posterior = network.autoencoder.encode(shown)
    noise = torch.randn(400, *posterior.mean.shape, generator=torch.Generator().manual_seed(1))
    latents = posterior.mean + posterior.std * noise
    assert (latents / network.scale).var().item() == pytest.approx(1, rel=0.02)
    seen: list[Tensor] = []
    network.diffusion.loss_of = lambda values, labels, own: seen.append(values) or {}
    network(shown[:6], torch.zeros(6, dtype=torch.int64), draws(6))
    expected = posterior.mean[:6] + posterior.std[:6] * draws(6).normal(32)
    torch.testing.assert_close(seen[0].flatten(1) * network.scale, expected, rtol=1e-4, atol=1e-5)


def test_the_autoencoder_is_frozen_in_the_second_phase():
    """row 261: steps with weight decay, in training mode, change the denoiser and nothing of the autoencoder."""
    network = small()
    before = copy.deepcopy(network.state_dict())
    network.train()
    assert not any(module.training for module in network.autoencoder.modules())
    assert not any(parameter.requires_grad for parameter in network.autoencoder.parameters())
    optimizer = build_optimizer(network, lambda groups: torch.optim.AdamW(groups, lr=0.1, weight_decay=0.5), head=None)
    for step in range(2):
        terms = network(images(), torch.tensor([0, 1, 2, 0, 1, 2]), draws(6, seed=step))
        terms["denoising"].mean().backward()
        optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("diffusion.") for name in changed)
    assert all(parameter.grad is None for parameter in network.autoencoder.parameters())
    averaged = copy.deepcopy(network).requires_grad_(False)
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 0.3)  # as the callback Ema averages
    for name, value in averaged.autoencoder.state_dict().items():
        assert torch.equal(value, before[f"autoencoder.{name}"]), name


def test_what_is_drawn_is_what_the_latents_decode_to():
    """row 261: a sample is the decoder's image of the diffusion's values times the factor; frames end with it."""
    network = small().eval()
    network.scale.fill_(2.5)
    labels = torch.tensor([0, 1, 2])
    values = network.diffusion.draw(draws(3), labels)
    expected = network.autoencoder.decode(2.5 * values.flatten(1))
    assert_close(network.sample(draws(3), labels), expected)
    assert_close(network.trajectory(draws(3), labels, num_frames=3)[-1], expected)
    assert_close(network.decode(draws(3).normal(32), labels), expected)


def test_it_draws_in_steps_as_its_diffusion_does():
    """row 261: method and steps are those of the diffusion, and may be replaced; a wrong one is refused."""
    network = small()
    assert isinstance(network, SamplesInSteps)
    assert isinstance(network, DecodesLatents)
    assert not isinstance(network, HasBound)
    assert network.density is Density.IMPLICIT
    network.sampling = Sampling("ddpm", 7)
    assert network.diffusion.sampling.steps == 7
    with pytest.raises(UserError, match="sampler is heun"):
        network.check_sampling(Sampling("heun", 3))


def test_any_diffusion_of_the_right_size_will_do():
    network = LatentDiffusion(KlAutoencoder(), FlowMatching(Dit((2, 4, 4), size=(16, 1, 2)))).eval()
    assert network.sample(draws(2)).shape == (2, 1, 8, 8)
    with pytest.raises(UserError, match=r"images \[1, 8, 8\]; allowed: .* \[2, 4, 4\]"):
        LatentDiffusion(KlAutoencoder(), FlowMatching(Dit((1, 8, 8), size=(16, 1, 2))))
    for options in ({"levels": None}, {"clip": False}):
        with pytest.raises(UserError, match="allowed: clip: false and levels: null"):
            LatentDiffusion(KlAutoencoder(), Diffusion(Dit((2, 4, 4), size=(16, 1, 2)), **options))


def test_it_starts_from_the_run_of_an_autoencoder(tmp_path):
    """row 261: from the averaged weights of a checkpoint; another network's are refused."""
    torch.manual_seed(1)
    trained = KlAutoencoder(widths=(8, 16))
    torch.save({"averaged_network": trained.state_dict(), "scored": "averaged"}, tmp_path / "best.ckpt")
    denoiser = Dit((2, 4, 4), size=(16, 1, 2))
    diffusion = Diffusion(denoiser, levels=None, clip=False)
    started = LatentDiffusion(KlAutoencoder(widths=(8, 16)), diffusion, weights=str(tmp_path / "best.ckpt"))
    assert_close(started.autoencoder.decode(draws(2).normal(32)), trained.decode(draws(2).normal(32)))
    with pytest.raises(UserError, match="of another network"):
        LatentDiffusion(KlAutoencoder(widths=(16, 16)), diffusion, weights=str(tmp_path / "best.ckpt"))
