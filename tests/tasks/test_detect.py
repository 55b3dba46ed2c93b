"""The task Detect: curves, COCO's scores in the pixels of the file, options of test and prediction, pictures, files."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.transforms import v2

from lightning_cv.callbacks import Media, Progress
from lightning_cv.contracts import Detections, Objects, Stage
from lightning_cv.data import Coco, Digits, Scenes
from lightning_cv.errors import UserError
from lightning_cv.networks.classify import LeNet5
from lightning_cv.networks.detect import FasterRcnn, Overlap, Pyramid, SingleObject
from lightning_cv.networks.detect.test_time import TestTimeAugmentation
from lightning_cv.ops.objects import no_objects
from lightning_cv.ops.suppress import Nms, SoftNms
from lightning_cv.run.found_objects import write_found
from lightning_cv.tasks import Detect
from lightning_cv.tasks.detection_gallery import count_mistakes
from lightning_cv.tracking.overlays import as_wandb_image
from tests.makers import PERSON_POINTS, make_coco
from tests.networks.detect.inputs import REGIONS, pyramid
from tests.tasks.seeing import Seeing, sgd


def trainer(folder: Path, *callbacks, **options) -> Trainer:
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": folder,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "max_epochs": 1,
        "log_every_n_steps": 1,
    }
    return Trainer(callbacks=list(callbacks), **(settings | options))


def coco(root: Path, **options) -> Coco:
    """Real files in COCO's format, whose images are made one and a half times as large."""
    larger = v2.Resize(72, antialias=True)
    return Coco(str(root), batch_size=3, normalize=False, eval_transform=larger, train_transform=larger, **options)


