"""Data sets whose pixels have classes read what their files say, and name what is wrong with them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.contracts import CROWD_SEGMENT, IGNORED, VOID, Stage
from lightning_cv.data import Ade20k, Cityscapes, CocoPanoptic, MaskFolder, Pets, Scenes, VocSegmentation
from lightning_cv.data.masks.labels import Labels, labels_from
from lightning_cv.data.masks.split import MaskSplit
from lightning_cv.data.partition import Fold
from lightning_cv.data.splits import UnreadableImageError
from lightning_cv.errors import DataError, UserError
from lightning_cv.ops.panoptic import objects_of
from tests.makers import (
    MASK_SIZE,
    PANOPTIC_CATEGORIES,
    make_ade20k,
    make_cityscapes,
    make_coco_panoptic,
    make_image,
    make_mask,
    make_mask_folder,
    make_pets,
    make_voc_segmentation,
    mask_of,
)


def first(data, stage=Stage.TRAIN, index=0):
    split = data.load(stage)
    return split, split[index][1].classes


# What files say.


def test_a_folder_is_read_as_its_labels_say(tmp_path):
    """Values 0, 7, 9 are classes 0, 1, 2; 255 nobody knows; images in sub-folders have their masks there."""
    make_mask_folder(tmp_path)
    split, classes = first(MaskFolder(str(tmp_path)))
    assert split.class_names == ("background", "cat", "dog")
    assert split.pixels.values == (0, 7, 9)
    assert split.name(0).endswith("1.jpg")
    mask = mask_of(1, (MASK_SIZE[0] + 4, MASK_SIZE[1]), (0, 7, 9, 255))
    for value, label in ((0, 0), (7, 1), (9, 2), (255, IGNORED)):
        assert ((classes == label).numpy() == (mask == value)).all()
    assert any("wide" in split.name(index) for index in range(len(split)))


def test_a_folder_that_is_not_divided_is_divided_here(tmp_path):
    """Every image is in one part; another seed takes others; folds take turns."""
    for number in range(20):
        make_image(tmp_path / "images" / f"{number}.jpg", number, MASK_SIZE)
        make_mask(tmp_path / "masks" / f"{number}.png", mask_of(number, MASK_SIZE, (0, 1)))
    options = {"labels": {"a": 0, "b": 1}, "val_fraction": 0.25, "test_fraction": 0.2}

    def names(stage: Stage, **more) -> set[str]:
        split = MaskFolder(str(tmp_path), **options, **more).load(stage)
        return {split.name(index) for index in range(len(split))}

    parts = [names(stage) for stage in (Stage.TRAIN, Stage.VAL, Stage.TEST)]
    assert [len(part) for part in parts] == [12, 4, 4]
    assert len(set.union(*parts)) == 20
    assert names(Stage.VAL, split_seed=1) != parts[1]
    folds = [names(Stage.VAL, fold=Fold(number, 4)) for number in range(4)]
    assert set.union(*folds) == parts[0] | parts[1]
    make_mask_folder(tmp_path / "divided")
    with pytest.raises(UserError, match="fold"):
        MaskFolder(str(tmp_path / "divided"), fold=Fold(0, 4)).load(Stage.TRAIN)


def test_masks_in_colours_are_read_by_their_colours(tmp_path):
    labels = {"road": [128, 64, 128], "sky": [70, 130, 180]}
    mask = np.zeros((6, 8, 3), dtype=np.uint8)
    mask[:3], mask[3:] = labels["sky"], labels["road"]
    for part in ("train", "val"):
        make_image(tmp_path / "images" / part / "a.png", 0, (6, 8))
        (tmp_path / "masks" / part).mkdir(parents=True)
        Image.fromarray(mask).save(tmp_path / "masks" / part / "a.png")
    split, classes = first(MaskFolder(str(tmp_path), labels=labels))
    assert classes[:3].unique().tolist() == [1]
    assert classes[3:].unique().tolist() == [0]
    assert split.pixels.colors == ((128, 64, 128), (70, 130, 180))
    mask[0, 5] = (1, 2, 3)
    Image.fromarray(mask).save(tmp_path / "masks" / "train" / "a.png")
    with pytest.raises(UnreadableImageError, match=r"value \[1, 2, 3\] at row 0, column 5 is no label"):
        split[0]


def test_masks_of_sixteen_bits_are_read(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 1000], [40000, 65535]], dtype=np.uint16)).save(path)
    labels = Labels(("a", "b", "c"), (0, 1000, 40000), (65535,))
    assert labels.read(path, (2, 2)).tolist() == [[0, 1], [2, IGNORED]]


def test_voc_has_its_own_palette_and_ignores_borders(tmp_path):
    """21 classes; colours come from the palette in the files, not from a table here."""
    make_voc_segmentation(tmp_path)
    split, classes = first(VocSegmentation(str(tmp_path)))
    assert len(split.class_names) == 21
    assert split.class_names[15] == "person"
    mask = mask_of(0, MASK_SIZE, (0, 1, 15, 255))
    assert ((classes == IGNORED).numpy() == (mask == 255)).all()
    assert ((classes == 15).numpy() == (mask == 15)).all()
    assert split.pixels.colors[1] == (128, 0, 0)
    assert split.pixels.colors[9] == (1, 1, 9)  # as the made palette has it


def test_the_larger_set_of_voc_has_lists_with_both_paths(tmp_path):
    """Those of Hariharan et al. 2011 name the image and the mask in a line."""
    make_voc_segmentation(tmp_path)
    larger = VocSegmentation(str(tmp_path), masks="SegmentationClassAug", train="train_aug").load(Stage.TRAIN)
    split = VocSegmentation(str(tmp_path)).load(Stage.TRAIN)
    assert [larger.name(n) for n in range(8)] == [split.name(n) for n in range(8)]
    assert all(torch.equal(larger[n][1].classes, split[n][1].classes) for n in range(8))


def test_cityscapes_has_nineteen_classes_and_ignores_the_others(tmp_path):
    """row 219: 19 train ids; ids that are not evaluated are ignored; the published numbers of three of them."""
    make_cityscapes(tmp_path)
    split, classes = first(Cityscapes(str(tmp_path)))
    assert len(split.class_names) == 19
    assert {name: split.pixels.values[split.class_names.index(name)] for name in ("road", "person", "car")} == {
        "road": 7,
        "person": 24,
        "car": 26,
    }
    assert split.class_names[0] == "road"
    assert split.pixels.colors[0] == (128, 64, 128)
    mask = mask_of(0, MASK_SIZE, (7, 24, 26, 3, 0))
    expected = {7: 0, 24: 11, 26: 13, 3: IGNORED, 0: IGNORED}
    assert classes.tolist() == [[expected[value] for value in row] for row in mask.tolist()]


def test_ade20k_has_the_classes_of_its_table_and_ignores_none(tmp_path):
    """row 220: 150 classes; label 0 is ignored, label k is class k - 1."""
    make_ade20k(tmp_path)
    split, classes = first(Ade20k(str(tmp_path)))
    assert len(split.class_names) == 150
    assert split.class_names[:2] == ("wall", "building")
    assert split.class_names[148:] == ("screen (149)", "screen (150)")
    mask = mask_of(0, MASK_SIZE, (1, 2, 150, 0))
    assert ((classes == IGNORED).numpy() == (mask == 0)).all()
    assert ((classes == 149).numpy() == (mask == 150)).all()
    assert ((classes == 0).numpy() == (mask == 1)).all()


@pytest.mark.parametrize(
    ("border", "names"), [("class", ("pet", "background", "border")), ("ignored", ("pet", "background"))]
)
def test_pets_have_a_border_that_is_a_class_or_ignored(tmp_path, border, names):
    """Trimaps of 1 pet, 2 background, 3 border; each breed has its share in validation."""
    make_pets(tmp_path)
    data = Pets(str(tmp_path), download=False, border=border, val_fraction=0.25)
    split, classes = first(data)
    assert split.class_names == names
    where = split.pairs[0][1]
    mask = np.asarray(Image.open(where))
    assert ((classes == 0).numpy() == (mask == 1)).all()
    assert ((classes == (2 if border == "class" else IGNORED)).numpy() == (mask == 3)).all()
    val, test = data.load(Stage.VAL), data.load(Stage.TEST)
    breeds = [name.rsplit("/", 1)[1].split("_")[0] for name, _ in val.pairs]
    assert {breeds.count(breed) for breed in ("Abyssinian", "beagle", "pug")} == {2}
    names_of = [{pair[0] for pair in part.pairs} for part in (split, val, test)]
    assert not names_of[0] & names_of[1]
    assert not (names_of[0] | names_of[1]) & names_of[2]


def test_panoptic_files_give_classes_segments_and_crowds(tmp_path):
    """row 223: categories in the order of their ids, things as the file says, segments by their colours."""
    make_coco_panoptic(tmp_path)
    split = CocoPanoptic(str(tmp_path)).load(Stage.TRAIN)
    assert split.class_names == tuple(category["name"] for category in PANOPTIC_CATEGORIES)
    assert split.pixels.things == (True, True, False, False)
    assert split.pixels.values == (1, 3, 184, 187)
    assert split.pixels.colors[0] == (220, 20, 60)
    _, pixels = split[0]
    assert pixels.classes[0, 0] == 3
    assert pixels.classes[23, 0] == 2
    assert (pixels.classes[20:22] == IGNORED).all()
    assert (pixels.segments[20:22] == VOID).all()
    assert (pixels.segments[2:10, 40:58] == CROWD_SEGMENT).all()
    objects = objects_of(pixels, split.pixels.things)
    assert sorted(zip(objects.labels.tolist(), objects.crowd.tolist(), strict=True)) == [
        (0, False),
        (0, False),
        (0, True),
        (1, False),
    ]
    assert [14.0, 24.0, 24.0, 34.0] in objects.boxes.tolist()
    semantic = CocoPanoptic(str(tmp_path), truth="semantic").load(Stage.TRAIN)
    assert semantic[0][1].segments is None
    assert semantic.pixels.things is None
    assert torch.equal(semantic[0][1].classes, pixels.classes)


# What is wrong.


def test_a_mask_of_another_size_is_named(tmp_path):
    make_mask_folder(tmp_path)
    mask = tmp_path / "masks" / "train" / "1.png"
    make_mask(mask, mask_of(0, (20, 30), (0, 7)))
    with pytest.raises(UnreadableImageError) as error:
        first(MaskFolder(str(tmp_path)))
    assert str(error.value) == f"{mask}: the mask is 20 x 30, its image 48 x 60 (height x width)"


def test_an_unknown_label_is_named_with_its_place(tmp_path):
    make_mask_folder(tmp_path)
    mask = np.asarray(Image.open(tmp_path / "masks" / "train" / "1.png")).copy()
    mask[5, 11] = 37
    make_mask(tmp_path / "masks" / "train" / "1.png", mask)
    with pytest.raises(UnreadableImageError) as error:
        first(MaskFolder(str(tmp_path)))
    assert "masks/train/1.png: value 37 at row 5, column 11 is no label; allowed: 0 background, 7 cat" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "the mask cannot be read"),
        (lambda path: path.write_bytes(b""), "the mask cannot be read"),
        (lambda path: path.unlink(), "the mask cannot be read (No such file or directory)"),
        (lambda path: make_image(path, 0, (48, 60)), "a mask in colours (RGB)"),
    ],
)
def test_a_mask_that_cannot_be_read_is_named(tmp_path, spoil, said):
    make_mask_folder(tmp_path)
    split = MaskFolder(str(tmp_path)).load(Stage.TRAIN)
    spoil(tmp_path / "masks" / "train" / "1.png")
    with pytest.raises(UnreadableImageError) as error:
        split[0]
    assert str(error.value).startswith(f"{tmp_path / 'masks' / 'train' / '1.png'}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_without_a_mask_is_named(tmp_path):
    make_mask_folder(tmp_path)
    (tmp_path / "masks" / "train" / "1.png").unlink()
    (tmp_path / "masks" / "train" / "2.png").unlink()
    with pytest.raises(DataError, match=r"images/train/1.jpg: the image has no mask \(nor have 1 more\)"):
        MaskFolder(str(tmp_path)).load(Stage.TRAIN)


@pytest.mark.parametrize(
    "labels", [{}, {"a": "x"}, {"a": 0, "b": 0}, {"a": 0, "b": [1, 2, 3]}, {"a": [1, 2]}, {"a": -1}]
)
def test_labels_that_say_nothing_are_refused(labels):
    with pytest.raises(DataError, match=r"data.init_args.labels: .* allowed: a mapping"):
        labels_from(labels, [255])


def test_labels_are_never_guessed(tmp_path):
    """Without labels in the recipe or the folder nothing is read."""
    make_mask_folder(tmp_path)
    (tmp_path / "labels.yaml").unlink()
    with pytest.raises(DataError, match=r"labels.yaml: No such file or directory; allowed: a YAML file such as"):
        MaskFolder(str(tmp_path)).load(Stage.TRAIN)


@pytest.mark.parametrize("maker", [make_voc_segmentation, make_cityscapes, make_ade20k, make_coco_panoptic])
def test_a_folder_that_lacks_a_part_is_named(tmp_path, maker):
    maker(tmp_path)
    cls = {
        make_voc_segmentation: VocSegmentation,
        make_cityscapes: Cityscapes,
        make_ade20k: Ade20k,
        make_coco_panoptic: CocoPanoptic,
    }[maker]
    with pytest.raises(DataError, match="nowhere"):
        cls(str(tmp_path), val="nowhere").load(Stage.VAL)
    with pytest.raises(DataError, match="no/such"):
        cls("no/such").load(Stage.TRAIN)


def spoiled_panoptic(root, change):
    make_coco_panoptic(root)
    file = root / "annotations" / "panoptic_train2017.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content, indent=1))
    return CocoPanoptic(str(root))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["annotations"][2].pop("file_name"), "an annotation without file_name"),
        (lambda c: c["annotations"][2].update(image_id=9), "image id 9 is unknown"),
        (lambda c: c["annotations"][2].update(image_id=[9]), "image id [9] is unknown"),
        (lambda c: c["annotations"][2].update(segments_info=7), "segments_info is no list"),
        (lambda c: c["annotations"][2]["segments_info"][0].update(category_id=99), "category id 99 is unknown"),
        (lambda c: c["annotations"][2]["segments_info"][0].update(id=300), "a segment for the second time"),
        (lambda c: c["annotations"].__setitem__(2, None), "an annotation without file_name"),
    ],
)
def test_a_panoptic_annotation_that_is_wrong_is_left_out_and_listed(tmp_path, change, said):
    """With file and line; with `strict` it is refused."""
    data = spoiled_panoptic(tmp_path, change)
    split = data.load(Stage.TRAIN)
    assert len(split) == 7
    (problem,) = split.annotations.problems
    assert said in str(problem)
    assert "panoptic_train2017.json:" in problem.where
    assert "(annotations[2])" in problem.where
    with pytest.raises(DataError, match="strict"):
        CocoPanoptic(str(tmp_path), strict=True).load(Stage.TRAIN)


def test_a_segment_that_the_file_does_not_list_is_named(tmp_path):
    data = spoiled_panoptic(tmp_path, lambda c: c["annotations"][1]["segments_info"].pop(0))
    with pytest.raises(UnreadableImageError, match=r"segment 70000 is not in segments_info of .*annotations\[1\]"):
        data.load(Stage.TRAIN)[1]


def test_a_file_of_instances_is_no_panoptic_one(tmp_path):
    data = spoiled_panoptic(tmp_path, lambda c: [category.pop("isthing") for category in c["categories"]])
    with pytest.raises(DataError, match="categories without isthing"):
        data.load(Stage.TRAIN)


@pytest.mark.parametrize("seed", range(60))
def test_mutated_masks_and_annotations_are_read_or_named(tmp_path, seed):
    """Bytes of a mask, and values of an annotation, at random: a class of each pixel, or one line; never a crash."""
    rng = np.random.default_rng(seed)
    make_coco_panoptic(tmp_path, num_images=1)
    file = tmp_path / "annotations" / "panoptic_train2017.json"
    mask = next((tmp_path / "annotations" / "panoptic_train2017").iterdir())
    if seed % 2:
        raw = bytearray(mask.read_bytes())
        for place in rng.integers(0, len(raw), 3):
            raw[place] = int(rng.integers(256))
        mask.write_bytes(bytes(raw[: int(rng.integers(1, len(raw)))] if seed % 4 == 1 else raw))
    else:
        content = json.loads(file.read_text())
        entry = content["annotations"][0]
        target = entry if seed % 4 else entry["segments_info"][int(rng.integers(len(entry["segments_info"])))]
        key = list(target)[int(rng.integers(len(target)))]
        target[key] = [None, -1, 1e300, "x", [], {}, True, 2**70][int(rng.integers(8))]
        file.write_text(json.dumps(content))
    said = ""
    pixels = None
    try:
        _, pixels = CocoPanoptic(str(tmp_path)).load(Stage.TRAIN)[0]
    except (UserError, UnreadableImageError) as error:
        said = str(error)
    assert "\n" not in said
    assert said or ((pixels.classes == IGNORED) | ((pixels.classes >= 0) & (pixels.classes < 4))).all()


# Scenes.


def test_scenes_tell_the_same_of_pixels_and_of_objects():
    """row 222: the union of the instances is the semantic region of things, and each its own segment."""
    objects = Scenes(num_train=12, masks=True).load(Stage.TRAIN)
    pixels = Scenes(num_train=12, truth="panoptic").load(Stage.TRAIN)
    assert pixels.class_names == ("ground", "clutter", *map(str, range(10)))
    for index in range(12):
        image, there = objects[index]
        same, told = pixels[index]
        assert torch.equal(image, same)
        expected = torch.zeros_like(told.classes)
        for mask, label in zip(there.masks, there.labels, strict=True):
            expected[mask.bool()] = label.short() + 2
        assert torch.equal(told.classes.where(told.classes >= 2, 0), expected)
        instances = objects_of(told, pixels.pixels.things)
        assert sorted(instances.labels.tolist()) == sorted((there.labels + 2).tolist())
        assert sorted(map(tuple, instances.boxes.tolist())) == sorted(map(tuple, there.boxes.tolist()))


def test_clutter_lies_where_the_ground_is_drawn_over():
    """Where nothing is drawn, the ground is a gradient with noise; strokes and blots stand out of it."""
    pixels = Scenes(num_train=40, truth="semantic", clutter=6).load(Stage.TRAIN)
    assert pixels.pixels.things is None
    classes = torch.stack([pixels[index][1].classes for index in range(40)])
    assert 0.02 < (classes == 1).float().mean() < 0.3
    clean = Scenes(num_train=4, truth="semantic", clutter=0).load(Stage.TRAIN)
    assert not any((clean[index][1].classes == 1).any() for index in range(4))


def test_all_digits_may_be_one_class():
    data = Scenes(num_train=4, truth="semantic", each_digit=False).load(Stage.TRAIN)
    assert data.class_names == ("ground", "clutter", "digit")
    assert Scenes(num_train=4, each_digit=False).load(Stage.TRAIN).class_names == ("digit",)


def test_truth_of_pixels_has_no_masks():
    with pytest.raises(UserError, match="truth: semantic has neither masks nor keypoints"):
        Scenes(truth="semantic", masks=True)


def test_a_split_of_its_own_keeps_labels(tmp_path):
    make_mask_folder(tmp_path)
    split = MaskFolder(str(tmp_path)).load(Stage.TRAIN)
    part = split.subset(torch.tensor([2, 0]))
    assert isinstance(part, MaskSplit)
    assert [part.name(0), part.name(1)] == [split.name(2), split.name(0)]
