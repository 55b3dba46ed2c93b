"""The task Segment: its losses, scores of the whole set, windows and views, pictures, label files, mistakes."""

from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as library
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex
from torchvision.models import segmentation as of_torchvision

from lightning_cv.callbacks import Media
from lightning_cv.contracts import CLASSES as CLASSES_KEY
from lightning_cv.contracts import IGNORED, IMAGE, Stage
from lightning_cv.data import Digits, MaskFolder, Scenes
from lightning_cv.errors import UserError
from lightning_cv.losses import Dice, PixelCrossEntropy
from lightning_cv.networks.segment import SlidingWindows, TestTimeAugmentation, UNet
from lightning_cv.optim import build_optimizer
from lightning_cv.run.label_files import LabelFiles
from lightning_cv.tasks import Segment
from lightning_cv.tracking.overlays import as_wandb_image
from tests.makers import make_mask_folder
from tests.tasks.reading import CLASSES, STEP, Reading, ToldData
from tests.tasks.seeing import sgd
from tests.tasks.test_detect import trainer
from tests.tolerances import assert_close


def told(stage: Stage, number: int = 7):
    """Images, and what is drawn and true of each pixel."""
    split = ToldData(number).load(stage)
    samples = [split[index] for index in range(len(split))]
    return [(image[0].long() // STEP, pixels.classes.long()) for image, pixels in samples]


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_scores_are_counted_over_all_pixels_of_the_set(tmp_path, batch_size):
    """row 206: torchmetrics on all pixels at once, whatever the batches, with images of two sizes."""
    pairs = told(Stage.TEST)
    task = Segment(Reading(), sgd)
    (scores,) = trainer(tmp_path).test(task, datamodule=ToldData(batch_size=batch_size), verbose=False)
    flat = torch.cat([d.flatten() for d, _ in pairs]), torch.cat([t.flatten() for _, t in pairs])
    assert scores["test/mean_iou"] == pytest.approx(MulticlassJaccardIndex(CLASSES, ignore_index=IGNORED)(*flat).item())
    known = flat[1] != IGNORED
    assert scores["test/pixel_accuracy"] == pytest.approx((flat[0] == flat[1])[known].float().mean().item())
    assert {f"test/iou/{name}" for name in "abcd"} <= scores.keys()


def test_the_loss_of_a_set_is_the_mean_over_its_images(tmp_path):
    """Each image by itself: images of other sizes in its batch change nothing."""
    split = ToldData().load(Stage.TEST)
    network = Reading()
    expected = []
    for index in range(7):
        image, pixels = split[index]
        scores = network(image[None] / 255)
        expected.append(F.cross_entropy(scores, pixels.classes[None].long()))
    (scores,) = trainer(tmp_path).test(Segment(Reading(), sgd), datamodule=ToldData(), verbose=False)
    assert scores["test/loss"] == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)


def batch_of(data, index: int = 0):
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    return data.on_after_batch_transfer(batch, 0)


def test_the_weighted_sum_of_the_losses_is_trained():
    """Σ weight · loss of the main head, and `aux_weight` times the same of the others."""
    batch = batch_of(ToldData())
    losses = {"one": PixelCrossEntropy(), "two": Dice()}
    task = Segment(Reading(auxiliary=True), sgd, losses=losses, loss_weights={"two": 3.0}, aux_weight=0.25)
    output = task.step(task.network, batch)
    scores, classes = Reading()(F.pad(batch[IMAGE], (0, 6, 0, 10))), batch[CLASSES_KEY].long()
    scores = scores[..., :22, :26]
    main = PixelCrossEntropy()(scores, classes) + 3 * Dice()(scores, classes)
    other = PixelCrossEntropy()(scores / 2, classes) + 3 * Dice()(scores / 2, classes)
    assert_close(output.loss, main + 0.25 * other)
    assert_close(output.terms["auxiliary"], other)
    assert set(output.terms) == {"one", "two", "auxiliary"}


def test_padding_is_not_trained_on():
    """The smaller images of a batch have padding, of which nobody knows the class."""
    batch = batch_of(ToldData())
    assert (batch[CLASSES_KEY][:, 18:] == IGNORED).any()
    task = Segment(Reading(), sgd)
    before = task.step(task.network, batch).loss
    batch[IMAGE][:, :, 18:] += (batch[CLASSES_KEY][:, None, 18:] == IGNORED) * 50.0
    assert_close(task.step(task.network, batch).loss, before)


def test_images_are_padded_to_what_the_network_can_halve():
    """To a multiple of `divisible_by` at the right and below, and scores are cut back."""
    network = Reading().eval()
    task = Segment(network, sgd, divisible_by=16)
    assert task.predict(network, torch.rand(1, 3, 18, 26)).shape == (1, CLASSES, 18, 26)
    assert network.seen == [(1, 3, 32, 32)]


def test_windows_score_everywhere_and_views_only_in_test_and_prediction(tmp_path):
    """row 207: windows in validation too; views of the image in test and prediction alone."""
    network = Reading()
    task = Segment(
        network, sgd, windows=SlidingWindows((16, 16), 0.0), test_time=TestTimeAugmentation(), divisible_by=1
    )
    runner = trainer(tmp_path)
    (plain,) = trainer(tmp_path).validate(Segment(Reading(), sgd), datamodule=ToldData(), verbose=False)
    (scores,) = runner.validate(task, datamodule=ToldData(), verbose=False)
    assert {shape[2:] for shape in network.seen} == {(16, 16)}
    assert scores["val/mean_iou"] == plain["val/mean_iou"]  # a pixel's scores depend on no other
    asked = len(network.seen)
    network.seen.clear()
    runner.test(task, datamodule=ToldData(), verbose=False)
    assert len(network.seen) == 2 * asked


def test_all_pixels_of_a_batch_may_be_unknown(tmp_path):
    batch = batch_of(ToldData())
    batch[CLASSES_KEY].fill_(IGNORED)
    task = Segment(Reading(), sgd)
    output = task.step(task.network, batch)
    assert output.loss == 0
    assert task.train_terms(output) == {"pixel_accuracy": 0}


@pytest.mark.parametrize(
    ("network", "inside"),
    [
        (lambda: library.Unet("resnet18", encoder_weights=None, classes=3), "encoder"),
        (lambda: of_torchvision.fcn_resnet50(weights=None, weights_backbone=None, num_classes=3), "backbone"),
    ],
    ids=["library", "torchvision"],
)
def test_the_backbone_may_have_a_rate_of_its_own(network, inside):
    """Parameters of the encoder get a tenth of the rate, all others the whole."""
    built = network()
    head = Segment(built, sgd, backbone_lr_factor=0.1).head()

    def one(groups) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=1.0)

    optimizer = build_optimizer(built, one, head=head, decay_norm_and_bias=False, backbone_lr_factor=0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in built.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.1 if name.startswith(inside) else 1.0), name


