"""Tiny files in the real formats, so that tests read what users have."""

import gzip
import json
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CLASSES = ("cat", "dog", "owl")


def make_for(data_class_name: str, root: Path) -> dict[str, Any]:
    """Make files for a data set of `lightning_cv.data` under `root`; the init_args that point it at them.

    CIFAR files need `trust_made_files` in the process that reads them. Data sets that need no files: {}.
    """
    match data_class_name:
        case "Digits" | "DigitsTwoWays":
            return {}
        case "ImageFolder":
            make_class_folders(root, num_images=8)
            return {"root": str(root), "size_px": 32}
        case "Cifar10":
            make_cifar10(root)
        case "Cifar100":
            make_cifar100(root)
        case "Mnist":
            make_mnist(root)
        case "Scenes":
            return {"num_train": 40, "num_val": 20, "num_test": 20, "size_px": 64, "object_px": [16, 32]}
        case "Shapes":
            return {"num_train": 64, "num_val": 32, "num_test": 32}
        case "Coco":
            make_coco(root)
            return {"root": str(root)}
        case "Voc":
            make_voc(root)
            return {"root": str(root)}
        case "Yolo":
            make_yolo(root)
            return {"root": str(root)}
        case "MaskFolder":
            make_mask_folder(root, parts=("",))
            return {"root": str(root)}
        case "VocSegmentation":
            make_voc_segmentation(root)
            return {"root": str(root)}
        case "Cityscapes":
            make_cityscapes(root)
            return {"root": str(root)}
        case "Ade20k":
            make_ade20k(root)
            return {"root": str(root)}
        case "CocoPanoptic":
            make_coco_panoptic(root)
            return {"root": str(root)}
        case "Pets":
            make_pets(root)
        case _:
            raise LookupError(f"tests/makers.py: write a maker for {data_class_name}")
    return {"root": str(root), "download": False}


def random_image(seed: int, size_px: tuple[int, int] = (16, 16), channels: int = 3) -> np.ndarray:
    """A smooth uint8 image (H, W, channels) that JPEG keeps nearly unchanged."""
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.linspace(0, 1, size_px[0]), np.linspace(0, 1, size_px[1])) / 2
    ends = rng.uniform(0, 255, (2, channels))
    return (ends[0] + ramp[..., None] * (ends[1] - ends[0])).astype(np.uint8)


def make_image(path: Path, seed: int = 0, size_px: tuple[int, int] = (16, 16)) -> Path:
    """One RGB image in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random_image(seed, size_px)).save(path)
    return path


def make_class_folders(
    root: Path,
    *,
    num_images: int = 6,
    parts: tuple[str, ...] = ("",),
    classes: tuple[str, ...] = CLASSES,
    suffixes: tuple[str, ...] = (".png", ".jpg"),
) -> Path:
    """`root/<part>/<class>/<number><suffix>`; `num_images` in each class folder, suffixes in turn."""
    seed = 0
    for part in parts:
        for name in classes:
            for number in range(num_images):
                seed += 1
                suffix = suffixes[number % len(suffixes)]
                make_image(root / part / name / f"{number}{suffix}", seed, (20, 16 + number))
    return root


def make_cifar10(root: Path, num_images: int = 20) -> Path:
    """The python version of CIFAR-10: five training batches, a test batch, `batches.meta`."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    for seed, name in enumerate(names):
        labels = [(seed + n) % 10 for n in range(num_images)]
        _pickle(folder / name, {"data": _cifar_rows(seed, num_images), "labels": labels})
    label_names = ["airplane", "automobile", "bird", "cat", "deer"]
    label_names += ["dog", "frog", "horse", "ship", "truck"]
    _pickle(folder / "batches.meta", {"label_names": label_names})
    return root


def make_cifar100(root: Path, num_images: int = 200) -> Path:
    """The python version of CIFAR-100: `train`, `test` and `meta`."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("train", "test")):
        fine = [n % 100 for n in range(num_images)]
        _pickle(folder / name, {"data": _cifar_rows(seed, num_images), "fine_labels": fine})
    _pickle(folder / "meta", {"fine_label_names": [f"fine{n}" for n in range(100)]})
    return root


def make_mnist(root: Path, num_images: int = 60) -> Path:
    """MNIST's four idx files, plain and gzipped, in `root/MNIST/raw`."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, part in enumerate(("train", "t10k")):
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (num_images, 28, 28), dtype=np.uint8)
        labels = (np.arange(num_images) % 10).astype(np.uint8)
        header = struct.pack(">IIII", 0x0803, num_images, 28, 28)
        _idx(folder / f"{part}-images-idx3-ubyte", header + images.tobytes())
        _idx(folder / f"{part}-labels-idx1-ubyte", struct.pack(">II", 0x0801, num_images) + labels.tobytes())
    return root


