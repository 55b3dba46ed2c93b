"""Tiny files in the real formats, so that tests read what users have."""

import gzip
import pickle
import struct
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
        case "Digits":
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
