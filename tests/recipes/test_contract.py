"""Every shipped recipe builds, trains a few steps on tiny real files, is scored, and repeats itself.

The suite finds the recipes by itself; a recipe is tested because it exists.
"""

import json
from pathlib import Path

import pytest
import torch
import yaml

from lightning_cv.recipe.compose import compose
from lightning_cv.recipe.files import read_recipe
from lightning_cv.recipe.paths import walk
from lightning_cv.recipe.request import RunRequest
from lightning_cv.recipe.shipped import shipped
from lightning_cv.run.program import execute
from tests.callbacks.tiny import newest
from tests.makers import CLASSES, OBJECT_CLASSES, PANOPTIC_CATEGORIES, make_for, trust_made_files

RECIPES = {recipe.name: recipe for recipe in shipped()}
# What takes minutes and gigabytes at full size is tested with fewer layers or smaller images, and is else as shipped.
NETWORK, TRANSFORMS = (
    "model.init_args.network.init_args",
    "data.init_args.{}_transform.init_args.transforms.{}.init_args",
)
SMALL_IMAGES = {
    f"{TRANSFORMS.format('train', 0)}.size": "[64, 64]",
    f"{TRANSFORMS.format('eval', 0)}.size": "72",
    f"{TRANSFORMS.format('eval', 1)}.size": "64",
}
PYRAMID, RESIZE = f"{NETWORK}.pyramid.init_args", TRANSFORMS.format("eval", 0)
SMALL_DETECTOR = {
    f"{PYRAMID}.backbone": "small",
    f"{PYRAMID}.channels": "32",
    f"{TRANSFORMS.format('train', 1)}.size": "64",
    f"{RESIZE}.size": "64",
}
SMALL_REGIONS = {
    **SMALL_DETECTOR,
    f"{NETWORK}.head_width": "32",
    f"{NETWORK}.proposals": "[50, 20]",
    f"{NETWORK}.anchor_sizes": "[8, 16, 24, 32, 48]",
}
RESIZE_TRAIN = TRANSFORMS.format("train", 0)
SMALL_CROPS = {f"{RESIZE_TRAIN}.target_size": "[48, 64]", f"{TRANSFORMS.format('train', 1)}.size": "[48, 48]"}
SMALLEST_CROPS = {  # of networks that have no small form, and write gigabytes of snapshots
    f"{RESIZE_TRAIN}.target_size": "[32, 48]",
    f"{TRANSFORMS.format('train', 1)}.size": "[32, 32]",
    "trainer.max_epochs": "1",
}
SMALL_SCENES = {"num_train": "16", "num_val": "4", "size_px": "64", "object_px": "[16, 32]"}
SMALLEST = f"{TRANSFORMS.format('train', 1)}.min_size"
SMALLER = {
    "coco_fasterrcnn": SMALL_REGIONS,
    "coco_maskrcnn": {**SMALL_REGIONS, f"{NETWORK}.mask_layers": "[16]"},
    "coco_keypointrcnn": {
        **{key: value for key, value in SMALL_REGIONS.items() if not key.startswith(TRANSFORMS.format("train", 1))},
        f"{NETWORK}.keypoint_layers": "[16]",
        SMALLEST: "[48, 64]",
    },
    "coco_ssd300": {
        f"{NETWORK}.pyramid": "{class_path: lightning_cv.networks.detect.Pyramid, init_args: {channels: 32}}",
        f"{TRANSFORMS.format('train', 4)}.size": "[64, 64]",
        f"{RESIZE}.size": "[64, 64]",
    },
    "coco_retinanet": SMALL_DETECTOR,
    "coco_fcos": {**SMALL_DETECTOR, f"{PYRAMID}.channels": "64"},
    "coco_detr": {
        f"{NETWORK}.backbone.init_args.name": "small",
        f"{NETWORK}.layers": "2",
        f"{NETWORK}.width": "32",
        f"{NETWORK}.hidden_width": "32",
        SMALLEST: "[48, 64]",
        f"{RESIZE}.size": "64",
    },
    "voc_deeplabv3": SMALLEST_CROPS,
    "voc_fcn": SMALLEST_CROPS,
    "ade20k_fpn": {**SMALL_CROPS, f"{NETWORK}.encoder_name": "resnet18"},
    "ade20k_segformer_b0": SMALL_CROPS,
    "cityscapes_pspnet": {
        **SMALL_CROPS,
        f"{NETWORK}.backbone": "small",
        "model.init_args.windows.init_args.size_px": "[32, 48]",
    },
    "pets_unet": {
        f"{NETWORK}.encoder_name": "resnet18",
        f"{RESIZE}.size": "[64, 64]",
        f"{RESIZE_TRAIN}.size": "[64, 64]",
    },
    "coco_panoptic_fpn": {
        **SMALL_REGIONS,
        f"{NETWORK}.mask_layers": "[16]",
        f"{NETWORK}.stuff_width": "8",
        f"{NETWORK}.num_classes": str(len(PANOPTIC_CATEGORIES)),
        f"{NETWORK}.things": "[[0, 2]]",
    },
    **{
        name: {f"data.init_args.{key}": value for key, value in SMALL_SCENES.items()}
        for name in RECIPES
        if name.startswith("scenes_")
    },
    **{
        name: {
            "data.init_args.num_train": "16",
            "data.init_args.num_val": "4",
            "data.init_args.size_px": "32",
            "data.init_args.object_px": "[16, 28]",
        }
        for name in ("scenes_vae", "scenes_masks_to_image")
    },
    "imagenet_resnet50_classic": {**SMALL_IMAGES, f"{NETWORK}.width_per_group": "8"},
    "imagenet_resnet50": {**SMALL_IMAGES, f"{NETWORK}.width_per_group": "8"},
    "imagenet_vit_b16": {f"{NETWORK}.depth": "1"},
    "imagenet_swin_t": {f"{NETWORK}.depths": "[1, 1, 1, 1]"},
    "imagenet_mixer_b16": {f"{NETWORK}.num_blocks": "1"},
    "cifar10_vqvae": {
        f"{NETWORK}.width": "16",
        f"{NETWORK}.prior.init_args.width": "8",
        f"{NETWORK}.prior.init_args.num_layers": "1",
    },
    "cifar10_sngan": {
        f"{NETWORK}.width": "8",
        "model.init_args.discriminator.init_args.width": "8",
        "trainer.check_val_every_n_epoch": "1",
    },
    **{name: {f"{NETWORK}.sampling.steps": "2"} for name in RECIPES if name.startswith("digits_ddpm")},
    "digits_flow_matching": {f"{NETWORK}.sampling.steps": "2"},
    "cifar10_ddpm": {
        f"{NETWORK}.denoiser.init_args.widths": "[8, 8]",
        f"{NETWORK}.sampling.steps": "2",
        "model.init_args.importance_samples": "1",
    },
    "cifar10_pixelcnn": {f"{NETWORK}.width": "12", f"{NETWORK}.num_layers": "1"},
}


