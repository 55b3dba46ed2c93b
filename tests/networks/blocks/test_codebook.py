"""The codebook rounds to the nearest vector, lets the gradient through as it is, and follows its features."""

import copy
import os

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import distributed

from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.codebook import Codebook
from lightning_cv.ops.draws import OwnDraws, StreamDraws
from tests.processes import with_one_and_two
from tests.tolerances import assert_close

K, D = 6, 3


def book(**options) -> Codebook:
    torch.manual_seed(0)
    return Codebook(K, D, **options)


def features(count: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, D, 2, 3, generator=torch.Generator().manual_seed(seed))


def rows_of(maps: torch.Tensor) -> np.ndarray:
    return maps.movedim(1, -1).reshape(-1, D).double().numpy()


def in_use(codebook: Codebook) -> Codebook:
    """All vectors stood for something at the step before."""
    codebook.idle.zero_()
    return codebook


def test_a_code_is_the_number_of_the_nearest_vector():
    """row 244: SciPy's distances, brute force; codes are in range, and their vectors those of the book."""
    codebook, maps = book(), features(50)
    quantized = codebook(maps)
    distances = cdist(rows_of(maps), codebook.vectors.double().numpy())
    assert np.array_equal(quantized.codes.flatten().numpy(), distances.argmin(1))
    assert torch.equal(quantized.vectors.movedim(1, -1), codebook.vectors[quantized.codes])
    squares = (distances.min(1) ** 2).reshape(50, -1).sum(1)
    assert_close(quantized.commitment.double(), torch.from_numpy(squares).float())


def test_the_gradient_of_the_vectors_is_that_of_the_features():
    """row 244: straight through, a copy: the difference is 0.0; that of the commitment is 2 (f - e)."""
    codebook, maps = book(), features().requires_grad_()
    weight = torch.randn(maps.shape)
    quantized = codebook(maps)
    (gradient,) = torch.autograd.grad((quantized.vectors * weight).sum(), maps, retain_graph=True)
    assert (gradient - weight).abs().max() == 0.0
    (gradient,) = torch.autograd.grad(quantized.commitment.sum(), maps)
    assert_close(gradient, 2 * (maps - quantized.vectors).detach())
    assert not any(vector.requires_grad for vector in codebook.buffers())


def test_the_book_follows_moving_averages():
    """row 244: three steps of equations 6 to 8 of the paper's appendix, by NumPy."""
    codebook = in_use(book(decay=0.9, restart_after=1000))
    vectors, counts = codebook.vectors.double().numpy(), np.ones(K)
    sums = vectors.copy()
    for step in range(3):
        maps = features(seed=step)
        codes = codebook(maps).codes
        codebook.follow(maps, codes, StreamDraws(4))
        rows, chosen = rows_of(maps), cdist(rows_of(maps), vectors).argmin(1)
        for code in range(K):
            counts[code] = 0.9 * counts[code] + 0.1 * (chosen == code).sum()
            sums[code] = 0.9 * sums[code] + 0.1 * rows[chosen == code].sum(0)
        smoothed = (counts + 1e-5) / (counts.sum() + K * 1e-5) * counts.sum()
        vectors = sums / smoothed[:, None]
        assert_close(codebook.vectors, torch.from_numpy(vectors).float())
        assert_close(codebook.counts, torch.from_numpy(counts).float())


def test_the_book_converges_to_the_means_of_clusters():
    """row 244: begun somewhere near K points, each vector ends at the mean of the features around one."""
    codebook, generator = in_use(book(decay=0.95)), torch.Generator().manual_seed(5)
    points = 10 * torch.eye(K)[:, :D] + torch.arange(K)[:, None]
    codebook.sums.copy_(points + 0.5)
    codebook.vectors.copy_(points + 0.5)
    for _ in range(200):
        maps = points[torch.randint(K, (8, 2, 3), generator=generator)].movedim(-1, 1)
        maps = maps + 0.01 * torch.randn(maps.shape, generator=generator)
        codebook.follow(maps, codebook.nearest(maps), StreamDraws(8))
    assert (codebook.vectors - points).abs().max() < 0.02