def evaluated(root: Path, found: Path, kind: str = "bbox", file: str = "instances_val2017.json") -> dict[str, float]:
    """pycocotools on the annotation file and the written predictions."""
    with contextlib.redirect_stdout(io.StringIO()):
        oracle = COCO(root / "annotations" / file)
        results = json.loads(found.read_text())["annotations"]
        evaluation = COCOeval(oracle, oracle.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("map", "map_50", "map_75")
    return dict(zip(names, evaluation.stats[:3].tolist(), strict=True))


class Echo(Seeing):
    """The same in prediction, where nobody tells it what is there."""

    def __init__(self, data: Coco, **options) -> None:
        super().__init__(len(data.load(Stage.VAL).class_names), **options)
        self._data, self._next = data, 0

    def forward(self, images, sizes, objects=None):
        if objects is None and not self.training:
            objects = []
            for _ in range(len(images)):
                split = self._data.split(Stage.PREDICT)
                image, there = split[self._next]
                from lightning_cv.data.objects import transform_with_objects

                swaps = None if split.keypoints is None else split.keypoints.swaps
                _, moved = transform_with_objects(self._data.eval_transform, image, there, swaps)
                objects.append(moved.select(~moved.crowd))
                self._next += 1
        return super().forward(images, sizes, objects)


@pytest.mark.parametrize("kind", ["bbox", "keypoints"])
def test_scores_are_those_of_pycocotools_on_the_files(tmp_path, kind):
    """rows 204, 205, 225: images are resized, yet boxes, areas and keypoints are compared in pixels of the file."""
    root = make_coco(tmp_path / "coco")
    options, finds, file = {}, (), "instances_val2017.json"
    if kind == "keypoints":
        options = {"annotations": "annotations/person_keypoints_{part}.json", "keypoints": True}
        finds, file = ("keypoint",), "person_keypoints_val2017.json"
    data = coco(root, **options)
    network = Echo(data, finds=finds)
    network.num_keypoints = len(PERSON_POINTS)
    task = Detect(network, sgd)
    runner = trainer(tmp_path)
    scores = runner.test(task, datamodule=data, verbose=False)[0]
    lines = write_found(tmp_path, runner.predict(task, datamodule=data), data=data)
    assert "predictions.json" in lines[0]
    prefix = "keypoint_" if kind == "keypoints" else ""
    for name, value in evaluated(root, tmp_path / "predictions.json", kind, file).items():
        assert scores[f"test/{prefix}{name}"] == pytest.approx(value, abs=2e-4), name
    assert 0.05 < scores["test/map"] < 0.95, "else it would prove little"


def test_masks_are_scored_and_written(tmp_path):
    """row 221: the precision of shifted masks is between that of right and of wrong ones; the file has them encoded."""
    data = coco(make_coco(tmp_path / "coco"), masks=True)
    task = Detect(Echo(data, finds=("mask",)), sgd)
    runner = trainer(tmp_path)
    scores = runner.test(task, datamodule=data, verbose=False)[0]
    assert 0.2 < scores["test/mask_map"] < 1
    assert scores["test/mask_map_50"] > scores["test/mask_map"]
    write_found(tmp_path, runner.predict(task, datamodule=data), data=data)
    results = json.loads((tmp_path / "predictions.json").read_text())
    assert {entry["segmentation"]["size"][0] for entry in results["annotations"]} == {72}


def scenes(**options) -> Scenes:
    shared = {"num_train": 12, "num_val": 7, "num_test": 7, "size_px": 48, "object_px": (16, 24), "max_objects": 2}
    return Scenes(batch_size=4, **(shared | options))


def test_every_named_loss_is_a_curve_and_weights_weigh_them(tmp_path):
    """row 179: the trained loss is the weighted sum; a weight of 0 drops the term, which is still told."""
    for weights, total in ((None, 5.0), ({"loss_two": 0.0}, 2.0), ({"loss_one": 0.5, "loss_two": 2}, 7.0)):
        runner = trainer(tmp_path)
        runner.fit(Detect(Seeing(10), sgd, loss_weights=weights), datamodule=scenes())
        said = {name: float(value) for name, value in runner.callback_metrics.items()}
        for stage in ("train", "val"):
            assert said[f"{stage}/loss"] == pytest.approx(total)
            assert said[f"{stage}/loss_one"] == pytest.approx(2)
            assert said[f"{stage}/loss_two"] == pytest.approx(3)
    with pytest.raises(UserError, match="loss_weights: three is no loss of Seeing; allowed: loss_one, loss_two"):
        trainer(tmp_path).fit(Detect(Seeing(10), sgd, loss_weights={"three": 1}), datamodule=scenes())


def test_a_weight_of_zero_gives_no_gradient():
    """row 179: the dropped loss moves nothing."""
    network = SingleObject(3, width=16)
    task = Detect(network, sgd, loss_weights={"loss_box": 0.0})
    said = network(torch.randn(2, 3, 64, 64), torch.tensor([[64, 64]] * 2), [no_objects(), one_object()])
    task._total(said.losses).backward()
    assert not any(p.grad.any() for p in network.box.parameters())
    assert any(p.grad.any() for p in network.label.parameters())


def one_object() -> Objects:
    boxes = torch.tensor([[10.0, 12, 40, 50]])
    return Objects(boxes, torch.tensor([1]), torch.tensor([False]), torch.tensor([1140.0]))


@pytest.mark.parametrize(
    ("network", "data", "said"),
    [
        (LeNet5, scenes, "LeNet5 is no detector"),
        (lambda: Seeing(3), scenes, "set its num_classes to 10"),
        (lambda: Seeing(10, ("mask",)), scenes, r"set data\.init_args\.masks to true"),
        (lambda: Seeing(10, ("keypoint",)), scenes, r"set data\.init_args\.keypoints to true"),
        (lambda: FivePoints(10, ("keypoint",)), lambda: scenes(keypoints=True), "set its num_keypoints to 4"),
        (lambda: Seeing(10), lambda: Digits(batch_size=64), "needs images with objects"),
    ],
    ids=["classifier", "classes", "masks", "keypoints", "number of keypoints", "labels"],
)
def test_what_does_not_fit_is_refused_before_training(tmp_path, network, data, said):
    """One line that names the key and the value to set."""
    with pytest.raises(UserError, match=said) as caught:
        trainer(tmp_path).fit(Detect(network(), sgd), datamodule=data())
    assert "\n" not in str(caught.value)


class FivePoints(Seeing):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.num_keypoints = 5


class Doubled(Seeing):
    """Finds everything twice."""

    def _found(self, objects, size):
        once = super()._found(objects, size)
        rows = torch.arange(len(once)).repeat_interleave(2)
        return once.select(rows)


def test_suppression_and_views_are_for_test_and_prediction_only(tmp_path):
    """rows 137, 202: validation scores the network as it is; the test what the options make of it."""
    plain = trainer(tmp_path).test(Detect(Doubled(10), sgd), datamodule=scenes(), verbose=False)[0]
    task = Detect(Doubled(10), sgd, suppression=Nms(0.99))
    runner = trainer(tmp_path)
    validated = runner.validate(task, datamodule=scenes(), verbose=False)[0]
    tested = runner.test(task, datamodule=scenes(), verbose=False)[0]
    untouched = trainer(tmp_path).validate(Detect(Doubled(10), sgd), datamodule=scenes(), verbose=False)[0]
    assert validated == untouched
    assert tested["test/map"] > plain["test/map"] + 0.05
    predicted = runner.predict(task, datamodule=scenes())
    assert all(len(row["boxes"]) == 1 for batch in predicted for row in batch["prediction"])
    views = Detect(Counting(10), sgd, test_time=TestTimeAugmentation(scales=[1.0, 1.5]), suppression=SoftNms())
    trainer(tmp_path).test(views, datamodule=scenes(), verbose=False)
    assert views.network.asked_for_detections == 2 * 4, "two batches, two scales, each with its mirror image"


class Counting(Seeing):
    asked_for_detections = 0

    def forward(self, images, sizes, objects=None):
        self.asked_for_detections += objects is None
        return super().forward(images, sizes, objects)


def test_mistakes_are_counted_as_a_person_would():
    """One right, one of the wrong class (wrong, and its object missed), one doubled, one on nothing, a crowd."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 60, 20]])
    there = Objects(boxes, torch.tensor([0, 1, 0]), torch.tensor([False, False, True]), boxes[:, 0])
    found_boxes = torch.cat([boxes[:2], boxes[:1] + 1, torch.tensor([[80.0, 80, 90, 90]]), boxes[2:], boxes[2:]])
    labels = torch.tensor([0, 2, 0, 0, 0, 0])
    found = Detections(found_boxes, torch.linspace(0.9, 0.6, 6), labels)
    assert count_mistakes(found, there) == 1 + 1 + 1 + 1
    assert count_mistakes(found.select(labels > 5), there) == 2, "nothing found: two missed, and no crowd"
    assert count_mistakes(found, no_objects()) == 6


def test_pictures_show_the_worst_images_and_bring_boxes_for_the_tracker(tmp_path):
    """The grid is a picture, the plain one carries every box and mask in the place where it lies, as W&B takes them."""
    data = scenes(masks=True, num_val=7)
    task = Detect(Seeing(10, ("mask",)), sgd)
    trainer(tmp_path, Media(every_n_epochs=1, num_images=4)).fit(task, datamodule=data)
    files = {path.parent.name: path for path in (tmp_path / "media" / "val").rglob("*.png")}
    assert set(files) == {"detections", "overlays"}
    with Image.open(files["detections"]) as picture:
        assert min(picture.size) > 600
    image = as_wandb_image(files["overlays"])
    truth = image._boxes["ground_truth"]._val
    val = data.split(Stage.VAL)
    pixels = np.asarray(Image.open(files["overlays"]).convert("RGB"))
    assert pixels.shape == (640, 640, 3)
    for entry in truth:
        place = entry["position"]
        assert 0 <= place["minX"] < place["maxX"] <= 640
        assert 0 <= place["minY"] < place["maxY"] <= 640
        assert entry["box_caption"] == val.class_names[entry["class_id"]]
    expected = sorted(len(val[index][1]) for index in range(7))[-4:]
    assert len(truth) <= sum(expected)
    assert image._masks is not None
    scores = [entry["scores"]["score"] for entry in image._boxes["predictions"]._val]
    assert all(score >= 0.5 for score in scores)


def test_values_of_single_classes_are_curves_and_no_part_of_the_lines(tmp_path, capsys):
    """Of ten classes a line would be full."""
    runner = trainer(tmp_path, Progress(), enable_progress_bar=True)
    runner.fit(Detect(Seeing(10), sgd), datamodule=scenes())
    assert any(name.startswith("val/ap/") for name in runner.callback_metrics)
    said = capsys.readouterr()
    assert "val/map" in said.out + said.err
    assert "ap/" not in (said.out + said.err).replace("map/", "")


def test_a_further_head_trains_from_the_task(tmp_path):
    """row 226: its loss is a curve beside the four, and what it says is predicted."""
    network = FasterRcnn(10, pyramid(), heads={"fit": Overlap(16)}, score_threshold=0.0, **REGIONS)
    task = Detect(network, lambda groups: torch.optim.AdamW(groups, lr=1e-3))
    runner = trainer(tmp_path)
    data = scenes()
    runner.fit(task, datamodule=data)
    assert {"train/fit", "val/fit", "train/loss_objectness"} <= set(runner.callback_metrics)
    predicted = runner.predict(task, datamodule=data)
    rows = [row for batch in predicted for row in batch["prediction"]]
    assert all(len(row["extras"]["fit"]) == len(row["boxes"]) for row in rows)
    write_found(tmp_path, predicted, data=data)
    written = json.loads((tmp_path / "predictions.json").read_text())["annotations"]
    said = [round(value, 6) for row in rows for value in row["extras"]["fit"].tolist()]
    assert [entry["fit"] for entry in written] == pytest.approx(said, abs=1e-5)


def test_the_backbone_has_a_rate_of_its_own(tmp_path):
    """All of `FeatureMaps` at a tenth, everything else at the rate; every parameter once."""
    network = FasterRcnn(10, pyramid(), **REGIONS)
    task = Detect(network, lambda groups: torch.optim.AdamW(groups, lr=1e-3), backbone_lr_factor=0.1)
    runner = trainer(tmp_path, limit_train_batches=1, limit_val_batches=0)
    runner.fit(task, datamodule=scenes())
    body = {id(p) for p in network.model.backbone.body.parameters()}
    groups = runner.optimizers[0].param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    for group in groups:
        for parameter in group["params"]:
            assert group["lr"] == pytest.approx(1e-4 if id(parameter) in body else 1e-3)
    with pytest.raises(UserError, match="has no FeatureMaps"):
        trainer(tmp_path).fit(Detect(Seeing(10), sgd, backbone_lr_factor=0.1), datamodule=scenes())


def easy(**options) -> Scenes:
    return Scenes(digits=[0, 1, 4], size_px=64, object_px=(20, 36), clutter=2, num_val=60, **options)


@pytest.mark.slow
def test_two_stages_learn_to_find_digits(tmp_path):
    """row 188: AP50 0.9 or more after 300 steps of 8 on scenes of three digits."""
    torch.manual_seed(0)
    network = FasterRcnn(
        3,
        Pyramid("small", channels=32, extra="none"),
        anchor_sizes=(16, 24, 32, 48),
        head_width=128,
        proposals=(60, 30),
        regions_trained=32,
    )
    task = Detect(network, lambda groups: torch.optim.AdamW(groups, lr=2e-3))
    runner = trainer(tmp_path, max_epochs=1)
    runner.fit(task, datamodule=easy(batch_size=8, num_train=2400, max_objects=3))
    assert runner.callback_metrics["val/map_50"] >= 0.9


@pytest.mark.slow
def test_a_localizer_learns_where_the_one_object_is(tmp_path):
    """row 179: with both losses the mean intersection over union is above 0.7 on scenes with one digit."""
    torch.manual_seed(0)
    network = SingleObject(3, width=128)
    task = Detect(network, lambda groups: torch.optim.AdamW(groups, lr=2e-3), loss_weights={"loss_box": 20.0})
    data = easy(batch_size=32, num_train=3200, max_objects=1, empty=0.0)
    runner = trainer(tmp_path, max_epochs=8, limit_val_batches=0)
    runner.fit(task, datamodule=data)
    found = [row for batch in runner.predict(task, datamodule=data) for row in batch["prediction"]]
    split = data.split(Stage.PREDICT)
    from torchvision.ops import box_iou

    overlaps = [box_iou(row["boxes"], split[index][1].boxes).item() for index, row in enumerate(found)]
    assert np.mean(overlaps) > 0.7
