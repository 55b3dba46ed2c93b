"""Annotation files give the objects that they state, in COCO's, Pascal VOC's and YOLO's format."""

import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from lightning_cv.contracts import Stage
from lightning_cv.data import Coco, Voc, Yolo
from lightning_cv.data.annotations.json_file import entry_lines
from lightning_cv.data.annotations.yolo import labels_of
from lightning_cv.errors import DataError, UserError
from tests.makers import PERSON_POINTS, boxes_on, make_coco, make_voc, make_yolo


def loaded(data, stage=Stage.TRAIN):
    split = data.load(stage)
    return [split[index] for index in range(len(split))], split


def test_coco_gives_what_pycocotools_reads(tmp_path):
    """Boxes, areas, crowds and masks of every image equal those of pycocotools on the same file."""
    root = make_coco(tmp_path)
    samples, split = loaded(Coco(str(root), masks=True))
    oracle = COCO(root / "annotations" / "instances_train2017.json")
    assert split.class_names == ("person", "cat", "cup")
    assert len(samples) == len(oracle.imgs) == 8
    for index, (image, objects) in enumerate(samples):
        annotations = oracle.loadAnns(oracle.getAnnIds(split.images[index].image_id))
        assert image.shape == (3, *(oracle.imgs[split.images[index].image_id][k] for k in ("height", "width")))
        assert len(objects) == len(annotations)
        for row, annotation in enumerate(annotations):
            x, y, width, height = annotation["bbox"]
            assert objects.boxes[row].tolist() == [x, y, x + width, y + height]
            assert split.category_ids[objects.labels[row]] == annotation["category_id"]
            assert objects.areas[row] == annotation["area"]
            assert objects.crowd[row] == bool(annotation["iscrowd"])
            assert np.array_equal(objects.masks[row].numpy(), oracle.annToMask(annotation))


def test_cocos_ids_can_be_the_classes_with_their_gaps(tmp_path):
    """So that published networks, which have a class for each of the ids 1 to 90, fit."""
    data = Coco(str(make_coco(tmp_path)), classes="ids")
    samples, split = loaded(data)
    assert split.class_names == ("person", "cat", "(no 3)", "cup")
    listed, _ = loaded(Coco(str(tmp_path)))
    for (_, by_id), (_, by_place) in zip(samples, listed, strict=True):
        assert torch.equal(by_id.labels, torch.tensor([0, 1, 3])[by_place.labels])


def test_coco_keypoints_have_names_partners_and_the_sigmas_of_the_evaluation(tmp_path):
    """row 225: left and right are partners by name; coordinates of pixels stand at their middles."""
    make_coco(tmp_path)
    data = Coco(str(tmp_path), annotations="annotations/person_keypoints_{part}.json", keypoints=True)
    samples, split = loaded(data)
    points = split.keypoints
    assert points.names == PERSON_POINTS
    assert [points.names[swap] for swap in points.swaps[:5]] == [
        "nose",
        "right_eye",
        "left_eye",
        "right_ear",
        "left_ear",
    ]
    assert points.sigmas[0] == 0.026
    stated = json.loads((tmp_path / "annotations" / "person_keypoints_train2017.json").read_text())
    first = stated["annotations"][0]
    index = [image.image_id for image in split.images].index(first["image_id"])
    given = torch.tensor(first["keypoints"], dtype=torch.float32).view(17, 3)
    assert torch.equal(samples[index][1].keypoints[0], given + torch.tensor([0.5, 0.5, 0]))


def test_voc_counts_pixels_from_1_and_its_difficult_objects_need_not_be_found(tmp_path):
    """Corners (xmin - 1, ymin - 1, xmax, ymax)."""
    samples, split = loaded(Voc(str(make_voc(tmp_path)), class_names=["cat", "dog", "person"]))
    assert len(samples) == 8
    for number, (_, objects) in enumerate(samples):
        size = (48, 56 + 4 * (number % 2))
        expected = boxes_on(200 + number, size, 0 if number == 1 else 2)
        assert objects.boxes.tolist() == expected.tolist()
        assert objects.labels.tolist() == [0, 1][: len(expected)]
        assert objects.crowd.tolist() == [number == 2 and place == 0 for place in range(len(expected))]
    assert not split.annotations.problems