# Pictures and files.


def test_the_worst_images_are_shown_with_what_is_there_and_what_was_found(tmp_path):
    """A picture for a person, and one whose masks W&B switches on and off; classes at each pixel are the found ones."""
    runner = trainer(tmp_path, Media(every_n_epochs=1, num_images=4))
    runner.test(Segment(Reading(), sgd), datamodule=ToldData(), verbose=False)
    folder = tmp_path / "media" / "test"
    with Image.open(next((folder / "segmentation").iterdir())) as picture:
        assert min(picture.size) > 400
    image = as_wandb_image(next((folder / "overlays").iterdir()))
    masks = image._masks
    assert set(masks) == {"predictions", "ground_truth"}
    pairs = told(Stage.TEST)
    shares = [((drawn == true) & (true != IGNORED)).sum() / (true != IGNORED).sum() for drawn, true in pairs]
    worst = int(torch.stack(shares).argmin())
    drawn, true = pairs[worst]
    for key, classes in (("predictions", drawn), ("ground_truth", true)):
        with Image.open(masks[key]._path) as written:
            mask = np.asarray(written)
        side = mask.shape[1] // 2
        height = round(side * classes.shape[0] / classes.shape[1])
        expected = np.asarray(
            Image.fromarray((classes.clamp(min=-1) + 1).numpy().astype(np.uint8)).resize((side, height), 0)
        )
        assert (mask[:height, :side] == expected).all()


