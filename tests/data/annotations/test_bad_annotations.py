"""What is wrong in annotations is mended where that is safe, left out and listed, or refused; nothing crashes."""

import copy
import json
import random
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lightning_cv.contracts import BOX, Stage
from lightning_cv.data import Coco, Voc, Yolo
from lightning_cv.data.annotations.checks import check_mask, encoded_mask
from lightning_cv.data.splits import UnreadableImageError
from lightning_cv.errors import DataError
from tests.makers import make_coco, make_voc, make_yolo

NAN = float("nan")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return make_coco(tmp_path_factory.mktemp("coco"))


def coco_with(good: Path, root: Path, change) -> Path:
    """A folder with the same images, and the training annotations changed."""
    root.mkdir(exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for part in ("train2017", "val2017"):
        if not (root / part).exists():
            (root / part).symlink_to(good / part)
    if not (root / "annotations" / "instances_val2017.json").exists():
        (root / "annotations" / "instances_val2017.json").symlink_to(good / "annotations" / "instances_val2017.json")
    dataset = json.loads((good / "annotations" / "instances_train2017.json").read_text())
    change(dataset)
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(dataset, indent=1))
    return root


def first(dataset, **values):
    dataset["annotations"][0].update(values)


CASES = {
    "nan box": (lambda d: first(d, bbox=[1, NAN, 5, 5]), "is not finite", -1),
    "empty box": (lambda d: first(d, bbox=[1, 1, 0, 5]), "empty or negative", -1),
    "negative box": (lambda d: first(d, bbox=[1, 1, 9, -5]), "empty or negative", -1),
    "no box": (lambda d: first(d, bbox="all"), "is not finite", -1),
    "outside": (lambda d: first(d, bbox=[900, 1, 5, 5]), "lies outside of the image", -1),
    "half outside": (lambda d: first(d, bbox=[-5, 2, 20, 10]), "reaches beyond the image of 64 x 48; cut off", 0),
    "class": (lambda d: first(d, category_id=77), "class 77 is unknown", -1),
    "double id": (lambda d: d["annotations"][1].update(id=d["annotations"][0]["id"]), "for the second time", -1),
    "no such image": (lambda d: first(d, image_id=999), "image id 999 is unknown", -1),
    "nan area": (lambda d: first(d, area=NAN), "area nan is not finite", -1),
    "mask size": (lambda d: first(d, segmentation={"size": [3, 4], "counts": [12]}), "a mask of size", -1),
    "mask runs": (lambda d: first(d, segmentation={"size": [48, 64], "counts": [5]}), "do not cover", -1),
    "mask text": (lambda d: first(d, segmentation={"size": [48, 64], "counts": "zz\x7f"}), "do not cover", -1),
    "no mask": (lambda d: first(d, segmentation=[]), "no mask", -1),
    "line": (lambda d: first(d, segmentation=[[1, 1, 2, 2]]), "fewer than 3 points", -1),
    "no annotation": (lambda d: d["annotations"].__setitem__(0, 5), "no annotation", -1),
}


@pytest.mark.parametrize("name", CASES)
def test_each_mistake_is_listed_with_file_and_line_and_refused_where_strict(good, tmp_path, name):
    """And what can be used of the others is."""
    change, said, lost = CASES[name]
    root = coco_with(good, tmp_path / "root", change)
    split = Coco(str(root), masks=True).load(Stage.TRAIN)
    problems = split.annotations.problems
    whole = Coco(str(good), masks=True).load(Stage.TRAIN)
    count = sum(len(split[n][1]) for n in range(len(split)))
    assert count == sum(len(whole[n][1]) for n in range(len(whole))) + lost
    assert len(problems) == 1, [str(p) for p in problems]
    assert said in str(problems[0])
    place = re.match(r"(.*instances_train2017\.json):(\d+) \(annotations\[(\d+)\]\): ", str(problems[0]))
    assert place, str(problems[0])
    lines = Path(place[1]).read_text().splitlines()
    assert lines[int(place[2]) - 1].strip()[:1] in ("{", "5")
    with pytest.raises(DataError, match="strict") as caught:
        Coco(str(root), masks=True, strict=True).load(Stage.TRAIN)
    assert "\n" not in str(caught.value)


def test_missing_and_double_images_are_listed(good, tmp_path):
    def change(dataset):
        dataset["images"][1]["file_name"] = "gone.jpg"
        dataset["images"].append(dict(dataset["images"][0]))
        dataset["images"].append({"id": 50})

    split = Coco(str(coco_with(good, tmp_path / "root", change))).load(Stage.TRAIN)
    said = [str(problem) for problem in split.annotations.problems]
    assert len(said) == 3
    assert any("for the second time" in line and "images[8]" in line for line in said)
    assert any("without id, file_name" in line for line in said)
    assert any("there is no image" in line and "gone.jpg" in line for line in said)
    assert len(split) == 7


