"""Folders of real image files are read as their layout says, and what is wrong with one is said in one line."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.contracts import IMAGE, INDEX, LABEL, Stage
from lightning_cv.data import ImageFolder
from lightning_cv.data.decode import read_image
from lightning_cv.errors import UserError
from tests.makers import CLASSES, make_class_folders, make_image, random_image

PARTS = ("train", "val", "test")


def ready(root, stage="fit", **init_args):
    data = ImageFolder(str(root), **{"size_px": 16, "batch_size": 4, **init_args})
    data.setup(stage)
    return data


def relative_names(data, stage, root):
    split = data.split(stage)
    return [Path(split.name(n)).relative_to(root).as_posix() for n in range(len(split))]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".ppm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_gives_the_pixels_that_pillow_reads(tmp_path, suffix, channels):
    """The oracle is Pillow with its own conversion to RGB; grey by ITU-R 601 weights within rounding."""
    path = make_image(tmp_path / f"image{suffix}", seed=3, size_px=(11, 17))
    with Image.open(path) as opened:
        expected = np.array(opened.convert("RGB"), dtype=float)
    if channels == 1:
        expected = expected @ np.array([[0.299], [0.587], [0.114]])
    image = read_image(path, channels)
    assert image.dtype == torch.uint8
    assert image.shape == (channels, 11, 17)
    assert np.abs(image.permute(1, 2, 0).numpy() - expected).max() <= (1 if channels == 1 else 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_images_stand_upright_as_their_exif_data_say(tmp_path, suffix):
    pixels = Image.fromarray(random_image(0, (10, 20)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    pixels.save(tmp_path / f"turned{suffix}", exif=exif)
    pixels.save(tmp_path / f"plain{suffix}")
    turned = read_image(tmp_path / f"turned{suffix}", 3)
    plain = read_image(tmp_path / f"plain{suffix}", 3)
    assert torch.equal(turned, plain.rot90(-1, (1, 2)))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path, suffix):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    Image.fromarray(values).save(tmp_path / f"deep{suffix}")
    assert np.abs(read_image(tmp_path / f"deep{suffix}", 1)[0].numpy() - values / 256).max() <= 1


def test_a_divided_folder_keeps_its_parts(tmp_path):
    make_class_folders(tmp_path, parts=PARTS, num_images=3)
    data = ready(tmp_path)
    assert data.info.class_names == CLASSES
    for stage in (Stage.TRAIN, Stage.VAL, Stage.TEST):
        names = relative_names(data, stage, tmp_path)
        assert names == [f"{stage}/{c}/{n}{s}" for c in CLASSES for n, s in enumerate((".png", ".jpg", ".png"))]
        labels = data.split(stage).labels.tolist()
        assert [CLASSES[label] for label in labels] == [name.split("/")[1] for name in names]


def test_without_a_val_folder_a_part_of_training_validates(tmp_path):
    """Row 17."""
    make_class_folders(tmp_path, parts=("train", "test"), num_images=10)
    data = ready(tmp_path, val_fraction=0.2)
    train, val = (relative_names(data, stage, tmp_path) for stage in (Stage.TRAIN, Stage.VAL))
    assert (len(train), len(val)) == (24, 6)
    assert len({*train, *val}) == 30
    assert all(name.startswith("train/") for name in train + val)


def test_images_are_resized_and_cut_to_the_square_in_the_middle(tmp_path):
    make_class_folders(tmp_path)
    data = ready(tmp_path, size_px=24)
    assert data.info.size_px == (24, 24)
    assert next(iter(data.train_dataloader()))[IMAGE].shape == (4, 3, 24, 24)


def test_any_folder_is_predicted_without_labels(tmp_path):
    make_class_folders(tmp_path / "known")
    for number in range(5):
        make_image(tmp_path / "new" / "deeper"[: number % 2 * 6] / f"{number}.png", number)
    data = ready(tmp_path / "known", "predict", predict_root=str(tmp_path / "new"))
    batches = list(data.predict_dataloader())
    assert all(LABEL not in batch for batch in batches)
    assert torch.cat([batch[INDEX] for batch in batches]).tolist() == list(range(5))
    assert data.sample_name(Stage.PREDICT, 0).endswith("0.png")
    assert data.info.class_names == CLASSES


def test_a_folder_to_predict_that_is_not_there_is_named_by_its_own_key(tmp_path):
    make_class_folders(tmp_path)
    with pytest.raises(UserError, match=r"^data\.init_args\.predict_root: .*nowhere given \(No such file"):
        ready(tmp_path, "predict", predict_root=str(tmp_path / "nowhere"))


def spoil(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "wrong checksum"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_corrupt_image_ends_the_run_with_its_path_in_one_line(tmp_path, kind, suffix):
    make_class_folders(tmp_path, suffixes=(suffix,))
    bad = tmp_path / "dog" / f"3{suffix}"
    match kind:
        case "truncated":
            spoil(bad)
        case "empty":
            bad.write_bytes(b"")
        case "text":
            bad.write_text("<html>not found</html>")
        case "wrong checksum":
            bad.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(17))
    data = ready(tmp_path, normalize=False, val_fraction=0.0, test_fraction=0.0)
    with pytest.raises(UserError) as caught:
        list(data.train_dataloader())
    assert str(bad) in str(caught.value)
    assert "on_corrupt: skip" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_worker_that_meets_a_corrupt_image_says_it_in_the_same_line(tmp_path):
    make_class_folders(tmp_path)
    bad = spoil(tmp_path / "dog" / "3.jpg")

    def line(num_workers):
        data = ready(tmp_path, normalize=False, val_fraction=0.0, test_fraction=0.0, num_workers=num_workers)
        try:
            list(data.train_dataloader())
        except UserError as error:
            return str(error)

    assert str(bad) in line(0)
    assert line(1) == line(0)


def test_corrupt_images_can_be_left_out_and_are_counted_once_an_epoch(tmp_path):
    make_class_folders(tmp_path)
    bad = {str(spoil(tmp_path / name)) for name in ("cat/0.png", "dog/1.jpg", "owl/2.png", "owl/3.jpg")}
    data = ready(tmp_path, on_corrupt="skip", val_fraction=0.0, test_fraction=0.0, normalize=False, batch_size=6)
    loader = data.train_dataloader()
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"^4 images left out of this epoch: .* and 1 more$") as caught:
            batches = list(loader)
        assert len([w for w in caught if "left out" in str(w.message)]) == 1
        read = {data.sample_name(Stage.TRAIN, n) for batch in batches for n in batch[INDEX].tolist()}
        assert len(read) == 14
        assert not read & bad
        assert all(len(batch[IMAGE]) == len(batch[LABEL]) == len(batch[INDEX]) for batch in batches)


@pytest.mark.filterwarnings("ignore:.*left out of this epoch")
def test_a_batch_without_any_readable_image_ends_the_run(tmp_path):
    make_class_folders(tmp_path, num_images=2)
    for path in (tmp_path / "dog").iterdir():
        spoil(path)
    data = ready(
        tmp_path, "validate", on_corrupt="skip", val_fraction=0.5, test_fraction=0.0, normalize=False, batch_size=1
    )
    loader = data.val_dataloader()
    with pytest.raises(UserError, match="no image of its batch can be read"):
        list(loader)


def test_the_probe_passes_over_corrupt_images_and_says_if_all_are(tmp_path):
    make_class_folders(tmp_path, num_images=2)
    spoil(tmp_path / "cat" / "0.png")
    data = ready(tmp_path, val_fraction=0.0, test_fraction=0.0, normalize=False)
    assert data.info.size_px == (16, 16)
    for path in tmp_path.glob("*/*"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"0\.png: cannot be read.*nor can any other"):
        ready(tmp_path, val_fraction=0.0, test_fraction=0.0, normalize=False)


def missing(root):
    return root / "nowhere"


def empty(root):
    (root / "empty").mkdir()
    return root / "empty"


def class_without_images(root):
    make_class_folders(root / "a")
    (root / "a" / "bat").mkdir()
    (root / "a" / "bat" / "notes.txt").write_text("none yet")
    return root / "a"


def unknown_class_in_val(root):
    make_class_folders(root / "b", parts=("train",))
    make_class_folders(root / "b", parts=("val",), classes=("cat", "zebra"))
    return root / "b"


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (missing, r"nowhere given \(No such file or directory\), allowed: a folder of images that can be read"),
        (empty, r"empty has no class folders, allowed: one sub-folder a class"),
        (class_without_images, r"bat holds no images, allowed: files ending in .*\.png"),
        (unknown_class_in_val, r"zebra is a class that the training images lack, allowed: cat, dog, owl"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(tmp_path, make, line):
    with pytest.raises(UserError, match=r"^data\.init_args\.root: .*" + line + "[^\n]*$"):
        ready(make(tmp_path))


def test_a_missing_test_part_is_said_when_it_is_asked_for(tmp_path):
    make_class_folders(tmp_path, parts=("train", "val"))
    ready(tmp_path)
    with pytest.raises(UserError, match=r"test given \(No such file or directory\)"):
        ready(tmp_path, "test")


def test_images_of_different_sizes_need_a_size(tmp_path):
    make_class_folders(tmp_path)
    data = ready(tmp_path, size_px=None, normalize=False)
    with pytest.raises(UserError, match=r"different sizes.*\.(png|jpg) is \[3, 20, .*set data\.init_args\.size_px"):
        list(data.train_dataloader())


@pytest.mark.parametrize("key", ["val_fraction", "test_fraction"])
def test_a_fraction_that_is_none_is_refused(tmp_path, key):
    with pytest.raises(UserError, match=rf"^data\.init_args\.{key}: 1.0 given, allowed: 0 up to"):
        ImageFolder(str(tmp_path), **{key: 1.0})