OBJECT_CLASSES = ((1, "person"), (2, "cat"), (4, "cup"))  # COCO's ids have gaps
PERSON_POINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
)


def boxes_on(seed: int, size_px: tuple[int, int], count: int) -> np.ndarray:
    """(count, 4) whole corners (x1, y1, x2, y2) inside an image of (height, width)."""
    rng = np.random.default_rng(seed)
    height, width = size_px
    sides = rng.integers(10, min(size_px) // 2, (count, 2))
    corners = np.stack([rng.integers(0, width - sides[:, 0]), rng.integers(0, height - sides[:, 1])], 1)
    return np.concatenate([corners, corners + sides], 1)


def make_coco(root: Path, *, num_images: int = 8) -> Path:
    """COCO's folders: instances with polygons and a crowd, persons with keypoints; one image without objects."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for part_seed, part in enumerate(("train2017", "val2017")):
        images, instances, persons = [], [], []
        for number in range(num_images):
            seed = 100 * part_seed + number
            size = (48 + 4 * (number % 3), 64 - 8 * (number % 2))
            name = f"{seed:012d}.jpg"
            make_image(root / part / name, seed, size)
            images.append({"id": seed + 1, "file_name": name, "height": size[0], "width": size[1]})
            for box in boxes_on(seed, size, 0 if number == 1 else 2 + number % 2):
                category = OBJECT_CLASSES[len(instances) % 3][0]
                entry = coco_object(len(instances) + 1, seed + 1, category, box)
                instances.append(entry)
                if category == 1:
                    points = np.linspace(box[:2], box[2:] - 1, len(PERSON_POINTS)).round().astype(int)
                    flat = [int(v) for x, y in points for v in (x, y, 2)]
                    persons.append({**entry, "keypoints": flat, "num_keypoints": len(PERSON_POINTS)})
        height, width = images[0]["height"], images[0]["width"]
        crowd = {"size": [height, width], "counts": [5, 20, height * width - 25]}
        box = [0, 5, 1, 20]
        instances.append(
            {**coco_object(len(instances) + 1, images[0]["id"], 2, np.array([0, 5, 1, 25])), "iscrowd": 1}
            | {"segmentation": crowd, "bbox": box}
        )
        categories = [{"id": number, "name": name} for number, name in OBJECT_CLASSES]
        dataset = {"images": images, "categories": categories, "annotations": instances}
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(dataset, indent=1))
        person = {"id": 1, "name": "person", "keypoints": list(PERSON_POINTS), "skeleton": []}
        dataset = {"images": images, "categories": [person], "annotations": persons}
        (root / "annotations" / f"person_keypoints_{part}.json").write_text(json.dumps(dataset, indent=1))
    return root


def coco_object(number: int, image: int, category: int, box: np.ndarray) -> dict[str, Any]:
    """An annotation whose mask is its whole box."""
    x1, y1, x2, y2 = (float(v) for v in box)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
        "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
    }


def make_voc(root: Path, *, num_images: int = 8) -> Path:
    """VOC's folders, with an object that is difficult and an image without objects."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for part_seed, part in enumerate(("train", "val")):
        names = []
        for number in range(num_images):
            seed = 200 + 100 * part_seed + number
            size = (48, 56 + 4 * (number % 2))
            names.append(f"2007_{seed:06d}")
            make_image(root / "JPEGImages" / f"{names[-1]}.jpg", seed, size)
            objects = [
                f"""  <object>
    <name>{("cat", "dog", "person")[place % 3]}</name>
    <difficult>{int(number == 2 and place == 0)}</difficult>
    <bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
  </object>
"""
                for place, box in enumerate(boxes_on(seed, size, 0 if number == 1 else 2))
            ]
            text = f"""<annotation>
  <filename>{names[-1]}.jpg</filename>
  <size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>
{"".join(objects)}</annotation>
"""
            (root / "Annotations" / f"{names[-1]}.xml").write_text(text)
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
    return root


def make_yolo(root: Path, *, num_images: int = 8) -> Path:
    """YOLO's folders and `data.yaml`; the second image has no file of labels."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog, 2: owl}\n")
    for part_seed, part in enumerate(("train", "val")):
        (root / "labels" / part).mkdir(parents=True, exist_ok=True)
        for number in range(num_images):
            seed = 400 + 100 * part_seed + number
            size = (48, 64)
            make_image(root / "images" / part / f"{number}.jpg", seed, size)
            if number == 1:
                continue
            scale = np.array([size[1], size[0], size[1], size[0]])
            lines = [
                " ".join([str(place % 3), *(f"{v:.6f}" for v in (*(box[:2] + box[2:]) / 2, *(box[2:] - box[:2])))])
                for place, box in enumerate(boxes_on(seed, size, 2) / scale)
            ]
            (root / "labels" / part / f"{number}.txt").write_text("\n".join(lines) + "\n")
    return root


def mask_of(seed: int, size_px: tuple[int, int], values: Sequence[int]) -> np.ndarray:
    """(H, W) uint8: squares of values, each of which is there, and the first and last meet at a border."""
    rng = np.random.default_rng(seed)
    height, width = size_px
    mask = np.full(size_px, values[0], dtype=np.uint8)
    for place, value in enumerate(values[1:]):
        top, left = int(rng.integers(0, height // 2)), place * width // len(values)
        mask[top : top + height // 3, left : left + width // len(values)] = value
    return mask


def make_mask(path: Path, mask: np.ndarray, palette: Sequence[Sequence[int]] | None = None) -> Path:
    """A PNG of numbers, with a palette where one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(mask)
    if palette is not None:
        picture = picture.convert("P")
        picture.putdata(mask.ravel().tolist())
        picture.putpalette([channel for color in palette for channel in color])
    picture.save(path)
    return path


MASK_SIZE = (44, 60)
MASK_LABELS = "{background: 0, cat: 7, dog: 9}"


def make_mask_folder(root: Path, *, num_images: int = 8, parts: tuple[str, ...] = ("train", "val")) -> Path:
    """`images/<part>`, `masks/<part>` and `labels.yaml`; sizes differ, and some pixels are ignored.

    With the one part "" the folder is not divided.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.yaml").write_text(MASK_LABELS + "\n")
    for part_seed, part in enumerate(parts):
        for number in range(num_images):
            size = (MASK_SIZE[0] + 4 * (number % 2), MASK_SIZE[1])
            name = f"{'wide/' if number % 3 == 0 else ''}{number}"
            make_image(root / "images" / part / f"{name}.jpg", 600 + 100 * part_seed + number, size)
            make_mask(root / "masks" / part / f"{name}.png", mask_of(number, size, (0, 7, 9, 255)))
    return root


def make_voc_segmentation(root: Path, *, num_images: int = 8) -> Path:
    """VOC's folders; masks with VOC's palette, borders 255; and the larger set's, whose lists have both paths."""
    (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
    for part_seed, part in enumerate(("train", "val")):
        names = [f"2007_{700 + 100 * part_seed + number:06d}" for number in range(num_images)]
        (root / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            size = (MASK_SIZE[0], MASK_SIZE[1] + 4 * (number % 2))
            make_image(root / "JPEGImages" / f"{name}.jpg", 700 + 100 * part_seed + number, size)
            mask = mask_of(number, size, (0, 1 + number, 15, 255))
            make_mask(root / "SegmentationClass" / f"{name}.png", mask, VOC_PALETTE)
            make_mask(root / "SegmentationClassAug" / f"{name}.png", mask)
        lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in names]
        (root / "ImageSets" / "Segmentation" / f"{part}_aug.txt").write_text("\n".join(lines) + "\n")
    return root


# The published colours of the first classes, and of the border; those between are not looked at.
VOC_PALETTE = [
    *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)),
    *((1, 1, n) for n in range(7, 255)),
    (224, 224, 192),
]


