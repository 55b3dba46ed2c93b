"""Loaders give the same batches for any number of workers, of devices, and for both ways of reading."""

import pytest
import torch
from torchvision.transforms import v2

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Stage
from lightning_cv.data import Digits, ImageFolder, ResidentSplit, VisionData
from lightning_cv.data import sampler as sampler_module
from lightning_cv.data.resident import ResidentLoader
from lightning_cv.data.sampler import OrderedBatches, ShuffledBatches
from lightning_cv.data.workers import WorkerLoader, Workers
from lightning_cv.errors import UserError
from tests.makers import make_class_folders

RANDOM = v2.Compose([v2.RandomResizedCrop(12, antialias=True), v2.RandomHorizontalFlip(), v2.ColorJitter(0.5, 0.5)])


def split_of(num_images=50):
    images = torch.randint(0, 256, (num_images, 3, 16, 16), dtype=torch.uint8)
    return ResidentSplit(images, torch.arange(num_images) % 7, tuple("abcdefg"), "Made train")


def read(loader, epoch):
    loader.batch_sampler.set_epoch(epoch)
    return list(loader)


def same(one, other):
    assert len(one) == len(other)
    return all(torch.equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in a)


@pytest.mark.parametrize("epoch", [0, 3])
def test_batches_are_the_rows_that_the_sampler_names(epoch):
    split = split_of()
    loader = ResidentLoader(split, ShuffledBatches(50, 8, seed=1))
    batches = read(loader, epoch)
    assert len(batches) == len(loader) == 7
    for batch, index in zip(batches, loader.batch_sampler, strict=True):
        assert torch.equal(batch[INDEX], index)
        assert torch.equal(batch[IMAGE], torch.stack([split.images[n] for n in index.tolist()]))
        assert torch.equal(batch[LABEL], split.labels[index])


def test_both_loaders_give_the_same_batches():
    split = split_of()
    resident = ResidentLoader(split, ShuffledBatches(50, 8, seed=1))
    sampler = ShuffledBatches(50, 8, seed=1)
    workers = WorkerLoader(split, sampler, transform=None, seed=1, workers=Workers())
    assert same(read(resident, 2), read(workers, 2))


def test_any_number_of_workers_gives_the_same_batches_with_random_transforms(tmp_path):
    """Rows 36, 37: two epochs with persistent workers; each epoch has draws of its own."""
    make_class_folders(tmp_path)

    def epochs(num_workers):
        data = ImageFolder(
            str(tmp_path), size_px=16, batch_size=4, train_transform=RANDOM, num_workers=num_workers, shuffle_seed=5
        )
        data.setup("fit")
        loader = data.train_dataloader()
        return [read(loader, epoch) for epoch in (0, 1)]

    torch.manual_seed(1)
    none = epochs(0)
    torch.manual_seed(2)
    two = epochs(2)
    assert same(none[0], two[0])
    assert same(none[1], two[1])
    by_index = [{int(i): x for b in e for i, x in zip(b[INDEX], b[IMAGE], strict=True)} for e in none]
    assert any(not torch.equal(by_index[0][i], by_index[1][i]) for i in by_index[0])


def test_devices_together_get_the_batch_that_one_device_gets(monkeypatch):
    """The shares of two devices, concatenated, are the batch of one device, random transforms included."""

    def batches(rank, num_devices):
        monkeypatch.setattr(sampler_module, "rank_and_devices", lambda: (rank, num_devices))
        sampler = ShuffledBatches(50, 8, seed=1)
        return list(WorkerLoader(split, sampler, transform=RANDOM, seed=1, workers=Workers()))

    split = split_of()
    alone, first, second = batches(0, 1), batches(0, 2), batches(1, 2)
    for whole, a, b in zip(alone, first, second, strict=True):
        assert all(torch.equal(torch.cat([a[key], b[key]]), whole[key]) for key in whole)


def test_per_sample_draws_leave_the_global_generator_alone():
    split = split_of()
    before, seed = torch.get_rng_state(), torch.initial_seed()
    list(WorkerLoader(split, OrderedBatches(50, 8), transform=RANDOM, seed=1, workers=Workers()))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.initial_seed() == seed


