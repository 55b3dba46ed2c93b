"""The VQ-VAEs: their bounds are bounds, their samples follow the prior, and the top grid alone has an image."""

import itertools
import math

import pytest
import torch
from torch import nn

from lightning_cv.contracts import GeneratedOutput, Stage
from lightning_cv.data import Digits
from lightning_cv.errors import UserError
from lightning_cv.metrics.generation import GenerationScores
from lightning_cv.networks.generate import Bernoulli, Made, MultiscaleVqVae, PixelCnn, VqVae
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.tolerances import assert_close

NETWORKS = (VqVae, MultiscaleVqVae)
each_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
# 3 codes on grids of 1 x 1 (top) and 2 x 2: few enough to go through all.
TINY = {"image": (1, 4, 4), "num_codes": 3, "code_width": 2, "width": 8, "num_blocks": 1, "likelihood": Bernoulli()}


def tiny(network: type[nn.Module], **options) -> nn.Module:
    """With a prior that prefers some codes, so that a mistake in it shows."""
    torch.manual_seed(0)
    built = network(**TINY, **options)
    for name, parameter in built.named_parameters():
        if "prior" in name:
            nn.init.normal_(parameter, std=0.3)
    return built.eval()


def draws(count: int, seed: int = 3) -> OwnDraws:
    return OwnDraws.of_indices(torch.arange(count), seed=seed)


