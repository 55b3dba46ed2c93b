"""Every data set of the platform keeps the contract of `lightning_cv.contracts`, found by itself."""

import importlib
import inspect
import pickle
import pkgutil

import pytest
import torch

import lightning_cv.data
from lightning_cv.contracts import (
    AREA,
    BOX,
    BOX_IMAGE,
    BOX_LABEL,
    CLASSES,
    CROWD,
    IGNORED,
    IMAGE,
    INDEX,
    LABEL,
    SEGMENT,
    SIZE,
    SOURCE_SIZE,
    PublishesInfo,
    Stage,
)
from lightning_cv.data import VisionData
from lightning_cv.data.splits import ResidentSplit
from lightning_cv.errors import UserError
from tests.makers import make_for, trust_made_files

for module in pkgutil.iter_modules(lightning_cv.data.__path__, "lightning_cv.data."):
    importlib.import_module(module.name)


def subclasses(cls):
    return {cls}.union(*(subclasses(child) for child in cls.__subclasses__()))


DATA_SETS = sorted(
    (c for c in subclasses(VisionData) if c.__module__.startswith("lightning_cv.") and not inspect.isabstract(c)),
    key=lambda c: c.__name__,
)
LOADERS = {
    Stage.TRAIN: "train_dataloader",
    Stage.VAL: "val_dataloader",
    Stage.TEST: "test_dataloader",
    Stage.PREDICT: "predict_dataloader",
}


def test_data_sets_are_found_and_exported():
    assert len(DATA_SETS) >= 5
    assert {c.__name__ for c in DATA_SETS} <= set(lightning_cv.data.__all__)


@pytest.fixture(params=DATA_SETS, ids=lambda c: c.__name__)
def make(request, tmp_path, monkeypatch):
    """Builds the data set over made files, ready for all stages."""
    trust_made_files(monkeypatch)
    init_args = make_for(request.param.__name__, tmp_path / "files")

    def build(**overrides):
        torch.manual_seed(7)
        data = request.param(**{"batch_size": 16, **init_args, **overrides})
        data.prepare_data()
        for stage in ("fit", "validate", "test", "predict"):
            data.setup(stage)
        return data

    return build


def batches(data, stage, epoch=0):
    """All batches of a stage as a task receives them, outside a Trainer."""
    loader = getattr(data, LOADERS[stage])()
    loader.batch_sampler.set_epoch(epoch)
    received = []
    for batch in loader:
        moved = data.transfer_batch_to_device(batch, torch.device("cpu"), 0)
        received.append(data.on_after_batch_transfer(moved, 0))
    assert len(received) == len(loader)
    return received


def check_objects(batch, info):
    """The keys of images with objects: boxes inside their image, labels of classes, everything as long as the boxes."""
    num_images, num_objects = len(batch[INDEX]), len(batch[BOX])
    assert set(batch) == {IMAGE, INDEX, SIZE, SOURCE_SIZE, BOX, BOX_IMAGE, BOX_LABEL, CROWD, AREA}
    assert batch[IMAGE].shape[:2] == (num_images, info.channels)
    assert (batch[IMAGE].shape[2], batch[IMAGE].shape[3]) == tuple(batch[SIZE].amax(0).tolist())
    assert batch[BOX].dtype == batch[AREA].dtype == torch.float32
    assert batch[BOX_LABEL].dtype == batch[BOX_IMAGE].dtype == torch.int64
    assert batch[CROWD].dtype == torch.bool
    for key in (BOX, BOX_IMAGE, BOX_LABEL, CROWD, AREA):
        assert len(batch[key]) == num_objects
    width_height = batch[SIZE][batch[BOX_IMAGE]].flip(1)
    assert (batch[BOX] >= 0).all()
    assert (batch[BOX] <= width_height.repeat(1, 2)).all()
    assert (batch[BOX][:, 2:] > batch[BOX][:, :2]).all()
    assert (batch[BOX_IMAGE].diff() >= 0).all()
    assert (batch[BOX_LABEL] >= 0).all()
    assert (batch[BOX_LABEL] < info.num_classes).all()


