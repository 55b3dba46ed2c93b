"""Does inspect tell of a recipe's network what its layers say, and of every mistake what it is?"""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lightning_cv.cli.main import main
from lightning_cv.data import Digits, RandomCrop
from lightning_cv.networks.classify import Mlp
from lightning_cv.run.inspection import remarks

NETWORK = """\
model:
  class_path: lightning_cv.tasks.Classify
  init_args:
    network: {class_path: torchvision.models.%s, init_args: {num_classes: 7}}
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}
data: {class_path: lightning_cv.data.ImageFolder, init_args: {root: nowhere, batch_size: 8}}
trainer: {devices: 8, accelerator: gpu, num_nodes: 4, precision: bf16-mixed}
"""


def inspected(capsys, *words: str) -> list[str]:
    assert main(["inspect", *words]) == 0
    return capsys.readouterr().out.splitlines()


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_table_adds_up_and_the_network_is_the_recipes(capsys):
    """rows 67, 68: its layers' parameters are those of the network, and the sum of multiply-adds is the total."""
    lines = inspected(capsys, "digits_resnet")
    heads, *rows = lines[: lines.index("")]
    assert heads.split() == ["layer", "kind", "output", "parameters", "multiply-adds", "memory"]
    where = [heads.index(head) + len(head) for head in ("parameters", "multiply-adds")]
    columns = [[row[: where[0]].rsplit("  ", 1)[1], row[where[0] : where[1]]] for row in rows]
    parameters, macs = ([number(cell) for cell in column if cell.strip()] for column in zip(*columns, strict=True))
    told = {line.split()[0]: line.split()[1] for line in lines[lines.index("") + 1 :]}
    assert sum(parameters) == number(told["parameters"].rstrip(";")) == 77_290
    assert sum(macs) == number(told["multiply-adds"])
    assert told["image"] == "1x8x8"


def test_a_recipe_for_gpus_and_data_of_elsewhere_is_inspected_here(capsys):
    """rows 63, 85: a size is enough; by hand the first block of ResNet-50 sees 7, the map of 56x56 up to 35 pixels."""
    Path("mine.yaml").write_text(NETWORK % "resnet50")
    lines = inspected(capsys, "mine.yaml", "--image=3,224,224", "--model.init_args.network.init_args.num_classes=3")
    parameters = sum(weight.numel() for weight in torchvision.models.resnet50(num_classes=3).parameters())
    assert any(line.startswith(f"parameters     {parameters:,};") for line in lines)
    sees = [line.split() for line in lines if line.startswith("sees")]
    assert [words[1] for words in sees] == ["7x7", "35x35", "91x91", "224x224", "224x224"]
    assert [words[-1] for words in sees] == ["112x112", "56x56", "28x28", "14x14", "7x7"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mine.yaml"], "data.init_args.root: nowhere given .*; without the data, give --image C,H,W"),
        (["mine.yaml", "--image=3,224"], "--image 3,224: give channels, height and width, such as 3,224,224"),
        (["mine.yaml", "--image=3,0,4"], "--image 3,0,4: give channels, height and width"),
        (["mine.yaml", "--image=1,64,64"], "mine.yaml:4: model.init_args.network: takes no images of 1x64x64: "),
        ([], "inspect needs a recipe: give a file or a name from lightning-cv recipes"),
        (["mine.yaml", "--ckpt=a"], "--ckpt is an option of fit, validate, test, predict, not of inspect"),
    ],
)
def test_a_mistake_is_one_line(capsys, words, said):
    Path("mine.yaml").write_text(NETWORK % "resnet18")
    assert main(["inspect", *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(said, line), line


def test_nothing_is_written(capsys):
    inspected(capsys, "digits_mlp")
    assert not list(Path.cwd().iterdir())
    assert torch.is_grad_enabled()


def test_it_remarks_on_wide_layers_without_dropout_and_on_missing_augmentation():
    """row 44: two rules of the course, each told where it is broken and nowhere else."""
    wide = Mlp(10, image=(1, 32, 32), hidden=[1024])
    assert [remark[:20] for remark in remarks(wide, Digits())] == ["1.1 million weights ", "no augmentation: nei"]
    dropping = Mlp(10, image=(1, 32, 32), hidden=[1024], dropout=0.5)
    assert not list(remarks(dropping, Digits(batch_transforms=[RandomCrop(1)])))
    assert not list(remarks(Mlp(10, hidden=[16]), Digits(train_transform=nn.Identity())))


def test_networks_of_every_task_are_told_of(capsys):
    """rows 67, 68: parameters are those of the network; maps of no image, and of no region, are passed over."""
    for recipe in ("scenes_fasterrcnn", "scenes_detr", "scenes_unet", "scenes_panoptic"):
        lines = inspected(capsys, recipe, "--data.init_args.num_train=4")
        told = {line.split()[0]: line.split()[1] for line in lines[lines.index("") + 1 :]}
        assert number(told["parameters"].rstrip(";")) > 400_000
        assert number(told["multiply-adds"]) > 50_000_000
        assert told["image"] == "3x96x96"
