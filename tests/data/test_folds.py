"""Cross-validation: every sample is held out exactly once, in the proportions of the classes."""

from pathlib import Path

import pytest
import torch
from PIL import Image as ImageFactory

from lightning_cv.contracts import Stage
from lightning_cv.data import Digits, ImageFolder
from lightning_cv.data.partition import Fold, hold_out_fold
from lightning_cv.errors import UserError


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("number", [2, 5, 7])
def test_each_sample_is_held_out_exactly_once(number):
    """row 18: the folds are disjoint and cover all; sizes, of a class too, differ by one at most."""
    labels = torch.randint(4, (103,), generator=torch.Generator().manual_seed(1))
    parts = [hold_out_fold(labels, Fold(fold, number), seed=3) for fold in range(number)]
    held_out = torch.cat([held for _, held in parts])
    assert held_out.sort().values.tolist() == list(range(103))
    for kept, held in parts:
        assert sorted([*kept.tolist(), *held.tolist()]) == list(range(103))
    sizes = [len(held) for _, held in parts]
    counts = torch.stack([labels[held].bincount(minlength=4) for _, held in parts])
    assert max(sizes) - min(sizes) <= 1
    assert (counts.max(0).values - counts.min(0).values <= 1).all()


def test_folds_follow_from_the_split_seed_alone():
    """The same seed gives the same folds, another seed others."""
    labels = torch.zeros(50, dtype=torch.int64)
    first, again, other = (hold_out_fold(labels, Fold(1, 5), seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_folds_of_a_data_set_leave_its_test_part_alone():
    """row 18: over 5 folds the digits that are not held out for test are validated once each."""
    seen, tests = [], []
    for number in range(5):
        data = Digits(fold=Fold(number, 5))
        validation, training = data.split(Stage.VAL).source_index, data.split(Stage.TRAIN).source_index
        assert not set(validation.tolist()) & set(training.tolist())
        seen += data.split(Stage.VAL).labels.tolist()
        tests.append(data.split(Stage.TEST).images)
    assert len(seen) == 1438
    assert all(torch.equal(part, tests[0]) for part in tests)


def test_wrong_folds_are_told_in_one_line(tmp_path):
    """Each message names the key and what is allowed."""
    with pytest.raises(UserError, match=r"data.init_args.fold.of: 1 given, allowed: 2 or more"):
        Fold(0, 1)
    with pytest.raises(UserError, match=r"data.init_args.fold.number: 5 given, allowed: 0 to 4"):
        Fold(5, 5)
    with pytest.raises(UserError, match=r"fold.of: 9 given for 4 samples, allowed: up to as many"):
        hold_out_fold(torch.zeros(4), Fold(0, 9), seed=0)
    for part in ("train", "val"):
        ImageFactory.new("RGB", (8, 8)).save(_folder(tmp_path / part / "cat") / "a.png")
    data = ImageFolder(str(tmp_path), fold=Fold(0, 2))
    with pytest.raises(UserError, match="has a val folder; allowed: a train folder alone"):
        data.split(Stage.VAL)