def check_pixels(batch, info):
    """The keys of images whose pixels have classes: one a pixel, padding ignored, every segment of one class."""
    segments = {SEGMENT} if info.pixels.things is not None else set()
    assert set(batch) == {IMAGE, INDEX, SIZE, SOURCE_SIZE, CLASSES} | segments
    classes = batch[CLASSES]
    assert classes.dtype == torch.int16
    assert classes.shape == (len(batch[INDEX]), *batch[IMAGE].shape[2:])
    assert ((classes == IGNORED) | ((classes >= 0) & (classes < info.num_classes))).all()
    assert len(info.pixels.colors) == len(info.pixels.values) == info.num_classes
    for image, (height, width) in zip(classes, batch[SIZE].tolist(), strict=True):
        assert (image[:height, :width] >= 0).any()
        assert (image[height:] == IGNORED).all()
        assert (image[:, width:] == IGNORED).all()
    if segments:
        assert len(info.pixels.things) == info.num_classes
        for numbers, image in zip(batch[SEGMENT], classes, strict=True):
            pairs = torch.stack([numbers, image.int()])[:, numbers >= 0].unique(dim=1)
            assert len(pairs[0].unique()) == pairs.shape[1]


def pixels(received):
    """(C, N): the pixels of all images of batches, without padding."""
    parts = []
    for batch in received:
        sizes = batch[SIZE].tolist() if SIZE in batch else [batch[IMAGE].shape[-2:]] * len(batch[IMAGE])
        parts += [image[:, :h, :w].flatten(1) for image, (h, w) in zip(batch[IMAGE], sizes, strict=True)]
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("stage", LOADERS)
def test_batches_have_the_keys_types_and_shapes_that_info_tells(make, stage):
    data = make()
    assert isinstance(data, PublishesInfo)
    info = data.info
    for batch in batches(data, stage):
        num_images = len(batch[INDEX])
        assert batch[IMAGE].dtype == torch.float32
        assert batch[INDEX].dtype == torch.int64
        if info.objects:
            check_objects(batch, info)
            continue
        if info.pixels is not None:
            check_pixels(batch, info)
            continue
        assert set(batch) == {IMAGE, LABEL, INDEX}
        assert batch[IMAGE].shape == (num_images, info.channels, *info.size_px)
        assert batch[LABEL].dtype == torch.int64
        assert batch[LABEL].shape == (num_images,)
        assert batch[LABEL].min() >= 0
        assert batch[LABEL].max() < info.num_classes
    assert len(info.mean) == len(info.std) == info.channels
    assert len(set(info.class_names)) == info.num_classes


@pytest.mark.parametrize("stage", LOADERS)
def test_each_sample_comes_once_and_has_a_name_of_its_own(make, stage):
    data = make()
    indices = torch.cat([batch[INDEX] for batch in batches(data, stage)]).tolist()
    assert sorted(indices) == list(range(len(data.split(stage))))
    assert len({data.sample_name(stage, index) for index in indices}) == len(indices)


