"""What `predict` writes of a task that translates images."""

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_cv.cli.main import main
from lightning_cv.contracts import Stage
from lightning_cv.data import Digits
from lightning_cv.ops.draws import OwnDraws
from lightning_cv.run import load_task
from tests.makers import make_class_folders, make_image
from tests.run.trained import trained_runs

RECIPE = """
seed_everything: 0
model:
  class_path: lightning_cv.tasks.Translate
  init_args:
    network:
      class_path: lightning_cv.networks.generate.UNetTranslator
      init_args: {image: [1, 8, 8], width: 4}
    discriminator:
      class_path: lightning_cv.networks.generate.PatchDiscriminator
      init_args: {image: [2, 8, 8], width: 4, num_halvings: 1}
    optimizer:
      class_path: torch.optim.SGD
      init_args: {lr: 0.01}
data:
  class_path: lightning_cv.data.Digits
  init_args: {batch_size: 64}
trainer: {max_steps: 3, logger: false, accelerator: cpu}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that was trained for three steps."""
    return trained_runs(tmp_path_factory.mktemp("trained"), {"edges": RECIPE})["edges"]


CYCLE = """
seed_everything: 0
model:
  class_path: lightning_cv.tasks.CycleTranslate
  init_args:
    network:
      class_path: lightning_cv.networks.generate.CycleTranslator
      init_args: {image: [3, 16, 16], width: 4}
    discriminator:
      class_path: lightning_cv.networks.generate.CycleDiscriminators
      init_args: {image: [3, 16, 16], width: 4}
    optimizer:
      class_path: torch.optim.SGD
      init_args: {lr: 0.01}
data:
  class_path: lightning_cv.data.ImageFolder
  init_args: {root: photos, size_px: 16, batch_size: 8}
trainer: {max_steps: 2, logger: false, accelerator: cpu}
"""


def test_a_file_holds_the_translation_of_each_image(run, tmp_path, capsys):
    """row 253: of the edges of pictures, under their names, with the draws of their index."""
    data = Digits(size_px=8)
    data.setup("test")
    images = [data.split(Stage.TEST)[index][0] for index in (3, 8)]
    (tmp_path / "given").mkdir()
    for name, image in zip(("eight", "three"), images, strict=True):
        Image.fromarray(image[0].numpy()).save(tmp_path / "given" / f"{name}.png")
    assert main(["predict", "--ckpt", str(run), "--images", str(tmp_path / "given"), "--trainer.accelerator=cpu"]) == 0
    assert "2 images in" in capsys.readouterr().out
    task = load_task(run)
    with torch.no_grad():
        source = task.source.make({}, torch.stack(images) / 255, None)
        expected = task.scored_network.eval()(source, OwnDraws.of_indices(torch.arange(2)))
    for name, image in zip(("eight", "three"), expected, strict=True):
        shown = np.asarray(Image.open(run / "predictions" / "translated" / f"{name}.png")) / 255
        assert shown.shape == (8, 8)
        assert np.abs(shown - image[0].numpy()).max() < 1 / 255


def test_the_test_split_is_translated_where_no_images_are_named(run, capsys):
    assert main(["predict", "--ckpt", str(run), "--trainer.accelerator=cpu"]) == 0
    data = Digits(size_px=8)
    data.setup("test")
    assert f"{len(data.split(Stage.TEST))} images in" in capsys.readouterr().out
    assert len(list((run / "predictions" / "translated").glob("Digits_predict_*.png"))) == len(data.split(Stage.TEST))


def test_both_ways_are_drawn_where_nobody_says_which_kind_an_image_is_of(tmp_path, capsys):
    """row 254: class folders are the kinds; a folder for each way, by the names of the kinds."""
    make_class_folders(tmp_path / "photos", num_images=12, classes=("horse", "zebra"))
    (tmp_path / "photos" / "zebra" / "0.png").unlink()
    run = trained_runs(tmp_path, {"cycle": CYCLE})["cycle"]
    make_image(tmp_path / "given" / "one.jpg")
    assert main(["predict", "--ckpt", str(run), "--images", str(tmp_path / "given"), "--trainer.accelerator=cpu"]) == 0
    assert "1 images in" in capsys.readouterr().out
    written = [np.asarray(Image.open(run / "predictions" / way / "one.png")) for way in ("to_zebra", "to_horse")]
    assert written[0].shape == written[1].shape == (16, 16, 3)
    assert not np.array_equal(*written)