def test_voc_and_yolo_list_file_and_line(tmp_path):
    make_voc(tmp_path / "voc")
    file = tmp_path / "voc" / "Annotations" / "2007_000200.xml"
    text = file.read_text()
    file.write_text(text.replace("<name>dog</name>", "<name>wolf</name>"))
    (tmp_path / "voc" / "Annotations" / "2007_000203.xml").write_text("<annotation><object>")
    (tmp_path / "voc" / "Annotations" / "2007_000204.xml").write_text(
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'
    )
    problems = Voc(str(tmp_path / "voc")).load(Stage.TRAIN).annotations.problems
    said = [str(problem) for problem in problems]
    line = text.splitlines().index("    <name>dog</name>")
    assert any(f"2007_000200.xml:{line}: class 'wolf' is unknown" in entry for entry in said)
    assert any("2007_000203.xml: cannot be read" in entry for entry in said)
    assert any("2007_000204.xml: cannot be read (a document type" in entry for entry in said)
    make_yolo(tmp_path / "yolo")
    labels = tmp_path / "yolo" / "labels" / "train" / "0.txt"
    labels.write_text(
        "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n9 0.5 0.5 0.2 0.2\n1 nan 0.5 0.1 0.1\n1 2 3\n1 0.9 0.5 0.4 0.2\n"
    )
    split = Yolo(str(tmp_path / "yolo")).load(Stage.TRAIN)
    said = [str(problem).split("0.txt:", 1)[1] for problem in split.annotations.problems]
    assert [entry.split(":")[0] for entry in sorted(said)] == ["2", "3", "4", "5", "6"]
    torch.testing.assert_close(split[0][1].boxes[1, 2], torch.tensor(64.0))


VALUES = [NAN, float("inf"), -1, 0, 1e30, -1e30, "x", None, [], {}, True, [1, 2], "999999999999", 10**400]


def mutated(dataset, draw: random.Random):
    """The dataset with one to three values of entries replaced, deleted, doubled or swapped."""
    changed = copy.deepcopy(dataset)
    for _ in range(draw.randint(1, 3)):
        key = draw.choice(["annotations", "annotations", "annotations", "images"])
        entry = draw.choice(changed[key])
        if not isinstance(entry, dict):
            continue
        name = draw.choice(sorted(entry))
        match draw.randrange(5):
            case 0:
                entry[name] = draw.choice(VALUES)
            case 1:
                del entry[name]
            case 2 if isinstance(entry[name], list) and entry[name]:
                entry[name][draw.randrange(len(entry[name]))] = draw.choice(VALUES)
            case 3:
                changed[key].append(copy.deepcopy(entry))
            case _:
                changed[key][draw.randrange(len(changed[key]))] = draw.choice(VALUES)
    return changed


def test_500_mutated_annotations_never_crash_and_never_give_a_nan(good, tmp_path):
    """Each is used as it stands, listed, or refused in one line; what is used is finite and inside its image."""
    draw = random.Random(0)  # noqa: S311
    refused = listed = 0
    dataset = json.loads((good / "annotations" / "instances_train2017.json").read_text())
    for _ in range(500):
        said = ""
        changed = mutated(dataset, draw)
        root = coco_with(good, tmp_path / "root", lambda d, c=changed: (d.clear(), d.update(c)))
        try:
            split = Coco(str(root), masks=draw.random() < 0.5).load(Stage.TRAIN)
        except DataError as error:
            said = str(error)
        if said:
            assert "\n" not in said
            refused += 1
            continue
        listed += bool(split.annotations.problems)
        assert all(re.search(r"json:\d+ \(|there is no image", str(p)) for p in split.annotations.problems)
        for index in range(len(split)):
            try:
                image, objects = split[index]
            except UnreadableImageError:
                continue
            assert objects.boxes.isfinite().all()
            assert (objects.boxes >= 0).all()
            assert (objects.boxes <= torch.tensor([image.shape[2], image.shape[1]]).repeat(2)).all()
            assert (objects.boxes[:, 2:] > objects.boxes[:, :2]).all()
            assert objects.areas.isfinite().all()
            assert ((objects.labels >= 0) & (objects.labels < 3)).all()
    assert listed > 200
    assert refused < 50


def test_a_batch_of_mended_annotations_is_trained_on(good, tmp_path):
    """What was cut off reaches the batch inside its image; a warning says what was wrong and how to see all of it."""
    root = coco_with(good, tmp_path / "root", lambda d: first(d, bbox=[-5, 2, 20, 10]))
    data = Coco(str(root), batch_size=4)
    with pytest.warns(UserWarning, match="1 problem: .*cut off.*inspect RECIPE --dataset"):
        data.setup("fit")
    boxes = torch.cat([batch[BOX] for batch in data.train_dataloader()])
    assert (boxes >= 0).all()


def test_masks_of_every_form_are_the_same_mask():
    """Polygons, runs as numbers, and compressed runs, as pycocotools writes them."""
    from pycocotools import mask as rle

    size = (6, 8)
    polygon = [[1, 1, 5, 1, 5, 4, 1, 4]]
    encoded = rle.merge(rle.frPyObjects(polygon, *size))
    mask = rle.decode(encoded)
    flat = mask.flatten(order="F")
    changes = [0, *(flat[1:] != flat[:-1]).nonzero()[0] + 1, len(flat)]
    counts = [int(b - a) for a, b in pairwise(changes)]
    text = {"size": list(size), "counts": encoded["counts"].decode()}
    for form in (polygon, {"size": list(size), "counts": counts}, text):
        check_mask(form, size)
        assert (rle.decode(encoded_mask(form, size)) == mask).all()
