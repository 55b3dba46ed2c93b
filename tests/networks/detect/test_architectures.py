"""Detectors have the structure of the course and of the papers."""

import math

import pytest
import torch
from torch import nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import FrozenBatchNorm2d, box_convert, box_iou, roi_align, roi_pool

from lightning_cv.contracts import Objects, Stage
from lightning_cv.data import Scenes
from lightning_cv.errors import UserError
from lightning_cv.networks.blocks.feature_maps import FeatureMaps
from lightning_cv.networks.blocks.region_pool import RegionPool
from lightning_cv.networks.detect import (
    Detr,
    FasterRcnn,
    FastRcnn,
    Fcos,
    KeypointRcnn,
    MaskRcnn,
    Overlap,
    Pyramid,
    Rcnn,
    RetinaNet,
    SelectiveSearch,
    SingleObject,
    Ssd,
    YoloV1,
)
from lightning_cv.networks.detect.sliding_window import cut_windows, window_boxes
from lightning_cv.networks.detect.two_stage import make_anchors
from lightning_cv.ops.selective_search import selective_search
from tests.networks.detect.inputs import CLASSES, REGIONS, batch_of, pyramid
from tests.tolerances import assert_close


def parameters(network: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trained)


def published(**options) -> Pyramid:
    return Pyramid("resnet50", norm="frozen", trainable_stages=3, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: FasterRcnn(90, published()), 41_755_286),
        (lambda: MaskRcnn(90, published()), 44_401_393),
        (lambda: KeypointRcnn(1, published()), 59_137_258),
        (lambda: RetinaNet(90, published(first_stride=8, extra="convolutions")), 34_014_999),
        (lambda: Fcos(90, published(first_stride=8, extra="convolutions")), 32_269_600),
        (lambda: Ssd(90), 35_641_826),
    ],
    ids=["fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet", "fcos", "ssd300"],
)
def test_detectors_have_the_published_number_of_parameters(make, count):
    """rows 188, 192, 221, 224: torchvision's table, with frozen batch norms where weights are from ImageNet."""
    assert parameters(make()) == count


@pytest.mark.slow
def test_detr_has_the_published_number_of_parameters():
    """row 196: 41,524,768, of which 222,400 of the first convolution and the first stage are frozen."""
    network = Detr(91, backbone=FeatureMaps("resnet50", norm="frozen", trainable_stages=3))
    assert parameters(network) == 41_524_768
    assert parameters(network, trained=True) == 41_302_368


def test_frozen_norms_are_kept_without_pretrained_weights():
    """row 188: the trap: without weights torchvision's builder exchanges them, 53,120 parameters more."""
    frozen, free = Pyramid("resnet50", norm="frozen"), Pyramid("resnet50")
    assert parameters(free) - parameters(frozen) == 53_120
    assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())
    assert any(isinstance(m, FrozenBatchNorm2d) for m in frozen.modules())


