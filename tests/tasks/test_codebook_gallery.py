"""The picture of the codes in use counts those of all devices, by grid."""

import math

import numpy as np
import torch

from lightning_cv.contracts import INDEX, DataInfo, GeneratedOutput, Showing
from lightning_cv.networks.generate import MultiscaleVqVae
from lightning_cv.pictures.code_use import _said, _shares, code_use_picture
from lightning_cv.tasks import codebook_gallery
from lightning_cv.tasks.codebook_gallery import CodeUse
from lightning_cv.tasks.generation_gallery import generation_galleries

SHOWING = Showing(DataInfo(("a",), 1, (8, 8), (0.0,), (1.0,)), "val", str, 4)


def test_codes_are_counted_over_batches_and_devices(monkeypatch):
    """rows 244, 245: NumPy's counts of all codes together; a device that saw nothing adds nothing."""
    drawn = {}
    monkeypatch.setattr(codebook_gallery, "code_use_picture", lambda counts, title: drawn.update({title: counts}))
    network = MultiscaleVqVae(num_codes=5, width=8, num_blocks=1)
    generator = torch.Generator().manual_seed(0)
    grids = [[torch.randint(5, (3, side, side), generator=generator) for side in (2, 4)] for _ in range(3)]
    devices = [CodeUse(network, SHOWING) for _ in range(3)]
    for device, codes in zip((0, 0, 1), grids, strict=True):
        devices[device].add({INDEX: torch.arange(3)}, {"predictions": GeneratedOutput(codes=codes)})
    devices[0].draw([device.take() for device in devices])
    (counts,) = drawn.values()
    for place, found in enumerate(counts):
        everything = np.concatenate([codes[place].numpy().ravel() for codes in grids])
        assert found.tolist() == np.bincount(everything, minlength=5).tolist()
    assert CodeUse(network, SHOWING).draw([[], []]) == {}


def test_a_network_with_codes_has_the_picture():
    galleries = generation_galleries(MultiscaleVqVae(num_codes=5, width=8, num_blocks=1), SHOWING)
    assert [type(gallery).__name__ for gallery in galleries] == ["Samples", "Reconstructions", "CodeUse"]


def test_the_picture_says_perplexity_and_grows_with_the_grids():
    """Of two codes used alike the perplexity is 2; bars are blue from the left."""
    counts = torch.tensor([0, 8, 8, 0])
    assert _said(_shares(counts), None).startswith("2 of 4 codes used, perplexity 2.0")
    skewed = torch.tensor([3, 1])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert f"perplexity {math.exp(entropy):.1f}" in _said(_shares(skewed), 1)
    one, two = code_use_picture([counts], "t"), code_use_picture([counts, skewed])
    assert two.height > one.height
    blue = (np.abs(np.asarray(one).astype(int) - (0x6B, 0xAE, 0xD6)).sum(2) < 10).sum(0)
    assert blue[: one.width // 2].sum() > 0
    assert blue[round(one.width * 0.6) :].sum() == 0
