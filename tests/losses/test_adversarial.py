"""Adversarial losses have the optima that the papers prove, and the gradients that make training go or stall."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from torch import nn

from lightning_cv.losses import (
    AdversarialHinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
    gradient_penalty,
    r1_penalty,
)
from tests.tolerances import assert_close

P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)  # of real images
Q = torch.tensor([0.4, 0.1, 0.1, 0.4], dtype=torch.float64)  # of generated ones


def drawn(probabilities: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """The scores of 10 images, each kind as often as is probable."""
    return scores.repeat_interleave((10 * probabilities).round().long())


def best_scores(loss, p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """The scores of the four kinds of images with which the discriminator's loss is least, by Newton-like descent."""
    scores = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss.discriminator(drawn(p, scores), drawn(q, scores))
        value.backward()
        return value

    optimizer.step(closure)
    return scores.detach()


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()])
def test_the_best_discriminator_is_the_share_of_real_images(loss):
    """row 247: D* = p / (p + q), and V = 2 JS(p, q) - ln 4; the divergence is SciPy's."""
    scores = best_scores(loss, P, Q)
    torch.testing.assert_close(scores.sigmoid().double(), P / (P + Q), atol=1e-4, rtol=0)
    value = -loss.discriminator(drawn(P, scores), drawn(Q, scores)).item()
    divergence = jensenshannon(P.numpy(), Q.numpy()) ** 2
    assert value == pytest.approx(2 * divergence - math.log(4), abs=1e-5)


def test_a_perfect_generator_makes_the_value_minus_ln_4():
    """row 247: p = q: D is 1/2 everywhere, V = -1.386294, and the generator is where it wants to be."""
    scores = best_scores(Minimax(), P, P)
    assert_close(scores, torch.zeros(4))
    value = -Minimax().discriminator(drawn(P, scores), drawn(P, scores)).item()
    assert value == pytest.approx(-1.386294, abs=1e-6)


def test_least_squares_want_one_and_zero():
    """Mao et al. 2017, eq. 11: D* = p / (p + q) itself, no logit; the generator wants scores of 1."""
    torch.testing.assert_close(best_scores(LeastSquares(), P, Q).double(), P / (P + Q), atol=1e-4, rtol=0)
    assert LeastSquares().generator(torch.tensor([1.0, 3.0])).item() == 2.0


def test_minimax_is_one_game():
    """row 247: what depends on fake images is the same number for both players, with the other sign."""
    real, fake = torch.randn(5), torch.randn(7)
    loss = Minimax()
    game = -loss.discriminator(real, fake)
    assert_close(game - loss.generator(fake), nn.functional.logsigmoid(real).mean())


def test_a_sure_discriminator_leaves_the_generator_a_gradient_if_it_does_not_saturate():
    """row 248: at a logit of -10 the gradients are 4.5e-5 and 0.99995: sigmoid(-10), and 1 - sigmoid(-10)."""
    gradients = {}
    for loss in (Minimax(), NonSaturating()):
        score = torch.tensor([-10.0], requires_grad=True)
        loss.generator(score).backward()
        gradients[type(loss)] = score.grad.item()
    assert gradients[Minimax] == pytest.approx(-1 / (1 + math.exp(10)), rel=1e-4)
    assert gradients[NonSaturating] == pytest.approx(-1 / (1 + math.exp(-10)), rel=1e-6)
    assert abs(gradients[Minimax]) == pytest.approx(4.5e-5, rel=0.01)


def test_both_generators_push_the_same_way():
    """row 248: the sign is the same for any score; where the discriminator knows nothing the gradients are equal."""
    scores = torch.linspace(-8, 8, 33, requires_grad=True)
    pushes = [torch.autograd.grad(loss.generator(scores), scores)[0] for loss in (Minimax(), NonSaturating())]
    assert all((push < 0).all() for push in pushes)
    assert_close(pushes[0][16], pushes[1][16])


def test_the_hinge_asks_for_a_margin():
    """Beyond 1 nothing is left to gain; by hand: (0 + 0.5) / 2 + (0 + 3) / 2."""
    real, fake = torch.tensor([1.5, 0.5]), torch.tensor([-2.0, 2.0])
    loss = AdversarialHinge()
    assert_close(loss.discriminator(real, fake), torch.tensor(0.25 + 1.5))
    assert_close(loss.generator(fake), torch.tensor(0.0))


def test_the_critic_tells_the_distance():
    """Oracle: SciPy's distance of two sets on a line, of which a critic of slope 1 that is right here knows all."""
    real, fake = np.array([2.0, 3.0, 4.0]), np.array([0.0, 0.5, 1.0])
    loss = Wasserstein().discriminator(torch.tensor(real), torch.tensor(fake))
    assert -loss.item() == pytest.approx(wasserstein_distance(real, fake))


def linear(weight: torch.Tensor):
    return lambda images: images.flatten(1) @ weight


def test_the_penalty_is_on_a_slope_other_than_one():
    """Of a linear critic the slope is its weight; the gradient by hand is 2 (|w| - 1) w / |w|."""
    weight = torch.tensor([0.6, 0.8, 2.0, 0.0], requires_grad=True)
    real, fake = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    length = weight.detach().norm()
    penalty = gradient_penalty(linear(weight), real, fake, torch.rand(3))
    assert_close(penalty.detach(), (length - 1) ** 2)
    penalty.backward()
    assert_close(weight.grad, 2 * (length - 1) * weight.detach() / length)


def test_the_penalty_looks_between_real_and_generated_images():
    """Of |x|^2 / 2 the slope is x itself: at 1 the real image, at 0 the generated one, with a share between."""
    seen = []

    def critic(images):
        seen.append(images.detach().clone())
        return images.square().flatten(1).sum(1) / 2

    real, fake = torch.full((2, 1, 1, 1), 4.0), torch.full((2, 1, 1, 1), 2.0)
    penalty = gradient_penalty(critic, real, fake, torch.tensor([1.0, 0.25]))
    assert_close(seen[0].flatten(), torch.tensor([4.0, 2.5]))
    assert_close(penalty.detach(), torch.tensor((3.0**2 + 1.5**2) / 2))


def test_r1_is_half_the_squared_slope_at_real_images():
    """Of |x|^2 / 2: E |x|^2 / 2; many scores an image count together; weights get the gradient by hand."""
    real = torch.randn(5, 2, 3, 3)
    assert_close(r1_penalty(lambda x: x.square() / 2, real), real.square().flatten(1).sum(1).mean() / 2)
    weight = torch.tensor([0.5, -1.0], requires_grad=True)
    r1_penalty(linear(weight), torch.randn(4, 2, 1, 1)).backward()
    assert_close(weight.grad, weight.detach())


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating(), AdversarialHinge(), Wasserstein()])
def test_sixteen_bits_and_maps_of_scores(loss):
    """A map of scores counts each place (a patch discriminator); half precision is summed in float32."""
    real, fake = torch.randn(2, 1, 3, 3), torch.randn(4, 1, 3, 3)
    whole = loss.discriminator(real, fake)
    assert whole.shape == ()
    assert_close(whole, loss.discriminator(real.flatten(), fake.flatten()))
    assert loss.generator(fake.half()).dtype == torch.float32


def test_the_penalty_works_where_gradients_are_off():
    """A validation may ask for it."""
    with torch.no_grad():
        assert r1_penalty(lambda x: x.square(), torch.ones(1, 1, 1, 1)).item() == pytest.approx(2.0)