@pytest.mark.parametrize("backbone", ["small", "resnet18", "swin_t", "mobilenet_v3_large", "timm/resnet10t"])
def test_the_backbone_of_a_detector_is_one_key(backbone):
    """rows 141, 195: every level of the pyramid has as many channels, and strides double; the detector trains on it."""
    built = Pyramid(backbone, channels=16, extra="pool")
    levels = built(torch.randn(1, 3, 64, 64))
    assert [tuple(level.shape) for level in levels.values()] == [(1, 16, 64 // s, 64 // s) for s in (4, 8, 16, 32, 64)]
    assert built.strides == (4, 8, 16, 32, 64)
    network = FasterRcnn(CLASSES, built, **{**REGIONS, "anchor_sizes": (8, 16, 24, 32, 48)})
    images, sizes, objects = batch_of([(64, 64)], [2])
    torch.stack(list(network(images, sizes, objects).losses.values())).sum().backward()
    assert next(built.body.parameters()).grad is not None


def test_what_is_no_backbone_is_refused_with_what_is():
    """row 141: a line names the key, what was given and what is allowed."""
    for name, said in (
        ("resnet19", "names of torchvision.models"),
        ("vit_b_16", "not made of stages"),
        ("timm/x", "x"),
    ):
        with pytest.raises(UserError, match=said):
            FeatureMaps(name)
    with pytest.raises(UserError, match="one a level"):
        FasterRcnn(2, pyramid(), anchor_sizes=(8, 16))


def test_the_proposal_head_gives_one_score_and_four_numbers_an_anchor():
    """rows 189, 190: K scores and 4 K numbers at each place, K H W anchors; areas are equal across shapes within 2%."""
    network = FasterRcnn(CLASSES, pyramid(), anchor_sizes=(16, 32, 48, 64), aspect_ratios=(0.5, 1.0, 2.0))
    scores, corrections = network.model.rpn.head([torch.randn(1, 32, 5, 7)])
    assert scores[0].shape == (1, 3, 5, 7)
    assert corrections[0].shape == (1, 12, 5, 7)
    generator = make_anchors((32,), (0.5, 1.0, 2.0), Stub())
    anchors = generator.cell_anchors[0]
    sides = anchors[:, 2:] - anchors[:, :2]
    assert sides.prod(1).max() / sides.prod(1).min() < 1.02
    assert (sides[:, 1] / sides[:, 0]).tolist() == pytest.approx([0.5, 1.0, 2.0], rel=0.05)


class Stub:
    strides = (8,)


def test_two_stages_train_exactly_four_losses_that_begin_at_their_expected_values():
    """rows 189, 191: objectness begins at ln 2, the classifier near ln(C + 1)."""
    torch.manual_seed(0)
    network = FasterRcnn(CLASSES, pyramid(), **{**REGIONS, "regions_trained": 64})
    images, sizes, objects = batch_of([(64, 64)] * 4, [2, 1, 2, 3])
    losses = network(images, sizes, objects).losses
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert losses["loss_objectness"].item() == pytest.approx(math.log(2), rel=0.05)
    assert losses["loss_classifier"].item() == pytest.approx(math.log(CLASSES + 1), rel=0.35)


def test_each_class_corrects_boxes_by_itself():
    """row 194: 4 C numbers a region (torchvision has four more for the background)."""
    assert FasterRcnn(5, pyramid(), **REGIONS).model.roi_heads.box_predictor.bbox_pred.out_features == 4 * (5 + 1)
    assert Rcnn(5).correct.out_features == 4 * 5


def test_box_transforms_of_the_course():
    """rows 178, 184: from 20 x 40 to 28 x 36, moved by 6 and -4: (0.3, -0.1, ln 1.4, ln 0.9); decoding undoes it."""
    region = box_convert(torch.tensor([[100.0, 200, 20, 40]]), "cxcywh", "xyxy")
    truth = box_convert(torch.tensor([[106.0, 196, 28, 36]]), "cxcywh", "xyxy")
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    (transform,) = coder.encode([truth], [region])
    assert transform[0].tolist() == pytest.approx([0.3, -0.1, math.log(1.4), math.log(0.9)], abs=1e-5)
    assert_close(coder.decode(transform, [region])[:, 0], truth)
    boxes = torch.rand(20, 4).sort(1).values * 100
    there_and_back = box_convert(box_convert(boxes, "xyxy", "xywh"), "xywh", "xyxy")
    assert_close(there_and_back, boxes)


def test_ssd_has_8732_anchors_for_300_pixels():
    """row 192: six maps of 38, 19, 10, 5, 3, 1 places a side with 4, 6, 6, 6, 4, 4 anchors each."""
    network = Ssd(2).eval()
    maps = [torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    generator = network.model.anchor_generator
    counts = [n * m.shape[-1] ** 2 for n, m in zip(generator.num_anchors_per_location(), maps, strict=True)]
    assert sum(counts) == 8732


def test_masks_begin_undecided_and_keypoints_at_the_loss_of_equal_places():
    """rows 221, 224: masks are probabilities; the keypoint loss begins at ln 56²."""
    torch.manual_seed(0)
    images, sizes, objects = batch_of([(64, 64)] * 4, [2, 3, 2, 3])
    network = KeypointRcnn(CLASSES, pyramid(), num_keypoints=4, keypoint_layers=(16,), **REGIONS)
    losses = network(images, sizes, objects).losses
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg", "loss_keypoint"}
    assert losses["loss_keypoint"].item() == pytest.approx(math.log(56**2), rel=0.05)
    masked = MaskRcnn(CLASSES, pyramid(), mask_layers=(16,), **REGIONS)
    assert "loss_mask" in masked(images, sizes, objects).losses


def test_a_head_is_added_without_touching_the_detector():
    """row 226: it trains with the four losses, its loss has its name, and what it says comes with each detection."""
    torch.manual_seed(0)
    network = FasterRcnn(CLASSES, pyramid(), heads={"fit": Overlap(16)}, **REGIONS)
    images, sizes, objects = batch_of([(64, 64)] * 2, [2, 0])
    losses = network(images, sizes, objects).losses
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg", "fit"}
    losses["fit"].backward()
    assert all(p.grad is not None and p.grad.any() for p in network.heads.parameters())
    found = network.eval()(images, sizes).detections
    assert all(each.extras["fit"].shape == (len(each),) for each in found)


def test_a_localizer_gives_class_scores_and_one_box_whatever_the_image_size():
    """row 180: (N, C) and (N, 4)."""
    network = SingleObject(7).eval()
    for size in ((64, 64), (96, 128)):
        images = torch.randn(3, 3, *size)
        encoded = network.encode(network._images(images, [size] * 3, range(3)))
        assert encoded["scores"].shape == (3, 7)
        assert encoded["boxes"].shape == (3, 4)


@pytest.mark.parametrize(("size", "window", "step"), [((96, 96), (20, 20), (4, 4)), ((50, 70), (16, 24), (5, 3))])
def test_windows_are_counted_by_the_formula_and_cut_where_their_boxes_are(size, window, step):
    """row 181: (H - h) // s + 1 by (W - w) // s + 1."""
    images = torch.randn(2, 3, *size)
    cut, boxes = cut_windows(images, window, step), window_boxes(size, window, step)
    rows, columns = ((size[axis] - window[axis]) // step[axis] + 1 for axis in (0, 1))
    assert cut.shape == (2, rows * columns, 3, *window)
    for number in (0, columns, rows * columns - 1):
        x1, y1, x2, y2 = boxes[number].int().tolist()
        assert torch.equal(cut[:, number], images[:, :, y1:y2, x1:x2])


def test_selective_search_proposes_what_is_there():
    """row 182: recall at intersection over union 0.5 is 0.9 or more with up to 200 boxes, over 20 cluttered scenes."""
    scenes = Scenes(num_train=20, empty=0.0).load(Stage.TRAIN)
    found = total = 0
    for image, objects in (scenes[index] for index in range(20)):
        boxes = torch.from_numpy(selective_search(image.permute(1, 2, 0).numpy(), max_boxes=200)).float()
        assert len(boxes) <= 200
        assert len(boxes.unique(dim=0)) == len(boxes)
        found += int((box_iou(objects.boxes, boxes).amax(1) >= 0.5).sum())
        total += len(objects)
    assert found >= 0.9 * total


class Counted(nn.Module):
    """Counts the images that a backbone sees."""

    def __init__(self, inner: FeatureMaps) -> None:
        super().__init__()
        self.inner, self.channels, self.seen = inner, inner.channels, 0

    def forward(self, images):
        self.seen += len(images)
        return self.inner(images)


def test_rcnn_sees_each_proposal_and_fast_rcnn_each_image_once():
    """rows 183, 185: as many forward passes as proposals; as many as images, whatever the proposals."""
    images, sizes, _ = batch_of([(64, 64)] * 2, [3, 2])
    for cls in (Rcnn, FastRcnn):
        network = cls(CLASSES, SelectiveSearch(max_boxes=25)).eval()
        network.backbone = counted = Counted(network.backbone)
        with torch.no_grad():
            network(images, sizes)
            proposed = network.proposals(network._images(images, [(64, 64)] * 2, range(2)))
        assert counted.seen == (int(proposed[..., 0].isfinite().sum()) if cls is Rcnn else 2)


def test_proposals_are_remembered_by_what_the_image_shows():
    """row 185: selective search runs once for an image that comes again."""
    search = SelectiveSearch(max_boxes=25, max_remembered=2)
    network = FastRcnn(CLASSES, search)
    images, _, _ = batch_of([(64, 64)] * 3, [3, 2, 1])
    taken = network._images(images, [(64, 64)] * 3, range(3))
    first = search(taken)
    search.propose = None  # a second search would fail
    again = search(network._images(images[1:], [(64, 64)] * 2, range(2)))
    rows = again[..., 0].isfinite()
    assert torch.equal(again[rows], first[1:][:, : again.shape[1]][rows])


def ramp() -> torch.Tensor:
    return torch.arange(8.0).expand(1, 1, 8, 8)


def test_pooling_snaps_to_the_grid_and_aligning_does_not():
    """rows 186, 187: on a ramp, a region moved by a quarter of a place has the same pooled and a quarter more aligned.

    Without the half pixel of `aligned` the values would be off by a half.
    """
    boxes = torch.tensor([[0.0, 1, 1, 5, 5], [0, 1.25, 1, 5.25, 5]])
    pooled = roi_pool(ramp(), boxes, 2)
    assert torch.equal(pooled[0], pooled[1])
    aligned = roi_align(ramp(), boxes, 2, sampling_ratio=2, aligned=True)
    assert_close(aligned[1] - aligned[0], torch.full((1, 2, 2), 0.25))
    assert aligned[0, 0, 0].tolist() == pytest.approx([1.5, 3.5])
    off = roi_align(ramp(), boxes, 2, sampling_ratio=2, aligned=False)
    assert_close(off - aligned, torch.full((2, 1, 2, 2), 0.5))


@pytest.mark.parametrize("kind", ["align", "pool"])
def test_fast_rcnn_cuts_regions_out_as_it_is_told(kind):
    """rows 186, 187: the module gives torchvision's values, at the stride of its map."""
    boxes = torch.tensor([[4.0, 4, 40, 36], [10, 3, 50, 60]])
    features = torch.randn(1, 5, 8, 8)
    expected = (
        roi_align(features, [boxes], 7, 1 / 8, sampling_ratio=2, aligned=True)
        if kind == "align"
        else roi_pool(features, [boxes], 7, 1 / 8)
    )
    assert torch.equal(RegionPool(kind, 8)({"0": features}, [boxes], [(64, 64)]), expected)


def test_yolo_gives_7_by_7_by_30_numbers_for_voc():
    """row 193: S x S x (5 B + C), C = 20, B = 2; class probabilities of a cell sum to 1."""
    network = YoloV1(20, grid=7, boxes=2).eval()
    grid = network.encode(network._images(torch.randn(1, 3, 224, 224), [(224, 224)], [0]))["grid"]
    assert grid.shape == (1, 7, 7, 30)
    assert_close(grid[..., 10:].sum(-1), torch.ones(1, 7, 7))


def test_yolo_has_no_loss_where_the_grid_says_what_is_there():
    """row 193: a grid written by hand with the boxes, confidences and classes of two objects."""
    network = YoloV1(CLASSES, grid=4, boxes=2, stride=8).train()
    boxes = torch.tensor([[4.0, 6, 28, 26], [36, 40, 60, 62]])
    labels = torch.tensor([2, 0])
    objects = Objects(boxes, labels, labels > 9, boxes[:, 0])
    grid = torch.zeros(1, 4, 4, 13)
    for (x1, y1, x2, y2), label in zip((boxes / 64).tolist(), labels.tolist(), strict=True):
        x, y, w, h = (x1 + x2) * 2, (y1 + y2) * 2, x2 - x1, y2 - y1
        cell = grid[0, int(y), int(x)]
        cell[5:10] = torch.tensor([x % 1, y % 1, w**0.5, h**0.5, 1.0])  # the second box of the cell answers
        cell[10 + label] = 1
    images = network._images(torch.zeros(1, 3, 64, 64), [(64, 64)], [0])
    losses = network.losses(images, {"grid": grid}, [objects])
    assert {name: round(value.item(), 5) for name, value in losses.items()} == dict.fromkeys(losses, 0.0)
    found = network.detect(images, {"grid": grid})[0]
    assert_close(found.boxes[found.scores > 0.5].sort(0).values, boxes)
    worse = grid.clone()
    worse[0, 3, 0, 4] = 1.0  # a box on nothing that is sure: half its squared error
    assert network.losses(images, {"grid": worse}, [objects])["loss_no_object"].item() == pytest.approx(0.5)