def make_cityscapes(root: Path, *, num_images: int = 4) -> Path:
    """Cityscapes' folders: two cities a part, masks of label ids (7 road, 24 person, 26 car; 0, 1, 3 not evaluated)."""
    for part_seed, part in enumerate(("train", "val")):
        for number in range(2 * num_images):
            city = ("aachen", "bochum")[number % 2]
            stem = f"{city}_{number:06d}_{part_seed:06d}"
            make_image(
                root / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png", 10 * part_seed + number, MASK_SIZE
            )
            mask = mask_of(number, MASK_SIZE, (7, 24, 26, 3, 0))
            make_mask(root / "gtFine" / part / city / f"{stem}_gtFine_labelIds.png", mask)
            make_mask(root / "gtFine" / part / city / f"{stem}_gtFine_instanceIds.png", mask)
    return root


def make_ade20k(root: Path, *, num_images: int = 8) -> Path:
    """The scene parsing benchmark's folders and table: 150 classes from 1 on, 0 none of them."""
    rows = [
        "Idx\tRatio\tTrain\tVal\tStuff\tName",
        "1\t0.1576\t11664\t1172\t1\twall",
        "2\t0.1072\t6046\t612\t1\tbuilding, edifice",
    ]
    rows += [f"{number}\t0.001\t10\t1\t0\tthing{number}, other" for number in range(3, 149)]
    rows += ["149\t0.001\t10\t1\t0\tscreen, CRT screen", "150\t0.001\t10\t1\t0\tscreen, silver screen"]
    root.mkdir(parents=True, exist_ok=True)
    (root / "objectInfo150.txt").write_text("\n".join(rows) + "\n")
    for part, start, seed in (("training", "train", 900), ("validation", "val", 950)):
        for number in range(num_images):
            stem = f"ADE_{start}_{number + 1:08d}"
            size = (MASK_SIZE[0] + 4 * (number % 3), MASK_SIZE[1])
            make_image(root / "images" / part / f"{stem}.jpg", seed + number, size)
            make_mask(root / "annotations" / part / f"{stem}.png", mask_of(number, size, (1, 2 + number, 150, 0)))
    return root