def test_there_are_recipes():
    """A suite that finds nothing fails."""
    assert "digits_resnet" in RECIPES


def few_steps(path: Path, files: Path, run_dir: Path, **overrides) -> RunRequest:
    """A request for two short epochs of a recipe on tiny files of its data set's true format."""
    recipe = read_recipe(path)
    name = recipe.values["data"]["class_path"].rsplit(".", 1)[1]
    options = {f"data.init_args.{key}": json.dumps(value) for key, value in make_for(name, files).items()}
    for place, value in walk(recipe.values):
        if place.endswith("num_classes") and name == "ImageFolder":
            options[place] = str(len(CLASSES))
        if place.endswith("num_classes") and name == "Coco" and value > 1:
            options[place] = str(OBJECT_CLASSES[-1][0])
        if place.rsplit(".", 1)[-1] in ("weights", "weights_backbone") or (place.endswith("encoder_weights") and value):
            assert value, "a recipe that states no weights need not name them"
            options[place] = "null"
    options |= {
        "data.init_args.batch_size": "4",
        "trainer.max_epochs": "2",
        "trainer.limit_train_batches": "2",
        "trainer.limit_val_batches": "2",
        "trainer.log_every_n_steps": "1",
        "trainer.accelerator": "cpu",
        "trainer.enable_model_summary": "false",
        "data.init_args.num_workers": "0",
        **SMALLER.get(path.stem, {}),
        **overrides,
    }
    return RunRequest(
        verb="fit",
        composed=compose([recipe], list(options.items())),
        run_dir=run_dir,
        runs_dir=Path("runs"),
        name=path.stem,
        checkpoint=None,
        test_after_fit=False,
        allow_code=(),
        print_config=False,
        images=None,
    )


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_trains_and_its_resolved_form_repeats_the_run(name, tmp_path, monkeypatch):
    """Two epochs of a few steps: the run folder is complete, and its recipe gives the same weights again."""
    trust_made_files(monkeypatch)
    first, second = tmp_path / "first", tmp_path / "second"
    assert execute(few_steps(RECIPES[name].path, tmp_path / "files", first)) == 0
    for made in ("recipe.yaml", "provenance.json", "progress.jsonl"):
        assert (first / made).is_file(), made
    again = few_steps(RECIPES[name].path, tmp_path / "files", second)
    resolved = compose([read_recipe(first / "recipe.yaml")], [])
    assert execute(RunRequest(**{**vars(again), "composed": resolved})) == 0
    states = [torch.load(newest(run), weights_only=True) for run in (first, second)]
    for key, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][key]), key
    assert yaml.safe_load((first / "recipe.yaml").read_text()) == yaml.safe_load((second / "recipe.yaml").read_text())
