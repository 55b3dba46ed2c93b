"""In a real Trainer, augmentation reaches training batches only, and every epoch has an order of its own."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torchvision.transforms import v2

from lightning_cv.contracts import IMAGE, INDEX, LABEL
from lightning_cv.data import Cutout, Digits, ImageFolder, RandomCrop, RandomHorizontalFlip
from lightning_cv.errors import UserError
from tests.makers import make_class_folders


class Recorder(LightningModule):
    """Keeps each stage's batches as a task receives them."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = {"train": [], "val": [], "test": [], "predict": []}

    def training_step(self, batch, batch_idx):
        self.seen["train"].append(batch)
        return self.layer(batch[IMAGE].mean().view(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        self.seen["val"].append(batch)

    def test_step(self, batch, batch_idx):
        self.seen["test"].append(batch)

    def predict_step(self, batch, batch_idx):
        self.seen["predict"].append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def run(data, verbs=("fit",), **trainer_args):
    torch.manual_seed(11)
    recorder = Recorder()
    options = {"max_epochs": 1, "limit_train_batches": 2, **trainer_args}
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    for verb in verbs:
        getattr(trainer, verb)(recorder, datamodule=data)
    return recorder.seen


def normalized(data, stage, index):
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (data.info.mean, data.info.std))
    return (data.split(stage).images[index] / 255 - mean) / std


@pytest.mark.parametrize(
    "transform",
    [RandomCrop(2), RandomHorizontalFlip(), Cutout(p=1.0), v2.MixUp(), v2.CutMix()],
    ids=lambda t: type(t).__name__,
)
def test_batch_transforms_touch_training_only(transform):
    """Rows 35, 36, 41, 42: validation (also the sanity check), test and prediction see plain images."""
    data = Digits(batch_transforms=[transform])
    seen = run(data, ("fit", "test", "predict"))
    assert len(seen["train"]) == 2
    for batch in seen["train"]:
        assert not torch.allclose(batch[IMAGE], normalized(data, "train", batch[INDEX]), atol=1e-3)
        assert batch[LABEL].ndim == (2 if isinstance(transform, v2.MixUp | v2.CutMix) else 1)
    for stage in ("val", "test", "predict"):
        assert seen[stage]
        for batch in seen[stage]:
            torch.testing.assert_close(batch[IMAGE], normalized(data, stage, batch[INDEX]), rtol=1e-5, atol=1e-5)
            assert torch.equal(batch[LABEL], data.split(stage).labels[batch[INDEX]])
        if stage != "val":
            indices = torch.cat([batch[INDEX] for batch in seen[stage]])
            assert indices.tolist() == list(range(len(data.split(stage))))


def test_per_sample_transforms_touch_training_only(tmp_path):
    """Rows 35, 36, 37: with files and a transform of the training images."""
    make_class_folders(tmp_path)
    augmented = v2.Compose([v2.RandomResizedCrop(16), v2.RandomHorizontalFlip(), v2.ColorJitter(0.5)])
    plain, changed = (
        run(ImageFolder(str(tmp_path), size_px=16, batch_size=4, train_transform=transform), ("fit", "test"))
        for transform in (None, augmented)
    )
    for stage in ("val", "test"):
        for one, other in zip(plain[stage], changed[stage], strict=True):
            assert torch.equal(one[IMAGE], other[IMAGE])
    assert torch.equal(plain["train"][0][INDEX], changed["train"][0][INDEX])
    assert not torch.equal(plain["train"][0][IMAGE], changed["train"][0][IMAGE])


def test_the_run_seed_decides_the_batches_and_each_epoch_has_its_order():
    """Whatever is drawn from the global generator in between."""
    first = run(Digits(batch_transforms=[RandomCrop(1)]), max_epochs=2)["train"]
    again = run(Digits(batch_transforms=[RandomCrop(1)]), max_epochs=2)["train"]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one[IMAGE], other[IMAGE])
    assert not torch.equal(first[0][INDEX], first[2][INDEX])


def test_overfitting_takes_the_same_batches_every_epoch():
    seen = run(Digits(), max_epochs=2, overfit_batches=2, limit_train_batches=1.0)["train"]
    assert len(seen) == 4
    assert torch.equal(seen[0][INDEX], seen[2][INDEX])
    assert torch.equal(seen[1][INDEX], seen[3][INDEX])


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.float32),
        ("bf16-true", torch.bfloat16),
        ("64-true", torch.float64),
    ],
)
def test_images_have_the_type_that_the_precision_asks_for(precision, dtype):
    seen = run(Digits(), precision=precision)
    assert {batch[IMAGE].dtype for stage in ("train", "val") for batch in seen[stage]} == {dtype}


def test_an_epoch_without_any_batch_is_refused():
    with pytest.raises(UserError, match=r"^data\.init_args\.batch_size: 5000 given with drop_last, allowed: up to"):
        run(Digits(batch_size=5000, drop_last=True))


def test_statistics_must_fit_the_channels():
    from lightning_cv.data import MeanStd

    with pytest.raises(UserError, match=r"^data\.init_args\.normalize: mean \[0.5, 0.5\].*allowed: 1 numbers each"):
        run(Digits(normalize=MeanStd([0.5, 0.5], [1.0, 1.0])))