def test_random_resized_crop_gives_one_size_and_is_off_at_validation(tmp_path):
    """Row 36: the output size is fixed; validation batches repeat and equal those without it."""
    make_class_folders(tmp_path)

    def val_batches(**init_args):
        data = ImageFolder(str(tmp_path), size_px=12, batch_size=4, **init_args)
        data.setup("fit")
        assert {tuple(b[IMAGE].shape[1:]) for b in data.train_dataloader()} == {(3, 12, 12)}
        return read(data.val_dataloader(), 0), read(data.val_dataloader(), 1)

    augmented = val_batches(train_transform=RANDOM)
    plain = val_batches()
    assert same(augmented[0], plain[0])
    assert same(augmented[0], augmented[1])


def test_colour_jitter_of_strength_0_changes_nothing():
    """Row 37: nor does it at any strength change size or labels."""
    split = split_of()

    def batches(transform):
        return list(WorkerLoader(split, OrderedBatches(50, 8), transform=transform, seed=0, workers=Workers()))

    assert same(batches(v2.ColorJitter(0, 0, 0, 0)), batches(None))
    jittered = batches(v2.ColorJitter(0.5, 0.5, 0.5, 0.2))
    for changed, plain in zip(jittered, batches(None), strict=True):
        assert not torch.equal(changed[IMAGE], plain[IMAGE])
        assert changed[IMAGE].shape == plain[IMAGE].shape
        assert torch.equal(changed[LABEL], plain[LABEL])


@pytest.mark.parametrize(
    ("transform", "line"),
    [
        (v2.RandomCrop(64), r"a transform fails on Made train #0, \[3, 16, 16\]: .*crop size"),
        (v2.ToDtype(torch.float32, scale=True), r"a transform gives torch.float32 images, allowed: torch.uint8"),
    ],
)
def test_a_transform_that_does_not_fit_is_said_in_one_line(transform, line):
    with pytest.raises(UserError, match=line) as caught:
        list(WorkerLoader(split_of(), OrderedBatches(50, 8), transform=transform, seed=0, workers=Workers()))
    assert "\n" not in str(caught.value)


class Multilabel(VisionData):
    """A data set as an author writes it: `load` alone."""

    def load(self, stage):
        images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
        return ResidentSplit(images, torch.rand(40, 3).round(), ("a", "b", "c"), f"Multilabel {stage}")


def test_a_multilabel_data_set_takes_one_method():
    data = Multilabel(batch_size=8)
    data.setup("fit")
    assert data.info.multilabel
    batch = next(iter(data.train_dataloader()))
    assert batch[LABEL].shape == (8, 3)
    assert batch[LABEL].dtype == torch.float32
    assert data.sample_name(Stage.VAL, 3) == "Multilabel val #3"


def test_the_digits_are_those_of_scikit_learn():
    """Row 17: three disjoint parts cover the 1,797 images; pixels are v x 255 / 16, rounded."""
    from sklearn.datasets import load_digits

    data = Digits()
    data.setup("fit")
    data.setup("test")
    source = torch.from_numpy(load_digits().images)
    parts = [data.split(stage) for stage in (Stage.TRAIN, Stage.VAL, Stage.TEST)]
    assert [len(part) for part in parts] == [1294, 144, 359]
    assert sorted(n for part in parts for n in part.source_index.tolist()) == list(range(1797))
    for part in parts:
        expected = source[part.source_index] * 255 / 16
        assert (part.images[:, 0] - expected).abs().max() <= 0.5
        assert part.images.max() == 255


def test_enlarged_digits_keep_their_mean():
    data = Digits(size_px=32)
    data.setup("fit")
    assert data.info.size_px == (32, 32)
    plain = Digits()
    plain.setup("fit")
    assert abs(data.info.mean[0] - plain.info.mean[0]) < 0.02


def test_a_download_that_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    from lightning_cv.data import Cifar10, Mnist

    def unreachable(*args, **kwargs):
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>\nmore")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    for make in (Cifar10, Mnist):
        with pytest.raises(UserError, match=r"is not in .*allowed: .*download: true$"):
            make(root=str(tmp_path), download=False).prepare_data()
    with pytest.raises(UserError, match=r"^data\.init_args\.root: Cifar10 .* its download fails \(<urlopen[^\n]*$"):
        Cifar10(root=str(tmp_path)).prepare_data()


def test_digits_have_one_channel_or_three_that_are_equal():
    """For networks that take colour images only."""
    grey, colored = Digits(), Digits(channels=3)
    for data in (grey, colored):
        data.setup("fit")
    assert colored.info.channels == 3
    one, three = grey.split(Stage.TRAIN).images, colored.split(Stage.TRAIN).images
    assert torch.equal(three, one.repeat(1, 3, 1, 1))
    with pytest.raises(UserError, match=r"data.init_args.channels: 2 given, allowed: 1, 3"):
        Digits(channels=2)