def test_a_vector_that_stands_for_nothing_becomes_a_feature():
    """row 244: at the first step all idle ones, later after so many steps; those in use stay averages."""
    codebook, maps = book(restart_after=3), features(20)
    codebook.vectors[-1] = 1e3
    codes = codebook.nearest(maps)
    idle = torch.bincount(codes.flatten(), minlength=K) == 0
    assert idle[-1]
    codebook.follow(maps, codes, StreamDraws(20))
    rows = maps.movedim(1, -1).reshape(-1, D)
    is_feature = (codebook.vectors[:, None] == rows).all(2).any(1)
    assert torch.equal(is_feature, idle)
    in_use(codebook).sums[0] = 1e3 * codebook.counts[0]
    codebook.vectors[0] = 1e3
    for step in range(1, 4):
        codes = codebook.nearest(maps)
        codebook.follow(maps, codes, StreamDraws(20))
        assert bool((codebook.vectors[0] == rows).all(1).any()) == (step == 3)
    assert (codebook.vectors.abs() < 10).all()


def test_restarted_vectors_differ():
    """row 244: each becomes another feature."""
    codebook, maps = book(), features(20)
    codebook.vectors += 1e3
    codebook.follow(maps, codebook.nearest(maps), OwnDraws.of_indices(torch.arange(20)))
    assert codebook.vectors.unique(dim=0).shape[0] == K


def test_the_book_is_in_a_file_and_only_a_step_moves_it():
    codebook, maps = book(), features()
    before = copy.deepcopy(codebook.state_dict())
    assert set(before) == {"vectors", "counts", "sums", "idle"}
    codebook(maps)
    assert all(torch.equal(value, before[name]) for name, value in codebook.state_dict().items())
    codebook.follow(maps, codebook(maps).codes, StreamDraws(4))
    other = Codebook(K, D)
    other.load_state_dict(codebook.state_dict())
    for each in (codebook, other):
        each.follow(maps, each(maps).codes, OwnDraws.of_indices(torch.arange(4)))
    assert torch.equal(codebook.vectors, other.vectors)


def test_sixteen_bits_round_no_differently():
    """Under autocast the distances stay float32."""
    codebook, maps = book(), features(200)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quantized = codebook(maps)
    assert torch.equal(quantized.codes, codebook(maps).codes)
    assert quantized.vectors.dtype == quantized.commitment.dtype == torch.float32


def test_two_processes_hold_one_book_of_all_images(tmp_path):
    """row 244: averages over the features of both, and the same restarts; as one process with all of them."""

    def follow(devices: int) -> None:
        codebook = book(restart_after=2, decay=0.5)
        codebook.vectors[-1] = 1e3
        codebook.idle.copy_(torch.tensor([0, 0, 0, 0, 0, 2]))
        rank = 0
        if devices > 1:
            rank = int(os.environ["LOCAL_RANK"])
            distributed.init_process_group("gloo", rank=rank, world_size=devices)
        mine = slice(8 // devices * rank, 8 // devices * (rank + 1))
        part, draws = features(8)[mine], OwnDraws.of_indices(torch.arange(8)[mine])
        codebook.follow(part, codebook(part).codes, draws)
        torch.save(codebook.state_dict(), tmp_path / f"{devices}-{rank}.pt")
        if devices > 1:
            distributed.destroy_process_group()

    with_one_and_two(follow)
    alone, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ("vectors", "sums"):  # what became of the idle one depends on who offers
        assert_close(alone[name][:-1], first[name][:-1])
    rows = features(8).movedim(1, -1).reshape(-1, D)
    assert (first["vectors"][-1] == rows).all(1).any()


@pytest.mark.parametrize(("key", "value"), [("num_codes", 0), ("width", 0), ("restart_after", 0), ("decay", 1.0)])
def test_a_mistake_is_one_line(key, value):
    with pytest.raises(UserError, match=key):
        Codebook(**{"num_codes": 4, "width": 2, key: value})