def test_label_files_are_read_back_by_the_data_set(tmp_path):
    """Predicted files have the values of the data's own masks: `MaskFolder` with `labels.yaml` reads them again."""
    home, root = tmp_path / "home", tmp_path / "data"
    make_mask_folder(root)
    data = MaskFolder(str(root), batch_size=4)
    torch.manual_seed(0)
    network = UNet(3, 3, width=4, levels=2)
    task = Segment(network, sgd)
    writer = LabelFiles(home, data)
    found = trainer(tmp_path, writer).predict(task, datamodule=data)
    again = tmp_path / "again"
    (again / "images").mkdir(parents=True)
    (again / "images" / "train").symlink_to(root / "images" / "val")
    labels = home / "predictions" / "labels"
    assert {path.name for path in labels.iterdir()} == {f"{n}.png" for n in range(8)}
    for index in range(8):
        source = Path(data.sample_name(Stage.PREDICT, index)).relative_to(root / "images" / "val")
        target = (again / "masks" / "train" / source).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        (labels / f"{source.stem}.png").rename(target)
    (home / "predictions" / "labels.yaml").rename(again / "labels.yaml")
    split = MaskFolder(str(again)).load(Stage.TRAIN)
    predicted = {int(i): p for batch in found for i, p in zip(batch["index"], batch["prediction"], strict=True)}
    assert len({int(v) for p in predicted.values() for v in p.unique()}) > 1
    for index in range(8):
        assert torch.equal(split[index][1].classes, predicted[index])
    with Image.open(home / "predictions" / "overlays" / "3.png") as picture:
        assert picture.width == 640


def test_predictions_are_as_large_as_the_file(tmp_path):
    """An image that was made smaller gets scores at its own size again."""
    from torchvision.transforms import v2

    make_mask_folder(tmp_path / "data")
    data = MaskFolder(str(tmp_path / "data"), batch_size=4, eval_transform=v2.Resize((32, 32)))
    torch.manual_seed(0)
    found = trainer(tmp_path).predict(Segment(UNet(3, 3, width=4, levels=2), sgd), datamodule=data)
    shapes = [tuple(p.shape) for batch in found for p in batch["prediction"]]
    assert set(shapes) == {(44, 60), (48, 60)}


def test_probabilities_are_predicted():
    torch.manual_seed(0)
    network = UNet(3, 3, width=4, levels=2).eval()
    said = Segment(network, sgd).predict(network, torch.randn(2, 3, 20, 20))
    assert_close(said.sum(1), torch.ones(2, 20, 20))


# Mistakes.


@pytest.mark.parametrize(
    ("network", "data", "said"),
    [
        (lambda: UNet(4, 3), lambda: Scenes(truth="semantic", num_train=4, num_val=4), "set its num_classes to 12"),
        (lambda: UNet(12, 1), lambda: Scenes(truth="semantic", num_train=4, num_val=4), "takes 1 channels"),
        (lambda: UNet(10, 3), lambda: Scenes(num_train=4, num_val=4), "their pixels have no classes"),
        (lambda: UNet(10, 1), Digits, "their pixels have no classes"),
    ],
)
def test_a_network_or_data_that_do_not_fit_are_named(tmp_path, network, data, said):
    with pytest.raises(UserError, match=said):
        trainer(tmp_path).fit(Segment(network(), sgd), datamodule=data())


def test_the_weight_of_a_loss_that_there_is_not_is_named():
    with pytest.raises(UserError, match=r"loss_weights: dise is no loss .*allowed: cross_entropy"):
        Segment(Reading(), sgd, loss_weights={"dise": 1.0})


def test_a_network_without_a_backbone_has_one_rate():
    with pytest.raises(UserError, match="UNet has no encoder or backbone"):
        Segment(UNet(3, 3, width=4), sgd, backbone_lr_factor=0.1).head()


def test_a_network_that_says_other_things_is_named():
    class Other(nn.Module):
        def forward(self, images):
            return {"scores": images}

    with pytest.raises(UserError, match="Other gives no scores of pixels"):
        Segment(Other(), sgd).step(Other().train(), batch_of(ToldData()))
