"""Held-out parts are disjoint, complete, stratified and fixed by their seed (row 17)."""

import pytest
import torch
from sklearn.model_selection import train_test_split

from lightning_cv.data.partition import hold_out


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.55])
@pytest.mark.parametrize("num_samples", [10, 97, 1000])
def test_parts_are_disjoint_and_cover_all(num_samples, fraction):
    """Row 17, for any class sizes."""
    labels = torch.randint(0, 7, (num_samples,))
    kept, held_out = hold_out(labels, fraction, seed=1)
    assert sorted(kept.tolist() + held_out.tolist()) == list(range(num_samples))
    assert len(held_out) == round(fraction * num_samples)


def test_classes_keep_their_proportions_as_in_scikit_learn():
    """Row 17: class counts differ from those of train_test_split(stratify=...) by at most one."""
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.08, 0.02]), 1003, replacement=True)
    _, held_out = hold_out(labels, 0.2, seed=0)
    _, reference = train_test_split(labels.numpy(), test_size=len(held_out), stratify=labels.numpy())
    ours = torch.bincount(labels[held_out], minlength=4)
    theirs = torch.bincount(torch.from_numpy(reference), minlength=4)
    assert (ours - theirs).abs().max() <= 1


def test_the_seed_decides_the_parts():
    """Row 17: same seed, same split."""
    labels = torch.randint(0, 3, (200,))
    first, again, other = (hold_out(labels, 0.2, seed=s)[1].tolist() for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_multilabel_targets_are_divided_too():
    kept, held_out = hold_out(torch.rand(50, 4).round(), 0.2, seed=0)
    assert sorted(kept.tolist() + held_out.tolist()) == list(range(50))
    assert len(held_out) == 10