def make_pets(root: Path, *, num_images: int = 24) -> Path:
    """What torchvision downloads: lists with the breeds, images, trimaps of 1 pet, 2 background, 3 border."""
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for part, first in (("trainval", 0), ("test", num_images)):
        names = [f"{('Abyssinian', 'beagle', 'pug')[n % 3]}_{n}" for n in range(first, first + num_images)]
        lines = [f"{name} {n % 3 + 1} {1 + (n % 3 > 0)} 1" for n, name in enumerate(names)]
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")
        for number, name in enumerate(names):
            make_image(folder / "images" / f"{name}.jpg", number, MASK_SIZE)
            make_mask(folder / "annotations" / "trimaps" / f"{name}.png", mask_of(number, MASK_SIZE, (2, 1, 3)))
    return root


PANOPTIC_CATEGORIES = (
    {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
    {"id": 3, "name": "car", "isthing": 1, "color": [0, 0, 142]},
    {"id": 184, "name": "tree", "isthing": 0, "color": [107, 255, 200]},
    {"id": 187, "name": "sky", "isthing": 0, "color": [70, 130, 180]},
)


def make_coco_panoptic(root: Path, *, num_images: int = 8) -> Path:
    """COCO's panoptic folders: sky and trees, two persons, a car, and on the first image a crowd of persons."""
    for part_seed, part in enumerate(("train2017", "val2017")):
        images, annotations = [], []
        for number in range(num_images):
            image_id = 1000 * (part_seed + 1) + number
            size = (MASK_SIZE[0] + 4 * (number % 2), MASK_SIZE[1])
            make_image(root / part / f"{image_id:012d}.jpg", image_id, size)
            numbers = np.zeros(size, dtype=np.int64)
            numbers[:20], numbers[22:] = 70000, 300
            numbers[24:34, 4:14], numbers[24:34, 14:24], numbers[30:40, 30:50] = 5, 16777215, 66000
            segments = [(70000, 187, 0), (300, 184, 0), (5, 1, 0), (16777215, 1, 0), (66000, 3, 0)]
            if number == 0:
                numbers[2:10, 40:58] = 777
                segments.append((777, 1, 1))
            rgb = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8)
            path = root / "annotations" / f"panoptic_{part}" / f"{image_id:012d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(path)
            images.append({"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": size[0], "width": size[1]})
            info = [
                {"id": n, "category_id": category, "iscrowd": crowd, "area": int((numbers == n).sum())}
                for n, category, crowd in segments
            ]
            annotations.append({"image_id": image_id, "file_name": path.name, "segments_info": info})
        dataset = {"images": images, "annotations": annotations, "categories": list(PANOPTIC_CATEGORIES)}
        (root / "annotations" / f"panoptic_{part}.json").write_text(json.dumps(dataset, indent=1))
    return root


def trust_made_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision accept made CIFAR files, whose checksums are not the published ones."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).is_file())


def _cifar_rows(seed: int, num_images: int) -> np.ndarray:
    """(N, 3072) uint8: red, green and blue planes of 32 x 32, as CIFAR stores them."""
    return np.random.default_rng(seed).integers(0, 256, (num_images, 3072), dtype=np.uint8)


def _pickle(path: Path, content: dict[str, Any]) -> None:
    path.write_bytes(pickle.dumps(content))


def _idx(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