def all_grids(network: nn.Module) -> list[torch.Tensor]:
    """Every combination of grids of codes, one a row."""
    shapes = [grid.shape[1:] for grid in network.codes(torch.zeros(1, *network.image))]
    numbers = torch.tensor(list(itertools.product(range(3), repeat=sum(map(math.prod, shapes)))))
    parts = numbers.split([math.prod(shape) for shape in shapes], dim=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def log_prior(network: nn.Module, grids: list[torch.Tensor]) -> torch.Tensor:
    if isinstance(network, VqVae):
        return network.prior.log_prob_of_values(grids[0][:, None])
    context = network.top_codebook.vectors[grids[0]].movedim(-1, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
    bottom = network.bottom_prior.log_prob_of_values(grids[1][:, None], None, context)
    return network.top_prior.log_prob_of_values(grids[0][:, None]) + bottom


@torch.no_grad()
@each_network
def test_the_prior_is_a_distribution_of_codes(network):
    """rows 244, 245: over all grids of codes it sums to 1."""
    built = tiny(network)
    assert log_prior(built, all_grids(built)).exp().sum().item() == pytest.approx(1, abs=1e-4)


@torch.no_grad()
@each_network
def test_the_bound_is_not_above_the_probability(network):
    """rows 244, 245: log p(x) by the sum over all grids of codes; the bound is one of its summands."""
    built, images = tiny(network), (torch.rand(5, 1, 4, 4) > 0.5).float()
    grids = all_grids(built)
    white = built.decode_codes(grids).double()  # (G, 1, 4, 4), p(white)
    log_prior_ = log_prior(built, grids).double()
    for image, bound in zip(images, built.bound(images, None, draws(5)), strict=True):
        log_p = torch.where(image > 0, white, 1 - white).log().flatten(1).sum(1)
        exact = torch.logsumexp(log_prior_ + log_p, 0)
        assert bound < exact
        assert (log_prior_ + log_p - bound).abs().min() < 1e-4


@torch.no_grad()
@each_network
def test_the_terms_are_the_bound(network):
    built, images = tiny(network), torch.rand(6, 1, 4, 4)
    terms = built(images, None, draws(6))
    assert_close(-sum(terms[name] for name in built.nll_terms), built.bound(images, None, draws(6)))


@torch.no_grad()
@each_network
def test_sampled_codes_are_as_frequent_as_the_prior_says(network):
    """rows 244, 245: 8,000 samples against the probability of every grid, by chi squared."""
    built, number = tiny(network), 8_000
    seen = []
    look_up = built._outputs
    built._outputs = lambda *vectors: seen.append(vectors) or look_up(*vectors)
    built.sample(draws(number))
    vectors = seen[0][-1]  # of the finest grid
    book = (built.codebook if isinstance(built, VqVae) else built.bottom_codebook).vectors
    codes = torch.cdist(vectors.movedim(1, -1).flatten(1, 2), book[None]).argmin(-1)
    found = torch.bincount((codes * 3 ** torch.arange(4)).sum(1), minlength=81).double() / number
    grids = all_grids(built)
    finest = (grids[-1].flatten(1) * 3 ** torch.arange(4)).sum(1)
    expected = torch.zeros(81, dtype=torch.float64).index_add_(0, finest, log_prior(built, grids).double().exp())
    common = expected * number > 10
    chi = (number * (found - expected).square() / expected)[common].sum() / common.sum()
    assert common.sum() > 20
    assert 0.5 < chi < 1.6


@torch.no_grad()
def test_the_class_is_heard_by_the_prior_alone():
    """row 231: codes and reconstruction are the same for every class, the probability of codes is not."""
    built, images = tiny(VqVae, num_classes=3), torch.rand(3, 1, 4, 4)
    first = built(images, torch.tensor([0, 0, 0]), draws(3))
    second = built(images, torch.tensor([1, 2, 1]), draws(3))
    assert torch.equal(first["reconstruction"], second["reconstruction"])
    assert (first["prior"] != second["prior"]).all()


@each_network
def test_what_the_prior_learns_moves_no_code(network):
    """row 244: its gradient ends at the codes, and that of the reconstruction goes straight through them."""
    built, images = tiny(network), torch.rand(6, 1, 4, 4)
    own = [parameter for name, parameter in built.named_parameters() if "prior" not in name]
    terms = built(images, None, draws(6))
    prior = sum(value.sum() for name, value in terms.items() if "prior" in name)
    assert all(g is None for g in torch.autograd.grad(prior, own, retain_graph=True, allow_unused=True))
    encoder = built.encoder if isinstance(built, VqVae) else built.bottom_encoder
    (gradient,) = torch.autograd.grad(terms["reconstruction"].sum(), encoder[0].weight)
    assert gradient.abs().sum() > 0


@each_network
def test_only_training_moves_the_books(network):
    built, images = tiny(network), torch.rand(6, 1, 4, 4)
    before = {name: value.clone() for name, value in built.named_buffers()}
    built(images, None, draws(6))
    built.sample(draws(2))
    assert all(torch.equal(value, before[name]) for name, value in built.named_buffers())
    built.train()(images, None, draws(6))
    moved = {name for name, value in built.named_buffers() if not torch.equal(value, before[name])}
    assert {name for name in before if name.endswith("vectors")} <= moved


@pytest.fixture(scope="module")
def trained():
    """Both, after 200 steps on digits without their priors, with the images of test and training."""
    networks = {}
    images = Digits().load(Stage.TRAIN).images.float() / 255
    for network in NETWORKS:
        torch.manual_seed(0)
        built = network(num_codes=32, width=32, num_blocks=1)
        optimizer = torch.optim.Adam(built.parameters(), lr=3e-3)
        for step in range(200):
            part = images[torch.arange(48 * step, 48 * step + 48) % len(images)]
            loss = sum(v.mean() for k, v in built(part, None, StreamDraws(48)).items() if "prior" not in k)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        networks[network] = built.eval()
    return networks, Digits().load(Stage.TEST).images.float() / 255, images


@torch.no_grad()
@each_network
def test_many_codes_are_used(trained, network):
    """row 244: perplexity, by its formula, is above 1 and what the score says; codes are in range."""
    networks, images, _ = trained
    codes = networks[network].codes(images)
    scores = GenerationScores(64, 17, num_codes=32)
    scores.update(GeneratedOutput(codes=codes))
    found = scores.compute()
    for place, grid in enumerate(codes):
        assert 0 <= grid.min() <= grid.max() < 32
        share = torch.tensor([(grid == code).double().mean() for code in range(32)])
        perplexity = math.exp(-sum(p * math.log(p) for p in share.tolist() if p > 0))
        suffix = f"_{place}" if len(codes) > 1 else ""
        assert found[f"perplexity{suffix}"].item() == pytest.approx(perplexity, rel=1e-5)
        assert perplexity > 8


@torch.no_grad()
def test_the_top_grid_alone_has_a_coarse_image(trained):
    """row 245: two grids; of the top one alone the error is above that of both, and below that of the mean image."""
    networks, images, training = trained
    network = networks[MultiscaleVqVae]
    codes = network.codes(images)
    assert [tuple(grid.shape[1:]) for grid in codes] == [(2, 2), (4, 4)]
    full = (network.decode_codes(codes) - images).square().mean()
    coarse = (network.decode_codes(codes[:1]) - images).square().mean()
    mean = (training.mean(0) - images).square().mean()
    assert 1.3 * full < coarse < 0.95 * mean


@torch.no_grad()
@each_network
def test_a_reconstruction_is_the_image_of_its_codes(trained, network):
    """row 244: far nearer to the image than the mean image is."""
    networks, images, training = trained
    built = networks[network]
    back = built.reconstruct(images)
    assert torch.equal(back, built.decode_codes(built.codes(images)))
    assert (back - images).square().mean() < 0.35 * (training.mean(0) - images).square().mean()


@pytest.mark.parametrize(
    ("prior", "named"),
    [
        (lambda: Made((1, 2, 2), levels=64), "image is [1, 2, 2]; allowed for these codes: [1, 4, 4]"),
        (lambda: Made((1, 4, 4), levels=17), "levels is 17; allowed for these codes: 64"),
        (lambda: Made((1, 4, 4), levels=64, num_classes=3), "num_classes is 3; allowed for these codes: null"),
        (lambda: PixelCnn((1, 4, 4), levels=64, context_channels=2), "context_channels is 2; allowed"),
    ],
)
def test_a_prior_of_other_codes_is_one_line(prior, named):
    with pytest.raises(UserError) as raised:
        VqVae(prior=prior())
    assert named in str(raised.value)


@each_network
def test_an_image_that_cannot_be_halved_is_one_line(network):
    with pytest.raises(UserError, match="num_halvings"):
        network(image=(1, 9, 8))
