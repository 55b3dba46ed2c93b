"""What is told of data before anything is trained, and what prediction writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_cv.cli.main import main
from tests.makers import (
    make_ade20k,
    make_cityscapes,
    make_class_folders,
    make_coco,
    make_coco_panoptic,
    make_image,
    make_mask,
    make_mask_folder,
    make_voc,
    make_voc_segmentation,
    make_yolo,
)

SMALL = [
    "--data.init_args.num_train=12",
    "--data.init_args.num_val=6",
    "--data.init_args.num_test=6",
    "--trainer.max_epochs=1",
    "--trainer.logger=false",
    "--trainer.accelerator=cpu",
]


def say(capsys, *arguments: str) -> tuple[int, str]:
    status = main(list(arguments))
    said = capsys.readouterr()
    return status, said.out + said.err


def test_a_recipe_tells_of_its_data_and_draws_some(capsys):
    """Counts of each class over all parts are those of the scenes themselves."""
    from lightning_cv.contracts import Stage
    from lightning_cv.data import Scenes

    status, text = say(capsys, "inspect", "scenes_maskrcnn", "--dataset", *SMALL[:3])
    assert status == 0
    split = Scenes(num_train=12).load(Stage.TRAIN)
    labels = [label for index in range(12) for label in split[index][1].labels.tolist()]
    expected = ", ".join(f"{digit} {labels.count(digit)}" for digit in range(10))
    assert expected in text
    assert f"{len(labels)} objects, 0 crowds" in text
    with Image.open("scenes_maskrcnn_data.png") as picture:
        assert min(picture.size) > 900


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (make_coco, ["Coco", "8 images", "1 crowds, 1 images without objects", "person 6"]),
        (make_voc, ["Voc", "8 images", "1 crowds", "1 images without objects"]),
        (make_yolo, ["Yolo", "8 images", "14 objects", "cat 7, dog 7, owl 0"]),
        (lambda root: make_class_folders(root, parts=("",), num_images=8), ["ImageFolder", "cat", "dog"]),
        (make_mask_folder, ["MaskFolder", "22,080 pixels, 8.2% of them ignored", "background 82.2%, cat 8.9%"]),
        (make_voc_segmentation, ["VocSegmentation", "8.0% of them ignored", "person 8.6%"]),
        (make_cityscapes, ["Cityscapes", "8 images", "road", "car"]),
        (make_ade20k, ["Ade20k", "wall", "of them ignored"]),
        (make_coco_panoptic, ["CocoPanoptic", "40 segments, 1 images with crowds", "person 8.3%"]),
    ],
    ids=["coco", "voc", "yolo", "classes", "masks", "voc_masks", "cityscapes", "ade20k", "panoptic"],
)
def test_a_folder_is_recognized(tmp_path, capsys, make, told):
    """Its format, images, objects, classes, and a picture."""
    make(tmp_path / "things")
    status, text = say(capsys, "inspect", str(tmp_path / "things"))
    assert status == 0
    for words in told:
        assert words in text, (words, text)
    assert Path("things_data.png").is_file()


def test_problems_are_printed_with_file_and_line(tmp_path, capsys):
    """All of them, also where the recipe is strict."""
    root = make_coco(tmp_path / "coco")
    file = root / "annotations" / "instances_train2017.json"
    dataset = json.loads(file.read_text())
    dataset["annotations"][0]["bbox"] = [1, 1, -4, 4]
    dataset["annotations"][1]["category_id"] = 50
    file.write_text(json.dumps(dataset, indent=1))
    options = [f"--data.init_args.root={root}", "--data.init_args.strict=true"]
    status, text = say(capsys, "inspect", "coco_fasterrcnn", "--dataset", *options, *backbone())
    assert status == 0
    lines = [line for line in text.splitlines() if line.startswith("problem ")]
    assert len(lines) == 2
    assert all("instances_train2017.json:" in line for line in lines)
    assert any("empty or negative" in line for line in lines)
    (tmp_path / "nothing").mkdir()
    status, text = say(capsys, "inspect", str(tmp_path / "nothing"))
    assert status == 2
    assert len(text.strip().splitlines()) == 1


def test_masks_that_are_wrong_are_listed(tmp_path, capsys):
    """Each with its file and why; the others are counted."""
    root = make_mask_folder(tmp_path / "masks")
    make_mask(root / "masks" / "train" / "1.png", np.full((5, 5), 7, dtype=np.uint8))
    make_mask(root / "masks" / "train" / "2.png", np.full((44, 60), 8, dtype=np.uint8))
    (root / "images" / "val" / "1.jpg").write_bytes(b"")
    status, text = say(capsys, "inspect", str(root))
    assert status == 0
    problems = [line for line in text.splitlines() if line.startswith("problem ")]
    assert len(problems) == 3
    assert "train/1.png: the mask is 5 x 5, its image 48 x 60" in problems[0]
    assert "train/2.png: value 8 at row 0, column 0 is no label" in problems[1]
    assert "val/1.jpg: cannot be read" in problems[2]
    assert "8 images, 2 of them unreadable" in text


def test_label_files_and_overlays_are_predicted_for_a_folder_of_pictures(tmp_path, capsys):
    """At the size of each picture, none of them resized, with the palette and values of the training data."""
    small = [*SMALL, "--model.init_args.network.init_args.width=4"]
    assert say(capsys, "fit", "scenes_unet", "--run-dir", str(tmp_path / "run"), *small)[0] == 0
    make_image(tmp_path / "photos" / "one.png", 1, (80, 120))
    make_image(tmp_path / "photos" / "below" / "one.png", 2, (97, 63))
    status, text = say(capsys, "predict", "--ckpt", str(tmp_path / "run"), "--images", str(tmp_path / "photos"))
    assert status == 0, text
    assert "2 label files in" in text
    folder = tmp_path / "run" / "predictions"
    for name, size in (("one.png", (120, 80)), ("one-1.png", (63, 97))):
        with Image.open(folder / "labels" / name) as labels:
            assert labels.size == size
            assert labels.mode == "P"
            assert labels.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]
            assert np.asarray(labels).max() <= 2
    assert (folder / "labels.yaml").read_text() == "ground: 0\nclutter: 1\ndigit: 2\n"
    with Image.open(folder / "overlays" / "one.png") as picture:
        assert picture.width == 640
        assert picture.height > 427


def test_segments_are_predicted_in_cocos_format(tmp_path, capsys):
    """A PNG of segments for each image, and JSON that says what each is."""
    assert say(capsys, "fit", "scenes_panoptic", "--run-dir", str(tmp_path / "run"), *SMALL)[0] == 0
    make_image(tmp_path / "photos" / "one.png", 1, (80, 120))
    status, text = say(capsys, "predict", "--ckpt", str(tmp_path / "run"), "--images", str(tmp_path / "photos"))
    assert status == 0, text
    assert "segments on 1 images in" in text
    written = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert [category["isthing"] for category in written["categories"]] == [0, 0, *[1] * 10]
    (annotation,) = written["annotations"]
    with Image.open(tmp_path / "run" / "predictions" / "segments" / annotation["file_name"]) as picture:
        numbers = np.asarray(picture).astype(int) @ [1, 256, 65536]
    assert numbers.shape == (80, 120)
    assert {entry["id"] for entry in annotation["segments_info"]} == set(np.unique(numbers)) - {0}


def backbone() -> list[str]:
    pyramid = "--model.init_args.network.init_args.pyramid.init_args"
    return [f"{pyramid}.backbone=small", f"{pyramid}.weights=null"]


def test_pictures_of_a_folder_are_predicted_as_json_and_pictures(tmp_path, capsys):
    """A photo of any size, none of them resized; the file is of COCO's format with the classes of the training."""
    assert say(capsys, "fit", "scenes_yolov1", "--run-dir", str(tmp_path / "run"), *SMALL)[0] == 0
    make_image(tmp_path / "photos" / "one.png", 1, (80, 120))
    make_image(tmp_path / "photos" / "below" / "one.png", 2, (96, 64))
    status, text = say(capsys, "predict", "--ckpt", str(tmp_path / "run"), "--images", str(tmp_path / "photos"))
    assert status == 0, text
    assert "on 2 images in" in text
    written = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert [(image["height"], image["width"]) for image in written["images"]] == [(80, 120), (96, 64)]
    assert [category["name"] for category in written["categories"]] == [str(digit) for digit in range(10)]
    for entry in written["annotations"]:
        x, y, width, height = entry["bbox"]
        image = written["images"][entry["image_id"]]
        assert x >= 0
        assert y >= 0
        assert x + width <= image["width"] + 0.01
        assert y + height <= image["height"] + 0.01
    pictures = sorted(path.name for path in (tmp_path / "run" / "predictions").glob("*.png"))
    assert pictures == ["one-1.png", "one.png"]
    assert np.asarray(Image.open(tmp_path / "run" / "predictions" / "one.png")).shape == (427, 640, 3)
