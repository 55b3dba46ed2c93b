"""What is found on several views comes back to the image."""

import pytest
import torch

from lightning_cv.contracts import Detections, DetectorOutput
from lightning_cv.errors import UserError
from lightning_cv.networks.detect.test_time import TestTimeAugmentation
from lightning_cv.ops.suppress import Nms
from tests.networks.detect.inputs import DETECTORS, batch_of


class Bright:
    """A detector that finds the bright rectangle of each image, exactly, with its mask and two opposite corners."""

    num_classes, finds = 1, ("mask", "keypoint")

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images, sizes, objects=None):
        self.calls += 1
        found = []
        for image, (height, width) in zip(images, sizes.tolist(), strict=True):
            bright = image[0, :height, :width] > 0.5
            y, x = bright.nonzero().unbind(1)
            box = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
            points = torch.stack(
                [torch.stack([box[0], box[1], box.new_tensor(1)]), torch.stack([box[2], box[3], box.new_tensor(1)])]
            )
            score = torch.tensor([0.9 - 0.1 * self.calls])
            found.append(
                Detections(box[None], score, torch.zeros(1, dtype=torch.int64), bright[None].float(), points[None])
            )
        return DetectorOutput(detections=found)


def rectangles() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, sizes = torch.zeros(2, 3, 64, 96), torch.tensor([[64, 96], [48, 64]])
    boxes = torch.tensor([[8.0, 16, 40, 56], [16, 8, 48, 40]])
    for image, (x1, y1, x2, y2) in zip(images, boxes.int().tolist(), strict=True):
        image[:, y1:y2, x1:x2] = 1
    images[1, :, :, 64:] = 1  # padding
    images[1, :, 48:] = 1
    return images, sizes, boxes


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 2.0, 0.5)])
def test_every_view_gives_the_same_boxes_back(scales):
    """row 137: flipped and resized, boxes, masks and keypoints map back exactly; left and right change places."""
    images, sizes, boxes = rectangles()
    detector = Bright()
    found = TestTimeAugmentation(flip=True, scales=scales, suppress=Nms(1.0), swaps=[1, 0])(detector, images, sizes)
    assert detector.calls == 2 * len(scales)
    for each, box, (height, width) in zip(found, boxes, sizes.tolist(), strict=True):
        assert len(each) == 2 * len(scales)
        torch.testing.assert_close(each.boxes, box.expand(len(each), -1), rtol=0, atol=1e-4)
        assert each.masks.shape == (len(each), height, width)
        inside = torch.zeros(height, width)
        x1, y1, x2, y2 = box.int().tolist()
        inside[y1:y2, x1:x2] = 1
        assert ((each.masks > 0.5).float() - inside).abs().max() == 0
        plain, mirrored = each.keypoints[0, :, :2], each.keypoints[1, :, :2]
        assert plain.tolist() == [[x1, y1], [x2, y2]]
        assert mirrored.tolist() == [[x1, y2], [x2, y1]]


def test_flip_augmented_predictions_of_a_mirror_image_are_the_mirrored_ones():
    """row 137: exactly, for any network: the two views only change places."""
    torch.manual_seed(0)
    network = DETECTORS["Fcos"]().eval()
    images, sizes, _ = batch_of([(64, 64)], [3])
    augment = TestTimeAugmentation(flip=True)
    with torch.no_grad():
        found = augment(network, images, sizes)[0]
        other = augment(network, images.flip(-1), sizes)[0]
    assert len(found) > 0
    back = torch.stack([64 - other.boxes[:, 2], other.boxes[:, 1], 64 - other.boxes[:, 0], other.boxes[:, 3]], 1)
    assert torch.equal(found.scores, other.scores)
    torch.testing.assert_close(found.boxes, back, rtol=0, atol=1e-3)


def test_scales_that_are_none_are_refused():
    with pytest.raises(UserError, match="above 0"):
        TestTimeAugmentation(scales=(0.0,))