def test_same_seed_same_batches_and_another_order_each_epoch(make):
    first, again = batches(make(), Stage.TRAIN, epoch=3), batches(make(), Stage.TRAIN, epoch=3)
    for one, other in zip(first, again, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    next_epoch = batches(make(), Stage.TRAIN, epoch=4)
    assert not torch.equal(first[0][INDEX], next_epoch[0][INDEX])
    other_seed = batches(make(shuffle_seed=8), Stage.TRAIN, epoch=3)
    assert not torch.equal(first[0][INDEX], other_seed[0][INDEX])


def identities(split):
    """What tells a sample of a split: its position in the source, or its path."""
    if isinstance(split, ResidentSplit):
        return split.source_index.tolist()
    return [split.name(index) for index in range(len(split))]


def test_splits_are_disjoint_and_cover_all_and_repeat(make):
    """Row 17: training, validation and (where it is taken from the same source) test samples."""
    data = make()
    if not hasattr(data, "val_fraction"):
        parts = {stage: set(identities(data.split(stage))) for stage in (Stage.TRAIN, Stage.VAL)}
        assert all(parts.values())
        assert not parts[Stage.TRAIN] & parts[Stage.VAL]
        return
    parts = {stage: set(identities(data.split(stage))) for stage in (Stage.TRAIN, Stage.VAL, Stage.TEST)}
    assert all(parts.values())
    assert not parts[Stage.TRAIN] & parts[Stage.VAL]
    source = make(val_fraction=0.0)
    assert parts[Stage.TRAIN] | parts[Stage.VAL] == set(identities(source.split(Stage.TRAIN)))
    if hasattr(data, "test_fraction"):
        assert not parts[Stage.TEST] & (parts[Stage.TRAIN] | parts[Stage.VAL])
        everything = make(val_fraction=0.0, test_fraction=0.0)
        assert set().union(*parts.values()) == set(identities(everything.split(Stage.TRAIN)))
    assert identities(make().split(Stage.VAL)) == identities(data.split(Stage.VAL))
    assert set(identities(make(split_seed=1).split(Stage.VAL))) != parts[Stage.VAL]


def test_training_images_are_standardized_by_statistics_of_their_own(make):
    """Row 19: |mean| < 1e-3 and |std - 1| < 1e-3 over the training split; the statistics come from it only."""
    data = make()
    images = pixels(batches(data, Stage.TRAIN)).double()
    assert images.mean(1).abs().max() < 1e-3
    assert (images.std(1, correction=0) - 1).abs().max() < 1e-3
    validation = pixels(batches(data, Stage.VAL)).double()
    assert (validation.mean(1).abs() > 1e-6).any(), "else these would be the statistics of another split"


def test_images_can_be_only_scaled_or_standardized_as_stated(make):
    plain = pixels(batches(make(normalize=False), Stage.VAL))
    assert plain.min() >= 0
    assert 0.5 < plain.max() <= 1
    channels = len(plain)
    stated = lightning_cv.data.MeanStd([0.5] * channels, [0.25] * channels)
    given = pixels(batches(make(normalize=stated), Stage.VAL))
    torch.testing.assert_close(given, (plain - 0.5) / 0.25, rtol=1e-5, atol=1e-5)


def test_validation_batches_repeat_and_are_not_augmented(make):
    """Rows 35, 36, 41: off at validation, whatever the epoch."""
    transforms = [lightning_cv.data.RandomCrop(2), lightning_cv.data.RandomHorizontalFlip(), lightning_cv.data.Cutout()]
    if make().info.has_sizes:
        with pytest.raises(UserError, match=r"moves no (boxes|masks)"):
            make(batch_transforms=transforms)
        return
    data = make(batch_transforms=transforms)
    plain = batches(make(), Stage.VAL)
    for epoch in (0, 1):
        for one, other in zip(batches(data, Stage.VAL, epoch), plain, strict=True):
            assert torch.equal(one[IMAGE], other[IMAGE])


def test_statistics_travel_with_a_checkpoint(make):
    """Another checkpoint's statistics are used, unless the recipe states its own."""
    data = make()
    state = data.state_dict()
    state["mean"] = [value + 0.1 for value in state["mean"]]
    before = batches(data, Stage.VAL)[0][IMAGE]
    data.load_state_dict(state)
    assert data.info.mean == tuple(state["mean"])
    shift = 0.1 / torch.tensor(data.info.std).view(1, -1, 1, 1)
    torch.testing.assert_close(batches(data, Stage.VAL)[0][IMAGE], before - shift, rtol=1e-5, atol=1e-5)
    scaled = make(normalize=False)
    scaled.load_state_dict(state)
    assert set(scaled.info.mean) == {0.0}


def test_a_data_module_that_is_set_up_pickles(make):
    """Started processes (spawned workers, ddp_spawn) get a copy."""
    data = make()
    copy = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert torch.equal(batches(copy, Stage.VAL)[0][IMAGE], batches(data, Stage.VAL)[0][IMAGE])