def test_yolo_boxes_are_shares_of_the_image(tmp_path):
    """Middle and size as shares, an image without a file of labels is empty."""
    samples, split = loaded(Yolo(str(make_yolo(tmp_path))))
    assert split.class_names == ("cat", "dog", "owl")
    for number, (_, objects) in enumerate(samples):
        expected = boxes_on(400 + number, (48, 64), 0 if number == 1 else 2)
        torch.testing.assert_close(objects.boxes, torch.tensor(expected).float().view(-1, 4), rtol=0, atol=1e-3)
    assert str(labels_of(tmp_path / "images" / "a" / "images" / "b.png")).endswith("images/a/labels/b.txt")


def test_images_without_objects_can_be_left_out_of_training(tmp_path):
    make_coco(tmp_path)
    data = Coco(str(tmp_path), empty_images=False)
    assert len(data.load(Stage.TRAIN)) == 7
    assert len(data.load(Stage.VAL)) == 8, "all are scored"


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda root: (root / "annotations/instances_train2017.json").unlink(), "instances_train2017.json"),
        (lambda root: (root / "annotations/instances_train2017.json").write_text("{"), "JSON of COCO's format"),
        (lambda root: (root / "annotations/instances_train2017.json").write_text("{}"), "no lists images"),
        (lambda root: (root / "annotations/instances_train2017.json").write_text('{"images": [], "categories": [{}],'
         ' "annotations": []}'), "category without id"),
    ],
    ids=["missing", "cut", "empty", "no id"],
)  # fmt: skip
def test_a_file_that_is_no_annotation_file_is_one_line(tmp_path, break_it, said):
    make_coco(tmp_path)
    break_it(tmp_path)
    with pytest.raises(DataError, match=said) as caught:
        Coco(str(tmp_path)).load(Stage.TRAIN)
    assert "\n" not in str(caught.value)


def test_what_voc_and_yolo_lack_is_one_line(tmp_path):
    with pytest.raises(UserError, match="root"):
        Voc(str(tmp_path / "nothing")).load(Stage.TRAIN)
    make_voc(tmp_path / "voc")
    with pytest.raises(DataError, match=r"other\.txt"):
        Voc(str(tmp_path / "voc"), train="other").load(Stage.TRAIN)
    make_yolo(tmp_path / "yolo")
    with pytest.raises(DataError, match=r"data\.yaml: other"):
        Yolo(str(tmp_path / "yolo"), train="other").load(Stage.TRAIN)
    (tmp_path / "yolo" / "data.yaml").write_text("names: {0: a, 2: b}\ntrain: images/train\n")
    with pytest.raises(DataError, match="names"):
        Yolo(str(tmp_path / "yolo")).load(Stage.TRAIN)


def test_an_image_of_another_size_than_its_annotations_say_is_named(tmp_path):
    """Boxes would lie on other things: it is refused, or left out."""
    root = make_coco(tmp_path)
    file = root / "annotations" / "instances_train2017.json"
    dataset = json.loads(file.read_text())
    dataset["images"][0]["height"] += 3
    file.write_text(json.dumps(dataset))
    split = Coco(str(root)).load(Stage.TRAIN)
    with pytest.raises(Exception, match="its annotations are for 51 x 64"):
        split[0]


def test_lines_of_entries_are_those_of_the_text():
    """Whatever the spaces, and with other keys between."""
    text = '{"info": {"a": [1, 2]},\n "images": [{"id": 1},\n\n  {"id": 2}], "n": 3,\n"annotations":[\n{"id": "]"}]}'
    assert entry_lines(text) == {"images": [2, 4], "annotations": [6]}
    assert entry_lines(json.dumps({"images": [], "annotations": [{}, {}]})) == {"images": [], "annotations": [1, 1]}
